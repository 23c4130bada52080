//! The greetings: the server's, the one that the driver gets instead, and the driver's answer.
//!
//! Protocol: MySQL Internals, "Connection Phase"; MariaDB documentation, "Connecting".

use backing_services_runtime::Failure;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::Refusal;

use super::passing;
use crate::failure::{of_packet, old};
use crate::grants::Product;

/// `CLIENT_FOUND_ROWS`.
const FOUND_ROWS: u32 = 0x0000_0002;
/// `CLIENT_CONNECT_WITH_DB`.
pub(super) const CONNECT_WITH_DB: u32 = 0x0000_0008;
/// `CLIENT_IGNORE_SPACE`.
const IGNORE_SPACE: u32 = 0x0000_0100;
/// `CLIENT_PROTOCOL_41`.
const PROTOCOL_41: u32 = 0x0000_0200;
/// `CLIENT_SSL`.
pub(super) const SSL: u32 = 0x0000_0800;
/// `CLIENT_TRANSACTIONS`.
const TRANSACTIONS: u32 = 0x0000_2000;
/// `CLIENT_SECURE_CONNECTION`.
const SECURE_CONNECTION: u32 = 0x0000_8000;
/// `CLIENT_MULTI_STATEMENTS`.
const MULTI_STATEMENTS: u32 = 0x0001_0000;
/// `CLIENT_MULTI_RESULTS`.
const MULTI_RESULTS: u32 = 0x0002_0000;
/// `CLIENT_PS_MULTI_RESULTS`.
const PS_MULTI_RESULTS: u32 = 0x0004_0000;
/// `CLIENT_PLUGIN_AUTH`.
const PLUGIN_AUTH: u32 = 0x0008_0000;
/// `CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA`.
const PLUGIN_AUTH_LENENC_DATA: u32 = 0x0020_0000;
/// `CLIENT_DEPRECATE_EOF`.
pub(super) const DEPRECATE_EOF: u32 = 0x0100_0000;

/// The capabilities that a server must have: all have them since MySQL 5.5 and MariaDB 5.5.
const NEEDED: u32 = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | CONNECT_WITH_DB;

/// The capabilities for the driver, if the server has them. Each is known not to change messages,
/// or [`MessageLimits`](super::limits::MessageLimits) knows how. So TLS, compression, local files
/// and session tracking are missing. The database is the relay's part.
const OFFERED: u32 = FOUND_ROWS
    | IGNORE_SPACE
    | PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | MULTI_STATEMENTS
    | MULTI_RESULTS
    | PS_MULTI_RESULTS
    | PLUGIN_AUTH
    | PLUGIN_AUTH_LENENC_DATA
    | DEPRECATE_EOF;

/// The longest version, in bytes. MariaDB's has some 50.
const LONGEST_VERSION: usize = 256;

/// The length of a nonce, in bytes, but for plugins that send one of their own.
pub(super) const NONCE: usize = 20;

/// The server's greeting. It arrived without TLS, so anyone may have written it.
pub(super) struct Greeting {
    /// Printable characters.
    version: String,
    pub(super) capabilities: u32,
    charset: u8,
    status: [u8; 2],
    pub(super) nonce: [u8; NONCE],
    /// The plugin that the server would begin with.
    pub(super) plugin: Vec<u8>,
}

impl Greeting {
    /// An error before TLS may be anyone's, so it is never the end of all attempts.
    pub(super) fn read(packet: &[u8], is_before_tls: bool) -> Result<Self, Refusal> {
        if let [0xff, ..] = packet {
            let refusal = of_packet(packet).into();
            return Err(if is_before_tls { passing(refusal) } else { refusal });
        }
        let greeting = Self::parse(packet).ok_or_else(Failure::protocol)?;
        if greeting.capabilities & NEEDED == NEEDED { Ok(greeting) } else { Err(old()) }
    }

