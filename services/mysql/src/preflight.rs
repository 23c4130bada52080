//! The preflight connection, before the pool's. It verifies the server under our own TLS, and
//! learns the account's authentication plugin. No secret is sent.
//!
//! Protocol: MySQL Internals, "Connection Phase"; MariaDB Knowledge Base, "Connecting".

use backing_services_rules::rule::{OPPORTUNISTIC_TLS, WEAK_AUTHENTICATION};
use backing_services_runtime::posture::TlsPosture;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Refusal, Target};
use backing_services_runtime::{Failure, Finding};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest accepted packet, in bytes. A greeting has some 110, an error some 200.
const LONGEST_PACKET: usize = 4 * 1024;

/// `CLIENT_PROTOCOL_41`.
const PROTOCOL_41: u32 = 0x0000_0200;
/// `CLIENT_SSL`.
const SSL: u32 = 0x0000_0800;
/// `CLIENT_SECURE_CONNECTION`.
const SECURE_CONNECTION: u32 = 0x0000_8000;
/// `CLIENT_PLUGIN_AUTH`.
const PLUGIN_AUTH: u32 = 0x0008_0000;

/// The offered plugin. No account has it, so the server always answers with the account's plugin.
const NO_PLUGIN: &[u8] = b"backing_services_asks";

/// The result of the preflight connection.
pub(super) struct PreflightResult {
    pub(super) tls: Option<TlsPosture>,
    pub(super) plugin: Plugin,
}

/// An account's authentication plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    CachingSha2,
    Sha256,
    Native,
    Cleartext,
    /// The server admits the user by the name alone.
    Nothing,
}

impl Plugin {
    /// The plugin of this name, if the driver supports it.
    fn spoken(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"caching_sha2_password" => Self::CachingSha2,
            b"sha256_password" => Self::Sha256,
            b"mysql_native_password" => Self::Native,
            b"mysql_clear_password" => Self::Cleartext,
            _ => return None,
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Native => "mysql_native_password",
            Self::Cleartext => "mysql_clear_password",
            Self::Nothing => "nothing",
        }
    }

    /// The weakness of the plugin on any server. That of `mysql_native_password` depends on the
    /// product.
    pub(super) fn weakness(self) -> Option<Finding> {
        let message = match self {
            Self::Cleartext => "the server wants the password in cleartext",
            Self::Sha256 => {
                "the server wants the password in cleartext, within TLS, at every login \
                 (`sha256_password`)"
            }
            Self::Nothing => "the server lets the user in without any proof",
            Self::CachingSha2 | Self::Native => return None,
        };
        let finding = Finding::new(&WEAK_AUTHENTICATION, message);
        Some(finding.with_help(
            "`ALTER USER … IDENTIFIED WITH caching_sha2_password BY …`; on MariaDB \
                 `IDENTIFIED VIA mysql_native_password`",
        ))
    }
}

pub(super) async fn run(target: &Target, user: &str) -> Result<PreflightResult, Refusal> {
    let mut connection = target.dial_tcp().await?;
    let greeted = with_timeout(target.connect_timeout(), greeting(target, &mut connection))
        .await
        .map_err(|_| Failure::no_greeting())??;
    let dialled = target.encrypt(connection).await?;
    let mut stream = dialled.stream;
    let asking = async {
        stream
            .write_all(&packet(if target.is_plaintext() { 1 } else { 2 }, &response(target, user)))
            .await
            .map_err(|_| Failure::closed_before_login())?;
        stream.flush().await.map_err(|_| Failure::closed_before_login())?;
        let answer = read(&mut stream).await?;
        asked(&answer)
    };
    let plugin = with_timeout(target.connect_timeout(), asking)
        .await
        .map_err(|_| Failure::no_greeting())??;
    let _ = with_timeout(target.connect_timeout(), stream.shutdown()).await;

    // The driver begins with the plugin of the greeting, whatever the account's plugin is.
    for plugin in [greeted, plugin] {
        if let Some(finding) = plugin.weakness().filter(|_| !target.waives(&WEAK_AUTHENTICATION)) {
            return Err(finding.into());
        }
    }
    let plugin = if greeted == Plugin::Cleartext { greeted } else { plugin };
    Ok(PreflightResult { tls: dialled.tls, plugin })
}

