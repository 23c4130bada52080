//! Programmable servers that misbehave, and that record every byte that they receive.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{WantsServerCert, WebPkiClientVerifier};
use rustls::{
    ConfigBuilder, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::authority::Leaf;

/// A server that plays a script on each connection.
#[derive(Debug)]
pub struct Hostile {
    /// The port that it listens on.
    pub port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// The input of one connection. It may hold a secret: `Debug` shows no bytes.
#[derive(Clone, Default)]
pub struct Heard {
    /// The bytes that arrived before TLS.
    pub plain: Vec<u8>,
    /// The bytes that arrived under TLS, decrypted.
    pub secret: Vec<u8>,
    /// The number of bytes that the client has taken of a flood.
    pub flooded: usize,
    /// True if the TLS handshake was completed.
    pub tls: bool,
    /// True if either side has closed the connection.
    pub closed: bool,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard")
            .field("plain", &self.plain.len())
            .field("secret", &self.secret.len())
            .field("tls", &self.tls)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Hostile {
    /// A server that plays `script` on each connection. After the script it records the input until
    /// the peer closes the connection.
    pub fn start<F>(script: impl Fn(Peer) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Option<Peer>>> + Send + 'static,
    {
        let listener = listen();
        let port = listener.local_addr().expect("a port").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&heard);
        runtime().spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let index = {
                    let mut heard = record.lock().expect("the record");
                    heard.push(Heard::default());
                    heard.len() - 1
                };
                let closed = Arc::clone(&record);
                let script = script(Peer {
                    stream: Stream::Plain(stream),
                    index,
                    heard: Arc::clone(&record),
                });
                tokio::spawn(async move {
                    if let Ok(Some(mut peer)) = script.await {
                        peer.drain().await;
                    }
                    closed.lock().expect("the record")[index].closed = true;
                });
            }
        });
        Self { port, heard }
    }

    /// The input so far, by connection.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("the record").clone()
    }

    /// Waits until the peer has closed every connection.
    ///
    /// # Panics
    /// If one is still open after some seconds: the client leaks it.
    pub async fn assert_all_closed(&self) {
        for _ in 0..100 {
            if self.heard().iter().all(|heard| heard.closed) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let open = self.heard().iter().filter(|heard| !heard.closed).count();
        panic!("{open} of {} connections are still open", self.heard().len());
    }
}

/// The connection that a script plays on.
#[derive(Debug)]
pub struct Peer {
    stream: Stream,
    index: usize,
    heard: Arc<Mutex<Vec<Heard>>>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Taped>>),
}

impl Peer {
    /// The number of this connection, counted from 0.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The next bytes, or an error at the end of the connection.
    ///
    /// # Errors
    /// If the connection ends.
    pub async fn read(&mut self) -> io::Result<Vec<u8>> {
        self.read_at_most(16 * 1024).await
    }