    /// Parses `HandshakeV10`; `None` if the packet is not one.
    fn parse(packet: &[u8]) -> Option<Self> {
        let rest = packet.strip_prefix(&[10])?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        let version = str::from_utf8(&rest[..end]).ok()?;
        if end > LONGEST_VERSION || !version.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return None;
        }
        // The connection's ID, the first part of the nonce, and a filler byte.
        let (first, rest) = rest.get(end + 1 + 4..)?.split_at_checked(8)?;
        let (low, rest) = rest.get(1..)?.split_first_chunk()?;
        let (&[charset], rest) = rest.split_first_chunk()?;
        let (status, rest) = rest.split_first_chunk()?;
        let (high, rest) = rest.split_first_chunk()?;
        let capabilities =
            u32::from(u16::from_le_bytes(*low)) | u32::from(u16::from_le_bytes(*high)) << 16;
        if capabilities & NEEDED != NEEDED {
            // The rest has another form.
            let (nonce, plugin) = ([0; NONCE], Vec::new());
            let version = version.to_owned();
            return Some(Self { version, capabilities, charset, status: *status, nonce, plugin });
        }
        let (length, rest) = rest.split_first()?;
        // Ten reserved bytes, and the second part of the nonce with a NUL.
        let (second, rest) =
            rest.get(10..)?.split_at_checked(usize::from(*length).saturating_sub(8).max(13))?;
        let nonce = [first, second.get(..NONCE - 8)?].concat().try_into().ok()?;
        // The greeting of some servers ends without a NUL here.
        let plugin = rest.split(|byte| *byte == 0).next()?.to_vec();
        let version = version.to_owned();
        Some(Self { version, capabilities, charset, status: *status, nonce, plugin })
    }

    /// The product, as the server reports it.
    pub(super) fn product(&self) -> Product {
        Product::of(&self.version)
    }

    /// The capabilities that the driver is offered.
    pub(super) const fn offered(&self) -> u32 {
        self.capabilities & OFFERED
    }

    /// The greeting for the driver. It proves nothing with the nonce: it has no password.
    pub(super) fn for_driver(&self, nonce: [u8; NONCE]) -> Vec<u8> {
        let [a, b, c, d] = self.offered().to_le_bytes();
        let (first, second) = nonce.split_at(8);
        let length = u8::try_from(NONCE + 1).unwrap_or(u8::MAX);
        [
            &[10],
            self.version.as_bytes(),
            // The connection's ID, which the driver does not use.
            &[0; 1 + 4],
            first,
            &[0, a, b, self.charset, self.status[0], self.status[1], c, d, length],
            &[0; 10],
            second,
            b"\0mysql_native_password\0",
        ]
        .concat()
    }
}

/// The driver's `HandshakeResponse41`, up to the user name.
pub(super) struct DriverLogin {
    pub(super) capabilities: u32,
    /// The largest packet and the character set, as the server gets them too.
    session: [u8; 5],
    pub(super) user: Vec<u8>,
}

impl DriverLogin {
    /// Reads the driver's answer to a greeting with the capabilities `offered`.
    pub(super) fn read(packet: &[u8], offered: u32) -> Result<Self, Refusal> {
        Self::parse(packet, offered).ok_or_else(|| {
            let message = "the driver begins with what this relay does not know";
            Failure::new(FailureKind::Protocol, message, "check the version of sqlx").into()
        })
    }

    fn parse(packet: &[u8], offered: u32) -> Option<Self> {
        let (capabilities, rest) = packet.split_first_chunk()?;
        let capabilities = u32::from_le_bytes(*capabilities);
        let (session, rest) = rest.split_first_chunk()?;
        let needed = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;
        if capabilities & !offered != 0 || capabilities & needed != needed {
            return None;
        }
        let rest = rest.strip_prefix(&[0; 23])?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (user, rest) = rest.split_at_checked(end)?;
        // The end of the name, an empty proof, and a plugin.
        let (&0, plugin) = rest.strip_prefix(&[0, 0])?.split_last()? else { return None };
        let is_complete = !plugin.contains(&0);
        is_complete.then(|| Self { capabilities, session: *session, user: user.to_vec() })
    }

