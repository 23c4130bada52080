//! Dialling a target: resolve, hold every address against the rules, connect, and speak TLS. Nothing of ours is said before that.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use backing_services_rules::rule::{PLAINTEXT_SCHEME, UNVERIFIED_TLS, WEAK_AUTHENTICATION};

use crate::locator::Host;
use crate::net::address;
use crate::net::progress::{self, Step};
use crate::net::time::within;
use crate::net::tls::{CONNECT_TIMEOUT, Demand, FirstShare, Witness};
use crate::report::finding::{Failure, FailureKind, Finding};
use crate::report::posture::{ClientCertificatePosture, TlsPosture};
use crate::report::refusal::Refusal;
use crate::service::target::Target;

/// A connection to a target.
#[non_exhaustive]
pub struct Dialled {
    /// Reads from and writes to the verified server.
    pub stream: Stream,
    /// What protects the connection; `None` only where the target is plaintext.
    pub tls: Option<TlsPosture>,
}

impl std::fmt::Debug for Dialled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialled").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// A stream of bytes to and from a target: under verified TLS, but for a target that is plaintext.
pub struct Stream(Inner);

enum Inner {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

impl Target {
    /// Connects and speaks TLS, from the first byte on.
    ///
    /// # Errors
    /// [`Refusal`]: a forbidden address, a host that does not resolve or answer, a certificate that does not pass.
    pub async fn dial(&self) -> Result<Dialled, Refusal> {
        let connection = self.dial_tcp().await?;
        self.encrypt(connection).await
    }

    /// Connects, and says nothing yet: for a protocol that asks for TLS in its own words first.
    ///
    /// # Errors
    /// [`Refusal`]: a forbidden address, or a host that does not resolve or answer.
    pub async fn dial_tcp(&self) -> Result<TcpStream, Refusal> {
        let limit = self.connect_timeout();
        let timed_out = |what: &'static str| {
            move |_| {
                Refusal::from(Failure::new(
                    FailureKind::TimedOut,
                    what,
                    "look at the network between here and there: a firewall drops, it does not refuse",
                ))
            }
        };
        progress::at(Step::Resolving);
        let addresses = within(limit, self.resolve())
            .await
            .map_err(timed_out("its host's name was not resolved in time"))??;
        progress::at(Step::Connecting);
        within(limit, connect(&addresses))
            .await
            .map_err(timed_out("its host did not answer in time"))?
    }

    /// The addresses of its host, each of them held against the address rules.
    pub(crate) async fn resolve(&self) -> Result<Vec<SocketAddr>, Refusal> {
        let host = self.host()?;
        let addresses = resolve(host, self.locator.port()).await?;
        if let Some(finding) = address::check_resolved(addresses.iter().map(SocketAddr::ip)) {
            return Err(finding.into());
        }
        if self.is_plaintext()
            && matches!(host, Host::Name(name) if name == "localhost")
            && !addresses.iter().all(|address| address.ip().is_loopback())
        {
            return Err(Finding::new(
                &PLAINTEXT_SCHEME,
                "`localhost` leads to an address that is not a loopback address",
            )
            .into());
        }
        Ok(addresses)
    }

    /// Whether a name is its host's.
    #[cfg(any(feature = "etcd", feature = "https", feature = "s3"))]
    pub(crate) fn is_host(&self, name: &str) -> bool {
        matches!(self.locator.host(), Some(Host::Name(host)) if host.eq_ignore_ascii_case(name))
    }

    /// The one TLS configuration, by value, for a driver that adds to it, and its witness. A plaintext target's is never used: it trusts the public roots.
    #[cfg(any(feature = "etcd", feature = "https", feature = "s3"))]
    pub(crate) fn client_config(&self) -> Result<(rustls::ClientConfig, Witness), Refusal> {
        let (config, witness) = match &self.trust.tls {
            Some(tls) => tls.witnessed(self.demand())?,
            None => crate::net::tls::Tls::public()?.witnessed(Demand::Nothing)?,
        };
        Ok((Arc::unwrap_or_clone(config), witness))
    }

    /// Speaks TLS over a connection of [`Target::dial_tcp`], on which nothing is waiting to be read.
    ///
    /// # Errors
    /// [`Refusal`]: a certificate that does not pass, or a server that speaks no TLS.
    pub async fn encrypt(&self, connection: TcpStream) -> Result<Dialled, Refusal> {
        self.encrypt_beginning_with(FirstShare::X25519, connection).await
    }

    /// The same, for servers of which it is known which group they have.
    pub(crate) async fn encrypt_beginning_with(
        &self,
        first: FirstShare,
        connection: TcpStream,
    ) -> Result<Dialled, Refusal> {
        if self.is_plaintext() {
            progress::at(Step::LoggingIn);
            return Ok(Dialled { stream: Stream(Inner::Plain(connection)), tls: None });
        }
        let Some(tls) = &self.trust.tls else {
            return Err(Finding::new(
                &UNVERIFIED_TLS,
                "there is no TLS configuration for this resource",
            )
            .into());
        };
        progress::at(Step::Handshaking);
        let handshake = tls.handshake(self.host()?, connection, first, self.demand());
        let (stream, posture) = within(self.connect_timeout(), handshake).await.map_err(|_| {
            Failure::new(
                FailureKind::TimedOut,
                "the server accepted the connection, and did not finish the TLS handshake in time",
                "look at the port: what listens there may wait for another protocol; and at the server's load",
            )
        })??;
        progress::at(Step::LoggingIn);
        Ok(Dialled { stream: Stream(Inner::Tls(Box::new(stream))), tls: Some(posture) })
    }

