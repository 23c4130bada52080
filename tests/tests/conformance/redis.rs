//! Redis.

use ::redis::AsyncCommands as _;
use backing_services::Service;
use backing_services_dev::DevError;
use backing_services_dev::conformance::{Setup, Subject, Variables};
use backing_services_tests::canary::ADMIN_PASSWORD;
use backing_services_tests::pki::Authority;
use backing_services_tests::redis::{ADMIN, Options, Redis as Server};

pub(crate) struct Redis;

impl Subject for Redis {
    type Service = backing_services::Redis;
    type Server = Server;

    // It reads the handshake as an incomplete command, and waits for the rest.
    const PLAINTEXT: &'static [&'static str] = &["timed_out"];

    fn start(setup: Setup) -> Result<Server, DevError> {
        let mut options = setup.leaf.map_or_else(Options::plaintext, Options::tls);
        options.client_ca = setup.client_ca;
        Ok(Server::with(Authority::new("an unused authority"), &options))
    }

    fn port(server: &Server) -> u16 {
        server.port
    }

    fn account(server: &Server) -> Variables {
        Variables::new(server.locator())
    }

    fn administrator(server: &Server) -> Option<Variables> {
        let locator = format!("rediss://{ADMIN}@localhost:{}", server.port);
        Some(Variables::new(locator).with("PASSWORD", ADMIN_PASSWORD))
    }

    async fn work(client: &<Self::Service as Service>::Client) -> Result<(), String> {
        let answer = client.clone().get::<_, Option<String>>("session:1").await;
        answer.map(drop).map_err(|error| error.to_string())
    }
}
