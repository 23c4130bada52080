//! A service's server for a developer's own machine, as `template compose` (feature `cli`) writes it into a compose file.

/// A container that runs a service's server, for one resource: with TLS only, and with the account of its [`Grants`](crate::Grants) and no other one for the program.
///
/// It holds no secret. What is secret is made on the machine before the container starts, by the service `prepare` of the same file, and is in [`Container::FOLDER`]:
///
/// | file | holds |
/// |---|---|
/// | `ca.pem` | the certificate of a private authority |
/// | `certificate.pem`, `key.pem` | a certificate of that authority for the server (its name in the file, `localhost` and 127.0.0.1), and its key |
/// | `password` | the account's password: 48 hexadecimal digits, and a line end |
/// | `admin-password` | an administrator's, likewise, where there is to be one ([`Container::with_administrator`]) |
///
/// They can be read by the container's user ([`Container::with_user`]) alone. The container has no capabilities and gains no privileges: what its image does as root, it has to do without.
///
/// ```
/// use backing_services::{Container, Grants};
///
/// fn container(grants: &Grants) -> Option<Container> {
///     let folder = Container::FOLDER;
///     // A shell's `printf` is no process: its arguments are in no list of them.
///     let start = format!(
///         "printf '%s:%s\\n' '{}' \"$(cat {folder}/password)\" >/tmp/accounts\n\
///          exec gopherd --tls-only --cert {folder}/certificate.pem --key {folder}/key.pem --accounts /tmp/accounts\n",
///         grants.account()
///     );
///     let container = Container::new("gopherd:3", 7070).with_user(999, 999).with_file("/etc/gopherd/start.sh", start);
///     Some(container.with_command(["sh", "/etc/gopherd/start.sh"]).with_health(["CMD", "gopherd", "--ping"]))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Container {
    /// The image, with its tag.
    pub image: String,
    /// Where the server listens, in the container.
    pub port: u16,
    /// The numbers of the user and the group that it runs as.
    pub user: (u32, u32),
    /// What the image's entrypoint is told to run; empty for what it runs anyway.
    pub command: Vec<String>,
    /// The variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Files that it finds, as their absolute paths and what they hold. Everybody in the container can read them, and nobody can run them.
    pub files: Vec<(String, String)>,
    /// How to find out whether the server is there, and the account in it: what Compose calls `test`.
    pub health: Vec<String>,
    /// The folder of its data, which outlives the container.
    pub data: Option<String>,
    /// What a locator's path is: the name of a database that is made. Empty for none.
    pub path: String,
    /// Whether it needs an administrator's password.
    pub has_administrator: bool,
    /// What grants once more, in the running container, what could not be granted when there was nothing yet to grant it on.
    pub again: Option<String>,
}

impl Container {
    /// Where a container finds what was made for it.
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
            again: None,
        }
    }

    /// It runs as this user and this group, whom the image's own files belong to.
    #[must_use]
    pub const fn with_user(mut self, user: u32, group: u32) -> Self {
        self.user = (user, group);
        self
    }

    /// The image's entrypoint is told to run this.
    #[must_use]
    pub fn with_command(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// A variable of its environment more.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A file more: its absolute path, and what it holds.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<String>, content: impl Into<String>) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// What finds out whether the server is there, and the account in it: `CMD` and a command, or `CMD-SHELL` and a line for a shell.
    #[must_use]
    pub fn with_health(mut self, test: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.health = test.into_iter().map(Into::into).collect();
        self
    }

    /// The folder of its data. Where the image has it, it belongs there to the user that the container runs as.
    #[must_use]
    pub fn with_data(mut self, folder: impl Into<String>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// What the path of its locator is.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// It needs an administrator's password.
    #[must_use]
    pub const fn with_administrator(mut self) -> Self {
        self.has_administrator = true;
        self
    }

    /// This command, in the running container, grants what there was nothing to grant on before.
    #[must_use]
    pub fn with_again(mut self, command: impl Into<String>) -> Self {
        self.again = Some(command.into());
        self
    }
}
