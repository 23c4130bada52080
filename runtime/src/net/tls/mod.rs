//! The one TLS configuration: rustls with ring, TLS 1.3 and 1.2, and exactly one set of roots.
//!
//! The roots are Mozilla's, bundled with this build, or the resource's own authority alone, or the
//! server's own key. No variable of the process and no file of the system adds one. Sessions are
//! not resumed: each connection verifies the certificate.
//!
//! **The client's certificate** counts as a login if the server requested and received it in that
//! handshake. Without a password beside it, a handshake in which it was not sent ends there
//! (`weak_authentication`).
//!
//! **Revocation is not checked** (ASVS 5.0, V12.1.4): neither by OCSP nor by a list. A server whose
//! key was stolen is trusted until its certificate expires. An OCSP answer or a list has to be
//! fetched from a host that the certificate names, mostly in plaintext and without the address
//! rules. If the fetch fails, a client that continues has checked nothing, and a client that stops
//! is down as often as the authority is. Public authorities are ending OCSP for these reasons. To
//! limit the damage, use certificates that are valid for days, as ACME issues them; a `_PIN`, which
//! can be replaced at once; or a private authority for these services alone, whose `_CA` can be
//! replaced without a restart (`reattach`, `follow`).

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use backing_services_rules::Rule;
use backing_services_rules::rule::{
    CERTIFICATE_EXPIRY, MALFORMED_VALUE, OBSOLETE_TLS, UNVERIFIED_TLS, WEAK_AUTHENTICATION,
    WEAK_CERTIFICATE,
};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, OtherError, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::locator::Host;
use crate::report::finding::{Failure, FailureKind, Finding};
use crate::report::posture::{
    CertificatePosture, ClientCertificatePosture, TlsPosture, TrustPosture,
};
use crate::report::refusal::Refusal;
use crate::report::text::printable;

mod certificate;
mod client;
#[cfg(test)]
mod fuzz;
mod name;
mod provider;
mod roots;
mod verifier;

use client::{Requests, Resolver};
use roots::Roots;
use verifier::{Distrust, Pin, Record, VerifiedConnection, Verifier};

/// A certificate with fewer days left causes a warning. In an organisation, a renewal by hand takes
/// two weeks.
pub const EXPIRY_NOTICE_DAYS: u64 = 14;

/// A certificate in `_CA` with fewer days left causes a warning. All certificates that it issued
/// end with it, on every machine that trusts it: replacing it takes longer than replacing one
/// server's certificate.
pub(crate) const ANCHOR_NOTICE_DAYS: u64 = 30;

/// The maximum number of a certificate's names in a message or a posture: a hostile certificate may
/// have any number.
const MOST_NAMES: usize = 20;

/// A TLS configuration, with its trust anchors.
#[derive(Clone)]
pub(crate) struct Tls {
    /// `None` if a pin alone decides.
    roots: Option<Arc<Roots>>,
    pins: Arc<[Pin]>,
    client: Option<Arc<CertifiedKey>>,
    trust: TrustPosture,
}

/// The resource's variable that cannot be used.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Ca,
    ClientCert,
    ClientKey,
    Pin,
}

/// The reason why a variable cannot be used. The message follows the variable's name.
#[derive(Clone)]
pub(crate) struct Unusable {
    pub(crate) what: Part,
    pub(crate) rule: &'static Rule,
    pub(crate) message: &'static str,
    pub(crate) help: &'static str,
}

/// The crypto provider. The process default, which another crate may have installed, is not used.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// The group of the first key share. A server that does not support it requests another one, which
/// costs a round trip.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum FirstShare {
    /// The default of rustls.
    X25519,
    /// The group that every server has to support (RFC 8446, 9.1). Some support no other.
    P256,
}

/// The same provider, with P-256 as the first group.
fn provider_with_p256_first() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = Arc::unwrap_or_clone(provider());
        if let Some(at) = provider
            .kx_groups
            .iter()
            .position(|group| group.name() == rustls::NamedGroup::secp256r1)
        {
            provider.kx_groups[..=at].rotate_right(1);
        }
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}

fn public_roots() -> Result<Arc<Roots>, Unusable> {
    static ROOTS: LazyLock<Result<Arc<Roots>, Unusable>> =
        LazyLock::new(|| Roots::public().map(Arc::new));
    ROOTS.clone()
}

