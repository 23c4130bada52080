//! A real mail relay, with the account of the tests. It delivers all mail to one file.

use std::fs;

use backing_services_dev::program::Programs;
use backing_services_dev::server::{Account, smtp};

use crate::canary::PASSWORD;
use crate::certified::Certified;
use crate::pki::{Authority, Leaf};

/// The application's account.
pub const USER: &str = "winkelier";

/// The refusals of the server, besides mail of strangers.
const ACL: &str = "  defer senders = later@post.example\n  deny senders = never@post.example\n  \
                   deny message = kanarie: relay not permitted\n       !authenticated = *\n";

/// A server that can be stopped and started again.
pub type Smtp = Certified<smtp::Smtp>;

impl Smtp {
    /// A server with a valid certificate.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let leaf = authority.server();
        Self::with(authority, Some(&leaf))
    }

    /// A server that requests a client certificate of its own authority, and continues without one.
    #[must_use]
    pub fn asking_for_certificates() -> Self {
        let authority = Authority::new("the tests' authority");
        let leaf = authority.server();
        let client_ca = Some(authority.pem());
        Self::configured(authority, Some(&leaf), client_ca)
    }

    /// A server with this certificate. `None` is a server without TLS.
    #[must_use]
    pub fn with(authority: Authority, leaf: Option<&Leaf>) -> Self {
        Self::configured(authority, leaf, None)
    }

    fn configured(authority: Authority, leaf: Option<&Leaf>, client_ca: Option<String>) -> Self {
        let options = smtp::Options {
            leaf: leaf.cloned(),
            client_ca,
            accounts: vec![Account::new(USER, PASSWORD)],
            acl: ACL.to_owned(),
        };
        Self { server: smtp::Smtp::start(&Programs::installed(), &options).unwrap(), authority }
    }

    /// Starts the server; restarts it if it runs.
    pub fn restart(&mut self) {
        self.server.restart().unwrap();
    }

    /// The locator of the application's account.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("smtps://{USER}@localhost:{}", self.port)
    }

    /// Waits until a text is in a delivered mail.
    ///
    /// # Panics
    /// With the server's log, if that does not happen within some seconds.
    pub async fn assert_delivered(&self, text: &str) {
        for _ in 0..200 {
            if self.mail().contains(text) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{text} was not delivered:\n{}", self.log());
    }

    /// The number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        let own = format!(":{:04X} ", self.port);
        let table = fs::read_to_string("/proc/net/tcp").expect("the table of connections");
        // Column 2 is the local address, column 3 the remote one, and column 4 the state: 01 is an
        // established connection.
        table
            .lines()
            .filter(|line| {
                line.split_once(' ')
                    .is_some_and(|(_, rest)| rest.contains(&own) && is_established(rest, &own))
            })
            .count()
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
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("connections are left:\n{}", self.log());
    }
}

/// True if a line of `/proc/net/tcp` is an established connection whose local port is ours.
fn is_established(line: &str, own: &str) -> bool {
    let mut columns =
        line.split_whitespace().skip_while(|column| !column.contains(':') || column.ends_with(':'));
    let (local, _, state) = (columns.next(), columns.next(), columns.next());
    local.is_some_and(|local| format!("{local} ").ends_with(own)) && state == Some("01")
}
