//! The variables that share a locator's base name.

use secrecy::ExposeSecret as _;

use crate::load::{Value, ValueReader};
use crate::report::finding::Finding;

/// The variables that share a locator's base name.
#[derive(Default)]
pub(super) struct Companions {
    pub(super) host: Option<Value>,
    pub(super) port: Option<Value>,
    pub(super) database: Option<Value>,
    pub(super) user: Option<Value>,
    pub(super) password: Option<Value>,
    pub(super) ca: Option<Value>,
    pub(super) client_cert: Option<Value>,
    pub(super) client_key: Option<Value>,
    pub(super) pin: Option<Value>,
    pub(super) endpoint: Option<Value>,
}

impl Companions {
    pub(super) fn read(
        reader: &mut ValueReader<'_>,
        base: &str,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut read = |ending: &str| reader.read_companion(base, ending, findings);
        Self {
            host: read("_HOST"),
            port: read("_PORT"),
            database: read("_DATABASE"),
            user: read("_USER"),
            password: read("_PASSWORD"),
            ca: read("_CA"),
            client_cert: read("_CLIENT_CERT"),
            client_key: read("_CLIENT_KEY"),
            pin: read("_PIN"),
            endpoint: read("_ENDPOINT"),
        }
    }

    /// Any one that is set.
    pub(super) fn any(&self) -> Option<&Value> {
        let Self {
            host,
            port,
            database,
            user,
            password,
            ca,
            client_cert,
            client_key,
            pin,
            endpoint,
        } = self;
        [host, port, database, user, password, ca, client_cert, client_key, pin, endpoint]
            .into_iter()
            .flatten()
            .next()
    }

    /// Builds a locator from its parts, for platforms that give those. It is then read like any
    /// other: the grammar refuses a part in the wrong place. Only the database is encoded, because
    /// its name may contain anything.
    pub(super) fn locator(&self, host: &Value, scheme: &str) -> String {
        let host = host.text.expose_secret();
        // An IPv6 address in a variable of its own has no brackets.
        let host = if host.parse::<std::net::Ipv6Addr>().is_ok() {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let port = self
            .port
            .as_ref()
            .map(|port| format!(":{}", port.text.expose_secret()))
            .unwrap_or_default();
        let database = self
            .database
            .as_ref()
            .map(|database| database.text.expose_secret())
            .unwrap_or_default();
        let database =
            percent_encoding::utf8_percent_encode(database, percent_encoding::NON_ALPHANUMERIC);
        format!("{scheme}://{host}{port}/{database}")
    }
}
