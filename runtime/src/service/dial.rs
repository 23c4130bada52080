//! Dialling a target: resolve, check every address against the rules, connect, and do the TLS
//! handshake. Nothing else is sent before that.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use backing_services_rules::rule::{PLAINTEXT_SCHEME, UNVERIFIED_TLS, WEAK_AUTHENTICATION};

use crate::locator::Host;
use crate::net::address;
use crate::net::progress::{self, Step};
use crate::net::time::with_timeout;
use crate::net::tls::{Demand, FirstShare, PLAINTEXT_FORM, Witness};
use crate::report::finding::{Failure, FailureKind, Finding};
use crate::report::posture::{ClientCertificatePosture, TlsPosture};
use crate::report::refusal::Refusal;
use crate::service::target::Target;

/// A connection to a target.
#[non_exhaustive]
pub struct Dialled {
    /// Reads from and writes to the verified server.
    pub stream: Stream,
    /// The TLS protection of the connection; `None` only for a plaintext target.
    pub tls: Option<TlsPosture>,
}

impl std::fmt::Debug for Dialled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialled").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// A byte stream to a target, under verified TLS unless the target is plaintext.
pub struct Stream(Inner);

enum Inner {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

impl Target {
    /// Connects and speaks TLS from the first byte.
    ///
    /// # Errors
    /// [`Refusal`]: several hosts ([`Self::each_host`]), a forbidden address, a host that does not
    /// resolve or answer, a certificate that fails verification, or a plaintext target whose waiver
    /// has ended.
    pub async fn dial(&self) -> Result<Dialled, Refusal> {
        let connection = self.dial_tcp().await?;
        self.encrypt(connection).await
    }

    /// Connects and sends nothing: for a protocol that requests TLS in its own messages first.
    ///
    /// # Errors
    /// [`Refusal`]: several hosts ([`Self::each_host`]), a forbidden address, a host that does not
    /// resolve or answer, or a plaintext target whose waiver has ended.
    pub async fn dial_tcp(&self) -> Result<TcpStream, Refusal> {
        let limit = self.connect_timeout();
        let timed_out = |what: &'static str| {
            move |_| {
                Refusal::from(Failure::new(
                    FailureKind::TimedOut,
                    what,
                    "check the network between here and there: a firewall drops, it does not \
                     refuse",
                ))
            }
        };
        progress::at(Step::Resolving);
        let addresses = with_timeout(limit, self.resolve())
            .await
            .map_err(timed_out("its host's name was not resolved in time"))??;
        progress::at(Step::Connecting);
        with_timeout(limit, connect(&addresses))
            .await
            .map_err(timed_out("its host did not answer in time"))?
    }

    /// Resolves the host, and checks each address against the address rules.
    ///
    /// # Errors
    /// [`Refusal`]: several hosts ([`Self::each_host`]), a forbidden address, a host that does not
    /// resolve, or a plaintext target whose waiver has ended.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, Refusal> {
        let host = self.host()?;
        self.check_plaintext()?;
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

    /// Checks that the connection may be plaintext, if it is. Loading has checked this; a waiver
    /// can end while the program runs. [`resolve`](Self::resolve) does it too. It is for a driver
    /// that dials an address without resolving it.
    ///
    /// # Errors
    /// [`Refusal`], if the waiver of `plaintext_scheme` has ended.
    pub fn check_plaintext(&self) -> Result<(), Refusal> {
        let is_accepted = !self.is_plaintext()
            || cfg!(debug_assertions) && self.locator.is_local()
            || self.waives(&PLAINTEXT_SCHEME);
        if is_accepted {
            return Ok(());
        }
        Err(Finding::new(&PLAINTEXT_SCHEME, "the waiver of the connection without TLS has ended")
            .with_help("write the scheme with TLS, or give the waiver another last day")
            .into())
    }

    /// True if the name is the target's one host.
    pub fn is_host(&self, name: &str) -> bool {
        let host = self.locator.only_host();
        matches!(host, Some(Host::Name(host)) if host.eq_ignore_ascii_case(name))
    }

    /// The one TLS configuration, by value, for a driver that adds to it, and its witness. A
    /// plaintext target gets one with the public roots, which is never used.
    pub fn client_config(&self) -> Result<(rustls::ClientConfig, Witness), Refusal> {
        let (config, witness) = match &self.trust.tls {
            Some(tls) => tls.witnessed(self.demand())?,
            None => crate::net::tls::Tls::public()?.witnessed(Demand::Nothing)?,
        };
        Ok((Arc::unwrap_or_clone(config), witness))
    }

    /// Does the TLS handshake on a connection of [`Target::dial_tcp`] that has no unread data.
    ///
    /// # Errors
    /// [`Refusal`]: a certificate that fails verification, or a server that does not speak TLS.
    pub async fn encrypt(&self, connection: TcpStream) -> Result<Dialled, Refusal> {
        self.encrypt_beginning_with(FirstShare::X25519, connection).await
    }