/// Reads the greeting, and requests TLS in the only packet that may be sent before it. Returns the
/// server's default plugin.
async fn greeting(target: &Target, connection: &mut TcpStream) -> Result<Plugin, Refusal> {
    let greeting = Greeting::read(&read(connection).await?)?;
    if target.is_plaintext() {
        return Ok(greeting.plugin);
    }
    if greeting.capabilities & SSL == 0 {
        return Err(Finding::new(
            &OPPORTUNISTIC_TLS,
            "the server has no TLS, and nothing is said to it",
        )
        .with_help(target.help_without_tls(
            "switch TLS on in the server (`ssl_cert`, `ssl_key`, and `require_secure_transport = \
             ON`), or write the host of one that has it",
            "`ssl-mode=DISABLED`",
        ))
        .into());
    }
    connection
        .write_all(&packet(1, &request(true)))
        .await
        .map_err(|_| Failure::closed_before_login())?;
    // Bytes in the buffer were sent in cleartext, and would be read as if they came through TLS.
    let mut early = [0];
    match connection.try_read(&mut early) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(greeting.plugin),
        Ok(0) | Err(_) => Err(Failure::closed_before_login().into()),
        Ok(_) => Err(Finding::new(
            &OPPORTUNISTIC_TLS,
            "data arrived before TLS began: an attacker is on the path, or it is not a MySQL \
             server",
        )
        .with_help("check what is between here and the server")
        .into()),
    }
}

/// The used fields of the server's greeting.
struct Greeting {
    capabilities: u32,
    plugin: Plugin,
}

impl Greeting {
    fn read(packet: &[u8]) -> Result<Self, Refusal> {
        if let [0xff, rest @ ..] = packet {
            return Err(server_error(code(rest)).into());
        }
        Self::parse(packet).ok_or_else(Failure::protocol)?
    }

    /// Parses `HandshakeV10`; `None` if the packet is not one.
    fn parse(packet: &[u8]) -> Option<Result<Self, Refusal>> {
        let rest = packet.strip_prefix(&[10])?;
        // The version, which the probe reads again under TLS.
        let end = rest.iter().position(|byte| *byte == 0)?;
        // The connection's ID, the first part of the nonce, and a filler byte.
        let rest = rest.get(end + 1 + 4 + 8 + 1..)?;
        let (low, rest) = rest.split_first_chunk()?;
        let rest = rest.get(1 + 2..)?;
        let (high, rest) = rest.split_first_chunk()?;
        let capabilities =
            u32::from(u16::from_le_bytes(*low)) | u32::from(u16::from_le_bytes(*high)) << 16;
        if capabilities & (PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH)
            != PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH
        {
            return Some(Err(old()));
        }
        let (nonce, rest) = rest.split_first()?;
        // Ten reserved bytes, and the second part of the nonce.
        let rest = rest.get(10 + usize::from(*nonce).saturating_sub(8).max(13)..)?;
        // The greeting of some servers ends without a NUL here.
        let name = rest.split(|byte| *byte == 0).next()?;
        Some(match Plugin::spoken(name) {
            Some(plugin) => Ok(Self { capabilities, plugin }),
            None if name == b"mysql_old_password" => Err(ancient()),
            None => Err(unspoken()),
        })
    }
}

/// Parses the server's answer to the user name.
fn asked(answer: &[u8]) -> Result<Plugin, Refusal> {
    match answer {
        [0x00, ..] => Ok(Plugin::Nothing),
        [0xff, rest @ ..] => Err(server_error(code(rest)).into()),
        // The switch to the authentication from before plugins.
        [0xfe] => Err(ancient()),
        [0xfe, rest @ ..] => {
            let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            match name {
                b"mysql_old_password" => Err(ancient()),
                // MariaDB's name of PAM.
                b"dialog" => Err(Finding::new(
                    &WEAK_AUTHENTICATION,
                    "the server wants the password in cleartext",
                )
                .with_help("`ALTER USER … IDENTIFIED VIA mysql_native_password USING PASSWORD(…)`")
                .into()),
                name => Plugin::spoken(name).ok_or_else(unspoken),
            }
        }
        _ => Err(Failure::protocol().into()),
    }
}

/// `HandshakeResponse41`: a name, an empty proof, and a plugin that no account has.
fn response(target: &Target, user: &str) -> Vec<u8> {
    [&request(!target.is_plaintext())[..], user.as_bytes(), &[0, 0], NO_PLUGIN, &[0]].concat()
}

