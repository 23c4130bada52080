//! Free ports.

/// A port of the loopback interface that is not in use, and that this function has not returned
/// before.
#[must_use]
pub fn free() -> u16 {
    backing_services_dev::port::free().unwrap()
}
