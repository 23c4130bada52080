//! Compile-time checks of a service's constants, called by the derive's code.

use crate::needs::reader::Parser;
use crate::service::Service;

/// Checks `needs` at compile time, when the service's type is known.
///
/// # Panics
/// If it cannot be parsed, or if the service has no privileges to compare it with: in a constant,
/// that is a compile error.
#[doc(hidden)]
#[track_caller]
pub const fn assert_needs<S: Service>(needs: &str) {
    assert!(
        !S::PRIVILEGES.is_empty(),
        "`needs` on a service whose accounts have no privileges that could be compared with it: \
         remove it [unknown_attribute]"
    );
    let mut reader = Parser::new(needs, S::PRIVILEGES);
    loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(mistake) => {
                let message = mistake.message(needs, S::NAME, S::PRIVILEGES);
                panic!("{}", message.as_str())
            }
        }
    }
}
