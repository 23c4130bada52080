//! A real PostgreSQL server.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::DevError;
use crate::authority::Leaf;
use crate::folder::Folder;
use crate::port;
use crate::process::{Process, run, run_with, unprivileged};
use crate::program::Programs;
use crate::server::Account;

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
        Self {
            leaf: Some(leaf),
            client_ca: None,
            hba: "hostssl all all all scram-sha-256".to_owned(),
            settings: String::new(),
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
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    /// Stopped before its folder is removed.
    process: Process,
    folder: Folder,
    template: Arc<Template>,
    /// The port that it listens on.
    pub port: u16,
}

impl Postgres {
    /// Starts a server with these options, and the data of a template.
    ///
    /// # Errors
    /// If a program is not installed, or if the server does not start.
    pub fn start(template: &Arc<Template>, options: &Options) -> Result<Self, DevError> {
        let programs = &template.programs;
        let (postgres, is_ready) = (programs.find("postgres")?, programs.find("pg_isready")?);
        let folder = Folder::new("postgres")?;
        let data = folder.path().join("data");
        run(unprivileged("cp").arg("-a").arg(template.folder.path().join("data")).arg(&data))?;
        let port = port::free()?;

        let mut settings = format!(
            "listen_addresses = 'localhost'\nport = {port}\nunix_socket_directories = '{}'\n\
             fsync = off\nsynchronous_commit = off\n\
             full_page_writes = off\nmax_connections = 60\nshared_buffers = '16MB'\n\
             log_connections = on\nlog_disconnections = on\n\
             timezone = 'UTC'\nlog_timezone = 'UTC'\n",
            folder.path().display()
        );
        if let Some(leaf) = &options.leaf {
            folder.write("server.crt", &leaf.certificate)?;
            folder.write("server.key", &leaf.key)?;
            settings.push_str(&format!(
                "ssl = on\nssl_cert_file = '{0}/server.crt'\nssl_key_file = '{0}/server.key'\n",
                folder.path().display()
            ));
        }
        if let Some(ca) = &options.client_ca {
            settings.push_str(&format!(
                "ssl_ca_file = '{}'\n",
                folder.write("clients.crt", ca)?.display()
            ));
        }
        settings.push_str(&options.settings);
        folder.write("data/postgresql.conf", &settings)?;
        let administrator = template.administrator.name();
        let hba = format!("local all {administrator} trust\n{}\n", options.hba);
        folder.write("data/pg_hba.conf", &hba)?;

        let command: [OsString; 3] = [postgres.into(), "-D".into(), data.into()];
        // QUIT: stop at once, without waiting for clients.
        let process = Process::start("postgres", "QUIT", folder.path(), &[], command)?;
        let server = Self { process, folder, template: Arc::clone(template), port };
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
    pub fn administrator(&self) -> &Account {
        &self.template.administrator
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
        let mut psql = unprivileged(self.template.programs.find("psql")?);
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
        let initdb = programs.find("initdb")?;
        let folder = Folder::new("template")?;
        let password = folder.write("password", administrator.password())?;
        let data = folder.path().join("data");
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
            .arg(&data)
            .current_dir(folder.path()))?;
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