/// `SSLRequest`, which is also the beginning of a response: the capabilities, the largest packet,
/// the character set (`utf8mb4_general_ci`), zeros.
fn request(ssl: bool) -> [u8; 32] {
    let capabilities = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | if ssl { SSL } else { 0 };
    let mut body = [0; 32];
    body[..4].copy_from_slice(&capabilities.to_le_bytes());
    body[4..8].copy_from_slice(&0x0100_0000_u32.to_le_bytes());
    body[8] = 45;
    body
}

/// A packet: its length in three bytes, its number, its body. A user name has at most 256 bytes, so
/// the length fits.
fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&[a, b, c, number][..], body].concat()
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Refusal> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.map_err(|_| Failure::closed_before_login())?;
    let [a, b, c, _] = header;
    let length = u32::from_le_bytes([a, b, c, 0]) as usize;
    if length == 0 || length > LONGEST_PACKET {
        return Err(Failure::protocol().into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(|_| Failure::closed_before_login())?;
    Ok(body)
}

fn code(error: &[u8]) -> u16 {
    error.first_chunk().map_or(0, |code| u16::from_le_bytes(*code))
}

/// The meaning of an error's number when attaching (MySQL and MariaDB error references). Nothing
/// else in the error is used.
pub(super) fn server_error(code: u16) -> Failure {
    use FailureKind::{AuthenticationFailed, Protocol, TimedOut, Unavailable};
    let new = Failure::new;
    match code {
        1045 | 1698 => new(
            AuthenticationFailed,
            "the server does not accept the user and the password, from here",
            "check both; they may have been rotated; check also the host in the account's name",
        ),
        1044 => new(
            AuthenticationFailed,
            "the account may not use this database",
            "`GRANT` it what the application does there",
        ),
        1130 => new(
            AuthenticationFailed,
            "the server admits no account from this host",
            "check the hosts in the accounts' names",
        ),
        1820 | 1862 => {
            new(AuthenticationFailed, "the account's password has expired", "set a new one")
        }
        3118 | 4151 => {
            new(AuthenticationFailed, "the account is locked", "`ALTER USER … ACCOUNT UNLOCK`")
        }
        1142 | 1143 | 1227 | 1370 => new(
            AuthenticationFailed,
            "the account lacks a privilege that attaching requires",
            "check what it is granted",
        ),
        1049 => new(
            Unavailable,
            "the server has no such database",
            "check the name in the locator, or in `_DATABASE`",
        ),
        1040 | 1203 | 1226 => new(
            Unavailable,
            "the server has no connection left",
            "check `max_connections` of the server and of the account, and of the locators that \
             lead to it",
        ),
        1129 => new(
            Unavailable,
            "the server does not talk to this host any more: too many connections broke",
            "`FLUSH HOSTS` on the server, after checking why they did",
        ),
        1053 | 1927 => new(Unavailable, "the server is shutting down", "wait, and read its log"),
        1969 | 3024 => new(
            TimedOut,
            "the server ended the statement: it took too long",
            "check the server's load",
        ),
        1043 | 1047 | 1156..=1161 => new(
            Protocol,
            "the server says that the protocol was not kept",
            "check what answers on the port",
        ),
        _ => {
            new(Unavailable, "the server refuses to serve this connection", "read the server's log")
        }
    }
}

fn ancient() -> Refusal {
    Finding::new(
        &WEAK_AUTHENTICATION,
        "the server wants the password as it was hashed before MySQL 4.1",
    )
    .with_help("switch `secure_auth` on, and set the password again")
    .into()
}

fn unspoken() -> Refusal {
    Failure::new(
        FailureKind::AuthenticationFailed,
        "the server wants an authentication that this driver does not have",
        "`ALTER USER …` to `caching_sha2_password`, or on MariaDB to `mysql_native_password`; so \
         with the server's `default_authentication_plugin`",
    )
    .into()
}

fn old() -> Refusal {
    Failure::new(
        FailureKind::Unavailable,
        "the server is older than MySQL 5.5, or says that it is",
        "upgrade the server; check what is between here and there",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL_8: &[u8] =
        b"\n8.0.18\x00\x19\x00\x00\x00\x114aB0c\x06g\x00\xff\xff\xff\x02\x00\xff\xc7\x15\
        \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00tL\x03s\x0f[4\rl4. \x00caching_sha2_password\x00";
    const MARIADB_10: &[u8] = b"\n5.5.5-10.4.7-MariaDB-1:10.4.7+maria~bionic\x00\
        \x0b\x00\x00\x00t6L\\j\"dS\x00\xfe\xf7\x08\x02\x00\xff\x81\x15\x00\x00\x00\x00\x00\x00\
        \x07\x00\x00\x00U14Oph9\"<H5n\x00mysql_native_password\x00";

    #[test]
    fn reads_greetings() {
        let mysql = Greeting::read(MYSQL_8).unwrap();
        assert_eq!(mysql.plugin, Plugin::CachingSha2);
        assert_ne!(mysql.capabilities & SSL, 0);
        let mariadb = Greeting::read(MARIADB_10).unwrap();
        assert_eq!(mariadb.plugin, Plugin::Native);
        assert_eq!(mariadb.capabilities & SSL, 0, "this one had no TLS");
    }

    #[test]
    fn a_truncated_greeting_is_refused() {
        for end in 0..MYSQL_8.len() - b"caching_sha2_password\0".len() {
            assert!(Greeting::read(&MYSQL_8[..end]).is_err(), "{end}");
        }
        let mut old = MYSQL_8.to_vec();
        let at = old.iter().position(|byte| *byte == 0).unwrap() + 1 + 4 + 8 + 1 + 2 + 1 + 2;
        old[at] &= !0x08;
        assert!(Greeting::read(&old).is_err(), "no plugins");
    }

    #[test]
    fn reads_the_accounts_plugin() {
        assert_eq!(asked(b"\xfemysql_native_password\0nonce").unwrap(), Plugin::Native);
        assert_eq!(asked(b"\xfecaching_sha2_password").unwrap(), Plugin::CachingSha2);
        assert_eq!(asked(b"\x00\x00\x00\x02\x00").unwrap(), Plugin::Nothing);
        for refused in [
            &b"\xfe"[..],
            b"\xfemysql_old_password\0",
            b"\xfedialog\0",
            b"\xfeclient_ed25519\0",
            b"\xff\x15\x04#28000",
            b"\x01\x04",
            b"x",
        ] {
            assert!(asked(refused).is_err(), "{refused:?}");
        }
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{Input, check, now};

    use super::*;

    const PACKETS: &[&[u8]] = &[
        b"\x4a\0\0\0\n8.0.18\x00\x19\x00\x00\x00\x114aB0c\x06g\x00\xff\xff\xff\x02\x00\xff\xc7\x15\
            \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00tL\x03s\x0f[4\rl4. \x00caching_sha2_password\0",
        b"\x6c\0\0\0\n5.5.5-10.4.7-MariaDB-1:10.4.7+maria~bionic\x00\
            \x0b\x00\x00\x00t6L\\j\"dS\x00\xfe\xf7\x08\x02\x00\xff\x81\x15\x00\x00\x00\x00\x00\x00\
            \x07\x00\x00\x00U14Oph9\"<H5n\x00mysql_native_password\x00",
        b"\x1c\0\0\x02\xfemysql_native_password\0nonce\0",
        b"\x13\0\0\x02\xfemysql_old_password\0\x07\0\0\x02\xfedialog\0",
        b"\x14\0\0\x02\xffJ\x04#28000Access denied",
        b"\x05\0\0\x02\0\0\0\x02\0\x01\0\0\x02\xfe\x02\0\0\x01\x01\x04",
    ];

    /// All packets, as far as they can be read.
    fn read(mut stream: impl AsyncRead + Unpin) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while let Ok(packet) = now(super::read(&mut stream)) {
            assert!((1..=LONGEST_PACKET).contains(&packet.len()));
            packets.push(packet);
        }
        packets
    }

    /// A packet is read or refused, however the server splits it.
    #[test]
    fn any_packet_is_read_or_refused() {
        check!(PACKETS, |input: &Input| {
            let packets = read(input.stream());
            assert_eq!(packets, read(input.whole_stream()));
            for packet in packets.iter().map(Vec::as_slice).chain([input.bytes()]) {
                if let Ok(greeting) = Greeting::read(packet) {
                    assert_eq!(packet[0], 10);
                    assert_ne!(greeting.capabilities & PLUGIN_AUTH, 0);
                    assert_ne!(greeting.plugin, Plugin::Nothing);
                    let name = greeting.plugin.name().as_bytes();
                    assert!(packet.windows(name.len()).any(|part| part == name));
                }
                if let Ok(plugin) = asked(packet) {
                    assert_eq!(packet[0] == 0, plugin == Plugin::Nothing);
                    let name = plugin.name().as_bytes();
                    assert!(packet[0] == 0 || packet[1..].starts_with(name));
                }
            }
        });
    }
}
