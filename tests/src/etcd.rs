//! A real etcd.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::folder::Folder;
use crate::pki::{Authority, Leaf};
use crate::port;
use crate::process::{Process, find, run, unprivileged};

/// The application's user. It may read the keys below [`PREFIX`], and do nothing else.
pub const USER: &str = "winkelier";

/// The prefix of the application's keys.
pub const PREFIX: &str = "/shop/";

/// The options of a server.
#[derive(Debug)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it demands. Its own certificate must be valid
    /// for a client too, because its gateway is one.
    pub client_ca: Option<String>,
    /// True if it has accounts.
    pub has_accounts: bool,
}

/// A server that can be stopped and started again.
#[derive(Debug)]
pub struct Etcd {
    /// Stopped before its folder is removed.
    process: Option<Process>,
    folder: Folder,
    command: Vec<OsString>,
    control: Vec<OsString>,
    has_accounts: bool,
    /// The port that it listens on.
    pub port: u16,
    /// The issuer of its certificate, if that is a valid authority.
    pub authority: Authority,
}

impl Etcd {
    /// A server with a valid certificate and accounts.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options =
            Options { leaf: Some(authority.server()), client_ca: None, has_accounts: true };
        Self::with(authority, &options)
    }

    /// A server with these options.
    #[must_use]
    pub fn with(authority: Authority, options: &Options) -> Self {
        let folder = Folder::new("etcd");
        let (port, peers) = (port::free(), port::free());
        let scheme = if options.leaf.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{port}");
        let text = |text: &str| OsString::from(text);
        let mut command = vec![
            find("etcd", &[]).into(),
            text("--data-dir"),
            folder.path().join("data").into(),
            text("--listen-client-urls"),
            url.clone().into(),
            text("--advertise-client-urls"),
            url.clone().into(),
            text("--listen-peer-urls"),
            format!("http://127.0.0.1:{peers}").into(),
            text("--initial-advertise-peer-urls"),
            format!("http://127.0.0.1:{peers}").into(),
            text("--initial-cluster"),
            format!("default=http://127.0.0.1:{peers}").into(),
            text("--log-level"),
            text("warn"),
        ];
        let mut control = vec![
            text("--endpoints"),
            url.into(),
            text("--command-timeout"),
            text("60s"),
            text("--dial-timeout"),
            text("60s"),
        ];
        if let Some(leaf) = &options.leaf {
            let certificate = folder.write("server.crt", &leaf.certificate);
            let key = folder.write("server.key", &leaf.key);
            let mut more =
                |option: &str, path: PathBuf| command.extend([text(option), path.into()]);
            more("--cert-file", certificate.clone());
            more("--key-file", key.clone());
            control.extend([text("--cacert"), folder.write("ca.crt", &authority.pem()).into()]);
            if let Some(ca) = &options.client_ca {
                more("--trusted-ca-file", folder.write("clients.crt", ca));
                command.push(text("--client-cert-auth"));
                control.extend([text("--cert"), certificate.into(), text("--key"), key.into()]);
            }
        }
        let mut server =
            Self { process: None, folder, command, control, has_accounts: false, port, authority };
        server.restart();
        if options.has_accounts {
            server.control(&["user", "add", &format!("root:{ADMIN_PASSWORD}")]);
            server.control(&["user", "grant-role", "root", "root"]);
            server.control(&["role", "add", "shop"]);
            server.control(&["role", "grant-permission", "shop", "read", PREFIX, "--prefix"]);
            server.control(&["user", "add", &format!("{USER}:{PASSWORD}")]);
            server.control(&["user", "grant-role", USER, "shop"]);
            server.control(&["auth", "enable"]);
            server.has_accounts = true;
        }
        server
    }

    /// Starts the server with its data; restarts it if it runs.
    pub fn restart(&mut self) {
        self.stop();
        let process = Process::start("etcd", "TERM", self.folder.path(), &[], &self.command);
        process.wait_until(|| {
            self.command(&["endpoint", "health"])
                .output()
                .is_ok_and(|output| output.status.success())
        });
        self.process = Some(process);
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Deletes the data. The next start is another store.
    pub fn forget(&mut self) {
        self.stop();
        std::fs::remove_dir_all(self.folder.path().join("data")).expect("the store's data");
        self.has_accounts = false;
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = unprivileged(find("etcdctl", &[]));
        command.env("ETCDCTL_API", "3").args(&self.control);
        if self.has_accounts {
            command.args(["--user", &format!("root:{ADMIN_PASSWORD}")]);
        }
        command.args(arguments);
        command
    }

    /// Runs `etcdctl` as the administrator, and returns its output.
    pub fn control(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments))
    }

    /// Writes one value below the prefix.
    pub fn put(&self, variable: &str, value: &str) {
        self.control(&["put", &format!("{PREFIX}{variable}"), "--", value]);
    }

    /// The revision of the store.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let text = self.control(&["get", PREFIX, "--write-out=json"]);
        let rest = text.split_once("\"revision\":").expect("a revision").1;
        rest.split(|c: char| !c.is_ascii_digit())
            .next()
            .expect("a number")
            .parse()
            .expect("a number")
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }
}