/// The TLS variables of a resource.
#[derive(Clone, Copy, Default)]
pub(crate) struct Material<'a> {
    /// The private authority's certificates, in PEM.
    pub(crate) ca: Option<&'a str>,
    /// The client's certificate and key, in PEM.
    pub(crate) client: Option<(&'a str, &'a str)>,
    /// The pinned keys of the server.
    pub(crate) pins: Option<&'a str>,
}

impl Tls {
    /// The configuration for a resource's variables; without any, for the public roots.
    pub(crate) fn new(material: Material<'_>) -> Result<Self, Unusable> {
        static PUBLIC: LazyLock<Option<Tls>> =
            LazyLock::new(|| Tls::build(Material::default()).ok());
        match (material, &*PUBLIC) {
            (Material { ca: None, client: None, pins: None }, Some(public)) => Ok(public.clone()),
            _ => Self::build(material),
        }
    }

    /// The configuration for the public roots.
    pub(crate) fn public() -> Result<Self, Refusal> {
        Self::new(Material::default())
            .map_err(|unusable| Finding::new(unusable.rule, unusable.message).into())
    }

    fn build(material: Material<'_>) -> Result<Self, Unusable> {
        let pins = match material.pins {
            None => Vec::new(),
            Some(text) => verifier::pins(text).ok_or(Unusable {
                what: Part::Pin,
                rule: &MALFORMED_VALUE,
                message: "is not a SHA-256 digest of a public key, nor several",
                help: "write `sha256//` and the digest in base64; several with a `;` between them",
            })?,
        };
        // A pin alone is enough, as it names one key. Beside an authority, both have to match.
        let (roots, trust) = match material.ca {
            Some(ca) => (Some(Arc::new(Roots::private(ca)?)), TrustPosture::PrivateCa),
            None if !pins.is_empty() => (None, TrustPosture::PinnedKey),
            None => (Some(public_roots()?), TrustPosture::PublicRoots),
        };
        let client = material.client.map(client_certificate).transpose()?;
        Ok(Self { roots, pins: pins.into(), client, trust })
    }

    /// A rustls configuration, for one connection or for many.
    fn config(
        &self,
        record: &Record,
        first: FirstShare,
        demand: Demand,
    ) -> Result<Arc<ClientConfig>, Refusal> {
        let unusable = |_| {
            Failure::new(
                FailureKind::Protocol,
                "rustls was built without TLS 1.3 and 1.2, or does not take the client certificate",
                "check rustls' features, and `_CLIENT_CERT` and `_CLIENT_KEY`",
            )
        };
        let requests = Requests::default();
        let verifier = Verifier {
            roots: self.roots.clone(),
            pins: Arc::clone(&self.pins),
            provider: provider(),
            record: record.clone(),
            requests: requests.clone(),
            demands_certificate: demand == Demand::ClientCertificate,
        };
        let speaks = match first {
            FirstShare::X25519 => provider(),
            FirstShare::P256 => provider_with_p256_first(),
        };
        let builder = ClientConfig::builder_with_provider(speaks)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        // rustls calls every other verifier than its own "dangerous". This one calls rustls' own,
        // and then checks more.
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let resolver = Resolver { certificate: self.client.clone(), requests };
        let mut config = builder.with_client_cert_resolver(Arc::new(resolver));
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// Does a TLS handshake on a connection to `host`, verifies the server, and reads the posture.
    pub(crate) async fn handshake<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &Host,
        connection: T,
        first: FirstShare,
        demand: Demand,
    ) -> Result<(TlsStream<T>, TlsPosture), Refusal> {
        let record = Record::default();
        let stream = TlsConnector::from(self.config(&record, first, demand)?)
            .connect(server_name(host)?, connection)
            .await
            .map_err(|error| refusal(&error, self.trust, Some(host)))?;
        let posture = self.posture(stream.get_ref().1, &record)?;
        Ok((stream, posture))
    }

    pub(crate) const fn trust(&self) -> TrustPosture {
        self.trust
    }

    /// A configuration for a driver that takes one and keeps its connections to itself; and the
    /// witness that records their handshakes.
    pub(crate) fn witnessed(
        &self,
        demand: Demand,
    ) -> Result<(Arc<ClientConfig>, Witness), Refusal> {
        let record = Record::default();
        Ok((
            self.config(&record, FirstShare::X25519, demand)?,
            Witness { record, trust: self.trust },
        ))
    }

