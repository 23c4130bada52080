//! Hostile servers, by the protocol that they speak.

pub use backing_services_dev::conformance::hostile::*;

use std::io;

use crate::pki::Authority;

pub mod mysql;
pub mod postgres;
pub mod redis;

/// Escape sequences that a terminal obeys, and characters that reverse a line, with our own secret
/// among them.
pub const ESCAPES: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nroot: \u{202e}kanarie-7f3a-Wk0qShopZx84\u{200b}\u{9b}31m";

/// A server that plays a script under TLS on each connection, and its authority in PEM.
pub fn under_tls<F>(script: impl Fn(Peer) -> F + Clone + Send + Sync + 'static) -> (Hostile, String)
where
    F: Future<Output = io::Result<Option<Peer>>> + Send + 'static,
{
    let authority = Authority::new("the tests' authority");
    let leaf = authority.server();
    let hostile = Hostile::start(move |peer| {
        let (leaf, script) = (leaf.clone(), script.clone());
        async move { script(peer.encrypt(&leaf).await?).await }
    });
    (hostile, authority.pem())
}
