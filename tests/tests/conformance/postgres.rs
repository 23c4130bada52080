//! PostgreSQL, by both drivers.

use std::io;

use backing_services_dev::DevError;
use backing_services_dev::conformance::{Setup, Subject, Variables};
use backing_services_tests::canary::ADMIN_PASSWORD;
use backing_services_tests::hostile::Peer;
use backing_services_tests::pki::Authority;
use backing_services_tests::postgres::{ADMIN, DATABASE, Options, Postgres as Server};

const PLAINTEXT: &[&str] = &["opportunistic_tls"];
const WITHOUT_TLS: &str = "`sslmode=disable`";

pub(crate) struct Postgres;

impl Subject for Postgres {
    type Service = backing_services::Postgres;
    type Server = Server;

    const PLAINTEXT: &'static [&'static str] = PLAINTEXT;
    const WITHOUT_TLS: &'static str = WITHOUT_TLS;
    // sqlx gives no way to end an opening: it is waited for.
    const CLOSES_WITHIN: std::time::Duration = std::time::Duration::from_secs(6);

    fn start(setup: Setup) -> Result<Server, DevError> {
        Ok(start(setup))
    }

    fn port(server: &Server) -> u16 {
        server.port
    }

    fn account(server: &Server) -> Variables {
        Variables::new(server.locator())
    }

    fn administrator(server: &Server) -> Option<Variables> {
        Some(administrator(server))
    }

    async fn work(pool: &sqlx::PgPool) -> Result<(), String> {
        let query = sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(pool);
        query.await.map(drop).map_err(|error| error.to_string())
    }

    async fn before_tls(peer: Peer) -> io::Result<Peer> {
        before_tls(peer).await
    }
}

pub(crate) struct TokioPostgres;

impl Subject for TokioPostgres {
    type Service = backing_services::TokioPostgres;
    type Server = Server;

    const PLAINTEXT: &'static [&'static str] = PLAINTEXT;
    const WITHOUT_TLS: &'static str = WITHOUT_TLS;

    fn start(setup: Setup) -> Result<Server, DevError> {
        Ok(start(setup))
    }

    fn port(server: &Server) -> u16 {
        server.port
    }

    fn account(server: &Server) -> Variables {
        Variables::new(server.locator())
    }

    fn administrator(server: &Server) -> Option<Variables> {
        Some(administrator(server))
    }

    async fn work(
        pool: &<backing_services::TokioPostgres as backing_services::Service>::Client,
    ) -> Result<(), String> {
        let client = pool.get().await.map_err(|error| error.to_string())?;
        client.query_one("SELECT 1", &[]).await.map(drop).map_err(|error| error.to_string())
    }

    async fn before_tls(peer: Peer) -> io::Result<Peer> {
        before_tls(peer).await
    }
}

fn start(setup: Setup) -> Server {
    let mut options = setup.leaf.map_or_else(Options::plaintext, Options::tls);
    if setup.client_ca.is_some() {
        options.hba = "hostssl all all all scram-sha-256 clientcert=verify-ca".to_owned();
    }
    options.client_ca = setup.client_ca;
    Server::with(Authority::new("an unused authority"), &options)
}

fn administrator(server: &Server) -> Variables {
    Variables::new(format!("postgres://{ADMIN}@localhost:{}/{DATABASE}", server.port))
        .with("PASSWORD", ADMIN_PASSWORD)
}

async fn before_tls(mut peer: Peer) -> io::Result<Peer> {
    peer.read_at_most(8).await?;
    peer.write(b"S").await?;
    Ok(peer)
}
