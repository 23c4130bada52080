//! Questions to a service's constants that the derive asks at compile time.

use crate::needs::reader::Reader;
use crate::service::Service;

/// What is asked of `needs`, at compile time, once the service is known.
///
/// # Panics
/// When it cannot be read, or the service has no privileges that could be compared with it: in a constant, that is a compile error.
#[doc(hidden)]
#[track_caller]
pub const fn assert_needs<S: Service>(needs: &str) {
    assert!(
        !S::PRIVILEGES.is_empty(),
        "`needs` on a service whose accounts have no privileges that could be compared with it: remove it [unknown_attribute]"
    );
    let mut reader = Reader::new(needs, S::PRIVILEGES);
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
