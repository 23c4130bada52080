//! The parts of a service that the suite cannot know.

use std::fmt;
use std::io;
use std::time::Duration;

use backing_services_runtime::Service;
use backing_services_runtime::resource::ClientGuard;
use url::Url;

use crate::DevError;
use crate::authority::Leaf;
use crate::conformance::canary;
use crate::conformance::case::Case;
use crate::conformance::hostile::Peer;

/// A service that the suite examines.
pub trait Subject: Send + Sync + 'static {
    /// The service. Its client is `Clone`, since a program may keep one.
    type Service: Service<Client: Clone, Guard: From<ClientGuard<Self::Service>> + Send + Sync>;

    /// A server, which stops when it is dropped.
    type Server: Send + Sync + 'static;

    /// The cases that do not apply, each with the reason. It is printed below the table, and
    /// belongs into the documentation of the service too.
    const EXCEPTIONS: &'static [Exception] = &[];

    /// The rules of which one is violated by a server that speaks no TLS.
    const PLAINTEXT: &'static [&'static str] = &["obsolete_tls"];

    /// The locator's form without TLS, as the help of that refusal names it. It is accepted for a
    /// server on this machine, by a debug build.
    const WITHOUT_TLS: &'static str = "the scheme without TLS";

    /// The number of connections that an attempt may open at once, before any of them is verified.
    /// If the server is refused, there is no other.
    const DIALS: usize = 1;

    /// The time that closing may take while a connection is being opened, if the server has fallen
    /// silent. The default is for a service that ends the opening. A driver whose opening cannot be
    /// ended waits for it: then it is the limit of [`Subject::LIMITS`] and a moment.
    const CLOSES_WITHIN: Duration = Duration::from_secs(1);

    /// Parameters of the locator that limit the time of a call to [`PATIENCE`].
    const LIMITS: &'static str = "connect_timeout=4";

    /// Starts a server with an account that has the password
    /// [`PASSWORD`](crate::conformance::canary::PASSWORD), and few privileges.
    ///
    /// # Errors
    /// If it does not start.
    fn start(setup: Setup) -> Result<Self::Server, DevError>;

    /// The port of the loopback interface that the server listens on. It is part of the values of
    /// [`Subject::account`].
    fn port(server: &Self::Server) -> u16;

    /// The variables of the account, without `_CA`.
    fn account(server: &Self::Server) -> Variables;

    /// The variables of an administrator. `None` if an exception has the
    /// reason.
    fn administrator(server: &Self::Server) -> Option<Variables>;

    /// A call that uses a connection, and needs an answer of the server.
    ///
    /// # Errors
    /// If the server has not answered as it should: a text about the failure, without any text of
    /// the server.
    fn work(
        client: &<Self::Service as Service>::Client,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// The messages before TLS, as a server sends and reads them. The default is a service that
    /// begins with TLS.
    ///
    /// # Errors
    /// If the connection ends.
    fn before_tls(peer: Peer) -> impl Future<Output = io::Result<Peer>> + Send {
        std::future::ready(Ok(peer))
    }
}

/// The time of a call that opens a connection to a silent server, in the cases about closing.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// A case that does not apply to a service.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    pub(crate) case: Case,
    pub(crate) reason: &'static str,
}

impl Exception {
    /// A case and the reason why it does not apply, as a sentence without a full stop.
    #[must_use]
    pub const fn new(case: Case, reason: &'static str) -> Self {
        Self { case, reason }
    }
}

/// The options of a server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Setup {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it requires of every client, in PEM. The
    /// account logs in with its password besides, if the service has one.
    pub client_ca: Option<String>,
}

/// The variables of a resource: the end of each name (`URL`, `PASSWORD`), and its value.
#[derive(Clone)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// The variables of an account with this locator, and the password of the suite.
    #[must_use]
    pub fn new(locator: impl Into<String>) -> Self {
        Self(Vec::new()).with("URL", locator).with("PASSWORD", canary::PASSWORD)
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<String>) -> Self {
        let mut variables = self.without(name);
        variables.0.push((name.to_owned(), value.into()));
        variables
    }

    /// Removes a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// Leads to another port.
    pub(crate) fn at(mut self, from: u16, to: u16) -> Self {
        for (_, value) in &mut self.0 {
            *value = value.replace(&format!(":{from}"), &format!(":{to}"));
        }
        self
    }

    /// Leads to the same host by its address.
    pub(crate) fn by_address(mut self) -> Self {
        for (_, value) in &mut self.0 {
            *value = value.replace("localhost", "127.0.0.1");
        }
        self
    }

    /// Adds parameters to the locator.
    pub(crate) fn with_parameters(self, parameters: &str) -> Self {
        if parameters.is_empty() {
            return self;
        }
        let locator = self.get("URL").unwrap_or_default();
        let sign = if locator.contains('?') { '&' } else { '?' };
        let locator = format!("{locator}{sign}{parameters}");
        self.with("URL", locator)
    }

    /// Fails if the bytes that were sent before TLS have the password, the user or the database.
    #[track_caller]
    pub(crate) fn assert_none_in(&self, plain: &[u8]) {
        assert!(canary::find(plain).is_none(), "it was sent the password");
        let url = Url::parse(self.get("URL").expect("a locator")).expect("a locator");
        let user = self.get("USER").unwrap_or(url.username());
        for name in [user, url.path().trim_start_matches('/')] {
            let sent = !name.is_empty() && canary::position(plain, name.as_bytes()).is_some();
            assert!(!sent, "it was sent {name}");
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The names alone: the values are secrets.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_before_tls_is_found() {
        let by_locator = Variables::new("postgres://winkelier@localhost:5432/magazijn");
        let by_variable = Variables::new("https://localhost/magazijn").with("USER", "winkelier");
        for variables in [by_locator, by_variable] {
            variables.assert_none_in(b"\x16\x03\x01 localhost");
            for name in ["winkelier", "magazijn", canary::PASSWORD] {
                let plain = format!("\0user\0{name}\0");
                let found = std::panic::catch_unwind(|| variables.assert_none_in(plain.as_bytes()));
                assert!(found.is_err(), "{name}");
            }
        }
    }
}
