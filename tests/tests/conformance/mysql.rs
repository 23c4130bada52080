//! MySQL, by a MariaDB server.

use std::io;

use backing_services_dev::DevError;
use backing_services_dev::conformance::{Setup, Subject, Variables};
use backing_services_tests::canary::{ADMIN_PASSWORD, PASSWORD};
use backing_services_tests::hostile::{Peer, mysql};
use backing_services_tests::mariadb::{ADMIN, DATABASE, MariaDb, Options, USER};
use backing_services_tests::pki::Authority;

pub(crate) struct MySql;

/// An account that logs in with a client certificate besides its password.
const WITH_CERTIFICATE: &str = "met_certificaat";

pub(crate) struct Server {
    server: MariaDb,
    user: &'static str,
}

impl Subject for MySql {
    type Service = backing_services::MySql;
    type Server = Server;

    const PLAINTEXT: &'static [&'static str] = &["opportunistic_tls"];
    const WITHOUT_TLS: &'static str = "`ssl-mode=DISABLED`";

    fn start(setup: Setup) -> Result<Server, DevError> {
        let user = if setup.client_ca.is_some() { WITH_CERTIFICATE } else { USER };
        let Setup { leaf, client_ca, .. } = setup;
        let options = Options { leaf, client_ca, ..Options::default() };
        let server = MariaDb::with(Authority::new("an unused authority"), &options);
        if user == WITH_CERTIFICATE {
            server.script(
                DATABASE,
                &format!(
                    "CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE X509; \
                          GRANT SELECT ON orders TO {user}@'%';"
                ),
            );
        }
        Ok(Server { server, user })
    }

    fn port(server: &Server) -> u16 {
        server.server.port
    }

    fn account(server: &Server) -> Variables {
        let Server { server, user } = server;
        Variables::new(format!("mysql://{user}@localhost:{}/{DATABASE}", server.port))
    }

    fn administrator(server: &Server) -> Option<Variables> {
        let locator = format!("mysql://{ADMIN}@localhost:{}/{DATABASE}", server.server.port);
        Some(Variables::new(locator).with("PASSWORD", ADMIN_PASSWORD))
    }

    async fn work(pool: &sqlx::MySqlPool) -> Result<(), String> {
        let query = sqlx::query_scalar::<_, i64>("SELECT 1").fetch_one(pool);
        query.await.map(drop).map_err(|error| error.to_string())
    }

    async fn before_tls(mut peer: Peer) -> io::Result<Peer> {
        peer.write(mysql::greeting("caching_sha2_password", mysql::CAPABILITIES)).await?;
        peer.read_at_most(36).await?;
        Ok(peer)
    }
}
