//! Servers in containers, for a developer's machine. `template compose` of the command line writes
//! them into a compose file.

use std::fmt;

use backing_services_runtime::grants::Grants;

mod amqp;
mod mysql;
pub(crate) mod nats;
mod postgres;
mod redis;

/// A container that runs a service's server for one resource. It accepts TLS only, and has the
/// account of the field's [`Grants`] and no other account for the program.
///
/// It contains no secret. The secrets are generated on the developer's machine before the container
/// starts, by the service `prepare` of the same compose file. They are in [`Container::FOLDER`]:
///
/// - `ca.pem`: the certificate of a private authority
/// - `certificate.pem`, `key.pem`: a certificate of that authority for the server (its name in the
///   compose file, `localhost` and 127.0.0.1), and its key
/// - `password`: the account's password: 48 hexadecimal digits, and a line end
/// - `admin-password`: an administrator's password in the same form, if there is one
///   ([`Container::with_administrator`])
///
/// Only the container's user ([`Container::with_user`]) can read these files. The container has no
/// capabilities and cannot gain privileges. Steps that its image runs as root have to work without
/// them.
///
/// ```
/// use backing_services::grants::Grants;
/// use backing_services_dev::{Container, Containers};
///
/// fn container(grants: &Grants) -> Option<Container> {
///     let folder = Container::FOLDER;
///     // `printf` is a shell builtin: its arguments appear in no list of processes.
///     let start = format!(
///         "printf '%s:%s\\n' '{}' \"$(cat {folder}/password)\" >/tmp/accounts\n\
///          exec gopherd --tls-only --accounts /tmp/accounts \
///          --cert {folder}/certificate.pem --key {folder}/key.pem\n",
///         grants.account()
///     );
///     Some(
///         Container::new("gopherd:3", 7070)
///             .with_user(999, 999)
///             .with_file("/etc/gopherd/start.sh", start)
///             .with_command(["sh", "/etc/gopherd/start.sh"])
///             .with_health(["CMD", "gopherd", "--ping"]),
///     )
/// }
///
/// let containers = Containers::new().with_container("Gopher", container);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Container {
    /// The image, with its tag.
    pub image: String,
    /// The port on which the server listens, in the container.
    pub port: u16,
    /// The numbers of its user and group.
    pub user: (u32, u32),
    /// The command for the image's entrypoint; empty for the image's own command.
    pub command: Vec<String>,
    /// Its environment variables.
    pub environment: Vec<(String, String)>,
    /// Its files, by absolute path, with their contents. Every user in the container can read them,
    /// and none can execute them.
    pub files: Vec<(String, String)>,
    /// The health check for the server and the account: Compose's `test`.
    pub health: Vec<String>,
    /// The folder of its data, which survives the container.
    pub data: Option<String>,
    /// The locator's path: the name of the database to create. Empty for none.
    pub path: String,
    /// True if it needs an administrator's password.
    pub has_administrator: bool,
    /// The command that grants again, in the running container, the privileges on objects that did
    /// not exist at the first start.
    pub regrant_command: Option<String>,
}

impl Container {
    /// The folder in which a container finds its generated files.
    pub const FOLDER: &'static str = "/run/backing-services";

    /// A container that runs an image's own command as root, and listens on this port.
    #[must_use]
    pub fn new(image: impl Into<String>, port: u16) -> Self {
        Self {
            image: image.into(),
            port,
            user: (0, 0),
            command: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
            health: Vec::new(),
            data: None,
            path: String::new(),
            has_administrator: false,
            regrant_command: None,
        }
    }

    /// Sets the user and the group that it runs as. They own the image's own files.
    #[must_use]
    pub const fn with_user(mut self, user: u32, group: u32) -> Self {
        self.user = (user, group);
        self
    }

    /// Sets the command for the image's entrypoint.
    #[must_use]
    pub fn with_command(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Adds a file: its absolute path and its content.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<String>, content: impl Into<String>) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// Sets the health check for the server and the account: `CMD` and a command, or `CMD-SHELL`
    /// and a line for a shell.
    #[must_use]
    pub fn with_health(mut self, test: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.health = test.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the folder of its data. If the image contains that folder, it belongs to the
    /// container's user there.
    #[must_use]
    pub fn with_data(mut self, folder: impl Into<String>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Sets the path of its locator.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Requires an administrator's password.
    #[must_use]
    pub const fn with_administrator(mut self) -> Self {
        self.has_administrator = true;
        self
    }

    /// Sets the command that grants, in the running container, the privileges on objects that did
    /// not exist before.
    #[must_use]
    pub fn with_regrant_command(mut self, command: impl Into<String>) -> Self {
        self.regrant_command = Some(command.into());
        self
    }
}

/// The container of one service's server: it has the account of these grants, and no other account
/// for the program. If a field has no `needs`, the grants are empty: the account can log in and has
/// no other privilege. `None` if there is no server for these grants.
pub type MakeContainer = fn(&Grants) -> Option<Container>;

/// The containers of the services, by the service's name.
///
/// The default has those of PostgreSQL, MySQL (MariaDB), Redis (Valkey), NATS and AMQP (RabbitMQ).
#[derive(Clone)]
pub struct Containers {
    /// The first of a name counts.
    table: Vec<(&'static str, MakeContainer)>,
}

impl Default for Containers {
    fn default() -> Self {
        Self::new()
    }
}

impl Containers {
    /// The containers of the services that this crate knows.
    #[must_use]
    pub fn new() -> Self {
        let table: [(_, MakeContainer); 5] = [
            ("AMQP", amqp::container),
            ("MySQL", mysql::container),
            ("NATS", nats::container),
            ("PostgreSQL", postgres::container),
            ("Redis", redis::container),
        ];
        Self { table: table.into() }
    }

    /// Adds the container of a service, by the service's name (`Service::NAME`). It takes the place
    /// of a container that is there under that name.
    #[must_use]
    pub fn with_container(mut self, service: &'static str, container: MakeContainer) -> Self {
        self.table.insert(0, (service, container));
        self
    }

    /// The container for these grants. `None` if the service has none.
    #[must_use]
    pub fn container(&self, grants: &Grants) -> Option<Container> {
        let mut of_service = self.table.iter().filter(|(name, _)| *name == grants.service());
        let (_, container) = of_service.next()?;
        container(grants)
    }
}

impl fmt::Debug for Containers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.table.iter().map(|(name, _)| name)).finish()
    }
}
