//! AMQP, by one RabbitMQ server, because it takes ten seconds to start.

use std::sync::LazyLock;

use backing_services::Service;
use backing_services_dev::DevError;
use backing_services_dev::conformance::{Setup, Subject, Variables};
use backing_services_tests::amqp::{ADMIN, Amqp as Server, USER};
use backing_services_tests::canary::ADMIN_PASSWORD;
use backing_services_tests::hostile::Hostile;

use crate::front::front;

pub(crate) struct Amqp;

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

pub(crate) enum Port {
    Plain,
    Front(Hostile),
}

impl Subject for Amqp {
    type Service = backing_services::Amqp;
    type Server = Port;

    fn start(setup: Setup) -> Result<Port, DevError> {
        Ok(match setup.leaf {
            None => Port::Plain,
            Some(_) => Port::Front(front(&setup, SERVER.plain_port)),
        })
    }

    fn port(server: &Port) -> u16 {
        match server {
            Port::Plain => SERVER.plain_port,
            Port::Front(front) => front.port,
        }
    }

    fn account(server: &Port) -> Variables {
        Variables::new(format!("amqps://{USER}@localhost:{}", Self::port(server)))
    }

    fn administrator(server: &Port) -> Option<Variables> {
        let locator = format!("amqps://{ADMIN}@localhost:{}", Self::port(server));
        Some(Variables::new(locator).with("PASSWORD", ADMIN_PASSWORD))
    }

    async fn work(client: &<Self::Service as Service>::Client) -> Result<(), String> {
        let channel = client.create_channel().await.map_err(|error| error.to_string())?;
        channel.close(200, "".into()).await.map_err(|error| error.to_string())
    }
}
