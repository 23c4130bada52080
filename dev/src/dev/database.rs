//! The databases of a developer's servers: PostgreSQL, MariaDB, SQLite.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::migration::Administrator;
use super::resource::{Access, Begun, Owned, Wanted};
use super::shared::{Shared, administrator, certificate};
use crate::folder::Folder;
use crate::kept::{self, Place};
use crate::server::mariadb::{self, MariaDb};
use crate::server::postgres::{self, Postgres};
use crate::{DevError, quoted};

/// A database without the program's account.
pub(super) trait Database: Send {
    /// Its administrator.
    fn administrator(&self) -> Result<Administrator, DevError>;

    /// Creates the account.
    fn grant(self: Box<Self>, wanted: &Wanted) -> Result<Access, DevError>;

    /// Turns it into a template. Nothing may change it from now on.
    fn template(self: Box<Self>) -> Result<Box<dyn Template>, DevError>;
}

/// A database that others are made from.
pub(super) trait Template: Send + Sync {
    /// A copy of it, with an account.
    fn copy(&self, wanted: &Wanted) -> Result<Access, DevError>;
}

/// Connections for some hundred tests at once.
const CONNECTIONS: u32 = 500;

pub(super) fn postgres(wanted: &Wanted) -> Result<Begun, DevError> {
    static TEMPLATES: Shared<postgres::Template> = Shared::new();
    static SERVERS: Shared<Postgres> = Shared::new();
    let programs = &wanted.programs;
    let server = SERVERS.get(wanted.origin(), || {
        let mut options = postgres::Options::tls(certificate()?);
        options.settings = format!("max_connections = {CONNECTIONS}\n");
        let Some(folder) = &wanted.kept else {
            let template = TEMPLATES
                .get(wanted.origin(), || postgres::Template::new(programs, administrator()?))?;
            return Postgres::start(&template, &options);
        };
        let release = kept::release("PostgreSQL", &programs.find("postgres")?, 1)?;
        let place = folder.place("postgres", Some(release))?;
        let server = Postgres::keep(programs, &administrator()?, &options, &place);
        server.map_err(|error| explained(&error, &place))
    })?;
    let name = wanted.name();
    let quoted = quoted::for_postgres(name);
    let owned = Owned::new(server, wanted, remove_from_postgres);
    let server = &owned.server;
    if wanted.kept.is_none() || !has_postgres(server, "pg_database WHERE datname", name)? {
        server.sql("postgres", &format!("CREATE DATABASE {quoted}"))?;
    }
    // Every account may connect to a new database, and before PostgreSQL 15 make tables in it.
    let script =
        format!("{}REVOKE CREATE ON SCHEMA public FROM PUBLIC;\n", closed_to_others(&quoted));
    server.script(name, &script)?;
    if let Some(script) = &wanted.script {
        server.script(name, script)?;
    }
    Ok(Begun::Database(Box::new(PostgresDatabase { owned, wanted: wanted.clone() })))
}

/// The error of a server that does not start with these data.
fn explained(error: &DevError, place: &Place) -> DevError {
    DevError::new(format!("{error}{}", place.advice()))
}

/// True if a row of a catalogue has this name.
fn has_postgres(server: &Postgres, whose: &str, name: &str) -> Result<bool, DevError> {
    let name = name.replace('\'', "''");
    Ok(!server.sql("postgres", &format!("SELECT 1 FROM {whose} = '{name}'"))?.is_empty())
}

/// Every account may connect to a new database.
fn closed_to_others(quoted: &str) -> String {
    format!("REVOKE CONNECT ON DATABASE {quoted} FROM PUBLIC;\n")
}

struct PostgresDatabase {
    owned: Owned<Postgres>,
    wanted: Wanted,
}

impl Database for PostgresDatabase {
    fn administrator(&self) -> Result<Administrator, DevError> {
        let server = &self.owned.server;
        let tls = "sslmode=verify-full&sslrootcert={}";
        self.wanted.administrator(server.administrator(), server.port, tls)
    }

