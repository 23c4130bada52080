//! A real MariaDB server.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::authority::Leaf;
use crate::folder::{self, Folder};
use crate::kept::{self, Place};
use crate::port;
use crate::process::{Process, run, run_with, unprivileged};
use crate::program::Programs;
use crate::server::Account;
use crate::{DevError, quoted};

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
    programs: Programs,
    administrator: Account,
    /// The port that it listens on.
    pub port: u16,
}

impl MariaDb {
    /// Starts a server with these options, and the data of a template.
    ///
    /// # Errors
    /// If a program is not installed, or if the server does not start.
    pub fn start(template: &Arc<Template>, options: &Options) -> Result<Self, DevError> {
        let fill = |data: &Path| kept::copy(template.folder.path(), data);
        Self::run(&template.programs, &template.administrator, options, None, fill)
    }

    /// Starts a server with kept data. The administrator gets the password of this run.
    pub(crate) fn keep(
        programs: &Programs,
        administrator: &Account,
        options: &Options,
        place: &Place,
    ) -> Result<Self, DevError> {
        let fill = |data: &Path| initialize(programs, administrator, data);
        Self::run(programs, administrator, options, Some(place), fill)
    }

    fn run(
        programs: &Programs,
        administrator: &Account,
        options: &Options,
        place: Option<&Place>,
        fill: impl FnOnce(&Path) -> Result<(), DevError>,
    ) -> Result<Self, DevError> {
        let folder = Folder::new("mariadb")?;
        kept::data(&folder, place, fill)?;
        let port = port::free()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        folder.write(
            "admin.cnf",
            &format!(
                "[client]\nuser={}\npassword=\"{}\"\nsocket={}\n",
                administrator.name(),
                administrator.password(),
                path("socket")
            ),
        )?;

        let mut command = vec![programs.find("mariadbd")?.display().to_string()];
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
                "--key-buffer-size=1M",
                "--aria-pagecache-buffer-size=1M",
            ]
            .map(str::to_owned),
        );
        for (name, value) in [
            ("datadir", path("data")),
            // A server that starts deletes the temporary tables of others in the same folder.
            ("tmpdir", folder.path().display().to_string()),
            ("socket", path("socket")),
            ("pid-file", path("pid")),
            ("general-log-file", path("heard")),
            ("port", port.to_string()),
        ] {
            command.push(format!("--{name}={value}"));
        }
        if place.is_some() {
            let statements = passwords(administrator);
            let file = folder.write("passwords", &statements)?;
            command.push(format!("--init-file={}", file.display()));
        } else {
            command.push("--innodb-flush-log-at-trx-commit=0".to_owned());
        }
        match &options.leaf {
            Some(leaf) => {
                let [certificate, key] = leaf.write(&folder)?;
                command.push(format!("--ssl-cert={certificate}"));
                command.push(format!("--ssl-key={key}"));
            }
            None => command.push("--skip-ssl".to_owned()),
        }
        if let Some(ca) = &options.client_ca {
            command.push(format!("--ssl-ca={}", folder.write("clients.crt", ca)?.display()));
        }
        command.extend(options.arguments.iter().cloned());
        let signal = if place.is_some() { "TERM" } else { "KILL" };
        let lock = place.map(Place::lock);
        let process = Process::locked("mariadbd", signal, folder.path(), &[], command, lock)?;
        let (programs, administrator) = (programs.clone(), administrator.clone());
        let server = Self { process, folder, programs, administrator, port };
        let mut ping = server.client("mariadb-admin")?;
        ping.arg("ping");
        server.process.wait_until(|| ping.output().is_ok_and(|output| output.status.success()))?;
        Ok(server)
    }

    /// A client program of MariaDB, logged in as an administrator over the local socket.
    fn client(&self, program: &str) -> Result<Command, DevError> {
        let mut command = unprivileged(self.programs.find(program)?);
        command.arg(format!("--defaults-file={}", self.folder.path().join("admin.cnf").display()));
        Ok(command)
    }

    /// The administrator, who can also log in over TLS.
    #[must_use]
    pub const fn administrator(&self) -> &Account {
        &self.administrator
    }

    /// Runs statements as the administrator over the local socket, and returns the rows, with a tab
    /// between columns. They are left out of [`heard`](Self::heard).
    ///
    /// # Errors
    /// With the client's output, if the server refuses a statement.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, DevError> {
        let statements = format!("SET SESSION sql_log_off = 1; {statements}");
        let mut client = self.client("mariadb")?;
        client.args(["--batch", "--skip-column-names", database, "-e", &statements]);
        Ok(run(&mut client)?.trim().to_owned())
    }

    /// Runs a script as the administrator over the local socket, as the client reads it from a
    /// file. It stops at the first error. Its text is on no command line.
    ///
    /// # Errors
    /// With the client's output, if the server refuses a statement.
    pub fn script(&self, database: &str, text: &str) -> Result<(), DevError> {
        let mut client = self.client("mariadb")?;
        client
            .args([
                "--batch",
                "--skip-column-names",
                "--default-character-set=utf8mb4",
                "--init-command=SET SESSION sql_log_off = 1",
            ])
            .arg(format!("--database={database}"));
        run_with(&mut client, text).map(drop)
    }

    /// The statements that make all that is in a database. Bytes that are no text are in them as
    /// hexadecimal digits.
    pub(crate) fn dump(&self, database: &str) -> Result<String, DevError> {
        let mut client = self.client("mariadb-dump")?;
        client.args(["--routines", "--events", "--skip-comments", "--single-transaction"]);
        client.args(["--hex-blob", "--default-character-set=utf8mb4", database]);
        let failed = |error| DevError::system("cannot start `mariadb-dump`", &error);
        let output = client.stdin(Stdio::null()).output().map_err(failed)?;
        if !output.status.success() {
            return Err(DevError::failed("mariadb-dump", &output));
        }
        // The standard error has warnings, which are no statements.
        String::from_utf8(output.stdout).map_err(|_| {
            DevError::new("the template has a text that is not UTF-8, which cannot be copied")
        })
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The server's general log: each login and each statement.
    #[must_use]
    pub fn heard(&self) -> String {
        folder::read(&self.folder.path().join("heard")).unwrap_or_default()
    }
}

