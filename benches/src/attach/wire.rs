//! A verified TLS stream in the shapes that the drivers accept. For a driver without TLS of its own
//! in this workspace, this is the least code that a user would write.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::traits::Reactor;
use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::compat::Compat;

use crate::Result;

/// A configuration that trusts an authority. It resumes no session, because the benchmark compares
/// the first connection of a program, which verifies the certificate. So building the configuration
/// is part of the measurement, as it is part of an attach.
///
/// # Errors
/// If the certificate cannot be read.
pub fn configuration(ca: &str) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.map_err(|_| "a certificate that cannot be read")?)?;
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let mut configuration = builder
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    configuration.resumption = Resumption::disabled();
    Ok(Arc::new(configuration))
}

/// A connection with TLS from the first byte.
///
/// # Errors
/// If no server answers, or one that cannot be verified.
pub async fn connect(ca: &str, port: u16) -> Result<Wire<TcpStream>> {
    let configuration = configuration(ca)?;
    let stream = TcpStream::connect(("localhost", port)).await?;
    stream.set_nodelay(true)?;
    Ok(Wire(
        TlsConnector::from(configuration)
            .connect(ServerName::try_from("localhost")?, stream)
            .await?,
    ))
}

/// A stream under TLS.
#[derive(Debug)]
pub struct Wire<T>(TlsStream<T>);

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl AsyncTokioStream for Wire<TcpStream> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl tokio_postgres::tls::TlsStream for Wire<Socket> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// tokio with TLS connections instead of plain ones, as lapin needs it.
#[derive(Clone, Debug)]
pub struct Reacting(pub Tokio);

impl Reactor for Reacting {
    type TcpStream = Compat<Wire<TcpStream>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static>
    {
        Err::<Self::TcpStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(
        &self,
        duration: Duration,
    ) -> impl futures_core::Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// TLS for tokio-postgres.
#[derive(Clone, Debug)]
pub struct Tls(pub Arc<ClientConfig>);

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Wire<Socket>;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _: &str) -> io::Result<Self> {
        Ok(self.clone())
    }
}

impl TlsConnect<Socket> for Tls {
    type Stream = Wire<Socket>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire<Socket>>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            Ok(Wire(TlsConnector::from(self.0).connect(name, stream).await?))
        })
    }
}
