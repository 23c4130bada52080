//! An HTTP API.

use std::time::Duration;

use backing_services::Service;
use backing_services_dev::DevError;
use backing_services_dev::conformance::{Case, Exception, Setup, Subject, Variables};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::https::{Https as Api, USER};
use backing_services_tests::pki::Authority;

pub(crate) struct Https;

pub(crate) enum Server {
    Plain(Hostile),
    Tls(Api),
}

impl Subject for Https {
    type Service = backing_services::Https;
    type Server = Server;

    const EXCEPTIONS: &'static [Exception] =
        &[Exception::new(Case::Administrator, "HTTP does not report the account's privileges")];
    // A request that has begun is waited for.
    const CLOSES_WITHIN: Duration = Duration::from_secs(6);
    const LIMITS: &'static str = "connect_timeout=4&response_timeout=4000";

    fn start(setup: Setup) -> Result<Server, DevError> {
        let Some(leaf) = setup.leaf else { return Ok(Server::Plain(plain_http())) };
        let authority = Authority::new("an unused authority");
        let client_ca = setup.client_ca.as_deref();
        Ok(Server::Tls(Api::configured(authority, &leaf, client_ca)))
    }

    fn port(server: &Server) -> u16 {
        match server {
            Server::Plain(server) => server.port,
            Server::Tls(server) => server.port,
        }
    }

    fn account(server: &Server) -> Variables {
        let port = Self::port(server);
        Variables::new(format!("https://localhost:{port}/api?health=/health")).with("USER", USER)
    }

    fn administrator(_: &Server) -> Option<Variables> {
        None
    }

    async fn work(client: &<Self::Service as Service>::Client) -> Result<(), String> {
        let response = client.get("orders").send().await.map_err(|error| error.to_string())?;
        match response.status().as_u16() {
            200 => response.text().await.map(drop).map_err(|error| error.to_string()),
            other => Err(format!("status {other}")),
        }
    }
}

/// A server that answers as HTTP servers without TLS do to a TLS handshake.
pub(crate) fn plain_http() -> Hostile {
    Hostile::start(|mut peer| async {
        peer.read().await?;
        peer.write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await?;
        Ok(Some(peer))
    })
}
