//! The servers of a compose file: their names and addresses.

use std::collections::HashSet;
use std::fmt::Write as _;

use backing_services_dev::{Container, Containers};
use backing_services_runtime::manifest::Role;
use minijinja::{Value, context};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::template::deploy::{Deploy, Item};

/// The characters that stay unescaped in the path of a locator (RFC 3986, 2.3).
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name of the service that makes the secrets. It depends on no other service.
const SCRIPT: &str = include_str!("prepare.sh");

/// The servers of a compose file.
pub(super) struct Compose<'a> {
    /// Each field, with its server.
    fields: Vec<(&'a Item, Option<Server>)>,
    /// The name of the service that makes the secrets.
    prepare: String,
    /// The name of the program's own service.
    itself: String,
}

/// A server in its own container.
pub(super) struct Server {
    /// The name of its service, which is its name in the network.
    name: String,
    scheme: &'static str,
    account: String,
    /// Its address on the machine.
    host_port: u16,
    container: Container,
}

impl<'a> Compose<'a> {
    pub(super) fn of(deploy: &'a Deploy, containers: &Containers) -> Self {
        let (mut names, mut ports) = (HashSet::new(), HashSet::new());
        let mut named = |wanted: &str| {
            let mut name = wanted.to_owned();
            while !names.insert(name.clone()) {
                name.push_str("-server");
            }
            name
        };
        let (prepare, itself) = (named("prepare"), named(&deploy.name));
        // The names that the folder already uses, besides those of the servers.
        for taken in ["env", "program"] {
            let _ = named(taken);
        }
        let mut fields = Vec::new();
        for field in &deploy.fields {
            let server = field.container(containers).map(|(container, scheme)| {
                let mut host_port = container.port;
                while !ports.insert(host_port) {
                    host_port = host_port.checked_add(1).unwrap_or(1024);
                }
                Server {
                    name: named(field.id()),
                    scheme,
                    account: field.account().to_owned(),
                    host_port,
                    container,
                }
            });
            fields.push((field, server));
        }
        Self { fields, prepare, itself }
    }

    pub(super) fn fields(&self) -> Vec<Value> {
        self.fields.iter().map(|(field, server)| field.context(server.as_ref())).collect()
    }

    /// The values that only the compose template needs.
    pub(super) fn context(&self, env: &str) -> Value {
        let mut listed = String::new();
        for (field, server) in &self.fields {
            let Some(Server { name, container, .. }) = server else { continue };
            let (user, group) = container.user;
            let administrator = if container.has_administrator { "yes" } else { "no" };
            // Writing to a `String` cannot fail.
            let _ = writeln!(listed, "{name} {user}:{group} {} {administrator}", field.base());
        }
        let servers = || self.fields.iter().filter_map(|(_, server)| server.as_ref());
        let volumes: Vec<_> = servers()
            .filter(|server| server.container.data.is_some())
            .map(|server| server.name.clone())
            .collect();
        let awaited: Vec<_> = servers()
            .map(|server| {
                let condition = if server.container.health.is_empty() {
                    "service_started"
                } else {
                    "service_healthy"
                };
                context! { name => server.name.as_str(), condition => condition }
            })
            .collect();
        context! {
            prepare => self.prepare.as_str(),
            itself => self.itself.as_str(),
            folder => Container::FOLDER,
            servers => awaited,
            volumes => volumes,
            script => SCRIPT,
            listed => listed,
            env => env,
        }
    }
}

impl Server {
    /// The value of a variable: on the machine, and for a program in the same network.
    pub(super) fn text(&self, role: Role) -> Option<(String, String)> {
        let path = utf8_percent_encode(&self.container.path, &UNRESERVED);
        let slash = if self.container.path.is_empty() { "" } else { "/" };
        let locator =
            |host: &str, port: u16| format!("{}://{host}:{port}{slash}{path}", self.scheme);
        let same = |text: &str| (text.to_owned(), text.to_owned());
        match role {
            Role::Locator => Some((
                locator("localhost", self.host_port),
                locator(&self.name, self.container.port),
            )),
            Role::User => Some(same(&self.account)),
            // `prepare` makes both, and writes them to their places.
            Role::Password => Some(same("__PASSWORD__")),
            Role::Authority => Some(same("__FOLDER__/ca.pem")),
            _ => None,
        }
    }

    pub(super) fn context(&self) -> Value {
        let Container {
            image,
            port,
            user: (user, group),
            command,
            environment,
            files,
            health,
            data,
            regrant_command: again,
            ..
        } = &self.container;
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| context! { name, value }).collect();
        let files: Vec<_> = files
            .iter()
            .enumerate()
            .map(|(index, (path, content))| {
                context! { name => format!("{}.{}", self.name, index + 1), path, content }
            })
            .collect();
        context! {
            name => self.name.as_str(),
            host_port => self.host_port,
            user => format!("{user}:{group}"),
            image, port, command, environment, files, health, data, again,
        }
    }
}
