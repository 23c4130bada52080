//! The schemes of locators, and the protection that each implies.

use crate::text;

/// The protection of a connection, by its locator's scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// TLS from the first byte, as the scheme requires (`rediss`, `https`).
    Encrypted,
    /// The scheme leaves it open, and the service enforces TLS before it sends anything else
    /// (`postgres`, `mysql`).
    Upgraded,
    /// No connection: the service runs in the process (`sqlite`).
    Embedded,
    /// No protection: refused.
    Plaintext,
}

/// One row of the table of schemes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KnownScheme {
    /// In lower case, without `://`.
    pub name: &'static str,
    /// The protection of the connection.
    pub transport: Transport,
    /// For a plaintext scheme: the replacement, a scheme if there is one, else a phrase.
    pub instead: &'static str,
    /// True if `instead` is the same protocol over TLS, and not another protocol for the same
    /// purpose.
    pub has_twin: bool,
    /// The default port; 0 if the scheme has none.
    pub port: u16,
}

const fn row(
    name: &'static str,
    transport: Transport,
    port: u16,
    instead: &'static str,
) -> KnownScheme {
    KnownScheme { name, transport, instead, has_twin: !instead.is_empty(), port }
}

/// A plaintext scheme without a twin: its replacement is another protocol.
const fn lone(name: &'static str, port: u16, instead: &'static str) -> KnownScheme {
    KnownScheme { has_twin: false, ..row(name, Plaintext, port, instead) }
}

use Transport::{Embedded, Encrypted, Plaintext, Upgraded};

/// Every known scheme, including those without a service. Ports are IANA's, or the product's if
/// IANA has none.
pub const KNOWN_SCHEMES: &[KnownScheme] = &[
    row("postgres", Upgraded, 5432, ""),
    row("postgresql", Upgraded, 5432, ""),
    row("mysql", Upgraded, 3306, ""),
    row("mariadb", Upgraded, 3306, ""),
    row("mongodb", Upgraded, 27017, ""),
    row("s3", Upgraded, 443, ""),
    row("rediss", Encrypted, 6379, ""),
    row("valkeys", Encrypted, 6379, ""),
    row("amqps", Encrypted, 5671, ""),
    row("tls", Encrypted, 4222, ""),
    row("wss", Encrypted, 443, ""),
    row("smtps", Encrypted, 465, ""),
    row("https", Encrypted, 443, ""),
    row("ldaps", Encrypted, 636, ""),
    row("mqtts", Encrypted, 8883, ""),
    row("ftps", Encrypted, 990, ""),
    row("imaps", Encrypted, 993, ""),
    row("pop3s", Encrypted, 995, ""),
    row("sqlite", Embedded, 0, ""),
    row("redis", Plaintext, 6379, "rediss"),
    row("valkey", Plaintext, 6379, "valkeys"),
    lone("redis+unix", 0, "rediss"),
    lone("valkey+unix", 0, "valkeys"),
    lone("redis-cluster", 6379, "rediss"),
    lone("redis-sentinel", 26379, "rediss"),
    row("amqp", Plaintext, 5672, "amqps"),
    row("nats", Plaintext, 4222, "tls"),
    row("ws", Plaintext, 80, "wss"),
    row("smtp", Plaintext, 25, "smtps"),
    row("http", Plaintext, 80, "https"),
    row("ldap", Plaintext, 389, "ldaps"),
    lone("ldapi", 0, "ldaps"),
    row("mqtt", Plaintext, 1883, "mqtts"),
    lone("ftp", 21, "https"),
    lone("tftp", 69, "https"),
    lone("telnet", 23, "a service that speaks TLS"),
    row("imap", Plaintext, 143, "imaps"),
    row("pop3", Plaintext, 110, "pop3s"),
    lone("memcache", 11211, "rediss"),
    lone("memcached", 11211, "rediss"),
    lone("memcache+tcp", 11211, "rediss"),
    lone("memcache+udp", 11211, "rediss"),
    lone("memcache+unix", 0, "rediss"),
    lone("tcp", 0, "the scheme of a service that speaks TLS"),
    lone("udp", 0, "the scheme of a service that speaks TLS"),
    lone("unix", 0, "the scheme of a service that speaks TLS"),
];

/// Looks up a scheme. Case and surrounding blanks do not matter.
#[must_use]
pub const fn look_up(name: &str) -> Option<&'static KnownScheme> {
    let name = text::trimmed(name);
    let mut i = 0;
    while i < KNOWN_SCHEMES.len() {
        if text::same(KNOWN_SCHEMES[i].name, name) {
            return Some(&KNOWN_SCHEMES[i]);
        }
        i += 1;
    }
    None
}

/// The scheme of a locator: the text before the first `:`, without surrounding blanks; `None` if
/// that cannot be a scheme (RFC 3986, 3.1).
#[must_use]
pub const fn of(locator: &str) -> Option<&str> {
    let locator = text::trimmed(locator);
    let bytes = locator.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b':' => {
                let name = text::trimmed(locator.split_at(i).0);
                return if is_well_formed(name) { Some(name) } else { None };
            }
            _ => i += 1,
        }
    }
    None
}

