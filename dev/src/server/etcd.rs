//! A real etcd.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use crate::DevError;
use crate::authority::Leaf;
use crate::folder::Folder;
use crate::port;
use crate::process::{Process, run, run_with, unprivileged};
use crate::program::Programs;

/// The options of a server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its certificate, and the authority that issued it, for `etcdctl`. `None` is a server
    /// without TLS.
    pub leaf: Option<(Leaf, String)>,
    /// The authority of the client certificates that it demands. Its own certificate must be valid
    /// for a client too, because its gateway is one.
    pub client_ca: Option<String>,
}

/// A server that can be stopped and started again.
pub struct Etcd {
    /// Stopped before its folder is removed.
    process: Option<Process>,
    folder: Folder,
    command: Vec<OsString>,
    control: Vec<OsString>,
    etcdctl: PathBuf,
    /// The password of `root`, if there are accounts.
    root: Option<String>,
    /// The port that it listens on.
    pub port: u16,
}

impl Etcd {
    /// Starts a server with these options. It has no accounts yet: see
    /// [`enable_accounts`](Self::enable_accounts).
    ///
    /// # Errors
    /// If a program is not installed, or if the server does not start.
    pub fn start(programs: &Programs, options: &Options) -> Result<Self, DevError> {
        let etcdctl = programs.find("etcdctl")?;
        let folder = Folder::new("etcd")?;
        let (port, peers) = (port::free()?, port::free()?);
        let scheme = if options.leaf.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{port}");
        let text = |text: &str| OsString::from(text);
        let mut command = vec![
            programs.find("etcd")?.into(),
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
        if let Some((leaf, authority)) = &options.leaf {
            let [certificate, key] = leaf.write(&folder)?;
            let mut more = |option: &str, path: OsString| command.extend([text(option), path]);
            more("--cert-file", text(&certificate));
            more("--key-file", text(&key));
            control.extend([text("--cacert"), folder.write("ca.crt", authority)?.into()]);
            if let Some(ca) = &options.client_ca {
                more("--trusted-ca-file", folder.write("clients.crt", ca)?.into());
                command.push(text("--client-cert-auth"));
                control.extend([text("--cert"), certificate.into(), text("--key"), key.into()]);
            }
        }
        let mut server =
            Self { process: None, folder, command, control, etcdctl, root: None, port };
        server.restart()?;
        Ok(server)
    }

    /// Makes the account `root` with this password, and demands an account from now on.
    ///
    /// # Errors
    /// With the output of `etcdctl`, if the server refuses that.
    pub fn enable_accounts(&mut self, root: &str) -> Result<(), DevError> {
        self.add_user("root", root)?;
        self.control(&["user", "grant-role", "root", "root"])?;
        self.control(&["auth", "enable"])?;
        self.root = Some(root.to_owned());
        Ok(())
    }

    /// Makes an account. Its password is on no command line.
    ///
    /// # Errors
    /// With the output of `etcdctl`, if the server refuses that.
    pub fn add_user(&self, name: &str, password: &str) -> Result<(), DevError> {
        let mut command = self.command(&["user", "add", "--interactive=false", "--", name]);
        run_with(&mut command, &format!("{password}\n")).map(drop)
    }

    /// Starts the server with its data; restarts it if it runs.
    ///
    /// # Errors
    /// If the server does not start.
    pub fn restart(&mut self) -> Result<(), DevError> {
        self.stop();
        let process = Process::start("etcd", "TERM", self.folder.path(), &[], &self.command)?;
        process.wait_until(|| {
            self.command(&["endpoint", "health"])
                .output()
                .is_ok_and(|output| output.status.success())
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Stops the server, and deletes the data. The next start is another store, without accounts.
    ///
    /// # Errors
    /// If the data cannot be deleted.
    pub fn forget(&mut self) -> Result<(), DevError> {
        self.stop();
        let data = self.folder.path().join("data");
        std::fs::remove_dir_all(&data)
            .map_err(|error| DevError::path("cannot delete", &data, &error))?;
        self.root = None;
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = unprivileged(&self.etcdctl);
        command.env("ETCDCTL_API", "3").args(&self.control);
        if let Some(password) = &self.root {
            command.env("ETCDCTL_USER", format!("root:{password}"));
        }
        command.args(arguments);
        command
    }

    /// Runs `etcdctl` as the administrator, and returns its output.
    ///
    /// # Errors
    /// With all output, if it fails.
    pub fn control(&self, arguments: &[&str]) -> Result<String, DevError> {
        run(&mut self.command(arguments))
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("port", &self.port).finish_non_exhaustive()
    }
}
