//! Compile-time checks of a service's constants, called by the derive's code.

use crate::locator::dialect::{CONNECT_TIMEOUT, Parameter};
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

/// A service's own parameters: none of them is the runtime's.
///
/// # Panics
/// If one is: in a constant, that is a compile error.
pub(crate) const fn own_parameters(parameters: &'static [Parameter]) -> &'static [Parameter] {
    let mut at = 0;
    while at < parameters.len() {
        assert!(
            !is_same(parameters[at].name, CONNECT_TIMEOUT.name),
            "the runtime adds the parameter `connect_timeout`: remove it from `PARAMETERS`"
        );
        at += 1;
    }
    parameters
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}