    fn grant(self: Box<Self>, wanted: &Wanted) -> Result<Access, DevError> {
        let (name, account, server) = (wanted.name(), wanted.account()?, &self.owned.server);
        let earlier = match wanted.kept {
            Some(_) => rename_role(server, name)?,
            None => None,
        };
        let statements = wanted.statements(Some(name))?;
        server.script(name, &statements).map_err(|error| wanted.refused(&error))?;
        if let Some(earlier) = earlier {
            // The program keeps its objects, and has the privileges of the present `needs`.
            let script = replace_role(&earlier, &quoted::for_postgres(name));
            server.script(name, &script)?;
        }
        server.script(name, &postgres::password(&account))?;
        let (port, path) = (server.port, format!("/{name}"));
        wanted.access(port, &path, account, self.owned)
    }

    fn template(self: Box<Self>) -> Result<Box<dyn Template>, DevError> {
        let server = &self.owned.server;
        let memory = Folder::in_memory("copies");
        let mut options = String::new();
        if let Some(folder) = &memory {
            // A new database has 300 files, which take a disk up to half a second.
            let name = quoted::for_postgres(&self.owned.name);
            let at = folder.path().display();
            server.sql("postgres", &format!("CREATE TABLESPACE {name} LOCATION '{at}'"))?;
            options.push_str(&format!(" TABLESPACE {name}"));
        }
        // Without this strategy, PostgreSQL 15 and later write each page into their log, which
        // takes twice as long. Earlier releases have no other.
        if server
            .sql("postgres", "SHOW server_version_num")?
            .parse()
            .is_ok_and(|v: u32| v >= 150_000)
        {
            options.push_str(" STRATEGY file_copy");
        }
        Ok(Box::new(PostgresTemplate { owned: self.owned, options, memory }))
    }
}

/// Gives the role of an earlier run another name, and returns that, quoted. `None` if there is no
/// such role.
fn rename_role(server: &Postgres, name: &str) -> Result<Option<String>, DevError> {
    // A name has at most 63 bytes.
    let earlier: String = name.chars().take(40).chain(" (earlier)".chars()).collect();
    let (role, quoted) = (quoted::for_postgres(name), quoted::for_postgres(&earlier));
    let has = |name: &str| has_postgres(server, "pg_roles WHERE rolname", name);
    match (has(name)?, has(&earlier)?) {
        (false, false) => return Ok(None),
        (true, false) => {
            server.script(name, &format!("ALTER ROLE {role} RENAME TO {quoted};\n"))?;
        }
        // A run was killed between these steps.
        (true, true) => server.script(name, &replace_role(&role, &quoted))?,
        (false, true) => {}
    }
    Ok(Some(quoted))
}

/// The statements that give all objects of a role to another one, and remove the role with its
/// privileges. Both names are quoted.
fn replace_role(role: &str, by: &str) -> String {
    format!("REASSIGN OWNED BY {role} TO {by};\nDROP OWNED BY {role};\nDROP ROLE {role};\n")
}

struct PostgresTemplate {
    owned: Owned<Postgres>,
    /// The end of `CREATE DATABASE … TEMPLATE …`.
    options: String,
    /// The place of the copies.
    memory: Option<Folder>,
}

impl Drop for PostgresTemplate {
    fn drop(&mut self) {
        if self.memory.is_some() {
            // All copies are gone by now. If another `Dev` uses the server, it goes on without it.
            let name = quoted::for_postgres(&self.owned.name);
            let _ = self.owned.server.sql("postgres", &format!("DROP TABLESPACE IF EXISTS {name}"));
        }
    }
}

