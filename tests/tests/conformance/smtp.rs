//! SMTP, by Exim.

use backing_services::Service;
use backing_services_dev::DevError;
use backing_services_dev::conformance::{Case, Exception, Setup, Subject, Variables};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::Authority;
use backing_services_tests::smtp::{Smtp as Relay, USER};
use lettre::{AsyncTransport as _, Message};

use crate::front::front;

pub(crate) struct Smtp;

/// A server. With client certificates, TLS is before it: Exim alone continues without one.
pub(crate) struct Server {
    server: Relay,
    front: Option<Hostile>,
}

impl Subject for Smtp {
    type Service = backing_services::Smtp;
    type Server = Server;

    const EXCEPTIONS: &'static [Exception] = &[Exception::new(
        Case::Administrator,
        "SMTP reports neither the account's privileges nor the server's product",
    )];

    fn start(setup: Setup) -> Result<Server, DevError> {
        let unused = Authority::new("an unused authority");
        Ok(if setup.client_ca.is_some() {
            let server = Relay::with(unused, None);
            let front = Some(front(&setup, server.port));
            Server { server, front }
        } else {
            Server { server: Relay::with(unused, setup.leaf.as_ref()), front: None }
        })
    }

    fn port(server: &Server) -> u16 {
        server.front.as_ref().map_or(server.server.port, |front| front.port)
    }

    fn account(server: &Server) -> Variables {
        Variables::new(format!("smtps://{USER}@localhost:{}", Self::port(server)))
    }

    fn administrator(_: &Server) -> Option<Variables> {
        None
    }

    async fn work(client: &<Self::Service as Service>::Client) -> Result<(), String> {
        let message = Message::builder()
            .from("shop@shop.example".parse().unwrap())
            .to("customer@post.example".parse().unwrap())
            .subject("conformance")
            .body("Your order was sent.".to_owned())
            .unwrap();
        client.send(message).await.map(drop).map_err(|error| error.to_string())
    }
}
