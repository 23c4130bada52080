//! A real RabbitMQ server.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::DevError;
use crate::authority::Leaf;
use crate::folder::Folder;
use crate::kept::{self, Place};
use crate::port;
use crate::process::{Process, run, unprivileged};
use crate::program::Programs;

/// The options of a server.
#[derive(Clone)]
pub struct Options {
    /// Its certificate.
    pub leaf: Leaf,
    /// The authority of the client certificates that it requests, and accepts as a login.
    pub client_ca: String,
    /// Its users, virtual hosts and permissions, as JSON: what `rabbitmqctl export_definitions`
    /// writes.
    pub definitions: String,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

/// The option of Erlang that binds the port of its distribution to the loopback interface. Without
/// it, Erlang binds that port to every interface, and admits each peer that knows the cookie.
const ON_LOOPBACK: &str = "-kernel inet_dist_use_interface {127,0,0,1}";

/// A server that can be stopped and started again.
pub struct Amqp {
    /// Stopped before its folder is removed.
    process: Option<Process>,
    /// Erlang's port mapper, which knows the node.
    _epmd: Process,
    _epmd_folder: Folder,
    folder: Folder,
    environment: Vec<(&'static str, OsString)>,
    starts: usize,
    programs: Programs,
    place: Option<Place>,
    /// The port with TLS.
    pub port: u16,
    /// The port without TLS.
    pub plain_port: u16,
}

impl Amqp {
    /// Starts a server with these options.
    ///
    /// # Errors
    /// If a program is not installed, or if the server does not start.
    pub fn start(programs: &Programs, options: &Options) -> Result<Self, DevError> {
        Self::keep(programs, options, None)
    }

    /// The same with kept data, if there is a place for them.
    pub(crate) fn keep(
        programs: &Programs,
        options: &Options,
        place: Option<Place>,
    ) -> Result<Self, DevError> {
        let folder = Folder::new("rabbitmq")?;
        kept::data(&folder, place.as_ref(), |_| Ok(()))?;
        let (port, plain_port) = (port::free()?, port::free()?);
        let (distribution, names) = (port::free()?, port::free()?);
        let at = folder.path().display();
        let [certificate, key] = options.leaf.write(&folder)?;
        let clients = folder.write("clients.crt", &options.client_ca)?;
        let config = format!(
            "log.console = true\nlog.console.level = info\n\
             load_definitions = {at}/definitions.json\n\
             listeners.tcp.1 = 127.0.0.1:{plain_port}\nlisteners.ssl.1 = 127.0.0.1:{port}\n\
             ssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.cacertfile = {}\nssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = false\n\
             auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n\
             ssl_cert_login_from = common_name\n",
            certificate,
            key,
            clients.display()
        );
        folder.write("rabbitmq.conf", &config)?;
        folder.write("enabled_plugins", "[rabbitmq_auth_mechanism_ssl].\n")?;
        folder.write("definitions.json", &options.definitions)?;
        let path = |name: &str| folder.path().join(name).into_os_string();
        let environment = vec![
            ("HOME", path("")),
            ("ERL_EPMD_PORT", names.to_string().into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ON_LOOPBACK.into()),
            ("RABBITMQ_CTL_ERL_ARGS", ON_LOOPBACK.into()),
            // The data belong to this name. Each server has a port mapper of its own.
            ("RABBITMQ_NODENAME", "dev@localhost".into()),
            ("RABBITMQ_DIST_PORT", distribution.to_string().into()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            // Their defaults are files of the machine, in /etc/rabbitmq.
            ("RABBITMQ_CONFIG_FILES", path("none/*.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", path("none/advanced.config")),
            ("RABBITMQ_MOTD_FILE", path("none/motd")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", path("data")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
            ("RABBITMQ_LOG_BASE", path("logs")),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_PID_FILE", path("pid")),
            // Erlang replaces the shell, so that it receives the signals.
            ("RABBITMQ_ALLOW_INPUT", "1".into()),
        ];
        let epmd_folder = Folder::new("epmd")?;
        let mut server = Self {
            process: None,
            _epmd: start_epmd(programs, &epmd_folder, names)?,
            _epmd_folder: epmd_folder,
            folder,
            environment,
            starts: 0,
            programs: programs.clone(),
            place,
            port,
            plain_port,
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
            [self.programs.find("rabbitmq-server")?.into(), "-noinput".into()];
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| (*name, value.as_os_str())).collect();
        let signal = if self.place.is_some() { "TERM" } else { "KILL" };
        let (folder, lock) = (self.folder.path(), self.place.as_ref().map(Place::lock));
        let process =
            Process::locked("rabbitmq-server", signal, folder, &environment, command, lock)?;
        self.starts += 1;
        // The log is appended to that of the earlier start.
        process.wait_until(|| {
            process.log().matches("Server startup complete").count() == self.starts
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Runs `rabbitmqctl`, and returns its output.
    ///
    /// # Errors
    /// With all output, if it fails.
    pub fn control(&self, words: &[&str]) -> Result<String, DevError> {
        let mut command = self.command(self.programs.find("rabbitmqctl")?);
        run(command.arg("--quiet").args(words))
    }

    /// Runs these lines in a shell with `rabbitmqctl` on its path. It stops at the first error. Its
    /// text is on no command line.
    ///
    /// # Errors
    /// With all output, if it fails.
    pub fn shell(&self, lines: &str) -> Result<String, DevError> {
        let control = self.programs.find("rabbitmqctl")?;
        let mut path = control.parent().unwrap_or(&control).as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        let mut command = self.command("sh");
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("script-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let script = self.folder.write(&name, lines)?;
        let output = run(command.env("PATH", path).arg("-e").arg(&script));
        // It may hold a password. If it stays, it goes with the folder.
        let _ = fs::remove_file(script);
        output
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = unprivileged(program);
        command
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .current_dir(self.folder.path());
        command
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Process::log)
    }
}

/// Starts Erlang's port mapper.
fn start_epmd(programs: &Programs, folder: &Folder, port: u16) -> Result<Process, DevError> {
    let program = programs.find("epmd")?;
    let port = port.to_string();
    // `-d` twice: it then logs when it listens. Another program on that port would also admit a
    // connection.
    let command = ["-d", "-d", "-port", &port, "-address", "127.0.0.1"].map(OsStr::new);
    let command = [program.as_os_str()].into_iter().chain(command);
    let epmd = Process::start("epmd", "TERM", folder.path(), &[], command)?;
    epmd.wait_until(|| epmd.log().contains("entering the main select() loop"))?;
    Ok(epmd)
}

impl fmt::Debug for Amqp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amqp").field("port", &self.port).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_on_its_port_is_not_taken_for_the_port_mapper() {
        let folder = Folder::new("epmd").unwrap();
        let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let error = start_epmd(&Programs::installed(), &folder, port).unwrap_err().to_string();
        assert!(error.starts_with("epmd has ended "), "{error}");
    }
}
