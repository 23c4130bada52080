//! The variables that share a locator's base name.

use backing_services_rules::rule::MALFORMED_VALUE;
use secrecy::ExposeSecret as _;

use crate::load::{Value, ValueReader};
use crate::locator::hosts::MOST_HOSTS;
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
    ///
    /// If the service takes several hosts, both host and port may be lists.
    pub(super) fn locator(
        &self,
        host: &Value,
        scheme: &str,
        several_hosts: bool,
    ) -> Result<String, Finding> {
        let port = self.port.as_ref().map(|port| port.text.expose_secret());
        let host_text = host.text.expose_secret();
        let hosts = if several_hosts {
            hosts_and_ports(host_text, port).ok_or_else(|| self.other_count(host))?
        } else {
            host_and_port(host_text, port)
        };
        let database = self
            .database
            .as_ref()
            .map(|database| database.text.expose_secret())
            .unwrap_or_default();
        let database =
            percent_encoding::utf8_percent_encode(database, percent_encoding::NON_ALPHANUMERIC);
        Ok(format!("{scheme}://{hosts}/{database}"))
    }

    /// The finding about a list of ports that is not as long as the list of hosts.
    fn other_count(&self, host: &Value) -> Finding {
        let port = self.port.as_ref().map_or("_PORT", |port| &*port.variable);
        let message = format!("`{port}` and `{}` do not list as many values", host.variable);
        Finding::new(&MALFORMED_VALUE, message)
            .with_variable(port)
            .with_help("write one port for all hosts, or one for each of them")
    }
}

/// The list of a locator, from the list of the hosts and the list of the ports. One port is the
/// port of all hosts. `None` if there are several ports, and not as many as hosts.
fn hosts_and_ports(hosts: &str, ports: Option<&str>) -> Option<String> {
    let hosts: Vec<_> = hosts.split(',').collect();
    let ports: Vec<_> = ports.into_iter().flat_map(|ports| ports.split(',')).collect();
    // The parser refuses so many hosts. Their ports do not matter, and could be long.
    if hosts.len() > MOST_HOSTS {
        return Some(hosts.join(","));
    }
    let port = |index: usize| match ports.as_slice() {
        [] => Some(None),
        [port] => Some(Some(*port)),
        ports if ports.len() == hosts.len() => Some(Some(ports[index])),
        _ => None,
    };
    let listed = hosts.iter().enumerate().map(|(index, host)| {
        // An empty entry stays empty: the parser reports it.
        if host.is_empty() { Some(String::new()) } else { Some(host_and_port(host, port(index)?)) }
    });
    Some(listed.collect::<Option<Vec<_>>>()?.join(","))
}

fn host_and_port(host: &str, port: Option<&str>) -> String {
    // An IPv6 address in a variable of its own has no brackets.
    let host = if host.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}
