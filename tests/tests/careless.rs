//! The conformance suite finds the faults of a careless service.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backing_services::posture::Posture;
use backing_services::resource::ClientGuard;
use backing_services::rules::Scheme;
use backing_services::secrecy::ExposeSecret as _;
use backing_services::service::{Attachment, Attempt, Login, Refusal, Target};
use backing_services::{Failure, Service};
use backing_services_dev::DevError;
use backing_services_dev::conformance::hostile::{Asking, Hostile, Peer};
use backing_services_dev::conformance::{Case, Setup, Subject, Suite, Variables, canary};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// True if it logs the password.
static LOGS: AtomicBool = AtomicBool::new(false);

/// It verifies the first connection, and no later one; closing does nothing.
struct Careless;

#[derive(Clone)]
struct Client(Target);

impl Service for Careless {
    type Client = Client;
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "Careless";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("careless").with_port(7999)];
    const LOGIN: Login = Login::Password;

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<Client>, Refusal> {
        let mut posture = Posture::of::<Self>(target);
        posture.tls = target.dial().await?.tls;
        let client = Client(target.clone());
        Self::health(&client).await?;
        Ok(Attachment::new(client, posture))
    }

    async fn health(client: &Client) -> Result<(), Refusal> {
        client.ask().await.map_err(|_| Failure::closed().into())
    }

    async fn close(_: &Client) {}
}

impl Client {
    async fn ask(&self) -> io::Result<()> {
        let password = self.0.password().expect("a password").expose_secret();
        if LOGS.load(Ordering::SeqCst) {
            tracing::trace!("logging in with {password}");
        }
        let port = self.0.locator().port();
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(trusting_anybody()).connect(name, stream).await?;
        stream.write_all(password.as_bytes()).await?;
        stream.flush().await?;
        match stream.read_u8().await? {
            b'+' => Ok(()),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

fn trusting_anybody() -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    Arc::new(config.with_no_client_auth())
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

struct Examined;

impl Subject for Examined {
    type Service = Careless;
    type Server = Hostile;

    fn start(setup: Setup) -> Result<Hostile, DevError> {
        let leaf = setup.leaf.expect("a certificate");
        let configuration = Asking::Not.configuration(&leaf, rustls::ALL_VERSIONS);
        Ok(Hostile::start(move |peer| {
            let configuration = Arc::clone(&configuration);
            async move { answer(peer.encrypt_as(configuration).await?).await }
        }))
    }

    fn port(server: &Hostile) -> u16 {
        server.port
    }

    fn account(server: &Hostile) -> Variables {
        Variables::new(format!("careless://localhost:{}", server.port))
    }

    fn administrator(_: &Hostile) -> Option<Variables> {
        None
    }

    async fn work(client: &Client) -> Result<(), String> {
        let asked = tokio::time::timeout(Duration::from_secs(1), client.ask()).await;
        asked.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())
    }
}

async fn answer(mut peer: Peer) -> io::Result<Option<Peer>> {
    let admitted = peer.read().await? == canary::PASSWORD.as_bytes();
    peer.write(if admitted { b"+" } else { b"-" }).await?;
    Ok(Some(peer))
}

#[test]
fn the_suite_finds_the_faults_of_a_careless_service() {
    let suite = Suite::of::<Examined>();
    // The first connection is dialled by the runtime, which verifies it.
    for case in [Case::Expired, Case::WrongName, Case::NotForServers, Case::NothingListens] {
        suite.run(case).unwrap();
    }
    for (case, expected) in [
        (Case::Attach, "a clone of the client works no longer"),
        (Case::WrongPassword, "authentication_failed"),
        (Case::EveryConnection, "it was sent"),
        (Case::DetachOpening, ""),
        (Case::Administrator, "declare an exception of this case"),
    ] {
        let message = suite.run(case).expect_err("it is careless");
        assert!(message.contains(expected), "{case:?}: {message}");
    }
    LOGS.store(true, Ordering::SeqCst);
    let message = suite.run(Case::Canary).expect_err("it is careless");
    assert!(message.contains("holds the secret"), "{message}");
}
