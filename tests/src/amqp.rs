//! A real RabbitMQ server, with the users of the tests.

use backing_services_dev::program::Programs;
use backing_services_dev::server::amqp;

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::certified::Certified;
use crate::pki::Authority;

/// The application's user. It has every permission on objects whose names begin with `orders`, and
/// no other.
pub const USER: &str = "winkelier";

/// A user with every permission.
pub const ADMIN: &str = "opperbaas";

/// A virtual host besides `/`.
pub const HOST: &str = "winkel/noord";

/// A server that can be stopped and started again.
pub type Amqp = Certified<amqp::Amqp>;

impl Amqp {
    /// A server with a valid certificate, to which clients can log in by theirs.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options = amqp::Options {
            leaf: authority.server(),
            client_ca: authority.pem(),
            definitions: definitions(),
        };
        Self { server: amqp::Amqp::start(&Programs::installed(), &options).unwrap(), authority }
    }

    /// Starts the server; restarts it if it runs.
    pub fn restart(&mut self) {
        self.server.restart().unwrap();
    }

    /// The locator of the application's user.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("amqps://{USER}@localhost:{}", self.port)
    }

    /// Runs `rabbitmqctl`, and returns its output.
    #[must_use]
    #[track_caller]
    pub fn control(&self, words: &[&str]) -> String {
        self.server.control(words).unwrap()
    }

    /// Runs these lines in a shell with `rabbitmqctl` on its path.
    #[must_use]
    #[track_caller]
    pub fn shell(&self, lines: &str) -> String {
        self.server.shell(lines).unwrap()
    }

    /// The number of connections of a user.
    #[must_use]
    pub fn connections_of(&self, user: &str) -> usize {
        self.control(&["list_connections", "user"])
            .lines()
            .filter(|line| line.trim() == user)
            .count()
    }

    /// Waits until a user has no connection left.
    ///
    /// # Panics
    /// If one is left after some attempts.
    pub fn assert_no_connection_of(&self, user: &str) {
        for _ in 0..5 {
            if self.connections_of(user) == 0 {
                return;
            }
        }
        panic!("connections of {user} are left");
    }
}

fn definitions() -> String {
    let user = |name: &str, password: &str| {
        format!(r#"{{"name": "{name}", "password": "{password}", "tags": ""}}"#)
    };
    let permission = |user: &str, host: &str, configure: &str, write: &str, read: &str| {
        format!(
            r#"{{"user": "{user}", "vhost": "{host}", "configure": "{configure}",
                "write": "{write}", "read": "{read}"}}"#
        )
    };
    let users = [
        user(USER, PASSWORD),
        user(ADMIN, ADMIN_PASSWORD),
        user("schrijver", PASSWORD),
        user("lezer", PASSWORD),
        user("beheerder", PASSWORD),
        user("nergens", PASSWORD),
        user("met_certificaat", PASSWORD),
        user("vertrekker", PASSWORD),
    ];
    let permissions = [
        permission(USER, "/", "^orders", "^orders|^amq.default$", "^orders"),
        permission(USER, HOST, "^orders", "^orders", "^orders"),
        permission(ADMIN, "/", ".*", ".*", ".*"),
        permission("schrijver", "/", "^orders", ".*", "^orders"),
        permission("lezer", "/", "^orders", "^orders", ".*"),
        permission("beheerder", "/", ".*", "^orders", "^orders"),
        permission("vertrekker", "/", "^orders", "^orders", "^orders"),
        permission("met_certificaat", "/", "^orders", "^orders", "^orders"),
    ];
    format!(
        r#"{{"vhosts": [{{"name": "/"}}, {{"name": "{HOST}"}}],
            "users": [{}], "permissions": [{}]}}"#,
        users.join(", "),
        permissions.join(", ")
    )
}
