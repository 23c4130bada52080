//! NATS.

use std::io;

use backing_services::Service;
use backing_services_dev::DevError;
use backing_services_dev::conformance::{Setup, Subject, Variables};
use backing_services_tests::canary::{ADMIN_PASSWORD, PASSWORD};
use backing_services_tests::hostile::Peer;
use backing_services_tests::nats::{ADMIN, Nats as Server, Options, users};
use backing_services_tests::pki::Authority;

pub(crate) struct Nats;

impl Subject for Nats {
    type Service = backing_services::Nats;
    type Server = Server;

    const PLAINTEXT: &'static [&'static str] = &["opportunistic_tls"];

    fn start(setup: Setup) -> Result<Server, DevError> {
        let Setup { leaf, client_ca, .. } = setup;
        let authorization = users(PASSWORD);
        let options = Options { leaf, client_ca, maps_certificates: false, authorization };
        Ok(Server::with(Authority::new("an unused authority"), options))
    }

    fn port(server: &Server) -> u16 {
        server.port
    }

    fn account(server: &Server) -> Variables {
        Variables::new(server.locator())
    }

    fn administrator(server: &Server) -> Option<Variables> {
        let locator = format!("tls://{ADMIN}@localhost:{}", server.port);
        Some(Variables::new(locator).with("PASSWORD", ADMIN_PASSWORD))
    }

    async fn work(client: &<Self::Service as Service>::Client) -> Result<(), String> {
        let answer = client.request("$JS.API.STREAM.NAMES", "".into()).await;
        answer.map(drop).map_err(|error| error.to_string())
    }

    async fn before_tls(mut peer: Peer) -> io::Result<Peer> {
        let info = "{\"server_id\":\"x\",\"version\":\"2.9.10\",\"max_payload\":1048576,\
                    \"tls_required\":true,\"tls_verify\":true,\"auth_required\":true}";
        peer.write(format!("INFO {info}\r\n")).await?;
        Ok(peer)
    }
}