impl Template for PostgresTemplate {
    /// One run of `psql` for all of it: each takes some hundredths of a second.
    fn copy(&self, wanted: &Wanted) -> Result<Access, DevError> {
        let (name, account, server) = (wanted.name(), wanted.account()?, &self.owned.server);
        let (quoted, template) =
            (quoted::for_postgres(name), quoted::for_postgres(&self.owned.name));
        let owned = Owned::new(Arc::clone(server), wanted, remove_from_postgres);
        let script = format!(
            "CREATE DATABASE {quoted} TEMPLATE {template}{};\n{}\\connect {quoted}\n{}{}",
            self.options,
            closed_to_others(&quoted),
            wanted.statements(Some(name))?,
            postgres::password(&account)
        );
        if let Err(error) = server.script("postgres", &script) {
            let is_there = has_postgres(server, "pg_database WHERE datname", name)?;
            return Err(if is_there { wanted.refused(&error) } else { error });
        }
        wanted.access(server.port, &format!("/{name}"), account, owned)
    }
}

fn remove_from_postgres(server: &Postgres, name: &str) -> Result<(), DevError> {
    let name = quoted::for_postgres(name);
    let script =
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE);\nDROP ROLE IF EXISTS {name};\n");
    server.script("postgres", &script)
}

pub(super) fn mysql(wanted: &Wanted) -> Result<Begun, DevError> {
    static TEMPLATES: Shared<mariadb::Template> = Shared::new();
    static SERVERS: Shared<MariaDb> = Shared::new();
    let programs = &wanted.programs;
    let server = SERVERS.get(wanted.origin(), || {
        let mut options = mariadb::Options::tls(certificate()?);
        options.arguments.push(format!("--max-connections={CONNECTIONS}"));
        let Some(folder) = &wanted.kept else {
            let template = TEMPLATES
                .get(wanted.origin(), || mariadb::Template::new(programs, administrator()?))?;
            return MariaDb::start(&template, &options);
        };
        let release = kept::release("MariaDB", &programs.find("mariadbd")?, 2)?;
        let place = folder.place("mariadb", Some(release))?;
        let server = MariaDb::keep(programs, &administrator()?, &options, &place);
        server.map_err(|error| explained(&error, &place))
    })?;
    let name = wanted.name();
    let owned = Owned::new(server, wanted, remove_from_mysql);
    let server = &owned.server;
    let there = if wanted.kept.is_some() { "IF NOT EXISTS " } else { "" };
    server.script("mysql", &new_in_mysql(there, name))?;
    if let Some(script) = &wanted.script {
        server.script(name, script)?;
    }
    Ok(Begun::Database(Box::new(MysqlDatabase { owned, wanted: wanted.clone() })))
}

fn new_in_mysql(there: &str, name: &str) -> String {
    format!("CREATE DATABASE {there}{} CHARACTER SET utf8mb4;\n", quoted::for_mysql(name))
}

struct MysqlDatabase {
    owned: Owned<MariaDb>,
    wanted: Wanted,
}

impl Database for MysqlDatabase {
    fn administrator(&self) -> Result<Administrator, DevError> {
        let server = &self.owned.server;
        let tls = "ssl-mode=VERIFY_IDENTITY&ssl-ca={}";
        self.wanted.administrator(server.administrator(), server.port, tls)
    }

    fn grant(self: Box<Self>, wanted: &Wanted) -> Result<Access, DevError> {
        let server = &self.owned.server;
        if wanted.kept.is_some() {
            // Its privileges are those of an earlier `needs`.
            let name = quoted::for_mysql(wanted.name());
            server.script("mysql", &format!("DROP USER IF EXISTS {name}@`%`;\n"))?;
        }
        grant_in_mysql(wanted, self.owned, "")
    }

    fn template(self: Box<Self>) -> Result<Box<dyn Template>, DevError> {
        let dump = self.owned.server.dump(&self.owned.name)?;
        Ok(Box::new(MysqlTemplate { owned: self.owned, dump }))
    }
}

struct MysqlTemplate {
    owned: Owned<MariaDb>,
    /// Statements that make all that is in it. MariaDB has no copies of databases.
    dump: String,
}

impl Template for MysqlTemplate {
    fn copy(&self, wanted: &Wanted) -> Result<Access, DevError> {
        let owned = Owned::new(Arc::clone(&self.owned.server), wanted, remove_from_mysql);
        let name = wanted.name();
        let first =
            format!("{}USE {};\n{}", new_in_mysql("", name), quoted::for_mysql(name), self.dump);
        grant_in_mysql(wanted, owned, &first)
    }
}

