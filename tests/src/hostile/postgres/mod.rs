//! The PostgreSQL protocol, as far as a hostile server needs it.

use std::io;

use super::Peer;
use crate::pki::Leaf;

pub mod probe;
pub mod scram;

/// The request for TLS: the same 8 bytes from every client.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// `AuthenticationOk`, without a proof.
pub const AUTHENTICATION_OK: [u8; 9] = *b"R\0\0\0\x08\0\0\0\0";

/// `AuthenticationCleartextPassword`.
pub const CLEARTEXT: [u8; 9] = *b"R\0\0\0\x08\0\0\0\x03";

/// `AuthenticationMD5Password`, with a salt.
pub const MD5: [u8; 13] = *b"R\0\0\0\x0c\0\0\0\x05salt";

/// `BackendKeyData`: the process of the probe's answer, and a secret.
pub const KEY: [u8; 13] = *b"K\0\0\0\x0c\0\0\x12\x67\0\0\0\x01";

/// `ReadyForQuery`.
pub const READY: [u8; 6] = *b"Z\0\0\0\x05I";

/// A message: its type, its length, its content.
#[must_use]
pub fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).expect("a short message");
    [&[kind][..], &length.to_be_bytes(), content].concat()
}

/// `AuthenticationSASL`, with a choice of mechanisms.
#[must_use]
pub fn sasl(mechanisms: &[&str]) -> Vec<u8> {
    let mut content = 10_u32.to_be_bytes().to_vec();
    for mechanism in mechanisms {
        content.extend_from_slice(mechanism.as_bytes());
        content.push(0);
    }
    content.push(0);
    message(b'R', &content)
}

/// `AuthenticationSASLContinue`.
#[must_use]
pub fn sasl_continue(text: &str) -> Vec<u8> {
    message(b'R', &[&11_u32.to_be_bytes()[..], text.as_bytes()].concat())
}

/// `ErrorResponse`, with a SQLSTATE and any text.
#[must_use]
pub fn error(code: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{code}\0M{text}\0D{text}\0H{text}\0\0").as_bytes())
}

/// Reads the request for TLS, accepts it, switches to TLS, and reads the startup message.
///
/// # Errors
/// If the peer disconnects, or requests something else.
pub async fn startup(mut peer: Peer, leaf: &Leaf) -> io::Result<Peer> {
    if peer.read().await? != SSL_REQUEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    peer.write(b"S").await?;
    let mut peer = peer.encrypt(leaf).await?;
    peer.read().await?;
    Ok(peer)
}

/// The nonce in the client's first SCRAM message.
#[must_use]
pub fn nonce(first: &[u8]) -> String {
    let text = String::from_utf8_lossy(first);
    text.split(",r=").nth(1).unwrap_or_default().to_owned()
}
