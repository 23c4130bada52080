//! The answers of servers that repeat our own secret.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::canary::CANARY;
use crate::hostile::Peer;
use crate::hostile::redis::{hello, hello_from, serve};
use crate::pki::Leaf;

/// The account of every such server.
pub const USER: &str = "winkelier";

/// A password that no other test uses.
#[must_use]
pub fn password(of: &str) -> String {
    format!("{CANARY}-{of}-Wk0q")
}

/// The encodings in which a server may repeat it.
#[must_use]
pub fn encodings(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    vec![
        secret.to_owned(),
        secret.to_uppercase(),
        format!("\\\"{secret}\\\""),
        secret.replace('-', "%2D"),
        percent,
        secret.replace('-', "\\u002d"),
        hex,
        STANDARD.encode(secret),
        STANDARD.encode(format!("\0{USER}\0{secret}")),
        URL_SAFE_NO_PAD.encode(format!("{USER}:{secret}")),
    ]
}

/// A Redis server of this version (if it is not empty) that answers `GET` with this text.
///
/// # Errors
/// If the peer disconnects.
pub async fn redis(
    peer: Peer,
    leaf: &Leaf,
    version: &str,
    to_get: &[u8],
) -> io::Result<Option<Peer>> {
    let peer = peer.encrypt(leaf).await?;
    let hello = if version.is_empty() { hello() } else { hello_from("redis", version) };
    let mut greeted = false;
    serve(peer, move |command| {
        let name = command.join(" ").to_uppercase();
        Some(match command[0].to_uppercase().as_str() {
            "PING" if greeted => b"+PONG\r\n".to_vec(),
            "PING" => b"-NOAUTH Authentication required.\r\n".to_vec(),
            "HELLO" => {
                greeted = true;
                hello.clone()
            }
            "ACL" if name == "ACL WHOAMI" => format!("${}\r\n{USER}\r\n", USER.len()).into_bytes(),
            "GET" if !name.starts_with("GET PROBE.") => to_get.to_vec(),
            _ => b"-NOPERM no permissions\r\n".to_vec(),
        })
    })
    .await
}