    /// The findings on the dates of the certificates in `_CA`, with the name of that variable.
    pub(crate) fn dates(&self, variable: &str, now: SystemTime) -> Vec<Finding> {
        let Some(roots) = &self.roots else { return Vec::new() };
        let count = roots.count();
        let finding = |(at, dates): (usize, roots::Dates)| {
            let which =
                if count > 1 { format!(": number {} of {count}", at + 1) } else { String::new() };
            let finding = Finding::new(
                &CERTIFICATE_EXPIRY,
                format!("`{variable}` {}", dates.message(&which)),
            )
            .with_help(dates.help());
            if dates.is_a_warning() { finding.into_warning() } else { finding }
        };
        roots.dates(seconds(now)).map(finding).collect()
    }

    fn posture(
        &self,
        connection: &rustls::ClientConnection,
        record: &Record,
    ) -> Result<TlsPosture, Refusal> {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => {
                return Err(Finding::new(
                    &OBSOLETE_TLS,
                    "the connection speaks neither TLS 1.3 nor TLS 1.2",
                )
                .into());
            }
        };
        let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        // rustls names the suites of TLS 1.3 with the version; IANA does not.
        let cipher = cipher.map(|cipher| cipher.replacen("TLS13_", "TLS_", 1));
        let VerifiedConnection { certificate, client_certificate, .. } =
            record.seen().ok_or_else(|| {
                Finding::new(&UNVERIFIED_TLS, "the server's certificate cannot be read")
            })?;
        Ok(TlsPosture { version, cipher, trust: self.trust, certificate, client_certificate })
    }
}

/// A demand on a handshake, beside verifying the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// No demand.
    Nothing,
    /// The client's certificate has to be sent: it is the login.
    ClientCertificate,
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// The record of the handshakes of a configuration that a driver uses.
#[derive(Clone)]
pub struct Witness {
    record: Record,
    trust: TrustPosture,
}

impl Witness {
    /// The TLS posture of the newest connection that the driver opened; `None` if it has opened
    /// none. The cipher is not known.
    #[must_use]
    pub fn posture(&self) -> Option<TlsPosture> {
        let VerifiedConnection { certificate, version, client_certificate } = self.record.seen()?;
        Some(TlsPosture {
            version,
            cipher: None,
            trust: self.trust,
            certificate,
            client_certificate,
        })
    }

    /// The TLS posture of a driver that has connected. A driver that has connected without TLS is
    /// an error: no current release does that.
    pub fn posture_of_connected(&self) -> Result<TlsPosture, Refusal> {
        self.posture().ok_or_else(|| {
            Finding::new(&UNVERIFIED_TLS, "the driver has connected without TLS").into()
        })
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}

/// Finds a rustls error in a driver's error, and converts it.
pub(crate) fn refusal_within(
    error: &(dyn std::error::Error + 'static),
    trust: TrustPosture,
    host: Option<&Host>,
) -> Option<Refusal> {
    // The length of a chain of errors is not limited. Real ones have some five links.
    let mut current = Some(error);
    for _ in 0..16 {
        let error = current?;
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls_refusal(tls, trust, host));
        }
        current = beneath(error);
    }
    None
}

/// The error that an error wraps. `io::Error::source()` skips the wrapped error itself, and drivers
/// nest `io::Error`s.
pub fn beneath<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// Parses the client's certificate and key, and checks that they belong together.
fn client_certificate((cert, key): (&str, &str)) -> Result<Arc<CertifiedKey>, Unusable> {
    let chain = certificates(cert).ok_or(Unusable {
        what: Part::ClientCert,
        rule: &MALFORMED_VALUE,
        message: "is not a certificate in PEM, with its chain behind it",
        help: "write what begins with `-----BEGIN CERTIFICATE-----`, with its line breaks",
    })?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| Unusable {
        what: Part::ClientKey,
        rule: &MALFORMED_VALUE,
        message: "is not an unencrypted private key in PEM",
        help: "write what begins with `-----BEGIN PRIVATE KEY-----`, with its line breaks",
    })?;
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|_| Unusable {
        what: Part::ClientKey,
        rule: &MALFORMED_VALUE,
        message: "is of a kind that is not supported, or does not belong to the certificate",
        help: "write the key that the certificate was issued for: ECDSA P-256 or P-384, Ed25519, \
               or RSA",
    })?;
    Ok(Arc::new(certified))
}

