//! A real PgBouncer, in front of a real PostgreSQL server: TLS and SCRAM on both sides.

use std::net::TcpStream;
use std::sync::Arc;
use std::{fmt, io};

use backing_services_dev::process::{Process, unprivileged};
use backing_services_dev::program::Programs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::folder::Folder;
use crate::hostile::postgres::SSL_REQUEST;
use crate::postgres::{self, ADMIN, DATABASE, Postgres, USER};
use crate::process;

/// When PgBouncer takes a connection to the server back from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// When the client closes its connection. Then it resets the session, with `DISCARD ALL`.
    Session,
    /// When a transaction has ended. It resets nothing.
    Transaction,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
        })
    }
}

/// The options of PgBouncer.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its mode, for every database.
    pub mode: Mode,
    /// The connections to the server, for each user and database.
    pub pool_size: u32,
    /// The parameters of a client's startup that it drops: `extra_float_digits, options`. It
    /// refuses all others that it does not know. Its own default is none.
    pub ignored: String,
    /// More lines of `pgbouncer.ini`. A later line replaces an earlier one of the same name.
    pub settings: String,
}

impl Options {
    /// A mode, and else PgBouncer's own defaults.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self { mode, pool_size: 20, ignored: String::new(), settings: String::new() }
    }

    /// The same, with these parameters of a client's startup dropped.
    #[must_use]
    pub fn ignoring(mut self, parameters: &str) -> Self {
        self.ignored = parameters.to_owned();
        self
    }

    /// The same, with this many connections to the server.
    #[must_use]
    pub fn pool_size(mut self, size: u32) -> Self {
        self.pool_size = size;
        self
    }
}

/// A running PgBouncer, and the server behind it. The server's authority issued both certificates.
#[derive(Debug)]
pub struct PgBouncer {
    /// Stopped before its folder is removed.
    process: Process,
    folder: Folder,
    /// The server behind it.
    pub server: Postgres,
    /// The port that it listens on.
    pub port: u16,
}

impl PgBouncer {
    /// PgBouncer in front of a server of its own.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        Self::before(Postgres::start(), options)
    }

    /// PgBouncer in front of this server.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn before(server: Postgres, options: &Options) -> Self {
        let program = Programs::installed().find("pgbouncer").unwrap();
        let (folder, port) = (Folder::new("pgbouncer"), crate::port::free());
        let settings = folder.write("pgbouncer.ini", &settings(&folder, port, &server, options));
        let command = [program.as_os_str(), settings.as_os_str()];
        // TERM: stop at once, without waiting for clients.
        let process = Process::start("pgbouncer", "TERM", folder.path(), &[], command).unwrap();
        process.wait_until(|| TcpStream::connect(("localhost", port)).is_ok()).unwrap();
        Self { process, folder, server, port }
    }

    /// The locator of the application's role and database, through PgBouncer.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("postgres://{USER}@localhost:{}/{DATABASE}", self.port)
    }

    /// Runs statements through PgBouncer as the application's role, each on its own, in one
    /// connection with verified TLS. Returns the rows, with a `|` between columns.
    ///
    /// # Panics
    /// With the output of `psql`, if PgBouncer or the server refuses something.
    #[must_use]
    #[track_caller]
    pub fn sql(&self, statements: &[&str]) -> String {
        self.psql(USER, PASSWORD, DATABASE, statements)
    }

    /// Asks PgBouncer itself: `SHOW POOLS`, `RELOAD`. Returns the rows, as [`sql`](Self::sql) does.
    ///
    /// # Panics
    /// With the output of `psql`, if PgBouncer refuses the command.
    #[must_use]
    #[track_caller]
    pub fn admin(&self, command: &str) -> String {
        self.psql(ADMIN, ADMIN_PASSWORD, "pgbouncer", &[command])
    }

    #[track_caller]
    fn psql(&self, user: &str, password: &str, database: &str, statements: &[&str]) -> String {
        let mut psql = unprivileged(postgres::program("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "localhost"]);
        psql.args(["-p", &self.port.to_string(), "-U", user, "-d", database]);
        psql.args(statements.iter().flat_map(|statement| ["-c", statement]));
        psql.env("PGPASSWORD", password).env("PGSSLMODE", "verify-full");
        psql.env("PGSSLROOTCERT", self.folder.path().join("authority.crt"));
        psql.current_dir(self.folder.path());
        process::run(&mut psql).trim().to_owned()
    }

    /// Begins a connection with these parameters, over verified TLS, and returns the text of the
    /// first answer: `SCRAM-SHA-256`, or a SQLSTATE and a message.
    ///
    /// # Errors
    /// If there is no answer, or one that is neither.
    pub async fn startup(&self, parameters: &[(&str, &str)]) -> io::Result<String> {
        let mut roots = RootCertStore::empty();
        let pem = self.server.authority.pem();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;

        let mut stream = tokio::net::TcpStream::connect(("localhost", self.port)).await?;
        stream.write_all(&SSL_REQUEST).await?;
        if stream.read_u8().await? != b'S' {
            return Err(io::Error::other("it has no TLS"));
        }
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let mut content = 196_608_u32.to_be_bytes().to_vec();
        for text in parameters.iter().flat_map(|(name, value)| [name, value]) {
            content.extend_from_slice(text.as_bytes());
            content.push(0);
        }
        content.push(0);
        let length = u32::try_from(content.len() + 4).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], &content].concat()).await?;

        let kind = stream.read_u8().await?;
        let mut content = vec![0; (stream.read_u32().await? as usize).saturating_sub(4)];
        stream.read_exact(&mut content).await?;
        match kind {
            b'R' => Ok(texts(content.get(4..).unwrap_or_default()).concat()),
            b'E' => {
                let fields = texts(&content);
                let field = |kind: char| {
                    fields.iter().find_map(|text| text.strip_prefix(kind)).unwrap_or("")
                };
                Ok(format!("{}: {}", field('C'), field('M')))
            }
            other => Err(io::Error::other(format!("a message of type {}", char::from(other)))),
        }
    }

    /// The log of PgBouncer so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// The texts that end with a zero each.
fn texts(content: &[u8]) -> Vec<String> {
    let texts = content.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// Writes the files, and returns the text of `pgbouncer.ini`.
fn settings(folder: &Folder, port: u16, server: &Postgres, options: &Options) -> String {
    let leaf = server.authority.server();
    let authority = folder.write("authority.crt", &server.authority.pem());
    let certificate = folder.write("server.crt", &leaf.certificate);
    let key = folder.write("server.key", &leaf.key);
    // It logs in at the server with these passwords, too: a verifier would not do for that.
    let users = format!("\"{USER}\" \"{PASSWORD}\"\n\"{ADMIN}\" \"{ADMIN_PASSWORD}\"\n");
    let users = folder.write("users.txt", &users);
    let Options { mode, pool_size, ignored, settings } = options;
    // `*` is each database of the server.
    format!(
        "[databases]\n* = host=localhost port={}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {}\nadmin_users = {ADMIN}\n\
         client_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n\
         server_tls_sslmode = verify-full\nserver_tls_ca_file = {}\n\
         pool_mode = {mode}\ndefault_pool_size = {pool_size}\n\
         ignore_startup_parameters = {ignored}\n{settings}\n",
        server.port,
        users.display(),
        certificate.display(),
        key.display(),
        authority.display(),
    )
}