/// The data folder that servers begin with.
pub struct Template {
    folder: Folder,
    programs: Programs,
    administrator: Account,
}

impl Template {
    /// Makes the data folder of a server with this administrator, who is not called `root`.
    ///
    /// # Errors
    /// If a program is not installed, or fails.
    pub fn new(programs: &Programs, administrator: Account) -> Result<Self, DevError> {
        let folder = Folder::new("template")?;
        initialize(programs, &administrator, &kept::data(&folder, None, |_| Ok(()))?)?;
        Ok(Self { folder, programs: programs.clone(), administrator })
    }

    /// Adds what these statements make, one in each line, without a server.
    ///
    /// # Errors
    /// If MariaDB refuses one.
    pub fn with_statements(self, statements: &str) -> Result<Self, DevError> {
        // Without it, there are no accounts to change.
        let statements = format!("FLUSH PRIVILEGES;\n{statements}");
        bootstrap(&self.programs, &self.folder.path().join("data"), &statements)?;
        Ok(self)
    }
}

/// Fills an empty folder with the data of a server with this administrator.
fn initialize(programs: &Programs, administrator: &Account, data: &Path) -> Result<(), DevError> {
    let temporary = Folder::new("bootstrap")?;
    run(unprivileged(programs.find("mariadb-install-db")?)
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={}", data.display()))
        .env("TMPDIR", temporary.path())
        .current_dir(data))?;
    let name = quoted::literal_for_mysql(administrator.name());
    let password = quoted::literal_for_mysql(administrator.password());
    let statements = format!(
        "DELETE FROM mysql.global_priv WHERE (User = 'root' AND Host <> 'localhost') OR User = \
         '';\n\
         FLUSH PRIVILEGES;\n\
         SET PASSWORD FOR 'root'@'localhost' = PASSWORD({password});\n\
         CREATE USER {name}@'%' IDENTIFIED BY {password};\n\
         GRANT ALL PRIVILEGES ON *.* TO {name}@'%' WITH GRANT OPTION;\n"
    );
    bootstrap(programs, data, &statements)
}

/// The statements that give the administrators their password, each on a line of its own. They are
/// left out of [`heard`](MariaDb::heard).
fn passwords(administrator: &Account) -> String {
    let name = quoted::literal_for_mysql(administrator.name());
    let password = quoted::literal_for_mysql(administrator.password());
    format!(
        "SET SESSION sql_log_off = 1;\n\
         ALTER USER 'root'@'localhost' IDENTIFIED BY {password};\n\
         ALTER USER {name}@'%' IDENTIFIED BY {password};\n"
    )
}

/// `--bootstrap` runs statements without a server. It begins without privileges.
fn bootstrap(programs: &Programs, data: &Path, statements: &str) -> Result<(), DevError> {
    let folder = Folder::new("bootstrap")?;
    let file = folder.write("statements", statements)?;
    let mut command = unprivileged("sh");
    command.args([
        "-c",
        "\"$1\" --no-defaults --datadir=\"$2\" --bootstrap --skip-log-bin <\"$3\" 2>&1",
        "sh",
    ]);
    let mariadbd = programs.find("mariadbd")?;
    let output = run(command.arg(mariadbd).arg(data).arg(file).env("TMPDIR", folder.path()))?;
    if output.contains("ERROR") {
        return Err(DevError::new(format!("MariaDB refuses a statement:\n{output}")));
    }
    Ok(())
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("administrator", &self.administrator)
            .finish_non_exhaustive()
    }
}