const fn is_well_formed(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || !bytes[0].is_ascii_alphabetic() {
        return false;
    }
    let mut i = 1;
    while i < bytes.len() {
        if !(bytes[i].is_ascii_alphanumeric() || matches!(bytes[i], b'+' | b'-' | b'.')) {
            return false;
        }
        i += 1;
    }
    true
}

/// A scheme that a service accepts. It is constructed in a constant, so that a plaintext scheme
/// does not compile:
///
/// ```compile_fail,E0080
/// const SCHEME: backing_services_rules::Scheme = backing_services_rules::Scheme::tls("http");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    name: &'static str,
    transport: Transport,
    port: u16,
}

impl Scheme {
    /// A scheme that means TLS from the first byte. Its port is the known one, unless
    /// [`Scheme::with_port`] sets another.
    ///
    /// # Panics
    /// If `name` is a plaintext scheme or not a scheme: in a constant, that is a compile error.
    #[must_use]
    pub const fn tls(name: &'static str) -> Self {
        Self::new(name, Encrypted)
    }

    /// A scheme that leaves TLS open, of a service that enforces TLS before it sends anything else.
    ///
    /// # Panics
    /// As [`Scheme::tls`].
    #[must_use]
    pub const fn upgraded(name: &'static str) -> Self {
        Self::new(name, Upgraded)
    }

    /// A scheme of a service that runs in the process.
    ///
    /// # Panics
    /// As [`Scheme::tls`].
    #[must_use]
    pub const fn embedded(name: &'static str) -> Self {
        Self::new(name, Embedded)
    }

    const fn new(name: &'static str, transport: Transport) -> Self {
        assert!(
            is_well_formed(name),
            "a scheme is a letter, then letters, digits, `+`, `-` or `.`, without `://`"
        );
        let mut i = 0;
        while i < name.len() {
            assert!(!name.as_bytes()[i].is_ascii_uppercase(), "a scheme is written in lower case");
            i += 1;
        }
        let port = match look_up(name) {
            Some(known) => {
                assert!(
                    !matches!(known.transport, Plaintext),
                    "this scheme is plaintext: a service cannot accept it [plaintext_scheme]"
                );
                known.port
            }
            None => 0,
        };
        Self { name, transport, port }
    }

    /// The same scheme with another default port.
    #[must_use]
    pub const fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// In lower case, without `://`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The protection of the connection.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// The default port; 0 if there is none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// True if `name` is this scheme; case does not matter.
    #[must_use]
    pub const fn is(&self, name: &str) -> bool {
        text::same(self.name, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_blanks_hide_nothing() {
        for hidden in ["redis", "REDIS", " Redis", "\tredis\n", "redis "] {
            assert_eq!(look_up(hidden).unwrap().instead, "rediss", "{hidden:?}");
        }
        for (locator, scheme) in [
            ("redis://h", Some("redis")),
            ("  REDIS ://h", Some("REDIS")),
            ("sqlite:/a", Some("sqlite")),
            ("host/path:1", None),
            ("user@host:1", None),
            ("a_b:c", None),
            ("a b:c", None),
            ("a\u{e4}:c", None),
            ("no end", None),
            ("1a:b", None),
            ("://x", None),
            ("", None),
        ] {
            assert_eq!(of(locator), scheme, "{locator:?}");
        }
    }

    #[test]
    fn a_scheme_has_its_known_port_or_another() {
        let scheme = Scheme::upgraded("postgres");
        assert_eq!((scheme.name(), scheme.port()), ("postgres", 5432));
        assert_eq!(scheme.with_port(6432).port(), 6432);
        assert_eq!(scheme.with_port(6432).name(), "postgres");
        assert_eq!(scheme.transport(), Upgraded);
        assert_eq!(Scheme::tls("rediss").transport(), Encrypted);
        assert_eq!(Scheme::embedded("sqlite").transport(), Embedded);
        assert_eq!(Scheme::tls("a-scheme+of.mine7").port(), 0);
        assert!(scheme.is("PostgreS") && !scheme.is("postgresql") && !scheme.is("postgre"));
    }

    #[test]
    fn a_twin_is_the_same_service_with_tls() {
        for (name, instead, has_twin) in [
            ("redis", "rediss", true),
            ("amqp", "amqps", true),
            ("mqtt", "mqtts", true),
            ("memcached", "rediss", false),
            ("unix", "the scheme of a service that speaks TLS", false),
            ("rediss", "", false),
        ] {
            let known = look_up(name).unwrap();
            assert_eq!((known.instead, known.has_twin), (instead, has_twin), "{name}");
        }
        assert!(look_up("no-such-scheme").is_none() && look_up("").is_none());
    }

    #[test]
    fn the_table_is_well_formed() {
        for (i, known) in KNOWN_SCHEMES.iter().enumerate() {
            assert!(is_well_formed(known.name));
            assert!(
                !KNOWN_SCHEMES[..i].iter().any(|other| text::same(other.name, known.name)),
                "{} twice",
                known.name
            );
            assert_eq!(known.instead.is_empty(), known.transport != Plaintext, "{}", known.name);
            // A twin is a known scheme, and not a plaintext one.
            if !known.instead.contains(' ') && !known.instead.is_empty() {
                assert_ne!(look_up(known.instead).unwrap().transport, Plaintext, "{}", known.name);
            }
        }
    }
}
