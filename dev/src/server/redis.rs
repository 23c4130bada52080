//! A real Redis or Valkey server.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::DevError;
use crate::authority::Leaf;
use crate::folder::Folder;
use crate::kept::{self, Place};
use crate::port;
use crate::process::{Process, run_with, unprivileged};
use crate::program::Programs;
use crate::server::Account;

/// The options of a server.
#[derive(Clone, Default)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it requests.
    pub client_ca: Option<String>,
    /// True if it admits clients without a password.
    pub lets_strangers_in: bool,
    /// More lines of `redis.conf`, such as those of users.
    pub settings: String,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

impl Options {
    /// TLS with a certificate.
    #[must_use]
    pub fn tls(leaf: Leaf) -> Self {
        Self { leaf: Some(leaf), ..Self::default() }
    }

    /// No TLS at all.
    #[must_use]
    pub fn plaintext() -> Self {
        Self::default()
    }
}

/// A server that can be stopped and started again.
#[derive(Debug)]
pub struct Redis {
    /// Stopped before its folder is removed.
    process: Option<Process>,
    folder: Folder,
    config: PathBuf,
    programs: Programs,
    administrator: Account,
    place: Option<Place>,
    /// The port that it listens on.
    pub port: u16,
}

impl Redis {
    /// Starts a server with these options. The administrator can log in on the local socket and
    /// over TLS.
    ///
    /// # Errors
    /// If a program is not installed, or if the server does not start.
    pub fn start(
        programs: &Programs,
        administrator: Account,
        options: &Options,
    ) -> Result<Self, DevError> {
        Self::keep(programs, administrator, options, None)
    }

    /// The same with kept data, if there is a place for them.
    pub(crate) fn keep(
        programs: &Programs,
        administrator: Account,
        options: &Options,
        place: Option<Place>,
    ) -> Result<Self, DevError> {
        let folder = Folder::new("redis")?;
        kept::data(&folder, place.as_ref(), |_| Ok(()))?;
        let port = port::free()?;
        let at = folder.path().display();
        let append = if place.is_some() { "yes" } else { "no" };
        let strangers = if options.lets_strangers_in {
            "user default on nopass ~* &* +@all"
        } else {
            "user default off"
        };
        let mut config = format!(
            "bind 127.0.0.1 -::1\nunixsocket {at}/socket\nunixsocketperm 700\nsave \"\"\n\
             appendonly {append}\ndir {at}/data\n\
             {strangers}\n\
             user {} on >{} ~* &* +@all\n",
            administrator.name(),
            administrator.password()
        );
        match &options.leaf {
            None => config.push_str(&format!("port {port}\n")),
            Some(leaf) => {
                let [certificate, key] = leaf.write(&folder)?;
                let clients = folder.write(
                    "clients.crt",
                    options.client_ca.as_ref().unwrap_or(&leaf.certificate),
                )?;
                config.push_str(&format!(
                    "port 0\ntls-port {port}\ntls-cert-file {}\ntls-key-file {}\n\
                     tls-ca-cert-file {}\ntls-auth-clients {}\n",
                    certificate,
                    key,
                    clients.display(),
                    if options.client_ca.is_some() { "yes" } else { "no" }
                ));
            }
        }
        config.push_str(&options.settings);
        let config = folder.write("redis.conf", &config)?;
        let mut server = Self {
            process: None,
            folder,
            config,
            programs: programs.clone(),
            administrator,
            place,
            port,
        };
        server.restart()?;
        Ok(server)
    }

    /// Starts the server; restarts it if it runs.
    ///
    /// # Errors
    /// If the server does not start.
    pub fn restart(&mut self) -> Result<(), DevError> {
        self.stop();
        let command: [OsString; 2] =
            [self.programs.find("redis-server")?.into(), self.config.clone().into()];
        let (folder, lock) = (self.folder.path(), self.place.as_ref().map(Place::lock));
        let process = Process::locked("redis-server", "TERM", folder, &[], command, lock)?;
        process.wait_until(|| self.connect().is_some())?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The administrator, who can also log in over TLS.
    #[must_use]
    pub const fn administrator(&self) -> &Account {
        &self.administrator
    }

    /// Runs a command as the administrator over the local socket, and returns the answer as text.
    ///
    /// # Errors
    /// If the server does not answer, or answers with an error.
    pub fn command(&self, words: &[&str]) -> Result<String, DevError> {
        let answer = self.connect().and_then(|mut connection| ask(&mut connection, words));
        answer.ok_or_else(|| {
            let word = words.first().unwrap_or(&"nothing");
            DevError::new(format!("the server refuses the command {word}"))
        })
    }

    /// Runs these lines in `redis-cli` as the administrator over the local socket, and returns its
    /// output.
    ///
    /// # Errors
    /// If the server refuses one: with all output.
    pub fn pipe(&self, lines: &str) -> Result<String, DevError> {
        let mut client = unprivileged(self.programs.find("redis-cli")?);
        client.arg("-e").arg("-s").arg(self.folder.path().join("socket"));
        client.args(["--user", self.administrator.name(), "--no-auth-warning"]);
        client.env("REDISCLI_AUTH", self.administrator.password());
        run_with(&mut client, lines)
    }

    fn connect(&self) -> Option<BufReader<UnixStream>> {
        let socket = UnixStream::connect(self.folder.path().join("socket")).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let mut connection = BufReader::new(socket);
        let login = ["AUTH", self.administrator.name(), self.administrator.password()];
        ask(&mut connection, &login).filter(|answer| answer == "OK")?;
        Some(connection)
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Process::log)
    }
}

/// Sends a command, and reads the answer. `None` if there is none, or if it is an error.
fn ask(connection: &mut BufReader<UnixStream>, words: &[&str]) -> Option<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    connection.get_mut().write_all(request.as_bytes()).ok()?;
    answer(connection)
}

/// Reads an answer. The elements of a list become lines.
fn answer(connection: &mut BufReader<UnixStream>) -> Option<String> {
    let mut line = String::new();
    connection.read_line(&mut line).ok()?;
    let line = line.trim_end();
    match line.split_at_checked(1)? {
        ("+" | ":", text) => Some(text.to_owned()),
        ("$", length) => {
            let mut text = vec![0; length.parse::<usize>().ok()? + 2];
            connection.read_exact(&mut text).ok()?;
            Some(String::from_utf8_lossy(&text[..text.len() - 2]).into_owned())
        }
        ("*", count) => {
            let elements: Option<Vec<_>> =
                (0..count.parse::<usize>().ok()?).map(|_| answer(connection)).collect();
            Some(elements?.join("\n"))
        }
        _ => None,
    }
}
