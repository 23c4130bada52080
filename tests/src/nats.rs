//! A real NATS server, with JetStream and the users of the tests.

use std::time::Duration;

use backing_services_dev::server::nats;

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::certified::Certified;
use crate::pki::{Authority, Leaf};
use crate::process;

/// The application's user. It may use its own subjects and JetStream, and nothing else.
pub const USER: &str = "winkelier";

/// A user without configured permissions, which means every permission.
pub const ADMIN: &str = "opperbaas";

/// The seed of a user's nkey, and its public key.
pub const NKEY: (&str, &str) = (
    "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY",
    "UAMMBNV2EYR65NYZZ7IAK5SIR5ODNTTERJOBOF4KJLMWI45YOXOSWULM",
);

/// The seed of another user, which no server knows.
pub const STRANGER: &str = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ";

/// The permissions of the application.
const PERMISSIONS: &str = concat!(
    r#"{ publish: ["orders.>", "$JS.API.STREAM.>", "$JS.API.CONSUMER.>", "$JS.ACK.>", "_INBOX.>"]"#,
    r#", subscribe: ["_INBOX.>", "orders.>"] }"#
);

/// The options of a server.
#[derive(Debug)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it requires.
    pub client_ca: Option<String>,
    /// True if the client certificate is the login.
    pub maps_certificates: bool,
    /// The block `authorization`. If it is empty, every client is admitted.
    pub authorization: String,
}

impl Options {
    /// TLS with a certificate, and the users of the tests.
    #[must_use]
    pub fn tls(leaf: Leaf) -> Self {
        Self {
            leaf: Some(leaf),
            client_ca: None,
            maps_certificates: true,
            authorization: users(PASSWORD),
        }
    }

    /// No TLS at all.
    #[must_use]
    pub fn plaintext() -> Self {
        Self {
            leaf: None,
            client_ca: None,
            maps_certificates: true,
            authorization: users(PASSWORD),
        }
    }
}

/// The users of the tests. Most of them have this password.
#[must_use]
pub fn users(password: &str) -> String {
    let public = NKEY.1;
    format!(
        r#"authorization {{ timeout: 5, users = [
            {{ user: {USER}, password: "{password}", permissions: {PERMISSIONS} }}
            {{ user: {ADMIN}, password: "{ADMIN_PASSWORD}" }}
            {{ user: luisteraar, password: "{password}", permissions: {{ publish: ["orders.>"] }} }}
            {{ user: roeper, password: "{password}", permissions: {{ subscribe: ["_INBOX.>"] }} }}
            {{ user: vrager, password: "{password}", permissions: {{
                publish: ["$SYS.REQ.USER.INFO"], subscribe: ["_INBOX_eigen.>"] }} }}
            {{ nkey: {public}, permissions: {PERMISSIONS} }}
        ] }}"#
    )
}

/// The same users, but the application may also write to key-value buckets.
#[must_use]
pub fn users_of_buckets(password: &str) -> String {
    users(password).replace("\"$JS.ACK.>\"", "\"$JS.ACK.>\", \"$JS.FC.>\", \"$KV.>\"")
}

/// A server that can be stopped and started again.
pub type Nats = Certified<nats::Nats>;

impl Nats {
    /// A server with a valid certificate.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options = Options::tls(authority.server());
        Self::with(authority, options)
    }

    /// A server with these options.
    #[must_use]
    pub fn with(authority: Authority, options: Options) -> Self {
        let Options { leaf, client_ca, maps_certificates, authorization } = options;
        let options = nats::Options {
            leaf,
            client_ca,
            maps_certificates,
            authorization,
            variables: Vec::new(),
        };
        Self { server: nats::Nats::start(&process::programs(), options).unwrap(), authority }
    }

    /// Changes the authorization from the next start on.
    pub fn authorize(&mut self, authorization: String) {
        self.server.options().authorization = authorization;
    }

    /// Starts the server; restarts it if it runs.
    pub fn restart(&mut self) {
        self.server.restart().unwrap();
    }

    /// The locator of the application's user.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("tls://{USER}@localhost:{}", self.port)
    }

    /// The number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.number("\"connections\":")
    }

    /// The number of connections since the server was started.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.number("\"total_connections\":")
    }

    fn number(&self, name: &str) -> usize {
        let answer = self.server.monitored("/varz").expect("the server's monitoring");
        let rest = answer.split_once(name).expect("a number").1.trim_start();
        rest.split(|c: char| !c.is_ascii_digit())
            .next()
            .expect("a number")
            .parse()
            .expect("a number")
    }

    /// Waits until no connection is left.
    ///
    /// # Panics
    /// If one is left after some seconds.
    pub async fn assert_no_connection(&self) {
        for _ in 0..100 {
            if self.connections() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("connections are left:\n{}", self.server.monitored("/connz").unwrap_or_default());
    }
}