/// All certificates of a PEM text; `None` if there is none, or one is damaged.
fn certificates(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, pem::Error> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty())
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Refusal> {
    match host {
        Host::Address(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| {
            Finding::new(&UNVERIFIED_TLS, "its host is not a name that a certificate can be for")
                .with_help("write the host as its certificate names it")
                .into()
        }),
    }
}

/// Warning for a certificate that expires within [`EXPIRY_NOTICE_DAYS`].
pub(crate) fn expiry_notice(certificate: &CertificatePosture, now: SystemTime) -> Option<Finding> {
    let left = certificate.days_left(now);
    (left < EXPIRY_NOTICE_DAYS).then(|| {
        Finding::new(
            &CERTIFICATE_EXPIRY,
            format!("the server's certificate expires in {left} days"),
        )
        .with_help("renew the certificate")
        .into_warning()
    })
}

/// The finding that nothing authenticates the client: there is no password, and the client's
/// certificate was not sent on this connection.
pub(crate) fn unproven(client: ClientCertificatePosture) -> Option<Finding> {
    match client {
        ClientCertificatePosture::NotRequested => Some(not_requested()),
        ClientCertificatePosture::Withheld => Some(withheld()),
        ClientCertificatePosture::Sent => None,
    }
}

fn not_requested() -> Finding {
    Finding::new(
        &WEAK_AUTHENTICATION,
        "the server did not ask for the client certificate, and there is no password: nothing \
         proves who logs in",
    )
    .with_help(
        "let the server ask for it (PostgreSQL `ssl_ca_file`, nginx `ssl_verify_client on`, Exim \
         `tls_verify_hosts`), or set the resource's `_PASSWORD`",
    )
}

fn withheld() -> Finding {
    Finding::new(
        &WEAK_AUTHENTICATION,
        "the server asked for a client certificate, and takes no signature that the key in \
         `_CLIENT_KEY` can make",
    )
    .with_help("issue the client certificate for a key that the server takes, such as ECDSA P-256")
}

/// Converts rustls' error of a failed handshake to our own message. The message repeats nothing
/// that the server sent, except names.
fn refusal(error: &std::io::Error, trust: TrustPosture, host: Option<&Host>) -> Refusal {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(error) => tls_refusal(error, trust, host),
        None => broken_off(error, host),
    }
}

/// The help for a server that may have no TLS.
fn help_without_tls(help: &'static str, host: Option<&Host>) -> String {
    host.map_or_else(|| help.to_owned(), |host| host.help_without_tls(help, PLAINTEXT_FORM))
}

/// The request for plaintext to a server whose protocol begins with TLS.
pub(crate) const PLAINTEXT_FORM: &str =
    "the scheme without TLS (`redis://`, `amqp://`, `smtp://`, `http://`)";

fn tls_refusal(error: &rustls::Error, trust: TrustPosture, host: Option<&Host>) -> Refusal {
    match error {
        rustls::Error::InvalidCertificate(certificate) => {
            refused_certificate(certificate, trust, host)
        }
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => Finding::new(
            &OBSOLETE_TLS,
            "the server speaks neither TLS 1.3 nor TLS 1.2 with a cipher that is still good",
        )
        .into(),
        rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        ) => Finding::new(
            &OBSOLETE_TLS,
            "the server shares no TLS version and cipher with this client, or wants a client \
             certificate",
        )
        .with_help(
            "enable TLS 1.3 or 1.2 with ECDHE ciphers on the server; if it asks for a client \
             certificate, set `_CLIENT_CERT` and `_CLIENT_KEY`",
        )
        .into(),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied,
        ) => Failure::new(
            FailureKind::AuthenticationFailed,
            "the server does not accept the client certificate, or wants one",
            "set the resource's `_CLIENT_CERT` and `_CLIENT_KEY` to a certificate that the \
             server's authority issued",
        )
        .into(),
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => wrong_name(&[]),
        rustls::Error::InvalidMessage(_) => {
            // An answer to a ClientHello that is not TLS: the server does not speak TLS on this
            // port.
            Finding::new(&OBSOLETE_TLS, "what answers on this port does not speak TLS")
                .with_help(help_without_tls(
                    "check the port; if the server has no TLS, switch it on",
                    host,
                ))
                .into()
        }
        _ => Failure::new(
            FailureKind::Protocol,
            "the TLS handshake failed",
            "read the server's log: it did not keep to the protocol",
        )
        .into(),
    }
}

