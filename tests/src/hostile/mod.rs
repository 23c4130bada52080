//! Hostile servers, by the protocol that they speak.

pub use backing_services_dev::conformance::hostile::*;

pub mod mysql;
pub mod postgres;
pub mod redis;

/// Escape sequences that a terminal obeys, and characters that reverse a line, with our own secret
/// among them.
pub const ESCAPES: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nroot: \u{202e}kanarie-7f3a-Wk0qShopZx84\u{200b}\u{9b}31m";