    /// The next bytes, which stay unread. For a client that does not wait for an answer.
    ///
    /// # Errors
    /// If the connection ends.
    pub async fn read_at_most(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut bytes).await,
            Stream::Tls(stream) => stream.read(&mut bytes).await,
        };
        let mut heard = self.heard.lock().expect("the record");
        let heard = &mut heard[self.index];
        match read {
            Ok(count @ 1..) => {
                bytes.truncate(count);
                match &self.stream {
                    Stream::Plain(_) => heard.plain.extend_from_slice(&bytes),
                    Stream::Tls(_) => heard.secret.extend_from_slice(&bytes),
                }
                Ok(bytes)
            }
            Ok(0) => {
                heard.closed = true;
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Err(error) => {
                heard.closed = true;
                Err(error)
            }
        }
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes.as_ref()).await,
            Stream::Tls(stream) => match stream.write_all(bytes.as_ref()).await {
                Ok(()) => stream.flush().await,
                Err(error) => Err(error),
            },
        };
        if written.is_err() {
            self.heard.lock().expect("the record")[self.index].closed = true;
        }
        written
    }

    /// Sends the same bytes again and again, until the peer disconnects.
    ///
    /// # Errors
    /// Always, at the end.
    pub async fn flood(&mut self, bytes: &[u8]) -> io::Result<Option<Self>> {
        let many = bytes.repeat((64 * 1024 / bytes.len()).max(1));
        loop {
            self.write(&many).await?;
            self.heard.lock().expect("the record")[self.index].flooded += many.len();
        }
    }

    /// Switches to TLS with this certificate.
    ///
    /// # Errors
    /// If the peer refuses the handshake.
    pub async fn encrypt(self, leaf: &Leaf) -> io::Result<Self> {
        self.encrypt_as(configuration(leaf)).await
    }

    /// Switches to TLS, and requests a client certificate.
    ///
    /// # Errors
    /// If the peer refuses the handshake.
    pub async fn encrypt_asking(self, leaf: &Leaf, asking: Asking) -> io::Result<Self> {
        self.encrypt_as(asking.configuration(leaf, rustls::ALL_VERSIONS)).await
    }

    /// Switches to TLS with this configuration.
    ///
    /// # Errors
    /// If the peer refuses the handshake.
    pub async fn encrypt_as(self, configuration: Arc<ServerConfig>) -> io::Result<Self> {
        let Self { stream: Stream::Plain(stream), index, heard } = self else {
            panic!("TLS within TLS")
        };
        let taped = Taped { stream, index, heard: Arc::clone(&heard) };
        match TlsAcceptor::from(configuration).accept(taped).await {
            Ok(stream) => {
                heard.lock().expect("the record")[index].tls = true;
                Ok(Self { stream: Stream::Tls(Box::new(stream)), index, heard })
            }
            Err(error) => {
                heard.lock().expect("the record")[index].closed = true;
                Err(error)
            }
        }
    }

    /// Passes all bytes to and from another port of the loopback interface. They are not recorded.
    ///
    /// # Errors
    /// If one of the connections breaks.
    pub async fn forward(self, port: u16) -> io::Result<()> {
        let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
        match self.stream {
            Stream::Plain(mut stream) => {
                tokio::io::copy_bidirectional(&mut stream, &mut server).await.map(drop)
            }
            Stream::Tls(mut stream) => {
                tokio::io::copy_bidirectional(&mut stream, &mut server).await.map(drop)
            }
        }
    }

    /// Keeps reading, and sends nothing more.
    pub async fn drain(&mut self) {
        while self.read().await.is_ok() {}
    }
}

/// A stream that records the input before it is decrypted.
#[derive(Debug)]
struct Taped {
    stream: TcpStream,
    index: usize,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl AsyncRead for Taped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.heard.lock().expect("the record")[self.index]
            .plain
            .extend_from_slice(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Taped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn configuration(leaf: &Leaf) -> Arc<ServerConfig> {
    Asking::Not.configuration(leaf, rustls::ALL_VERSIONS)
}

/// The request of a server for a client certificate. It accepts any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// No request.
    Not,
    /// A request; continues without a certificate.
    ForAny,
    /// A request for one whose key signs with RSA; continues without a certificate.
    ForRsa,
}

impl Asking {
    /// The configuration of such a server with this certificate.
    #[must_use]
    pub fn configuration(
        self,
        leaf: &Leaf,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("TLS");
        let builder = match self {
            Self::Not => builder.with_no_client_auth(),
            Self::ForAny | Self::ForRsa => {
                builder.with_client_cert_verifier(Arc::new(AnyClient { asking: self, provider }))
            }
        };
        Arc::new(with_leaf(builder, leaf))
    }
}

/// The configuration of a server with this certificate that requires a client certificate of this
/// authority, in PEM.
#[must_use]
pub fn requiring(leaf: &Leaf, client_ca: &str) -> Arc<ServerConfig> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(client_ca.as_bytes()) {
        roots.add(root.expect("a certificate")).expect("an authority");
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_client_cert_verifier(verifier.build().expect("a verifier"));
    Arc::new(with_leaf(builder, leaf))
}

fn with_leaf(builder: ConfigBuilder<ServerConfig, WantsServerCert>, leaf: &Leaf) -> ServerConfig {
    let chain = CertificateDer::pem_slice_iter(leaf.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).expect("a key");
    builder.with_single_cert(chain, key).expect("a configuration")
}

/// Accepts every client that proves the possession of its certificate's key, and every client
/// without a certificate.
#[derive(Debug)]
struct AnyClient {
    asking: Asking,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        match self.asking {
            Asking::ForRsa => {
                vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]
            }
            Asking::Not | Asking::ForAny => {
                self.provider.signature_verification_algorithms.supported_schemes()
            }
        }
    }
}

/// A listener on a free port of the loopback interface.
pub fn listen() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.set_nonblocking(true).expect("a non-blocking listener");
    listener
}

/// The servers have their own runtime, so that a client that blocks its thread does not block them.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    });
    &RUNTIME
}