    /// The beginning of a login at the server, which is also the request for TLS.
    pub(super) fn request(&self, added: u32) -> [u8; 32] {
        let mut request = [0; 32];
        request[..4].copy_from_slice(&(self.capabilities | added).to_le_bytes());
        request[4..9].copy_from_slice(&self.session);
        request
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const MYSQL_8: &[u8] =
        b"\n8.0.18\x00\x19\x00\x00\x00\x114aB0c\x06g\x00\xff\xff\xff\x02\x00\xff\xc7\x15\
        \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00tL\x03s\x0f[4\rl4. \x00caching_sha2_password\x00";
    pub(in super::super) const MARIADB_10: &[u8] =
        b"\n5.5.5-10.4.7-MariaDB-1:10.4.7+maria~bionic\x00\
        \x0b\x00\x00\x00t6L\\j\"dS\x00\xfe\xf7\x08\x02\x00\xff\x81\x15\x00\x00\x00\x00\x00\x00\
        \x07\x00\x00\x00U14Oph9\"<H5n\x00mysql_native_password\x00";

    #[test]
    fn reads_greetings() {
        let mysql = Greeting::read(MYSQL_8, true).unwrap();
        assert_eq!(mysql.plugin, b"caching_sha2_password");
        assert_ne!(mysql.capabilities & SSL, 0);
        assert!(!mysql.product().is_mariadb);
        assert_eq!(&mysql.nonce, b"\x114aB0c\x06gtL\x03s\x0f[4\rl4. ");
        let mariadb = Greeting::read(MARIADB_10, true).unwrap();
        assert_eq!(mariadb.plugin, b"mysql_native_password");
        assert_eq!(mariadb.capabilities & SSL, 0, "this one had no TLS");
        assert!(mariadb.product().is_mariadb);
        assert_eq!(&mariadb.nonce, b"t6L\\j\"dSU14Oph9\"<H5n");
    }

    /// `ER_ACCESS_DENIED_ERROR` and `ER_HOST_NOT_PRIVILEGED` as anyone on the path can send them.
    #[test]
    fn an_error_before_tls_is_no_rejection() {
        for error in [&b"\xff\x15\x04#28000no"[..], b"\xff\x6a\x04no"] {
            let kind = |is_before_tls| match Greeting::read(error, is_before_tls) {
                Err(Refusal::Failure(failure)) => failure.kind(),
                _ => panic!("{error:?}"),
            };
            assert_eq!(kind(true), FailureKind::Unavailable);
            assert_eq!(kind(false), FailureKind::AuthenticationFailed);
        }
    }

    #[test]
    fn a_truncated_greeting_is_refused() {
        for end in 0..MYSQL_8.len() - b"caching_sha2_password\0".len() {
            assert!(Greeting::read(&MYSQL_8[..end], true).is_err(), "{end}");
        }
        let mut old = MYSQL_8.to_vec();
        let at = old.iter().position(|byte| *byte == 0).unwrap() + 1 + 4 + 8 + 1 + 2 + 1 + 2;
        old[at] &= !0x08;
        assert!(Greeting::read(&old, true).is_err(), "no plugins");
        let mut escapes = MYSQL_8.to_vec();
        escapes[2] = 0x1b;
        assert!(Greeting::read(&escapes, true).is_err(), "a terminal would obey it");
    }

    #[test]
    fn the_driver_is_offered_neither_tls_nor_compression_nor_local_files() {
        for server in [MYSQL_8, MARIADB_10] {
            let server = Greeting::read(server, true).unwrap();
            let mut own = server.for_driver([7; NONCE]);
            // The database is the relay's part. Without that capability, no more is parsed.
            let at = own.iter().position(|byte| *byte == 0).unwrap() + 1 + 4 + 8 + 1;
            assert_eq!(own[at] & 8, 0);
            own[at] |= 8;
            let driver = Greeting::parse(&own).unwrap();
            assert_eq!((&driver.version, driver.charset), (&server.version, server.charset));
            assert_eq!(driver.status, server.status);
            assert_eq!(driver.nonce, [7; NONCE]);
            assert_eq!(driver.plugin, b"mysql_native_password");
            assert_eq!(driver.capabilities & !server.capabilities, 0);
            assert_ne!(driver.capabilities & DEPRECATE_EOF, 0);
            for (name, flag) in [
                ("CLIENT_SSL", 0x800),
                ("CLIENT_COMPRESS", 0x20),
                ("CLIENT_ZSTD_COMPRESSION_ALGORITHM", 1 << 26),
                ("CLIENT_LOCAL_FILES", 0x80),
                ("CLIENT_SESSION_TRACK", 1 << 23),
                ("CLIENT_OPTIONAL_RESULTSET_METADATA", 1 << 25),
            ] {
                assert_eq!(driver.capabilities & flag, 0, "{name}");
            }
        }
    }

    /// A driver's answer with this user, a proof and a plugin.
    fn login(capabilities: u32, rest: &[u8]) -> Vec<u8> {
        [&capabilities.to_le_bytes(), &[0, 0, 0, 1, 45][..], &[0; 23], rest].concat()
    }

    /// The answer of a driver to an offer.
    pub(in super::super) fn driver_login(offered: u32) -> DriverLogin {
        let answer = login(offered, b"token\0\0mysql_native_password\0");
        DriverLogin::read(&answer, offered).unwrap()
    }

    #[test]
    fn reads_the_drivers_answer() {
        let good = login(OFFERED, b"token\0\0mysql_native_password\0");
        let read = DriverLogin::read(&good, OFFERED).unwrap();
        assert_eq!((read.capabilities, read.user.as_slice()), (OFFERED, &b"token"[..]));
        assert_eq!(read.request(SSL)[..], [&(OFFERED | SSL).to_le_bytes(), &good[4..32]].concat());
        for end in 0..good.len() {
            assert!(DriverLogin::read(&good[..end], OFFERED).is_err(), "{end}");
        }
        for (capabilities, rest) in [
            // A proof, although the driver has no password.
            (OFFERED, &b"token\0\x01xmysql_native_password\0"[..]),
            (OFFERED, b"token\0\0mysql_native_password\0more\0"),
            (OFFERED | SSL, b"token\0\0mysql_native_password\0"),
            (OFFERED | 0x80, b"token\0\0mysql_native_password\0"),
            (OFFERED | CONNECT_WITH_DB, b"token\0\0shop\0mysql_native_password\0"),
            (OFFERED & !PROTOCOL_41, b"token\0\0mysql_native_password\0"),
        ] {
            assert!(DriverLogin::read(&login(capabilities, rest), OFFERED).is_err(), "{rest:?}");
        }
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{Input, check};

    use super::tests::{MARIADB_10, MYSQL_8};
    use super::*;

    const PACKETS: &[&[u8]] = &[
        MYSQL_8,
        MARIADB_10,
        b"\x02\xa3\x3f\x01\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0token\0\0\
            mysql_native_password\0",
        b"\xff\x10\x04Too many connections",
    ];

    /// The fields of a greeting are parts of its bytes, and the driver's greeting is one.
    #[test]
    fn any_greeting_and_any_answer_is_read_or_refused() {
        check!(PACKETS, |input: &Input| {
            let packet = input.bytes();
            if let Ok(greeting) = Greeting::read(packet, true) {
                assert_eq!(packet[0], 10);
                assert_eq!(greeting.capabilities & NEEDED, NEEDED);
                assert!(packet.windows(8).any(|part| part == &greeting.nonce[..8]));
                assert!(packet.ends_with(&greeting.plugin) || packet.contains(&0));
                let own = greeting.for_driver(greeting.nonce);
                let driver = Greeting::parse(&own).unwrap();
                assert_eq!(driver.version, greeting.version);
                assert_eq!(driver.capabilities, greeting.offered());
            }
            for offered in [OFFERED, OFFERED & !DEPRECATE_EOF, u32::MAX] {
                if let Ok(login) = DriverLogin::read(packet, offered) {
                    assert_eq!(login.capabilities & !offered, 0);
                    assert!(!login.user.contains(&0));
                    assert_eq!(login.request(0), packet[..32]);
                }
            }
        });
    }
}
