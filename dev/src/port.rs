//! Free ports.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::DevError;

/// A port of the loopback interface that is not in use, and that this function has not returned
/// before.
///
/// # Errors
/// If the machine gives no port.
pub fn free() -> Result<u16, DevError> {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| DevError::system("no port of 127.0.0.1 is free", &error))?
            .port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
}
