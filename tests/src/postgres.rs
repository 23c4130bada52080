//! A real PostgreSQL server.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::folder::Folder;
use crate::pki::{Authority, Leaf};
use crate::port;
use crate::process::{self, Process, run, unprivileged};

/// The application's role. It may read one table and insert into it, and do nothing else.
pub const USER: &str = "winkelier";

/// The application's database.
pub const DATABASE: &str = "winkelgegevens";

/// A superuser.
pub const ADMIN: &str = "opperbaas";

/// The options of a server.
#[derive(Debug)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it accepts.
    pub client_ca: Option<String>,
    /// The lines of `pg_hba.conf`, behind the one that admits [`Postgres::sql`].
    pub hba: String,
    /// More lines of `postgresql.conf`.
    pub settings: String,
    /// The configuration of OpenSSL.
    pub openssl: Option<&'static str>,
}

impl Options {
    /// TLS with a certificate, and SCRAM for every role.
    #[must_use]
    pub fn tls(leaf: Leaf) -> Self {
        Self {
            leaf: Some(leaf),
            client_ca: None,
            hba: "hostssl all all all scram-sha-256".to_owned(),
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
            hba: "host all all all scram-sha-256".to_owned(),
            settings: String::new(),
            openssl: None,
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    /// Stopped before its folder is removed.
    process: Process,
    folder: Folder,
    /// The port that it listens on.
    pub port: u16,
    /// The issuer of its certificate, if that is a valid authority.
    pub authority: Authority,
}

impl Postgres {
    /// A server with a valid certificate and SCRAM.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options = Options::tls(authority.server());
        Self::with(authority, &options)
    }

    /// A server with these options.
    #[must_use]
    pub fn with(authority: Authority, options: &Options) -> Self {
        let folder = Folder::new("postgres");
        let data = folder.path().join("data");
        run(Command::new("cp").arg("-a").arg(TEMPLATE.path().join("data")).arg(&data));
        let port = port::free();

        let mut settings = format!(
            "listen_addresses = 'localhost'\nport = {port}\nunix_socket_directories = '{}'\n\
             fsync = off\nsynchronous_commit = off\n\
             full_page_writes = off\nmax_connections = 60\nshared_buffers = '16MB'\n\
             log_connections = on\nlog_disconnections = on\n\
             timezone = 'UTC'\nlog_timezone = 'UTC'\n",
            folder.path().display()
        );
        if let Some(leaf) = &options.leaf {
            folder.write("server.crt", &leaf.certificate);
            folder.write("server.key", &leaf.key);
            settings.push_str(&format!(
                "ssl = on\nssl_cert_file = '{0}/server.crt'\nssl_key_file = '{0}/server.key'\n",
                folder.path().display()
            ));
        }
        if let Some(ca) = &options.client_ca {
            settings.push_str(&format!(
                "ssl_ca_file = '{}'\n",
                folder.write("clients.crt", ca).display()
            ));
        }
        settings.push_str(&options.settings);
        folder.write("data/postgresql.conf", &settings);
        folder.write("data/pg_hba.conf", &format!("local all {ADMIN} trust\n{}\n", options.hba));

        let mut environment = Vec::new();
        let openssl = options.openssl.map(|text| folder.write("openssl.cnf", text));
        if let Some(path) = &openssl {
            environment.push(("OPENSSL_CONF", path.as_os_str()));
        }
        let command: [OsString; 3] = [program("postgres").into(), "-D".into(), data.into()];
        // QUIT: stop at once, without waiting for clients.
        let process = Process::start("postgres", "QUIT", folder.path(), &environment, command);
        let server = Self { process, folder, port, authority };
        server.process.wait_until(|| {
            unprivileged(program("pg_isready"))
                .arg("-q")
                .arg("-h")
                .arg(server.folder.path())
                .args(["-p", &port.to_string()])
                .status()
                .is_ok_and(|status| status.success())
        });
        server
    }

    /// The locator of the application's role and database.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("postgres://{USER}@localhost:{}/{DATABASE}", self.port)
    }

    /// Runs statements as the superuser, past every rule about connections, and returns the rows,
    /// with a `|` between columns. It uses `psql`, because a driver could log the statements, which
    /// would look like a leak.
    pub fn sql(&self, statements: &str) -> String {
        run(self.psql(DATABASE).args(["-c", statements])).trim().to_owned()
    }

    /// Runs a file of statements in a database, one after the other, as an administrator would.
    pub fn script(&self, database: &str, text: &str) {
        let file = self.folder.write("script.sql", text);
        run(self.psql(database).arg("-f").arg(file));
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = unprivileged(program("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", ADMIN, "-d", database]);
        psql.args(["-p", &self.port.to_string(), "-h"]).arg(self.folder.path());
        psql
    }

    /// The number of connections of this role, without those of [`Postgres::sql`].
    #[must_use]
    pub fn connections_of(&self, role: &str) -> usize {
        self.sql(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND backend_type = \
             'client backend'
             AND application_name <> 'psql'"
        ))
        .parse()
        .expect("a count")
    }

    /// Waits until a role has no connection left. The server needs a moment to notice a closed
    /// connection.
    ///
    /// # Panics
    /// If one is left after some seconds.
    pub async fn assert_no_connection_of(&self, role: &str) {
        for _ in 0..100 {
            if self.connections_of(role) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "{} connections of {role} are left:\n{}",
            self.connections_of(role),
            self.sql("TABLE pg_stat_activity")
        );
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// The data folder that every server begins with. `initdb` takes more than a second, and a copy of
/// its result a tenth of that.
static TEMPLATE: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Folder::new("template");
    let password = folder.write("password", ADMIN_PASSWORD);
    let data = folder.path().join("data");
    run(unprivileged(program("initdb"))
        .args([
            "--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--username",
            ADMIN,
        ])
        .arg("--pwfile")
        .arg(&password)
        .arg("--pgdata")
        .arg(&data)
        .current_dir(folder.path()));
    // Single-user mode reads one statement from each line.
    let statements = folder.write(
        "statements",
        &format!(
            "CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'\n\
             CREATE DATABASE {DATABASE} OWNER {ADMIN}\n"
        ),
    );
    run_single(&data, "postgres", &statements);
    let statements = folder.write(
        "statements",
        &format!(
            "CREATE TABLE orders (id int PRIMARY KEY)\nGRANT SELECT, INSERT ON orders TO {USER}\n"
        ),
    );
    run_single(&data, DATABASE, &statements);
    folder
});

/// Runs statements without a server.
fn run_single(data: &Path, database: &str, statements: &Path) {
    let mut command = unprivileged("sh");
    command.args(["-c", "\"$1\" --single -D \"$2\" \"$3\" <\"$4\" 2>&1", "sh"]);
    let output = run(command.arg(program("postgres")).arg(data).arg(database).arg(statements));
    assert!(!output.contains("ERROR") && !output.contains("FATAL"), "{output}");
}

/// A program of PostgreSQL, of the newest release that is installed.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static FOLDERS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
        // The folders of Debian, Fedora and Homebrew.
        let mut folders: Vec<_> = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"]
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|folder| folder.join("postgres").is_file())
            .collect();
        folders.sort_by_key(|folder| {
            let digits: String =
                folder.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
            std::cmp::Reverse(digits.parse().unwrap_or(0_u32))
        });
        folders
    });
    process::find(name, &FOLDERS)
}

/// A certificate for the application's role, by the authority of the client certificates.
#[must_use]
pub fn client_certificate(authority: &Authority) -> Leaf {
    authority.client(USER)
}
