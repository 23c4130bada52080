//! A real PostgreSQL server.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::authority::Leaf;
use crate::folder::Folder;
use crate::kept::{self, Place};
use crate::port;
use crate::process::{Process, run, run_with, unprivileged};
use crate::program::Programs;
use crate::server::Account;
use crate::{DevError, quoted};

/// The options of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it accepts.
    pub client_ca: Option<String>,
    /// The lines of `pg_hba.conf`, after the one that admits the administrator on the local socket.
    pub hba: String,
    /// More lines of `postgresql.conf`.
    pub settings: String,
}

impl Options {
    /// TLS with a certificate, and SCRAM for every role.
    #[must_use]
    pub fn tls(leaf: Leaf) -> Self {
        let hba = "hostssl all all all scram-sha-256".to_owned();
        Self { leaf: Some(leaf), hba, ..Self::plaintext() }
    }

    /// No TLS at all.
    #[must_use]
    pub fn plaintext() -> Self {
        Self {
            leaf: None,
            client_ca: None,
            hba: "host all all all scram-sha-256".to_owned(),
            settings: String::new(),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    /// Stopped before its folder is removed.
    process: Process,
    folder: Folder,
    programs: Programs,
    administrator: Account,
    /// The port that it listens on.
    pub port: u16,
}

impl Postgres {
    /// Starts a server with these options, and the data of a template.
    ///
    /// # Errors
    /// If a program is not installed, or if the server does not start.
    pub fn start(template: &Arc<Template>, options: &Options) -> Result<Self, DevError> {
        let (programs, administrator) = (&template.programs, &template.administrator);
        let fill = |data: &Path| kept::copy(template.folder.path(), data);
        Self::run(programs, administrator, options, None, fill)
    }

    /// Starts a server with kept data. The administrator gets the password of this run.
    pub(crate) fn keep(
        programs: &Programs,
        administrator: &Account,
        options: &Options,
        place: &Place,
    ) -> Result<Self, DevError> {
        let fill = |data: &Path| initialize(programs, administrator, data);
        let server = Self::run(programs, administrator, options, Some(place), fill)?;
        server.script("postgres", &password(administrator))?;
        Ok(server)
    }

    fn run(
        programs: &Programs,
        administrator: &Account,
        options: &Options,
        place: Option<&Place>,
        fill: impl FnOnce(&Path) -> Result<(), DevError>,
    ) -> Result<Self, DevError> {
        let (postgres, is_ready) = (programs.find("postgres")?, programs.find("pg_isready")?);
        let folder = Folder::new("postgres")?;
        let data = kept::data(&folder, place, fill)?;
        let port = port::free()?;

        let mut settings = format!(
            "listen_addresses = 'localhost'\nport = {port}\nunix_socket_directories = '{0}'\n\
             hba_file = '{0}/pg_hba.conf'\nsynchronous_commit = off\n\
             max_connections = 60\nshared_buffers = '16MB'\n\
             log_connections = on\nlog_disconnections = on\n\
             timezone = 'UTC'\nlog_timezone = 'UTC'\n",
            folder.path().display()
        );
        match place {
            None => settings.push_str("fsync = off\nfull_page_writes = off\n"),
            // Of a server that was killed. The lock shows that it has ended; its number may be that
            // of another process by now, for which PostgreSQL would not start.
            Some(place) => place.remove("postmaster.pid")?,
        }
        if let Some(leaf) = &options.leaf {
            let [certificate, key] = leaf.write(&folder)?;
            settings.push_str(&format!(
                "ssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\n"
            ));
        }
        if let Some(ca) = &options.client_ca {
            settings.push_str(&format!(
                "ssl_ca_file = '{}'\n",
                folder.write("clients.crt", ca)?.display()
            ));
        }
        settings.push_str(&options.settings);
        let settings = folder.write("postgresql.conf", &settings)?;
        let hba = format!("local all {} trust\n{}\n", administrator.name(), options.hba);
        folder.write("pg_hba.conf", &hba)?;

        let settings = format!("config_file={}", settings.display());
        let command: [OsString; 5] =
            [postgres.into(), "-D".into(), data.into(), "-c".into(), settings.into()];
        // QUIT: stop at once, without waiting for clients. INT: the same, with all data written.
        let signal = if place.is_some() { "INT" } else { "QUIT" };
        let lock = place.map(Place::lock);
        let process = Process::locked("postgres", signal, folder.path(), &[], command, lock)?;
        let (programs, administrator) = (programs.clone(), administrator.clone());
        let server = Self { process, folder, programs, administrator, port };
        server.process.wait_until(|| {
            unprivileged(&is_ready)
                .arg("-q")
                .arg("-h")
                .arg(server.folder.path())
                .args(["-p", &port.to_string()])
                // The server account may not enter the folder that this process is in.
                .current_dir(server.folder.path())
                .output()
                .is_ok_and(|output| output.status.success())
        })?;
        Ok(server)
    }

    /// The administrator, who can also log in over TLS.
    #[must_use]
    pub const fn administrator(&self) -> &Account {
        &self.administrator
    }

    /// Runs statements as the administrator over the local socket, and returns the rows, with a `|`
    /// between columns. It uses `psql`, because a driver could log the statements, and so a
    /// password.
    ///
    /// # Errors
    /// With the output of `psql`, if the server refuses a statement.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, DevError> {
        let rows = run(self.psql(database)?.args(["-c", statements]))?;
        Ok(rows.trim().to_owned())
    }

    /// Runs a script as the administrator over the local socket, as `psql --file` does. It stops at
    /// the first error. Its text is on no command line.
    ///
    /// # Errors
    /// With the output of `psql`, if the server refuses a statement.
    pub fn script(&self, database: &str, text: &str) -> Result<(), DevError> {
        run_with(self.psql(database)?.args(["-f", "-"]), text).map(drop)
    }

    fn psql(&self, database: &str) -> Result<Command, DevError> {
        let mut psql = unprivileged(self.programs.find("psql")?);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-U"]);
        psql.arg(self.administrator().name());
        psql.args(["-p", &self.port.to_string(), "-h"]).arg(self.folder.path());
        Ok(psql)
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// The data folder that servers begin with. `initdb` takes more than a second, and a copy of its
/// result a tenth of that.
pub struct Template {
    folder: Folder,
    programs: Programs,
    administrator: Account,
}

impl Template {
    /// Makes the data folder of a server with this superuser.
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
    /// If PostgreSQL refuses one.
    pub fn with_statements(self, database: &str, statements: &str) -> Result<Self, DevError> {
        let postgres = self.programs.find("postgres")?;
        let file = self.folder.write("statements", statements)?;
        let mut command = unprivileged("sh");
        command.args(["-c", "\"$1\" --single -D \"$2\" \"$3\" <\"$4\" 2>&1", "sh"]);
        let data: &Path = &self.folder.path().join("data");
        let output = run(command.arg(postgres).arg(data).arg(database).arg(file))?;
        if output.contains("ERROR") || output.contains("FATAL") {
            return Err(DevError::new(format!("PostgreSQL refuses a statement:\n{output}")));
        }
        Ok(self)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("administrator", &self.administrator)
            .finish_non_exhaustive()
    }
}

/// Fills an empty folder with the data of a server with this superuser.
fn initialize(programs: &Programs, administrator: &Account, data: &Path) -> Result<(), DevError> {
    let initdb = programs.find("initdb")?;
    let folder = Folder::new("initdb")?;
    let password = folder.write("password", administrator.password())?;
    run(unprivileged(initdb)
        .args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
            "--username",
            administrator.name(),
        ])
        .arg("--pwfile")
        .arg(&password)
        .arg("--pgdata")
        .arg(data)
        .current_dir(folder.path()))
    .map(drop)
}

/// The statements that give an account its password.
pub(crate) fn password(account: &Account) -> String {
    let role = quoted::for_postgres(account.name());
    // A statement that fails is logged, unless it is this one.
    format!(
        "SET log_min_error_statement = panic;\nALTER ROLE {role} PASSWORD '{}';\n",
        account.password()
    )
}
