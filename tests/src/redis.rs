//! A real Redis server.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::folder::Folder;
use crate::pki::{Authority, Leaf};
use crate::port;
use crate::process::{Process, find};

/// The application's user. It may read and write some keys, and do nothing else.
pub const USER: &str = "winkelier";

/// An administrator.
pub const ADMIN: &str = "opperbaas";

/// The options of a server.
#[derive(Debug)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it requests.
    pub client_ca: Option<String>,
    /// True if it admits clients without a password.
    pub lets_strangers_in: bool,
    /// More lines of `redis.conf`.
    pub settings: String,
    /// The configuration of OpenSSL.
    pub openssl: Option<&'static str>,
}

impl Options {
    /// TLS with a certificate.
    #[must_use]
    pub fn tls(leaf: Leaf) -> Self {
        Self {
            leaf: Some(leaf),
            client_ca: None,
            lets_strangers_in: false,
            settings: String::new(),
            openssl: None,
        }
    }

    /// No TLS at all.
    #[must_use]
    pub fn plaintext() -> Self {
        Self {
            leaf: None,
            client_ca: None,
            lets_strangers_in: false,
            settings: String::new(),
            openssl: None,
        }
    }
}

/// A server that can be stopped and started again.
#[derive(Debug)]
pub struct Redis {
    /// Stopped before its folder is removed.
    process: Option<Process>,
    folder: Folder,
    config: PathBuf,
    openssl: Option<PathBuf>,
    /// The port that it listens on.
    pub port: u16,
    /// The issuer of its certificate, if that is a valid authority.
    pub authority: Authority,
}

impl Redis {
    /// A server with a valid certificate.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options = Options::tls(authority.server());
        Self::with(authority, &options)
    }

    /// A server with these options.
    #[must_use]
    pub fn with(authority: Authority, options: &Options) -> Self {
        let folder = Folder::new("redis");
        let port = port::free();
        let at = folder.path().display();
        let strangers = if options.lets_strangers_in {
            "user default on nopass ~* &* +@all"
        } else {
            "user default off"
        };
        let mut config = format!(
            "bind 127.0.0.1 -::1\nunixsocket {at}/socket\nunixsocketperm 700\nsave \"\"\n\
             appendonly no\ndir {at}\n\
             {strangers}\n\
             user {ADMIN} on >{ADMIN_PASSWORD} ~* &* +@all\n\
             user {USER} on >{PASSWORD} resetchannels ~greeting ~session:* -@all +@read +@write \
             -@dangerous +ping +hello +acl|whoami\n"
        );
        match &options.leaf {
            None => config.push_str(&format!("port {port}\n")),
            Some(leaf) => {
                let certificate = folder.write("server.crt", &leaf.certificate);
                let key = folder.write("server.key", &leaf.key);
                let clients = folder
                    .write("clients.crt", options.client_ca.as_ref().unwrap_or(&leaf.certificate));
                config.push_str(&format!(
                    "port 0\ntls-port {port}\ntls-cert-file {}\ntls-key-file {}\n\
                     tls-ca-cert-file {}\ntls-auth-clients {}\n",
                    certificate.display(),
                    key.display(),
                    clients.display(),
                    if options.client_ca.is_some() { "yes" } else { "no" }
                ));
            }
        }
        config.push_str(&options.settings);
        let config = folder.write("redis.conf", &config);
        let openssl = options.openssl.map(|text| folder.write("openssl.cnf", text));
        let mut server = Self { process: None, folder, config, openssl, port, authority };
        server.restart();
        server
    }

    /// Starts the server; restarts it if it runs.
    pub fn restart(&mut self) {
        self.stop();
        let command: [OsString; 2] = [find("redis-server", &[]).into(), self.config.clone().into()];
        let environment: Vec<_> =
            self.openssl.iter().map(|path| ("OPENSSL_CONF", path.as_os_str())).collect();
        let process =
            Process::start("redis-server", "TERM", self.folder.path(), &environment, command);
        process.wait_until(|| self.connect().is_some());
        self.process = Some(process);
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The locator of the application's user.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("rediss://{USER}@localhost:{}", self.port)
    }

    /// Runs a command as the administrator over the local socket, and returns the answer as text.
    ///
    /// # Panics
    /// If the server does not answer, or answers with an error.
    pub fn command(&self, words: &[&str]) -> String {
        let mut connection = self.connect().expect("a connection to redis-server");
        ask(&mut connection, words).unwrap_or_else(|| panic!("{}", words[0]))
    }

    /// Runs these lines in `redis-cli` as the administrator over the local socket, and returns its
    /// output.
    #[must_use]
    pub fn pipe(&self, lines: &str) -> String {
        use std::process::{Command, Stdio};
        let mut child = Command::new(find("redis-cli", &[]))
            .args([
                "-e",
                "-s",
                &self.folder.path().join("socket").display().to_string(),
                "--user",
                ADMIN,
                "--no-auth-warning",
            ])
            .env("REDISCLI_AUTH", ADMIN_PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("redis-cli");
        child.stdin.take().expect("its input").write_all(lines.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        [output.stdout, output.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat()
    }

    fn connect(&self) -> Option<BufReader<UnixStream>> {
        let socket = UnixStream::connect(self.folder.path().join("socket")).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let mut connection = BufReader::new(socket);
        ask(&mut connection, &["AUTH", ADMIN, ADMIN_PASSWORD]).filter(|answer| answer == "OK")?;
        Some(connection)
    }

    /// The number of connections of the application's user.
    #[must_use]
    pub fn connections(&self) -> usize {
        let user = format!(" user={USER} ");
        self.command(&["CLIENT", "LIST"]).lines().filter(|line| line.contains(&user)).count()
    }

    /// The number of accepted connections since the server was started.
    #[must_use]
    pub fn accepted(&self) -> usize {
        let statistics = self.command(&["INFO", "stats"]);
        let number = statistics
            .lines()
            .find_map(|line| line.strip_prefix("total_connections_received:"))
            .expect("a statistic");
        number.trim().parse().expect("a number")
    }

    /// Waits until the application's user has no connection left.
    ///
    /// # Panics
    /// If one is left after some seconds.
    pub async fn assert_no_connection(&self) {
        for _ in 0..100 {
            if self.connections() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("connections are left:\n{}", self.command(&["CLIENT", "LIST"]));
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
