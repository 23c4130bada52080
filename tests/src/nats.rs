//! A real NATS server, with JetStream.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::folder::Folder;
use crate::pki::{Authority, Leaf};
use crate::port;
use crate::process::{Process, find};

/// The application's user. It may use its own subjects and JetStream, and nothing else.
pub const USER: &str = "winkelier";

/// A user without configured permissions, which means every permission.
pub const ADMIN: &str = "opperbaas";

/// The seed of a user's nkey, and its public key.
pub const NKEY: (&str, &str) = (
    "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY",
    "UAMMBNV2EYR65NYZZ7IAK5SIR5ODNTTERJOBOF4KJLMWI45YOXOSWULM",
);

/// The seed of another user, which no server knows.
pub const STRANGER: &str = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ";

/// The permissions of the application.
const PERMISSIONS: &str = concat!(
    r#"{ publish: ["orders.>", "$JS.API.STREAM.>", "$JS.API.CONSUMER.>", "$JS.ACK.>", "_INBOX.>"]"#,
    r#", subscribe: ["_INBOX.>", "orders.>"] }"#
);

/// The options of a server.
#[derive(Debug)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it requests. The certificate is then the
    /// login.
    pub client_ca: Option<String>,
    /// The block `authorization`. If it is empty, every client is admitted.
    pub authorization: String,
}

impl Options {
    /// TLS with a certificate, and the users of the tests.
    #[must_use]
    pub fn tls(leaf: Leaf) -> Self {
        Self { leaf: Some(leaf), client_ca: None, authorization: users(PASSWORD) }
    }

    /// No TLS at all.
    #[must_use]
    pub fn plaintext() -> Self {
        Self { leaf: None, client_ca: None, authorization: users(PASSWORD) }
    }
}

/// The users of the tests. Most of them have this password.
#[must_use]
pub fn users(password: &str) -> String {
    let public = NKEY.1;
    format!(
        r#"authorization {{ timeout: 5, users = [
            {{ user: {USER}, password: "{password}", permissions: {PERMISSIONS} }}
            {{ user: {ADMIN}, password: "{ADMIN_PASSWORD}" }}
            {{ user: luisteraar, password: "{password}", permissions: {{ publish: ["orders.>"] }} }}
            {{ user: roeper, password: "{password}", permissions: {{ subscribe: ["_INBOX.>"] }} }}
            {{ user: vrager, password: "{password}", permissions: {{
                publish: ["$SYS.REQ.USER.INFO"], subscribe: ["_INBOX_eigen.>"] }} }}
            {{ nkey: {public}, permissions: {PERMISSIONS} }}
        ] }}"#
    )
}

/// The same users, but the application may also write to key-value buckets.
#[must_use]
pub fn users_of_buckets(password: &str) -> String {
    users(password).replace("\"$JS.ACK.>\"", "\"$JS.ACK.>\", \"$JS.FC.>\", \"$KV.>\"")
}

/// A server that can be stopped and started again.
#[derive(Debug)]
pub struct Nats {
    /// Stopped before its folder is removed.
    process: Option<Process>,
    folder: Folder,
    config: PathBuf,
    options: Options,
    monitor: u16,
    /// The number of starts.
    starts: usize,
    /// The port that it listens on.
    pub port: u16,
    /// The issuer of its certificate, if that is a valid authority.
    pub authority: Authority,
}

impl Nats {
    /// A server with a valid certificate.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options = Options::tls(authority.server());
        Self::with(authority, options)
    }

    /// A server with these options.
    #[must_use]
    pub fn with(authority: Authority, options: Options) -> Self {
        let folder = Folder::new("nats");
        let config = folder.path().join("nats.conf");
        let (port, monitor) = (port::free(), port::free());
        let mut server =
            Self { process: None, folder, config, options, monitor, starts: 0, port, authority };
        server.restart();
        server
    }

    /// Changes the authorization from the next start on.
    pub fn authorize(&mut self, authorization: String) {
        self.options.authorization = authorization;
    }

    /// Starts the server; restarts it if it runs.
    pub fn restart(&mut self) {
        self.stop();
        let at = self.folder.path().display();
        let mut config = format!(
            "listen: 127.0.0.1:{}\nhttp: 127.0.0.1:{}\njetstream {{ store_dir: \"{at}/store\" }}\n\
             debug: true\ntrace: true\n{}\n",
            self.port, self.monitor, self.options.authorization
        );
        if let Some(leaf) = &self.options.leaf {
            let certificate = self.folder.write("server.crt", &leaf.certificate);
            let key = self.folder.write("server.key", &leaf.key);
            config.push_str(&format!(
                "tls {{ cert_file: \"{}\", key_file: \"{}\"",
                certificate.display(),
                key.display()
            ));
            if let Some(clients) = &self.options.client_ca {
                let clients = self.folder.write("clients.crt", clients);
                config.push_str(&format!(
                    ", ca_file: \"{}\", verify_and_map: true",
                    clients.display()
                ));
            }
            config.push_str(" }\n");
        }
        self.config = self.folder.write("nats.conf", &config);
        let command: [OsString; 3] =
            [find("nats-server", &[]).into(), "-c".into(), self.config.clone().into()];
        let process = Process::start("nats-server", "TERM", self.folder.path(), &[], command);
        // The monitoring port answers a little earlier. The log is appended to that of the earlier
        // start.
        self.starts += 1;
        process.wait_until(|| process.log().matches("Server is ready").count() == self.starts);
        self.process = Some(process);
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The locator of the application's user.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("tls://{USER}@localhost:{}", self.port)
    }

    /// An answer of the server's monitoring.
    fn monitored(&self, path: &str) -> Option<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.monitor)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        connection.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        answer.contains("200 OK").then_some(answer)
    }

    /// The number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.number("\"connections\":")
    }

    /// The number of connections since the server was started.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.number("\"total_connections\":")
    }

    fn number(&self, name: &str) -> usize {
        let answer = self.monitored("/varz").expect("the server's monitoring");
        let rest = answer.split_once(name).expect("a number").1.trim_start();
        rest.split(|c: char| !c.is_ascii_digit())
            .next()
            .expect("a number")
            .parse()
            .expect("a number")
    }

    /// Waits until no connection is left.
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
        panic!("connections are left:\n{}", self.monitored("/connz").unwrap_or_default());
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Process::log)
    }
}