    /// The same, for servers whose key exchange group is known.
    pub async fn encrypt_beginning_with(
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
        let (stream, posture) =
            with_timeout(self.connect_timeout(), handshake).await.map_err(|_| {
                Failure::new(
                FailureKind::TimedOut,
                "the server accepted the connection, and did not finish the TLS handshake in time",
                self.help_without_tls(
                    "check the port: what listens there may wait for another protocol; check also \
                     the server's load",
                    PLAINTEXT_FORM,
                ),
            )
            })??;
        progress::at(Step::LoggingIn);
        Ok(Dialled { stream: Stream(Inner::Tls(Box::new(stream))), tls: Some(posture) })
    }

    /// The one TLS configuration, with this target's trust, for a driver that accepts one; and a
    /// [`Witness`] that records the handshakes of the driver's connections.
    ///
    /// # Errors
    /// [`Refusal`], if the target is plaintext or the client certificate cannot be used.
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

    /// If the client certificate is the only credential, each handshake must have sent it.
    fn demand(&self) -> Demand {
        let is_the_login = self.password().is_none() && self.client_certificate().is_some();
        if is_the_login && !self.waives(&WEAK_AUTHENTICATION) {
            Demand::ClientCertificate
        } else {
            Demand::Nothing
        }
    }

    /// True if the client certificate authenticated the client on this connection: there is no
    /// password, and the server requested the certificate in the handshake and received it.
    #[must_use]
    pub fn is_login_by_certificate(&self, tls: Option<&TlsPosture>) -> bool {
        self.password().is_none()
            && tls.is_some_and(|tls| tls.client_certificate == ClientCertificatePosture::Sent)
    }

    /// The findings about trust that are reported beside a client: expiry dates of `_CA`'s
    /// certificates, and a login without proof that a waiver allows.
    pub(crate) fn findings_of_trust(
        &self,
        tls: Option<&TlsPosture>,
        found: &[Finding],
    ) -> Vec<Finding> {
        let Some(own) = &self.trust.tls else { return Vec::new() };
        let dates = own.dates("_CA", std::time::SystemTime::now()).into_iter();
        let mut findings: Vec<_> = dates.map(|finding| finding.with_variable("_CA")).collect();
        let is_found = found.iter().any(|finding| finding.rule() == &WEAK_AUTHENTICATION);
        if let Some(tls) = tls.filter(|_| {
            !is_found && self.password().is_none() && self.client_certificate().is_some()
        }) {
            findings.extend(crate::net::tls::unproven(tls.client_certificate));
        }
        findings
    }

    /// The TLS error inside a driver's error, if there is one, in this crate's own words.
    #[must_use]
    pub fn tls_refusal(&self, error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
        let trust = self.trust.tls.as_ref()?.trust();
        crate::net::tls::refusal_within(error, trust, self.locator.only_host())
    }

    /// The help of a finding about a server without TLS. If the server is on this machine and this
    /// is a build with `debug_assertions`, the help adds `form`: how the locator asks for
    /// plaintext, as in "`sslmode=disable`".
    #[must_use]
    pub fn help_without_tls(&self, help: &str, form: &str) -> String {
        let host = self.locator.host();
        host.map_or_else(|| help.to_owned(), |host| host.help_without_tls(help, form))
    }

    /// The one host. Several are never dialled as one: the first would stand for all.
    fn host(&self) -> Result<&Host, Refusal> {
        self.locator.only_host().ok_or_else(|| {
            let (message, help) = match self.locator.host() {
                None => ("its locator has no host", "a service in the process has nothing to dial"),
                Some(_) => (
                    "its locator has several hosts, and the service dials them as one",
                    "write one host; the service's author has to dial each of \
                     `Target::each_host`",
                ),
            };
            Failure::new(FailureKind::Unresolved, message, help).into()
        })
    }
}

impl Stream {
    /// The server's own certificate, in DER, for a protocol that binds its login to it; `None` if
    /// the target is plaintext.
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
            "check the name, and this machine's name servers",
        )
    };
    // The resolver's error contains the host name.
    let addresses: Vec<_> =
        tokio::net::lookup_host((name, port)).await.map_err(|_| unresolved())?.collect();
    if addresses.is_empty() { Err(unresolved().into()) } else { Ok(addresses) }
}

/// Tries the addresses in the resolver's order (RFC 6724) until one answers.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Refusal> {
    match TcpStream::connect(addresses).await {
        Ok(connection) => {
            // Requests are small and wait for their answers, so Nagle's algorithm would only delay
            // them. An error is harmless.
            let _ = connection.set_nodelay(true);
            Ok(connection)
        }
        Err(error) => Err(unreachable(&error).into()),
    }
}

/// The reason why there is no connection, in this crate's own words.
pub fn unreachable(error: &io::Error) -> Failure {
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
        "check the host and the port, whether the service runs, and the firewall",
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
