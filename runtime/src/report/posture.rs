//! The posture: the facts that attaching learnt about a resource.

use std::fmt;
use std::time::SystemTime;

use backing_services_rules::rule::UNSUPPORTED_SERVER;
use backing_services_rules::{Date, Transport, release};

use crate::report::finding::Finding;
pub use crate::report::text::printable;
use crate::report::waiver::Waiver;

/// The posture of one resource: its transport, account and server.
///
/// All text from the peer has been through [`printable`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Posture {
    /// The service's name.
    pub service: &'static str,
    /// The endpoint: the locator without user and secret, and without a path that may be a secret
    /// ([`Service::SECRET_PATH`](crate::Service::SECRET_PATH)).
    pub endpoint: String,
    /// The kind of connection.
    pub transport: Transport,
    /// The TLS protection; `None` for a service in the process, and for plaintext that a waiver or
    /// a loopback address allows.
    pub tls: Option<TlsPosture>,
    /// The server's description of itself.
    pub server: Option<ServerPosture>,
    /// The account, as the server reports it.
    pub account: Option<String>,
    /// The account's privileges, in the words of `needs`, as far as the service reports them; at
    /// most [`MOST_PRIVILEGES`].
    pub privileges: Vec<String>,
    /// The authentication method: `SCRAM-SHA-256`.
    pub authentication: Option<String>,
    /// The points in which the driver falls short of this crate's guarantees, in words.
    pub remarks: Vec<&'static str>,
    /// The findings that did not end the attempt: warnings, and violations that a waiver covers.
    pub findings: Vec<Finding>,
    /// The field's waivers that hold today, including those that cover no finding.
    pub waivers: Vec<&'static Waiver>,
    /// The time at which the posture was taken.
    pub taken_at: SystemTime,
}

/// The JSON Schema (2020-12) of a posture that is serialized with feature `serde`.
#[cfg(feature = "serde")]
pub const SCHEMA: &str = include_str!("../../schemas/posture.json");

/// The maximum number of privileges in a posture.
pub const MOST_PRIVILEGES: usize = 256;

/// A server's description of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerPosture {
    /// The product: `PostgreSQL`.
    pub product: String,
    /// Its version, as the server writes it; empty if the server does not report one.
    pub version: String,
}

impl ServerPosture {
    /// Product and version, each made [`printable`].
    #[must_use]
    pub fn new(product: &str, version: &str) -> Self {
        Self { product: printable(product), version: printable(version) }
    }

    /// The last day on which the vendor publishes security fixes for this release; `None` if it is
    /// not known ([`rules::release`](crate::rules::release)).
    #[must_use]
    pub fn end_of_life(&self) -> Option<Date> {
        release::end_of_life(&self.product, &self.version).map(|(date, _)| date)
    }

    /// The finding that the release has reached its end of life.
    pub(crate) fn finding(&self, today: Date) -> Option<Finding> {
        let (end, source) = release::end_of_life(&self.product, &self.version)?;
        (end < today).then(|| {
            Finding::new(
                &UNSUPPORTED_SERVER,
                format!("{self} gets no security fixes from its makers since {end}"),
            )
            .with_help(format!("upgrade the server, or check that its packager fixes it: {source}"))
        })
    }
}

impl fmt::Display for ServerPosture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { product, version } = self;
        if version.is_empty() { f.write_str(product) } else { write!(f, "{product} {version}") }
    }
}

/// The TLS protection of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsPosture {
    /// `TLS 1.3` or `TLS 1.2`.
    pub version: &'static str,
    /// The cipher suite, by its IANA name; `None` if the driver does not report it. Every suite
    /// that is offered has forward secrecy.
    pub cipher: Option<String>,
    /// The trust anchor that authenticated the server.
    pub trust: TrustPosture,
    /// The server's own certificate.
    pub certificate: CertificatePosture,
    /// True if the server requested the client certificate on this connection and received it.
    pub client_certificate: ClientCertificatePosture,
}

/// The use of the client certificate on one connection.
///
/// It authenticates the client only if it was [`Sent`](Self::Sent): a server that does not request
/// it does not know the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificatePosture {
    /// The server did not request a certificate.
    NotRequested,
    /// The server requested a certificate and received none: there is none, or the server accepts
    /// no signature scheme of its key.
    Withheld,
    /// The server requested the certificate and received it, with a proof of possession of its key.
    Sent,
}

/// The trust anchor that authenticates a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustPosture {
    /// The Mozilla roots that are bundled with this build.
    PublicRoots,
    /// The contents of the resource's `_CA` variable and nothing else: its authorities, and its
    /// certificates that are not authorities, each for the one server that presents it.
    PrivateCa,
    /// No authority: the server's key is the one in the resource's `_PIN` variable. The
    /// certificate's name and dates are not checked.
    PinnedKey,
}

/// The contents of a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificatePosture {
    /// The subject (RFC 4514).
    pub subject: String,
    /// The issuer (RFC 4514).
    pub issuer: String,
    /// The names and addresses for which it is valid.
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

/// The longest quote of a peer's text, in characters.
pub const LONGEST_QUOTE: usize = 200;
