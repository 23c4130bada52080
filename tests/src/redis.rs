//! A real Redis server, with the users of the tests.

use std::time::Duration;

use backing_services_dev::program::Programs;
pub use backing_services_dev::server::redis::Options;
use backing_services_dev::server::{Account, redis};

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::certified::Certified;
use crate::pki::Authority;

/// The application's user. It may read and write some keys, and do nothing else.
pub const USER: &str = "winkelier";

/// An administrator.
pub const ADMIN: &str = "opperbaas";

/// A server that can be stopped and started again.
pub type Redis = Certified<redis::Redis>;

impl Redis {
    /// A server with a valid certificate.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options = Options::tls(authority.server());
        Self::with(authority, &options)
    }

    /// A server with these options.
    #[must_use]
    pub fn with(authority: Authority, options: &Options) -> Self {
        let user = format!(
            "user {USER} on >{PASSWORD} resetchannels ~greeting ~session:* -@all +@read +@write \
             -@dangerous +ping +hello +acl|whoami\n"
        );
        let options = Options { settings: user + &options.settings, ..options.clone() };
        let administrator = Account::new(ADMIN, ADMIN_PASSWORD);
        let server = redis::Redis::start(&Programs::installed(), administrator, &options).unwrap();
        Self { server, authority }
    }

    /// Starts the server; restarts it if it runs.
    pub fn restart(&mut self) {
        self.server.restart().unwrap();
    }

    /// The locator of the application's user.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("rediss://{USER}@localhost:{}", self.port)
    }

    /// Runs a command as the administrator over the local socket, and returns the answer as text.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> String {
        self.server.command(words).unwrap()
    }

    /// Runs these lines in `redis-cli` as the administrator over the local socket, and returns its
    /// output, also if the server refuses one.
    #[must_use]
    pub fn pipe(&self, lines: &str) -> String {
        self.server.pipe(lines).unwrap_or_else(|error| error.to_string())
    }

    /// The number of connections of the application's user.
    #[must_use]
    pub fn connections(&self) -> usize {
        let user = format!(" user={USER} ");
        self.command(&["CLIENT", "LIST"]).lines().filter(|line| line.contains(&user)).count()
    }

    /// The number of accepted connections since the server was started.
    #[must_use]
    pub fn accepted(&self) -> usize {
        let statistics = self.command(&["INFO", "stats"]);
        let number = statistics
            .lines()
            .find_map(|line| line.strip_prefix("total_connections_received:"))
            .expect("a statistic");
        number.trim().parse().expect("a number")
    }

    /// Waits until the application's user has no connection left.
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
        panic!("connections are left:\n{}", self.command(&["CLIENT", "LIST"]));
    }
}
