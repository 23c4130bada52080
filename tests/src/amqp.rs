//! A real RabbitMQ server.

use std::ffi::OsString;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::folder::Folder;
use crate::pki::{Authority, Leaf};
use crate::port;
use crate::process::{Process, find, run, unprivileged};

/// The application's user. It has every permission on objects whose names begin with `orders`, and
/// no other.
pub const USER: &str = "winkelier";

/// A user with every permission.
pub const ADMIN: &str = "opperbaas";

/// A virtual host besides `/`.
pub const HOST: &str = "winkel/noord";

/// The options of a server.
#[derive(Debug)]
pub struct Options {
    /// Its certificate.
    pub leaf: Leaf,
    /// The authority of the client certificates that it requests.
    pub client_ca: String,
}

/// A server that can be stopped and started again.
#[derive(Debug)]
pub struct Amqp {
    /// Stopped before its folder is removed.
    process: Option<Process>,
    /// Erlang's port mapper, which knows the node.
    _epmd: Process,
    folder: Folder,
    environment: Vec<(&'static str, OsString)>,
    starts: usize,
    /// The port with TLS.
    pub port: u16,
    /// The port without TLS.
    pub plain_port: u16,
    /// The issuer of its certificate, if that is a valid authority.
    pub authority: Authority,
}

impl Amqp {
    /// A server with a valid certificate, to which clients can log in by theirs.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options = Options { leaf: authority.server(), client_ca: authority.pem() };
        Self::with(authority, &options)
    }

    /// A server with these options.
    #[must_use]
    pub fn with(authority: Authority, options: &Options) -> Self {
        let folder = Folder::new("rabbitmq");
        let (port, plain_port) = (port::free(), port::free());
        let (distribution, names) = (port::free(), port::free());
        let at = folder.path().display();
        let certificate = folder.write("server.crt", &options.leaf.certificate);
        let key = folder.write("server.key", &options.leaf.key);
        let clients = folder.write("clients.crt", &options.client_ca);
        let config = format!(
            "log.console = true\nlog.console.level = info\n\
             load_definitions = {at}/definitions.json\n\
             listeners.tcp.1 = 127.0.0.1:{plain_port}\nlisteners.ssl.1 = 127.0.0.1:{port}\n\
             ssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.cacertfile = {}\nssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = false\n\
             auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n\
             ssl_cert_login_from = common_name\n",
            certificate.display(),
            key.display(),
            clients.display()
        );
        folder.write("rabbitmq.conf", &config);
        folder.write("enabled_plugins", "[rabbitmq_auth_mechanism_ssl].\n");
        folder.write("definitions.json", &definitions());
        let path = |name: &str| folder.path().join(name).into_os_string();
        let environment = vec![
            ("HOME", path("")),
            ("ERL_EPMD_PORT", names.to_string().into()),
            ("RABBITMQ_NODENAME", format!("test{port}@localhost").into()),
            ("RABBITMQ_DIST_PORT", distribution.to_string().into()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
            ("RABBITMQ_LOG_BASE", path("logs")),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_PID_FILE", path("pid")),
            // Erlang replaces the shell, so that it receives the signals.
            ("RABBITMQ_ALLOW_INPUT", "1".into()),
        ];
        let epmd: [OsString; 5] = [
            find("epmd", &[]).into(),
            "-port".into(),
            names.to_string().into(),
            "-address".into(),
            "127.0.0.1".into(),
        ];
        let epmd_folder = folder.path().join("epmd");
        std::fs::create_dir(&epmd_folder).expect("a folder for epmd");
        folder.own(&epmd_folder);
        let epmd = Process::start("epmd", "TERM", &epmd_folder, &[], epmd);
        epmd.wait_until(|| TcpStream::connect(("127.0.0.1", names)).is_ok());
        let mut server = Self {
            process: None,
            _epmd: epmd,
            folder,
            environment,
            starts: 0,
            port,
            plain_port,
            authority,
        };
        server.restart();
        server
    }

    /// Starts the server; restarts it if it runs.
    pub fn restart(&mut self) {
        self.stop();
        let command: [OsString; 2] = [program("rabbitmq-server").into(), "-noinput".into()];
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| (*name, value.as_os_str())).collect();
        let process =
            Process::start("rabbitmq-server", "KILL", self.folder.path(), &environment, command);
        self.starts += 1;
        // The log is appended to that of the earlier start.
        process
            .wait_until(|| process.log().matches("Server startup complete").count() == self.starts);
        self.process = Some(process);
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The locator of the application's user.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("amqps://{USER}@localhost:{}", self.port)
    }

    /// Runs `rabbitmqctl`, and returns its output.
    #[must_use]
    pub fn control(&self, words: &[&str]) -> String {
        let mut command: Command = unprivileged(program("rabbitmqctl"));
        command
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .current_dir(self.folder.path());
        run(command.arg("--quiet").args(words))
    }

    /// Runs these lines in a shell with `rabbitmqctl` on its path.
    #[must_use]
    pub fn shell(&self, lines: &str) -> String {
        let mut path = program("rabbitmqctl").parent().expect("its folder").as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        let mut command: Command = unprivileged(find("sh", &[]));
        command
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .current_dir(self.folder.path());
        run(command.env("PATH", path).args(["-ec", lines]))
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

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Process::log)
    }
}

/// The scripts in RabbitMQ's own folder. Those on the path check the user that runs them.
fn program(name: &str) -> PathBuf {
    find(name, &[Path::new("/usr/lib/rabbitmq/bin").to_owned()])
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