fn broken_off(error: &std::io::Error, host: Option<&Host>) -> Refusal {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof
        | std::io::ErrorKind::ConnectionReset
        | std::io::ErrorKind::BrokenPipe
        | std::io::ErrorKind::ConnectionAborted => Failure::new(
            FailureKind::Protocol,
            "the server closed the connection in the middle of the TLS handshake",
            help_without_tls(
                "check the port and the server's log: it may have no TLS there, or no certificate",
                host,
            ),
        ),
        _ => Failure::new(
            FailureKind::Unreachable,
            "the connection broke in the middle of the TLS handshake",
            "check the network and the server's log",
        ),
    }
    .into()
}

fn refused_certificate(
    error: &CertificateError,
    trust: TrustPosture,
    host: Option<&Host>,
) -> Refusal {
    let finding = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Finding::new(
            &CERTIFICATE_EXPIRY,
            "the server's certificate, or one of its chain, has expired",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Finding::new(
                &CERTIFICATE_EXPIRY,
                "the server's certificate, or one of its chain, is not valid yet",
            )
            .with_help("check the clock of this machine and of the authority's")
        }
        CertificateError::NotValidForName => return wrong_name(&[]),
        CertificateError::NotValidForNameContext { presented, .. } => return wrong_name(presented),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Finding::new(
                &WEAK_CERTIFICATE,
                "the server's certificate, or one of its chain, has a signature or a key that is \
                 too weak, or unknown",
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Finding::new(&UNVERIFIED_TLS, "the server's certificate is not one for servers")
                .with_help("issue one with the extended key usage `serverAuth`")
        }
        CertificateError::Revoked => {
            Finding::new(&UNVERIFIED_TLS, "the server's certificate is revoked")
                .with_help("issue a new one")
        }
        CertificateError::Other(OtherError(other)) => match other.downcast_ref() {
            Some(distrust) => return distrusted(distrust, trust, host),
            // In practice, this is an authority as the server's own certificate, which rustls
            // refuses (RFC 5280, 4.2.1.9).
            None => Finding::new(
                &UNVERIFIED_TLS,
                "the server's certificate cannot be one of a server: it is an authority's own, is \
                 X.509 version 1, or is malformed",
            )
            .with_help(
                "issue a certificate for the server from the authority, with \
                 `basicConstraints=CA:FALSE` and `subjectAltName=DNS:<host>`; or pin its key in \
                 the `_PIN` variable",
            ),
        },
        _ => Finding::new(&UNVERIFIED_TLS, "the server's certificate cannot be verified")
            .with_help("check the certificate with `openssl x509 -text`"),
    };
    finding.into()
}

fn distrusted(distrust: &Distrust, trust: TrustPosture, host: Option<&Host>) -> Refusal {
    let whom = match trust {
        TrustPosture::PrivateCa => "the authority in the `_CA` variable",
        TrustPosture::PublicRoots | TrustPosture::PinnedKey => "a public authority",
    };
    let (message, help) = match distrust {
        Distrust::WeakKey => {
            return Finding::new(
                &WEAK_CERTIFICATE,
                "the server's certificate has an RSA key of fewer than 2048 bits",
            )
            .into();
        }
        Distrust::NotRequested => return not_requested().into(),
        Distrust::Withheld => return withheld().into(),
        Distrust::NoAuthority => (
            "the server's certificate was issued by one that is in `_CA` and is not an authority \
             (`CA:FALSE`)"
                .to_owned(),
            "write the authority's own certificate into the `_CA` variable (`CA:TRUE`, \
             `keyCertSign`); one that is no authority is trusted only where the server presents \
             that very certificate",
        ),
        Distrust::Pin => (
            "the server's key is none of those that are pinned".to_owned(),
            "if the server got a new key, add its digest to the `_PIN` variable; if it did not, \
             another peer answers",
        ),
        Distrust::SelfSigned => (
            format!("the server's certificate is self-signed, and not issued by {whom}"),
            "write the certificate itself into the `_CA` variable (PEM), or the digest of its key \
             into `_PIN`; if the service takes neither, make an authority of your own, and issue \
             the server's certificate from it",
        ),
        Distrust::OnlyItsOwn { issuer } => (
            format!(
                "the server sends only its own certificate, and its issuer, {issuer}, is not \
                 {whom}"
            ),
            "write the issuer's certificate into the `_CA` variable (PEM): the intermediate one \
             completes the chain that the server should send",
        ),
        Distrust::UnknownAuthority { issuer } => (
            format!("the server's chain ends with {issuer}, which is not {whom}"),
            "write that authority's certificate into the `_CA` variable (PEM), if it is the one \
             that you expect",
        ),
    };
    // The provider decides where to download the authority. A changed key is a different problem.
    let hint = host.filter(|_| !matches!(distrust, Distrust::Pin)).and_then(provider::hint);
    Finding::new(&UNVERIFIED_TLS, message).with_help(hint.unwrap_or(help)).into()
}

