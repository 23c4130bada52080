//! What attaching learnt about a resource.

use std::fmt;
use std::time::SystemTime;

use backing_services_rules::rule::UNSUPPORTED_SERVER;
use backing_services_rules::{Date, Transport, release};

use crate::report::finding::Finding;
pub use crate::report::text::printable;
use crate::report::waiver::Waiver;

/// The posture of one resource: over what, as whom, to what it is attached.
///
/// Everything that the other end said has been through [`printable`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Posture {
    /// The service's name.
    pub service: &'static str,
    /// Where it is: the locator, without user and secret, and without a path that may be one
    /// ([`Service::SECRET_PATH`]).
    pub endpoint: String,
    /// What kind of connection it is.
    pub transport: Transport,
    /// What protects the connection; `None` for a service in the process, and for plaintext that a waiver or a loopback address allows.
    pub tls: Option<TlsPosture>,
    /// What the server says that it is.
    pub server: Option<ServerPosture>,
    /// The account, as the server gives it.
    pub account: Option<String>,
    /// What the account may do, in the words of `needs`: as far as the service tells, at most [`MOST_PRIVILEGES`].
    pub privileges: Vec<String>,
    /// How the account was authenticated: `SCRAM-SHA-256`.
    pub authentication: Option<String>,
    /// Where the driver falls short of what this crate promises, in words.
    pub remarks: Vec<&'static str>,
    /// What was found and did not end the attempt: warnings, and violations that a waiver covers.
    pub findings: Vec<Finding>,
    /// The waivers of the field that hold today, whether or not there is something that they cover.
    pub waivers: Vec<&'static Waiver>,
    /// When all this was learnt.
    pub taken_at: SystemTime,
}

/// The JSON Schema (2020-12) of a posture that is serialized with feature `serde`.
#[cfg(feature = "serde")]
pub const SCHEMA: &str = include_str!("../../schemas/posture.json");

/// The most privileges that a posture lists.
pub const MOST_PRIVILEGES: usize = 256;

/// What a server says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerPosture {
    /// The product: `PostgreSQL`.
    pub product: String,
    /// Its version, as the server writes it; empty where it does not say.
    pub version: String,
}

impl ServerPosture {
    /// Product and version, each made [`printable`].
    #[must_use]
    pub fn new(product: &str, version: &str) -> Self {
        Self { product: printable(product), version: printable(version) }
    }

    /// The last day on which this release gets security fixes from its makers; `None` where that is not known
    /// ([`rules::release`](crate::rules::release)).
    #[must_use]
    pub fn end_of_life(&self) -> Option<Date> {
        release::end_of_life(&self.product, &self.version).map(|(date, _)| date)
    }

    /// The finding that the release has ended.
    pub(crate) fn finding(&self, today: Date) -> Option<Finding> {
        let (end, source) = release::end_of_life(&self.product, &self.version)?;
        (end < today).then(|| {
            Finding::new(
                &UNSUPPORTED_SERVER,
                format!("{self} gets no security fixes from its makers since {end}"),
            )
            .help(format!("upgrade the server, or see that whoever packages it mends it: {source}"))
        })
    }
}

impl fmt::Display for ServerPosture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { product, version } = self;
        if version.is_empty() { f.write_str(product) } else { write!(f, "{product} {version}") }
    }
}

/// What protects a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsPosture {
    /// `TLS 1.3` or `TLS 1.2`.
    pub version: &'static str,
    /// The cipher suite, as IANA names it; `None` where the driver keeps it to itself. Every suite that is offered has forward secrecy.
    pub cipher: Option<String>,
    /// Who vouches for the server.
    pub trust: TrustPosture,
    /// The server's own certificate.
    pub certificate: CertificatePosture,
    /// Whether the server asked for a client certificate on this connection, and got it.
    pub client_certificate: ClientCertificatePosture,
}

/// What came of the client's certificate on one connection.
///
/// It is a login only if it was [`Sent`](Self::Sent): a server that does not ask does not know who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificatePosture {
    /// The server did not ask for one.
    NotRequested,
    /// The server asked, and got none: there is none, or the server takes no signature that its key can make.
    Withheld,
    /// The server asked, and got it, with a proof that we have its key.
    Sent,
}

/// Who vouches for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustPosture {
    /// The Mozilla roots that are bundled with this build. A driver with roots of its own has those of its own build: a remark says so.
    PublicRoots,
    /// What the resource's `_CA` variable holds, and nothing else: its authorities, and its certificates that are none, each for
    /// the one server that presents it.
    PrivateCa,
    /// The authorities in the resource's `_CA` variable, and the public ones beside them: the driver cannot be kept from those. Our
    /// own first connection trusted `_CA` alone.
    PrivateCaAndPublicRoots,
    /// Nobody: the server's key is the one in the resource's `_PIN` variable. Its name and its dates are not looked at.
    PinnedKey,
}

/// What a server's certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificatePosture {
    /// Whom it names (RFC 4514).
    pub subject: String,
    /// Who issued it (RFC 4514).
    pub issuer: String,
    /// The names and addresses that it is valid for.
    pub names: Vec<String>,
    /// The kind and size of its key: `ECDSA P-256`, `RSA 2048`.
    pub key: String,
    /// The last second of its validity, in seconds since 1970.
    pub not_after: u64,
}

impl CertificatePosture {
    /// Whole days until it expires, from `now` on; 0 on the last day and after.
    #[must_use]
    pub fn days_left(&self, now: SystemTime) -> u64 {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.not_after.saturating_sub(now) / 86_400
    }
}

impl fmt::Display for Posture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.service, self.endpoint)?;
        if let Some(server) = &self.server {
            write!(f, ", {server}")?;
        }
        if let Some(account) = &self.account {
            write!(f, ", as {account}")?;
        }
        if let Some(authentication) = &self.authentication {
            write!(f, " by {authentication}")?;
        }
        match &self.tls {
            Some(tls) => {
                write!(f, ", over {}", tls.version)?;
                if let Some(cipher) = &tls.cipher {
                    write!(f, " with {cipher}")?;
                }
                let (subject, days) =
                    (&tls.certificate.subject, tls.certificate.days_left(self.taken_at));
                write!(f, ", certificate of {subject} with {days} days left")
            }
            None if self.transport == Transport::Embedded => f.write_str(", embedded"),
            None => f.write_str(", without TLS"),
        }
    }
}

/// The longest text that is repeated after the other end, in characters.
pub const LONGEST_QUOTE: usize = 200;
