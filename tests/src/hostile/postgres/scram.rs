//! The server's side of SCRAM-SHA-256, for a server that knows the password and is hostile later.
//!
//! RFC 5802 and RFC 7677; PostgreSQL documentation, 54.3.

use std::io;
use std::num::NonZeroU32;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::{hmac, pbkdf2};

use super::{AUTHENTICATION_OK, KEY, READY, message, nonce, sasl, sasl_continue, startup};
use crate::canary::PASSWORD;
use crate::hostile::Peer;
use crate::pki::Leaf;

/// The offer of a server with channel binding.
pub const BOUND: &[&str] = &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];

/// The offer of a server without channel binding.
pub const UNBOUND: &[&str] = &["SCRAM-SHA-256"];

const ITERATIONS: u32 = 4096;

const SALT: &[u8] = b"salt of a server";

/// Under TLS, reads the startup message, lets the client in that knows the tests' password, and is
/// ready for its first query. Its settings are these messages.
///
/// # Errors
/// If the peer disconnects, or does not know the password.
pub async fn admit(
    peer: Peer,
    leaf: &Leaf,
    mechanisms: &[&str],
    settings: &[u8],
) -> io::Result<Peer> {
    let mut peer = startup(peer, leaf).await?;
    peer.write(sasl(mechanisms)).await?;
    prove(&mut peer).await?;
    peer.write([&AUTHENTICATION_OK[..], settings, &KEY, &READY].concat()).await?;
    Ok(peer)
}

/// From the client's first message of SCRAM to the server's last one.
async fn prove(peer: &mut Peer) -> io::Result<()> {
    let first = peer.read().await?;
    let challenge =
        format!("r={}server,s={},i={ITERATIONS}", nonce(&first), BASE64_STANDARD.encode(SALT));
    peer.write(sasl_continue(&challenge)).await?;
    // A type and a length precede it.
    let last = peer.read().await?;
    let last = String::from_utf8_lossy(last.get(5..).unwrap_or_default()).into_owned();
    let (without_proof, proof) = last.split_once(",p=").ok_or(io::ErrorKind::InvalidData)?;
    let said = format!("n=,r={},{challenge},{without_proof}", nonce(&first));

    let mut salted = [0; 32];
    let iterations = NonZeroU32::new(ITERATIONS).expect("some");
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, SALT, PASSWORD.as_bytes(), &mut salted);
    if !is_proof(&salted, said.as_bytes(), proof) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let signature = sign(&sign(&salted, b"Server Key"), said.as_bytes());
    let text = format!("v={}", BASE64_STANDARD.encode(signature));
    peer.write(message(b'R', &[&12_u32.to_be_bytes()[..], text.as_bytes()].concat())).await
}

/// True if the client's proof was made with the password.
fn is_proof(salted: &[u8], said: &[u8], proof: &str) -> bool {
    let client_key = sign(salted, b"Client Key");
    let stored = ring::digest::digest(&ring::digest::SHA256, &client_key);
    let signature = sign(stored.as_ref(), said);
    let expected: Vec<u8> = client_key.iter().zip(signature).map(|(key, own)| key ^ own).collect();
    BASE64_STANDARD.decode(proof).is_ok_and(|proof| proof == expected)
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}
