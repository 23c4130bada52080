//! A real MariaDB server.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::folder::Folder;
use crate::pki::{Authority, Leaf};
use crate::port;
use crate::process::{Process, find, run, unprivileged};

/// The application's user. It may read and write one table, and do nothing else.
pub const USER: &str = "winkelier";

/// The application's database.
pub const DATABASE: &str = "winkelgegevens";

/// An administrator who is not called `root`.
pub const ADMIN: &str = "opperbaas";

/// The options of a server.
#[derive(Debug, Default)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it accepts.
    pub client_ca: Option<String>,
    /// More command-line arguments.
    pub arguments: Vec<String>,
}

impl Options {
    /// TLS with a certificate.
    #[must_use]
    pub fn tls(leaf: Leaf) -> Self {
        Self { leaf: Some(leaf), ..Self::default() }
    }
}

/// A running server.
#[derive(Debug)]
pub struct MariaDb {
    /// Stopped before its folder is removed.
    process: Process,
    folder: Folder,
    /// The port that it listens on.
    pub port: u16,
    /// The issuer of its certificate, if that is a valid authority.
    pub authority: Authority,
}

impl MariaDb {
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
        let folder = Folder::new("mariadb");
        let data = folder.path().join("data");
        run(Command::new("cp").arg("-a").arg(TEMPLATE.path().join("data")).arg(&data));
        let port = port::free();
        let path = |name: &str| folder.path().join(name).display().to_string();
        folder.write(
            "admin.cnf",
            &format!(
                "[client]\nuser={ADMIN}\npassword={ADMIN_PASSWORD}\nsocket={}\n",
                path("socket")
            ),
        );

        let mut command = vec![find("mariadbd", &[]).display().to_string()];
        command.extend(
            [
                "--no-defaults",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--skip-log-bin",
                "--general-log",
                "--log-warnings=2",
                "--max-connections=60",
                "--innodb-buffer-pool-size=16M",
                "--innodb-flush-log-at-trx-commit=0",
                "--key-buffer-size=1M",
                "--aria-pagecache-buffer-size=1M",
            ]
            .map(str::to_owned),
        );
        for (name, value) in [
            ("datadir", path("data")),
            ("socket", path("socket")),
            ("pid-file", path("pid")),
            ("general-log-file", path("heard")),
            ("port", port.to_string()),
        ] {
            command.push(format!("--{name}={value}"));
        }
        match &options.leaf {
            Some(leaf) => {
                folder.write("server.crt", &leaf.certificate);
                folder.write("server.key", &leaf.key);
                command.push(format!("--ssl-cert={}", path("server.crt")));
                command.push(format!("--ssl-key={}", path("server.key")));
            }
            None => command.push("--skip-ssl".to_owned()),
        }
        if let Some(ca) = &options.client_ca {
            command.push(format!("--ssl-ca={}", folder.write("clients.crt", ca).display()));
        }
        command.extend(options.arguments.iter().cloned());
        let process = Process::start("mariadbd", "KILL", folder.path(), &[], command);
        let server = Self { process, folder, port, authority };
        server.process.wait_until(|| {
            server
                .client("mariadb-admin")
                .arg("ping")
                .output()
                .is_ok_and(|output| output.status.success())
        });
        server
    }

    /// A client program of MariaDB, logged in as an administrator over the local socket.
    fn client(&self, program: &str) -> Command {
        let mut command = unprivileged(find(program, &[]));
        command.arg(format!("--defaults-file={}", self.folder.path().join("admin.cnf").display()));
        command
    }

    /// The locator of the application's user and database.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("mysql://{USER}@localhost:{}/{DATABASE}", self.port)
    }

    /// Runs statements as an administrator, and returns the rows, with a tab between columns. They
    /// are left out of [`heard`](Self::heard).
    ///
    /// # Panics
    /// With the server's log, if it refuses them.
    #[must_use]
    pub fn sql(&self, statements: &str) -> String {
        let statements = format!("SET SESSION sql_log_off = 1; {statements}");
        let mut client = self.client("mariadb");
        let output = client
            .args(["--batch", "--skip-column-names", DATABASE, "-e", &statements])
            .output()
            .expect("the client");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\nthe server's log:\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs statements as an administrator in one database, as the client reads them from a file.
    ///
    /// # Panics
    /// With the client's output, if the server refuses them.
    pub fn script(&self, database: &str, statements: &str) {
        let mut child = self
            .client("mariadb")
            .args([
                "--batch",
                "--skip-column-names",
                "--default-character-set=utf8mb4",
                "--init-command=SET SESSION sql_log_off = 1",
            ])
            .arg(format!("--database={database}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client");
        child
            .stdin
            .take()
            .expect("its input")
            .write_all(statements.as_bytes())
            .expect("the statements");
        let output = child.wait_with_output().expect("the client's end");
        assert!(
            output.status.success(),
            "{}\n{statements}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The number of connections of a user.
    #[must_use]
    pub fn connections_of(&self, user: &str) -> usize {
        self.sql(&format!(
            "SELECT count(*) FROM information_schema.processlist WHERE user = '{user}' AND id <> \
             CONNECTION_ID()"
        ))
        .parse()
        .expect("a count")
    }

    /// Waits until a user has no connection left. The server needs a moment to notice a closed
    /// connection.
    ///
    /// # Panics
    /// If one is left after some seconds.
    pub async fn assert_no_connection_of(&self, user: &str) {
        for _ in 0..100 {
            if self.connections_of(user) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "{} connections of {user} are left:\n{}",
            self.connections_of(user),
            self.sql("SHOW PROCESSLIST")
        );
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The server's general log: each login and each statement.
    #[must_use]
    pub fn heard(&self) -> String {
        fs::read(self.folder.path().join("heard"))
            .map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into_owned())
    }
}

/// The data folder that every server begins with.
static TEMPLATE: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Folder::new("template");
    let data: PathBuf = folder.path().join("data");
    run(unprivileged(find("mariadb-install-db", &[]))
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={}", data.display()))
        .current_dir(folder.path()));
    let statements = folder.write(
        "statements",
        &format!(
            "DELETE FROM mysql.global_priv WHERE (User = 'root' AND Host <> 'localhost') OR User = \
             '';\n\
             FLUSH PRIVILEGES;\n\
             SET PASSWORD FOR 'root'@'localhost' = PASSWORD('{ADMIN_PASSWORD}');\n\
             CREATE USER '{ADMIN}'@'%' IDENTIFIED BY '{ADMIN_PASSWORD}';\n\
             GRANT ALL PRIVILEGES ON *.* TO '{ADMIN}'@'%' WITH GRANT OPTION;\n\
             CREATE DATABASE {DATABASE};\n\
             CREATE TABLE {DATABASE}.orders (id int PRIMARY KEY);\n\
             CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT SELECT, INSERT ON {DATABASE}.orders TO '{USER}'@'%';\n"
        ),
    );
    // `--bootstrap` runs the statements without a server.
    let mut command = unprivileged("sh");
    command.args([
        "-c",
        "\"$1\" --no-defaults --datadir=\"$2\" --bootstrap --skip-log-bin <\"$3\" 2>&1",
        "sh",
    ]);
    let output = run(command.arg(find("mariadbd", &[])).arg(&data).arg(&statements));
    assert!(!output.contains("ERROR"), "{output}");
    folder
});
