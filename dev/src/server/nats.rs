//! A real NATS server, with JetStream.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::DevError;
use crate::authority::Leaf;
use crate::folder::Folder;
use crate::kept::{self, Place};
use crate::port;
use crate::process::Process;
use crate::program::Programs;

/// The options of a server.
#[derive(Clone)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it requires.
    pub client_ca: Option<String>,
    /// True if the client certificate is the login. If it is false, it is required beside the
    /// login.
    pub maps_certificates: bool,
    /// The block `authorization`, as the configuration has it. If it is empty, every client is
    /// admitted.
    pub authorization: String,
    /// Environment variables of the server, to which the configuration refers: passwords.
    pub variables: Vec<(String, String)>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

/// A server that can be stopped and started again.
#[derive(Debug)]
pub struct Nats {
    /// Stopped before its folder is removed.
    process: Option<Process>,
    folder: Folder,
    options: Options,
    monitor: u16,
    /// The number of starts.
    starts: usize,
    programs: Programs,
    place: Option<Place>,
    /// The port that it listens on.
    pub port: u16,
}

impl Nats {
    /// Starts a server with these options.
    ///
    /// # Errors
    /// If a program is not installed, or if the server does not start.
    pub fn start(programs: &Programs, options: Options) -> Result<Self, DevError> {
        Self::keep(programs, options, None)
    }

    /// The same with kept data, if there is a place for them.
    pub(crate) fn keep(
        programs: &Programs,
        options: Options,
        place: Option<Place>,
    ) -> Result<Self, DevError> {
        let folder = Folder::new("nats")?;
        kept::data(&folder, place.as_ref(), |_| Ok(()))?;
        let (port, monitor) = (port::free()?, port::free()?);
        let programs = programs.clone();
        let mut server =
            Self { process: None, folder, options, monitor, starts: 0, programs, place, port };
        server.restart()?;
        Ok(server)
    }

    /// Changes the options from the next start on.
    pub const fn options(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Starts the server; restarts it if it runs.
    ///
    /// # Errors
    /// If the server does not start.
    pub fn restart(&mut self) -> Result<(), DevError> {
        self.stop();
        let at = self.folder.path().display();
        let mut config = format!(
            "listen: 127.0.0.1:{}\nhttp: 127.0.0.1:{}\njetstream {{ store_dir: \"{at}/data\" }}\n\
             debug: true\ntrace: true\n{}\n",
            self.port, self.monitor, self.options.authorization
        );
        if let Some(leaf) = &self.options.leaf {
            let [certificate, key] = leaf.write(&self.folder)?;
            config
                .push_str(&format!("tls {{ cert_file: \"{}\", key_file: \"{}\"", certificate, key));
            if let Some(clients) = &self.options.client_ca {
                let clients = self.folder.write("clients.crt", clients)?;
                let verify =
                    if self.options.maps_certificates { "verify_and_map" } else { "verify" };
                config.push_str(&format!(", ca_file: \"{}\", {verify}: true", clients.display()));
            }
            config.push_str(" }\n");
        }
        let config = self.folder.write("nats.conf", &config)?;
        let command: [OsString; 3] =
            [self.programs.find("nats-server")?.into(), "-c".into(), config.into()];
        let variables: Vec<_> = self
            .options
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), OsStr::new(value)))
            .collect();
        let (folder, lock) = (self.folder.path(), self.place.as_ref().map(Place::lock));
        let process = Process::locked("nats-server", "TERM", folder, &variables, command, lock)?;
        // The monitoring port answers a little earlier. The log is appended to that of the earlier
        // start.
        self.starts += 1;
        process.wait_until(|| process.log().matches("Server is ready").count() == self.starts)?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// An answer of the server's monitoring: `/varz`, `/connz`.
    #[must_use]
    pub fn monitored(&self, path: &str) -> Option<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.monitor)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        connection.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        answer.contains("200 OK").then_some(answer)
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Process::log)
    }
}