/// The names come from a certificate of an untrusted peer, whose chain has been verified.
fn wrong_name(presented: &[String]) -> Refusal {
    let message = if presented.is_empty() {
        "the server's certificate is not valid for the host".to_owned()
    } else {
        let names: Vec<_> = presented.iter().take(MOST_NAMES).map(|name| printable(name)).collect();
        format!("the server's certificate is not valid for the host, but for {}", names.join(", "))
    };
    Finding::new(&UNVERIFIED_TLS, message)
        .with_help(
            "write the host as the certificate names it, or issue the certificate with the host as \
             `subjectAltName`: a common name does not count",
        )
        .into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_server_s_certificate_warns_within_14_days_of_its_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 86_400);
        let ending_in = |left: u64| CertificatePosture {
            subject: String::new(),
            issuer: String::new(),
            names: Vec::new(),
            key: String::new(),
            not_after: seconds(now) + left,
        };
        assert!(expiry_notice(&ending_in(14 * 86_400), now).is_none());
        let notice = expiry_notice(&ending_in(14 * 86_400 - 1), now).expect("it is soon");
        assert!(!notice.is_denied() && notice.message().contains("expires in 13 days"), "{notice}");
        assert!(expiry_notice(&ending_in(0), now).is_some());
    }

    /// Each error of a handshake, and the beginning of our own words.
    #[test]
    fn each_error_of_a_handshake_has_its_words() {
        use rustls::Error as Tls;
        use rustls::{InvalidMessage, PeerIncompatible, PeerMisbehaved};
        let alert = |alert| Tls::AlertReceived(alert);
        let certificate = |error| Tls::InvalidCertificate(error);
        let no_client = "the server does not accept the client certificate, or wants one";
        let here = Host::Name("localhost".to_owned());
        for (error, words) in [
            (
                alert(AlertDescription::ProtocolVersion),
                "the server speaks neither TLS 1.3 nor TLS 1.2",
            ),
            (
                Tls::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                "the server speaks neither TLS 1.3 nor TLS 1.2",
            ),
            (alert(AlertDescription::HandshakeFailure), "the server shares no TLS version"),
            (alert(AlertDescription::InsufficientSecurity), "the server shares no TLS version"),
            (alert(AlertDescription::CertificateRequired), no_client),
            (alert(AlertDescription::BadCertificate), no_client),
            (alert(AlertDescription::UnknownCA), no_client),
            (alert(AlertDescription::CertificateExpired), no_client),
            (alert(AlertDescription::CertificateRevoked), no_client),
            (alert(AlertDescription::CertificateUnknown), no_client),
            (alert(AlertDescription::AccessDenied), no_client),
            (
                alert(AlertDescription::UnrecognisedName),
                "the server's certificate is not valid for the host",
            ),
            (
                Tls::InvalidMessage(InvalidMessage::InvalidContentType),
                "what answers on this port does not speak TLS",
            ),
            (
                Tls::PeerMisbehaved(PeerMisbehaved::TooMuchEarlyDataReceived),
                "the TLS handshake failed",
            ),
            (
                certificate(CertificateError::Expired),
                "the server's certificate, or one of its chain, has expired",
            ),
            (
                certificate(CertificateError::NotValidYet),
                "the server's certificate, or one of its chain, is not valid yet",
            ),
            (
                certificate(CertificateError::NotValidForName),
                "the server's certificate is not valid for the host",
            ),
            (
                certificate(CertificateError::InvalidPurpose),
                "the server's certificate is not one for servers",
            ),
            (certificate(CertificateError::Revoked), "the server's certificate is revoked"),
            (
                certificate(CertificateError::BadSignature),
                "the server's certificate cannot be verified",
            ),
            (Distrust::WeakKey.into(), "the server's certificate has an RSA key of fewer"),
            (Distrust::Pin.into(), "the server's key is none of those that are pinned"),
            (Distrust::SelfSigned.into(), "the server's certificate is self-signed"),
        ] {
            // A driver may wrap the error.
            let wrapped = std::io::Error::other(std::io::Error::other(error.clone()));
            let refusal = refusal_within(&wrapped, TrustPosture::PublicRoots, Some(&here));
            let text = refusal.expect("it is an error of TLS").to_string();
            assert!(text.starts_with(words), "{error:?}: {text}");
        }
        let other = std::io::Error::other("no error of TLS");
        assert!(refusal_within(&other, TrustPosture::PublicRoots, None).is_none());
    }

    #[test]
    fn a_connection_that_breaks_in_the_handshake_has_its_words() {
        use std::io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof,
        };
        let words = |kind: std::io::ErrorKind| {
            refusal(&kind.into(), TrustPosture::PublicRoots, None).to_string()
        };
        for kind in [UnexpectedEof, ConnectionReset, BrokenPipe, ConnectionAborted] {
            let text = words(kind);
            assert!(text.starts_with("the server closed the connection in the middle"), "{text}");
        }
        assert!(words(TimedOut).starts_with("the connection broke in the middle"));
        assert_eq!(help_without_tls("check the port", None), "check the port");
        let here = Host::Name("localhost".to_owned());
        assert!(help_without_tls("check the port", Some(&here)).starts_with("check the port"));
        assert_eq!(Distrust::Pin.to_string(), "the certificate is not trusted");
    }

    /// A changed key is another problem than an authority that is not trusted.
    #[test]
    fn the_hint_of_a_provider_is_about_its_authority() {
        let host = Host::Name("db.scw.cloud".to_owned());
        let help = |distrust: &Distrust| match distrusted(
            distrust,
            TrustPosture::PublicRoots,
            Some(&host),
        ) {
            Refusal::Finding(finding) => finding.help().to_owned(),
            Refusal::Failure(failure) => panic!("{failure}"),
        };
        assert!(help(&Distrust::SelfSigned).starts_with("Scaleway"));
        assert!(help(&Distrust::Pin).starts_with("if the server got a new key"));
    }

    #[test]
    fn a_client_is_proven_by_the_certificate_that_it_sent() {
        let words = |client| unproven(client).map(|finding| finding.message().to_owned());
        assert_eq!(words(ClientCertificatePosture::Sent), None);
        let asked = words(ClientCertificatePosture::NotRequested).unwrap();
        assert!(asked.starts_with("the server did not ask for the client certificate"));
        let withheld = words(ClientCertificatePosture::Withheld).unwrap();
        assert!(withheld.starts_with("the server asked for a client certificate"));
    }

    #[test]
    fn a_finding_on_dates_counts_the_certificates_if_there_are_several() {
        let messages = |ca: &str| {
            let tls = Tls::new(Material { ca: Some(ca), client: None, pins: None });
            let tls = tls.unwrap_or_else(|unusable| panic!("{}", unusable.message));
            let later = SystemTime::UNIX_EPOCH + Duration::from_secs(5_000_000_000);
            let findings = tls.dates("X_CA", later);
            findings.iter().map(|finding| finding.message().to_owned()).collect::<Vec<_>>()
        };
        let authority = include_str!("fuzz/authority.pem");
        assert_eq!(messages(authority), ["`X_CA` holds a certificate that has expired"]);
        assert_eq!(
            messages(&authority.repeat(2)),
            [
                "`X_CA` holds a certificate that has expired: number 1 of 2",
                "`X_CA` holds a certificate that has expired: number 2 of 2"
            ]
        );
    }

    #[test]
    fn p256_may_come_first() {
        let names = |provider: Arc<CryptoProvider>| {
            provider.kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>()
        };
        let (usual, p256) = (names(provider()), names(provider_with_p256_first()));
        assert_eq!(p256[0], rustls::NamedGroup::secp256r1);
        assert_ne!(usual[0], p256[0]);
        assert_eq!(usual.len(), p256.len());
    }
}
