//! The MySQL protocol, as far as a hostile server needs it.

use std::io;

use super::Peer;
use crate::pki::Leaf;

/// `CLIENT_SSL`.
pub const SSL: u32 = 0x800;

/// The capabilities of a valid server: protocol 4.1, TLS, plugins, several results. Without
/// `DEPRECATE_EOF`, so that each result ends in the same way.
pub const CAPABILITIES: u32 =
    0x0008_0000 | 0x0001_0000 | 0x0002_0000 | 0x8000 | 0x0200 | 0x2000 | 0x0008 | SSL;

/// A packet: its length, its number, its content.
#[must_use]
pub fn packet(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a short packet").to_le_bytes();
    [&length[..3], &[number], content].concat()
}

/// The version of a server that is MySQL.
pub const MYSQL: &str = "8.0.36";

/// The version of a server that is MariaDB.
pub const MARIADB: &str = "11.4.2-MariaDB";

/// A greeting of MySQL that names a plugin.
#[must_use]
pub fn greeting(plugin: &str, capabilities: u32) -> Vec<u8> {
    greeting_of(MYSQL, plugin, capabilities)
}

/// A greeting of a version that names a plugin.
#[must_use]
pub fn greeting_of(version: &str, plugin: &str, capabilities: u32) -> Vec<u8> {
    let [a, b, c, d] = capabilities.to_le_bytes();
    let content = [
        b"\x0a",
        version.as_bytes(),
        b"\0\x07\0\0\0abcdefgh\0",
        &[a, b, 45, 2, 0, c, d, 21][..],
        &[0; 10],
        b"ijklmnopqrst\0",
        plugin.as_bytes(),
        b"\0",
    ];
    packet(0, &content.concat())
}

/// `AuthSwitchRequest`.
#[must_use]
pub fn switch(number: u8, plugin: &str) -> Vec<u8> {
    packet(number, &[b"\xfe", plugin.as_bytes(), b"\0abcdefghijklmnopqrst\0"].concat())
}

/// `OK_Packet`.
#[must_use]
pub fn ok(number: u8) -> Vec<u8> {
    packet(number, b"\0\0\0\x02\0\0\0")
}

/// `ERR_Packet`, with a number and any text.
#[must_use]
pub fn error(number: u8, code: u16, text: &str) -> Vec<u8> {
    packet(number, &[b"\xff", &code.to_le_bytes()[..], b"#HY000", text.as_bytes()].concat())
}

/// A result: rows of texts or NULLs.
#[must_use]
pub fn rows(columns: usize, rows: &[&[Option<&str>]]) -> Vec<u8> {
    let text = |text: &str| {
        let length =
            u8::try_from(text.len()).ok().filter(|length| *length < 251).expect("a short text");
        [&[length], text.as_bytes()].concat()
    };
    let mut number = 0;
    let mut next = |content: &[u8]| {
        number += 1;
        packet(number, content)
    };
    let mut bytes = next(&[u8::try_from(columns).expect("few columns")]);
    for column in 0..columns {
        let name = format!("c{column}");
        let content = [
            text("def"),
            text(""),
            text(""),
            text(""),
            text(&name),
            text(&name),
            b"\x0c\x2d\0\0\x04\0\0\xfd\0\0\0\0\0".to_vec(),
        ];
        bytes.extend(next(&content.concat()));
    }
    bytes.extend(next(b"\xfe\0\0\x02\0"));
    for row in rows {
        let content: Vec<_> =
            row.iter().map(|value| value.map_or_else(|| vec![0xfb], text)).collect();
        bytes.extend(next(&content.concat()));
    }
    bytes.extend(next(b"\xfe\0\0\x02\0"));
    bytes
}

/// Several results in a row, as the answer to several statements at once. The packet numbers
/// continue, and each result but the last announces another one (`SERVER_MORE_RESULTS_EXISTS`).
#[must_use]
pub fn results(results: &[Vec<u8>]) -> Vec<u8> {
    let (mut bytes, mut number) = (Vec::new(), 0);
    for (index, result) in results.iter().enumerate() {
        let mut rest = result.as_slice();
        while let [a, b, c, _, following @ ..] = rest {
            let (content, following) =
                following.split_at(u32::from_le_bytes([*a, *b, *c, 0]) as usize);
            number += 1;
            let mut content = content.to_vec();
            if following.is_empty() && index + 1 < results.len() && matches!(content[0], 0 | 0xfe) {
                content[3] |= 8;
            }
            bytes.extend(packet(number, &content));
            rest = following;
        }
    }
    bytes
}

/// Sends the greeting of a version, reads the request for TLS, switches to TLS, and reads the
/// login.
///
/// # Errors
/// If the peer disconnects, or sends something else.
pub async fn startup_of(
    mut peer: Peer,
    leaf: &Leaf,
    version: &str,
    plugin: &str,
) -> io::Result<Peer> {
    peer.write(greeting_of(version, plugin, CAPABILITIES)).await?;
    let request = peer.read_at_most(36).await?;
    if request.len() != 36 || request[3] != 1 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut peer = peer.encrypt(leaf).await?;
    peer.read().await?;
    Ok(peer)
}

/// As [`startup_of`], for MySQL.
///
/// # Errors
/// If the peer disconnects, or sends something else.
pub async fn startup(peer: Peer, leaf: &Leaf, plugin: &str) -> io::Result<Peer> {
    startup_of(peer, leaf, MYSQL, plugin).await
}

/// Admits every login, as if it knew the password's hash.
///
/// # Errors
/// If the peer disconnects, or sends something else.
pub async fn admitting(peer: Peer, leaf: &Leaf) -> io::Result<Peer> {
    let mut peer = startup(peer, leaf, "caching_sha2_password").await?;
    peer.write([packet(3, b"\x01\x03"), ok(4)].concat()).await?;
    Ok(peer)
}
