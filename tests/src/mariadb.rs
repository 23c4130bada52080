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

/// The application's user: it may read and write one table, and nothing else.
pub const USER: &str = "winkelier";

/// The application's database.
pub const DATABASE: &str = "winkelgegevens";

/// An administrator who is not called `root`.
pub const ADMIN: &str = "opperbaas";

/// What a server is to be like.
#[derive(Debug, Default)]
pub struct Options {
    /// Its certificate; without one it speaks no TLS.
    pub leaf: Option<Leaf>,
    /// Whose clients' certificates it accepts.
    pub client_ca: Option<String>,
    /// More of its arguments.
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
    /// Stopped before its folder goes away.
    process: Process,
    folder: Folder,
    /// Where it listens.
    pub port: u16,
    /// Who issued its certificate, where that is one good authority.
    pub authority: Authority,
}

impl MariaDb {
    /// A server with a good certificate.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options = Options::tls(authority.server());
        Self::with(authority, &options)
    }

    /// A server that is like this.
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

    /// One of the client's programs, as an administrator, past the network.
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

    /// Runs statements as an administrator, and gives the rows: a tab between columns. They are not in what the server [has heard](Self::heard).
    ///
    /// # Panics
    /// With the server's log, where it does not accept them.
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
    /// With what the client says, where the server does not accept them.
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

    /// How many connections a user has.
    #[must_use]
    pub fn connections_of(&self, user: &str) -> usize {
        self.sql(&format!("SELECT count(*) FROM information_schema.processlist WHERE user = '{user}' AND id <> CONNECTION_ID()"))
            .parse()
            .expect("a count")
    }

    /// Waits until a user has no connection any more: the server needs a moment to notice that one was closed.
    ///
    /// # Panics
    /// Where there still is one after some seconds.
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

    /// What the server has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// What it has heard: each login, and each statement.
    #[must_use]
    pub fn heard(&self) -> String {
        fs::read(self.folder.path().join("heard"))
            .map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into_owned())
    }
}

/// What every server begins as.
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
            "DELETE FROM mysql.global_priv WHERE (User = 'root' AND Host <> 'localhost') OR User = '';\n\
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
    // Without a server.
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