    /// The one TLS configuration, with this target's trust, for a driver that takes one; and a [`Witness`] that tells what the driver's connections saw.
    ///
    /// # Errors
    /// [`Refusal`], where the target is plaintext, or the client certificate cannot be used.
    pub fn tls_config(&self) -> Result<(Arc<rustls::ClientConfig>, Witness), Refusal> {
        match &self.trust.tls {
            Some(tls) => tls.witnessed(self.demand()),
            None => Err(Finding::new(
                &UNVERIFIED_TLS,
                "there is no TLS configuration for this resource",
            )
            .into()),
        }
    }

    /// Whether the client's certificate is all that logs in: then each handshake has to have sent it.
    fn demand(&self) -> Demand {
        let is_the_login = self.password().is_none() && self.client_certificate().is_some();
        if is_the_login && !self.waives(&WEAK_AUTHENTICATION) {
            Demand::ClientCertificate
        } else {
            Demand::Nothing
        }
    }

    /// Whether the client's certificate has logged in, over a connection that is protected so: there is no password, and the server asked for
    /// the certificate on that handshake, and got it.
    #[must_use]
    pub fn is_login_by_certificate(&self, tls: Option<&TlsPosture>) -> bool {
        self.password().is_none()
            && tls.is_some_and(|tls| tls.client_certificate == ClientCertificatePosture::Sent)
    }

    /// What of the trust is to be reported beside a client: dates of `_CA`'s certificates, and a login that nothing proves and a waiver allows.
    pub(crate) fn findings_of_trust(
        &self,
        tls: Option<&TlsPosture>,
        found: &[Finding],
    ) -> Vec<Finding> {
        let Some(own) = &self.trust.tls else { return Vec::new() };
        let dates = own.dates("_CA", std::time::SystemTime::now()).into_iter();
        let mut findings: Vec<_> = dates.map(|finding| finding.about("_CA")).collect();
        let is_found = found.iter().any(|finding| finding.rule() == &WEAK_AUTHENTICATION);
        if let Some(tls) = tls.filter(|_| {
            !is_found && self.password().is_none() && self.client_certificate().is_some()
        }) {
            findings.extend(crate::net::tls::unproven(tls.client_certificate));
        }
        findings
    }

    /// What rustls said of a driver's connection, where the driver's error holds it; in this crate's own words.
    #[must_use]
    pub fn tls_refusal(&self, error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
        let trust = self.trust.tls.as_ref()?.trust();
        crate::net::tls::refusal_within(error, trust, self.locator.host())
    }

    fn host(&self) -> Result<&Host, Refusal> {
        self.locator.host().ok_or_else(|| {
            Failure::new(
                FailureKind::Unresolved,
                "its locator has no host",
                "a service in the process has nothing to dial",
            )
            .into()
        })
    }

    /// How long connecting may take: what the locator's `connect_timeout` says, in seconds, or 10 s.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.locator.number("connect_timeout").map_or(CONNECT_TIMEOUT, Duration::from_secs)
    }
}

impl Stream {
    /// The server's own certificate, in DER, for a protocol that binds its login to it; `None` where the target is plaintext.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        match &self.0 {
            Inner::Tls(stream) => stream.get_ref().1.peer_certificates()?.first(),
            Inner::Plain(_) => None,
        }
    }
}

async fn resolve(host: &Host, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
    let name = match host {
        Host::Address(address) => return Ok(vec![SocketAddr::new(*address, port)]),
        Host::Name(name) => name.as_str(),
    };
    let unresolved = || {
        Failure::new(
            FailureKind::Unresolved,
            "its host's name has no address",
            "look at the name, and at this machine's name servers",
        )
    };
    // The resolver's error names the host.
    let addresses: Vec<_> =
        tokio::net::lookup_host((name, port)).await.map_err(|_| unresolved())?.collect();
    if addresses.is_empty() { Err(unresolved().into()) } else { Ok(addresses) }
}

/// Tries the addresses in the resolver's order (RFC 6724 is its affair) until one answers.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Refusal> {
    match TcpStream::connect(addresses).await {
        Ok(connection) => {
            // Requests are small and wait for their answers: Nagle's algorithm would only hold them back. Without it all works too.
            let _ = connection.set_nodelay(true);
            Ok(connection)
        }
        Err(error) => Err(unreachable(&error).into()),
    }
}

/// Why a connection is not there, in this crate's own words.
pub(crate) fn unreachable(error: &io::Error) -> Failure {
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens on the host's port: the connection was refused"
        }
        io::ErrorKind::TimedOut => "its host did not answer in time",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no route to its host"
        }
        _ => "its host cannot be connected to",
    };
    Failure::new(
        FailureKind::Unreachable,
        message,
        "look at the host and the port, whether the service runs, and at the firewall",
    )
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Inner::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Inner::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Inner::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Tls(stream) => Pin::new(stream).poll_flush(context),
            Inner::Plain(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Inner::Plain(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.0 {
            Inner::Tls(_) => "Stream(TLS)",
            Inner::Plain(_) => "Stream(plaintext)",
        })
    }
}
