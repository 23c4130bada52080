//! The Redis protocol, as far as a hostile server needs it.

use std::io;

use super::Peer;
use crate::pki::Leaf;

/// The commands in the input of a client, each with its words. Incomplete and invalid commands are
/// left out.
#[must_use]
pub fn commands(bytes: &[u8]) -> Vec<Vec<String>> {
    whole(bytes).0
}

/// The complete commands, and the bytes that follow them.
fn whole(bytes: &[u8]) -> (Vec<Vec<String>>, &[u8]) {
    let mut commands = Vec::new();
    let mut lines = Lines(bytes);
    let mut rest = bytes;
    while let Some(count) = lines.number(b'*') {
        let mut words = Vec::new();
        for _ in 0..count {
            let Some(word) = lines.number(b'$').and_then(|length| lines.take(length)) else {
                return (commands, rest);
            };
            words.push(String::from_utf8_lossy(word).into_owned());
        }
        commands.push(words);
        rest = lines.0;
    }
    (commands, rest)
}

struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    fn number(&mut self, kind: u8) -> Option<usize> {
        let end = self.0.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, rest) = (&self.0[..end], &self.0[end + 2..]);
        let number = str::from_utf8(line.strip_prefix(&[kind])?).ok()?.parse().ok()?;
        self.0 = rest;
        Some(number)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (word, rest) = self.0.split_at_checked(length)?;
        self.0 = rest.strip_prefix(b"\r\n")?;
        Some(word)
    }
}

/// The answer of a server of version 7.4 to a valid `HELLO 3`.
#[must_use]
pub fn hello() -> Vec<u8> {
    hello_from("redis", "7.4.1")
}

/// The same answer with this name and version of the server.
#[must_use]
pub fn hello_from(server: &str, version: &str) -> Vec<u8> {
    let mut text = "%7\r\n".to_owned();
    let of_bytes = |value: &str| format!("${}\r\n{value}", value.len());
    for (key, value) in [
        ("server", of_bytes(server)),
        ("version", of_bytes(version)),
        ("proto", ":3".to_owned()),
        ("id", ":7".to_owned()),
        ("mode", of_bytes("standalone")),
    ] {
        text.push_str(&format!("${}\r\n{key}\r\n{value}\r\n", key.len()));
    }
    text.push_str("$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
    text.into_bytes()
}

/// Admits one account over TLS, with this answer to `HELLO`, and permits almost nothing: only what
/// attaching requires of a valid server. If `strangers` is true, it also answers without a login.
///
/// # Errors
/// If the peer disconnects.
pub async fn admit(
    peer: Peer,
    leaf: &Leaf,
    account: &str,
    hello: &[u8],
    strangers: bool,
) -> io::Result<Option<Peer>> {
    let peer = peer.encrypt(leaf).await?;
    let mut greeted = false;
    serve(peer, move |command| {
        Some(match command.join(" ").to_uppercase().as_str() {
            "PING" if greeted || strangers => b"+PONG\r\n".to_vec(),
            "PING" => b"-NOAUTH Authentication required.\r\n".to_vec(),
            "ACL WHOAMI" => format!("${}\r\n{account}\r\n", account.len()).into_bytes(),
            command if command.starts_with("HELLO") => {
                greeted = true;
                hello.to_vec()
            }
            command if command.starts_with("SELECT") => b"+OK\r\n".to_vec(),
            _ => b"-NOPERM no permissions\r\n".to_vec(),
        })
    })
    .await
}

/// Answers each command with the result of `answer`, until that is `None`.
///
/// # Errors
/// If the peer disconnects.
pub async fn serve(
    mut peer: Peer,
    mut answer: impl FnMut(&[String]) -> Option<Vec<u8>>,
) -> io::Result<Option<Peer>> {
    let mut bytes = Vec::new();
    loop {
        bytes.extend(peer.read().await?);
        let (commands, rest) = whole(&bytes);
        bytes = rest.to_vec();
        for command in commands {
            match answer(&command) {
                Some(bytes) => peer.write(bytes).await?,
                None => return Ok(Some(peer)),
            }
        }
    }
}