/// Creates the account, after some first statements.
fn grant_in_mysql(wanted: &Wanted, owned: Owned<MariaDb>, first: &str) -> Result<Access, DevError> {
    let (name, account) = (wanted.name(), wanted.account()?);
    let (server, quoted) = (&owned.server, quoted::for_mysql(name));
    let statements = wanted.statements(Some(name))?;
    if !first.is_empty() {
        server.script("mysql", first)?;
    }
    let statements = format!(
        "{statements}ALTER USER {quoted}@`%` IDENTIFIED BY '{}' ACCOUNT UNLOCK;\n",
        account.password()
    );
    server.script(name, &statements).map_err(|error| wanted.refused(&error))?;
    // An account cannot use a database in which it has no privileges.
    let needs_nothing = wanted.grants.needs().iter().next().is_none();
    let path = if needs_nothing { String::new() } else { format!("/{name}") };
    wanted.access(server.port, &path, account, owned)
}

fn remove_from_mysql(server: &MariaDb, name: &str) -> Result<(), DevError> {
    let name = quoted::for_mysql(name);
    let statements = format!("DROP USER IF EXISTS {name}@`%`;\nDROP DATABASE IF EXISTS {name};\n");
    server.script("mysql", &statements)
}

pub(super) fn sqlite(wanted: &Wanted) -> Result<Begun, DevError> {
    let database = match wanted.own_place("sqlite")? {
        Some(place) => {
            let data = place.data(false, |_| Ok(()))?;
            let file = data.join(format!("{}.db", wanted.name()));
            SqliteDatabase { file, scheme: wanted.scheme, running: Box::new(place) }
        }
        None => SqliteDatabase::new(wanted)?,
    };
    Ok(Begun::Database(Box::new(database)))
}

struct SqliteDatabase {
    file: PathBuf,
    scheme: &'static str,
    /// The folder, or its lock.
    running: Box<dyn Any + Send + Sync>,
}

impl SqliteDatabase {
    fn new(wanted: &Wanted) -> Result<Self, DevError> {
        let folder = Folder::of_values("sqlite")?;
        let file = folder.path().join(format!("{}.db", wanted.name()));
        Ok(Self { file, scheme: wanted.scheme, running: Box::new(folder) })
    }

    fn access(self) -> Result<Access, DevError> {
        let locator = locator(self.scheme, &self.file)?;
        let running = self.running;
        Ok(Access { locator, account: None, authority: None, endpoint: None, running })
    }
}

impl Database for SqliteDatabase {
    fn administrator(&self) -> Result<Administrator, DevError> {
        Ok(Administrator { locator: locator(self.scheme, &self.file)?, password: None })
    }

    fn grant(self: Box<Self>, _: &Wanted) -> Result<Access, DevError> {
        self.access()
    }

    fn template(self: Box<Self>) -> Result<Box<dyn Template>, DevError> {
        Ok(self)
    }
}

impl Template for SqliteDatabase {
    fn copy(&self, wanted: &Wanted) -> Result<Access, DevError> {
        let copy = Self::new(wanted)?;
        // With its log, if a migration ended without emptying it. Without a migration, there is
        // no file yet.
        for end in ["", "-wal"] {
            let of = |file: &Path| PathBuf::from(format!("{}{end}", file.display()));
            let (from, to) = (of(&self.file), of(&copy.file));
            if from.exists() {
                fs::copy(&from, to)
                    .map_err(|error| DevError::path("cannot copy", &from, &error))?;
            }
        }
        copy.access()
    }
}

/// The locator of a file. Any character that is not plain in a path is percent-encoded.
fn locator(scheme: &str, file: &Path) -> Result<String, DevError> {
    let path = file.to_str().ok_or_else(|| DevError::new("a path in it is not Unicode"))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let encoded = path.bytes().map(|byte| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    Ok(format!("{scheme}://{}", encoded.collect::<String>()))
}
