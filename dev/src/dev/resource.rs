//! The start of each service: a server, a database, an account.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use backing_services_runtime::grants::Grants;

use super::advice::Advice;
use super::migration::Administrator;
use super::random;
use super::shared::{Shared, administrator, authority, authority_file, certificate};
use crate::container::nats::variable;
use crate::folder::Folder;
use crate::program::Programs;
use crate::server::Account;
use crate::server::amqp::{self, Amqp};
use crate::server::mariadb::{self, MariaDb};
use crate::server::nats::{self, Nats};
use crate::server::postgres::{self, Postgres};
use crate::server::redis::{self, Redis};
use crate::server::smtp::{self, Smtp};
use crate::{DevError, quoted};

/// The demands of a resource.
pub(super) struct Wanted {
    pub(super) field: String,
    pub(super) scheme: &'static str,
    /// With a name that no other resource has.
    pub(super) grants: Grants,
    pub(super) script: Option<String>,
    pub(super) programs: Programs,
    pub(super) advice: Advice,
    pub(super) is_optional: bool,
}

/// The values of a resource's variables.
pub(super) struct Access {
    pub(super) locator: String,
    pub(super) account: Option<Account>,
    /// The authority of the server, in PEM.
    pub(super) authority: Option<String>,
    pub(super) endpoint: Option<String>,
    /// Dropping it stops or removes what was made for the resource.
    pub(super) running: Box<dyn Any + Send + Sync>,
}

/// A resource whose server runs.
pub(super) enum Begun {
    Ready(Access),
    /// A database without the program's account, whose privileges may need tables.
    Database(Administrator, Grant),
}

/// Creates the account in a database.
pub(super) type Grant = Box<dyn FnOnce(&Wanted) -> Result<Access, DevError> + Send>;

impl Begun {
    /// The resource with its account.
    pub(super) fn granted(self, wanted: &Wanted) -> Result<Access, DevError> {
        match self {
            Self::Ready(access) => Ok(access),
            Self::Database(_, grant) => grant(wanted),
        }
    }
}

type Start = fn(&Wanted) -> Result<Begun, DevError>;

/// The services that have a server.
const SERVICES: &[(&str, Start)] = &[
    ("AMQP", amqp),
    ("MySQL", mysql),
    ("NATS", nats),
    ("PostgreSQL", postgres),
    ("Redis", redis),
    #[cfg(feature = "s3")]
    ("S3", s3),
    ("SMTP", smtp),
    ("SQLite", sqlite),
];

pub(super) fn is_known(service: &str) -> bool {
    SERVICES.iter().any(|(name, _)| *name == service)
}

/// True if it runs scripts of an application.
pub(super) fn has_scripts(service: &str) -> bool {
    matches!(service, "MySQL" | "PostgreSQL")
}

/// True if migrations can change its tables.
pub(super) fn has_database(service: &str) -> bool {
    has_scripts(service) || service == "SQLite"
}

/// Starts what a resource needs, up to its account if it has a database.
pub(super) fn begin(wanted: &Wanted) -> Result<Begun, DevError> {
    let service = wanted.grants.service();
    let start = SERVICES.iter().find(|(name, _)| *name == service).map(|(_, start)| start);
    start.ok_or_else(|| DevError::new(format!("there is no server for {service}")))?(wanted)
}

impl Wanted {
    /// The name of the account, and of its database.
    fn name(&self) -> &str {
        self.grants.account()
    }

    fn account(&self) -> Result<Account, DevError> {
        Ok(Account::new(self.name(), random()?))
    }

    /// The statements that create the account, in a database, or in the service's default.
    fn statements(&self, database: Option<&str>) -> Result<String, DevError> {
        let grants = match database {
            Some(database) => self.grants.clone().with_database(database).ok(),
            None => Some(self.grants.clone()),
        };
        grants.and_then(|grants| grants.statements()).ok_or_else(|| {
            DevError::new(format!("{} has no statements for an account", self.grants.service()))
        })
    }

    /// The error for an account that the server refuses.
    fn refused(&self, error: &DevError) -> DevError {
        DevError::new(format!(
            "its account cannot get what it `needs`. If a table does not exist yet, run the \
             migrations first: {}. {error}",
            self.advice.migrate(&self.field)
        ))
    }

    /// The error of a resource, with its field.
    pub(super) fn failed(&self, error: &DevError) -> DevError {
        let mut message = format!("`{}`: {error}", self.field);
        if self.is_optional && self.advice == Advice::CommandLine {
            let how = self.advice.leave_out(&self.field);
            message.push_str(&format!("\nOr leave it out: {how}"));
        }
        DevError::new(message)
    }

    /// The administrator of a database on a server, over TLS. `tls` are the driver's options, with
    /// `{}` in place of the authority's file.
    fn administrator(
        &self,
        account: &Account,
        port: u16,
        tls: &str,
    ) -> Result<Administrator, DevError> {
        let (name, password) = (account.name(), account.password());
        let scheme = self.scheme;
        let options = tls.replace("{}", &authority_file()?.display().to_string());
        let database = self.name();
        let locator = format!("{scheme}://{name}:{password}@localhost:{port}/{database}?{options}");
        Ok(Administrator { locator, password: Some(password.to_owned()) })
    }

    /// A resource of a server that listens on a port.
    fn access(
        &self,
        port: u16,
        path: &str,
        account: Account,
        running: impl Any + Send + Sync,
    ) -> Result<Access, DevError> {
        Ok(Access {
            locator: format!("{}://localhost:{port}{path}", self.scheme),
            account: Some(account),
            authority: Some(authority()?),
            endpoint: None,
            running: Box::new(running),
        })
    }
}

/// Something on a shared server that is removed at the end, if the server goes on.
struct Owned<T> {
    server: Arc<T>,
    name: String,
    remove: fn(&T, &str) -> Result<(), DevError>,
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // The last one stops the server, and all of its data with it.
        if Arc::strong_count(&self.server) > 1 {
            // A remainder disturbs nothing, and is gone with the server.
            let _ = (self.remove)(&self.server, &self.name);
        }
    }
}

fn postgres(wanted: &Wanted) -> Result<Begun, DevError> {
    static TEMPLATES: Shared<postgres::Template> = Shared::new();
    static SERVERS: Shared<Postgres> = Shared::new();
    let programs = &wanted.programs;
    let server = SERVERS.get(programs, || {
        let template =
            TEMPLATES.get(programs, || postgres::Template::new(programs, administrator()?))?;
        Postgres::start(&template, &postgres::Options::tls(certificate()?))
    })?;
    let name = wanted.name();
    let quoted = quoted::for_postgres(name);
    let owned = Owned { server, name: name.to_owned(), remove: remove_from_postgres };
    let server = &owned.server;
    server.sql("postgres", &format!("CREATE DATABASE {quoted}"))?;
    // Every account may connect to a new database, and before PostgreSQL 15 make tables in it.
    let script = format!(
        "REVOKE CONNECT ON DATABASE {quoted} FROM PUBLIC;\n\
         REVOKE CREATE ON SCHEMA public FROM PUBLIC;\n"
    );
    server.script(name, &script)?;
    if let Some(script) = &wanted.script {
        server.script(name, script)?;
    }
    let tls = "sslmode=verify-full&sslrootcert={}";
    let administrator = wanted.administrator(server.administrator(), server.port, tls)?;
    Ok(Begun::Database(administrator, Box::new(|wanted| grant_in_postgres(wanted, owned))))
}

fn grant_in_postgres(wanted: &Wanted, owned: Owned<Postgres>) -> Result<Access, DevError> {
    let (name, account) = (wanted.name(), wanted.account()?);
    let (server, quoted) = (&owned.server, quoted::for_postgres(name));
    let statements = wanted.statements(Some(name))?;
    server.script(name, &statements).map_err(|error| wanted.refused(&error))?;
    // A statement that fails is logged, unless it is this one.
    let password = format!(
        "SET log_min_error_statement = panic;\nALTER ROLE {quoted} PASSWORD '{}';\n",
        account.password()
    );
    server.script(name, &password)?;
    let (port, path) = (server.port, format!("/{name}"));
    wanted.access(port, &path, account, owned)
}

fn remove_from_postgres(server: &Postgres, name: &str) -> Result<(), DevError> {
    let name = quoted::for_postgres(name);
    server.sql("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
    server.sql("postgres", &format!("DROP ROLE IF EXISTS {name}")).map(drop)
}

fn mysql(wanted: &Wanted) -> Result<Begun, DevError> {
    static TEMPLATES: Shared<mariadb::Template> = Shared::new();
    static SERVERS: Shared<MariaDb> = Shared::new();
    let programs = &wanted.programs;
    let server = SERVERS.get(programs, || {
        let template =
            TEMPLATES.get(programs, || mariadb::Template::new(programs, administrator()?))?;
        MariaDb::start(&template, &mariadb::Options::tls(certificate()?))
    })?;
    let name = wanted.name();
    let quoted = quoted::for_mysql(name);
    let owned = Owned { server, name: name.to_owned(), remove: remove_from_mysql };
    let server = &owned.server;
    server.script("mysql", &format!("CREATE DATABASE {quoted} CHARACTER SET utf8mb4;\n"))?;
    if let Some(script) = &wanted.script {
        server.script(name, script)?;
    }
    let tls = "ssl-mode=VERIFY_IDENTITY&ssl-ca={}";
    let administrator = wanted.administrator(server.administrator(), server.port, tls)?;
    Ok(Begun::Database(administrator, Box::new(|wanted| grant_in_mysql(wanted, owned))))
}

fn grant_in_mysql(wanted: &Wanted, owned: Owned<MariaDb>) -> Result<Access, DevError> {
    let (name, account) = (wanted.name(), wanted.account()?);
    let (server, quoted) = (&owned.server, quoted::for_mysql(name));
    let statements = wanted.statements(Some(name))?;
    server.script(name, &statements).map_err(|error| wanted.refused(&error))?;
    let password = account.password();
    let unlock = format!("ALTER USER {quoted}@`%` IDENTIFIED BY '{password}' ACCOUNT UNLOCK;\n");
    server.script(name, &unlock)?;
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

fn redis(wanted: &Wanted) -> Result<Begun, DevError> {
    let options = redis::Options::tls(certificate()?);
    let server = Redis::start(&wanted.programs, administrator()?, &options)?;
    let account = wanted.account()?;
    let statements = wanted.statements(None)?;
    server.pipe(&statements).map_err(|error| wanted.refused(&error))?;
    server.command(&["ACL", "SETUSER", account.name(), &format!(">{}", account.password())])?;
    wanted.access(server.port, "", account, server).map(Begun::Ready)
}

fn nats(wanted: &Wanted) -> Result<Begun, DevError> {
    let account = wanted.account()?;
    let authorization = wanted.statements(None)?;
    let name = variable(&authorization)
        .ok_or_else(|| DevError::new("NATS has no variable for a password"))?;
    let options = nats::Options {
        leaf: Some(certificate()?),
        client_ca: None,
        maps_certificates: false,
        // In quotation marks, the server takes it for a text whatever it looks like.
        variables: vec![(name.to_owned(), format!("\"{}\"", account.password()))],
        authorization,
    };
    let server = Nats::start(&wanted.programs, options)?;
    wanted.access(server.port, "", account, server).map(Begun::Ready)
}

fn amqp(wanted: &Wanted) -> Result<Begun, DevError> {
    static SERVERS: Shared<Amqp> = Shared::new();
    let programs = &wanted.programs;
    let server = SERVERS.get(programs, || {
        let options = amqp::Options {
            leaf: certificate()?,
            client_ca: authority()?,
            definitions: r#"{"vhosts": [{"name": "/"}], "users": [], "permissions": []}"#.into(),
        };
        Amqp::start(programs, &options)
    })?;
    let (name, account) = (wanted.name(), wanted.account()?);
    let owned = Owned { server, name: name.to_owned(), remove: remove_from_amqp };
    let server = &owned.server;
    let word = quoted::for_shell(name);
    let script = format!(
        "rabbitmqctl --quiet add_vhost -- {word}\n\
         {}\
         rabbitmqctl --quiet change_password -- {word} <<'END'\n{}\nEND\n",
        wanted.statements(Some(name))?,
        account.password()
    );
    server.shell(&script)?;
    wanted.access(server.port, &format!("/{name}"), account, owned).map(Begun::Ready)
}

fn remove_from_amqp(server: &Amqp, name: &str) -> Result<(), DevError> {
    let word = quoted::for_shell(name);
    let script =
        format!("rabbitmqctl --quiet delete_user -- {word}\nrabbitmqctl delete_vhost -- {word}\n");
    server.shell(&script).map(drop)
}

fn smtp(wanted: &Wanted) -> Result<Begun, DevError> {
    let account = wanted.account()?;
    let options = smtp::Options {
        leaf: Some(certificate()?),
        accounts: vec![account.clone()],
        ..smtp::Options::default()
    };
    let server = Smtp::start(&wanted.programs, &options)?;
    wanted.access(server.port, "", account, server).map(Begun::Ready)
}

fn sqlite(wanted: &Wanted) -> Result<Begun, DevError> {
    let folder = Folder::of_values("sqlite")?;
    let file: &Path = &folder.path().join(format!("{}.db", wanted.name()));
    let locator = format!("{}://{}", wanted.scheme, file.display());
    let administrator = Administrator { locator: locator.clone(), password: None };
    let access = Access {
        locator,
        account: None,
        authority: None,
        endpoint: None,
        running: Box::new(folder),
    };
    Ok(Begun::Database(administrator, Box::new(|_| Ok(access))))
}

#[cfg(feature = "s3")]
fn s3(wanted: &Wanted) -> Result<Begun, DevError> {
    use crate::server::s3::S3;
    let account = wanted.account()?;
    // A bucket's name is a host name.
    let bucket = wanted.name().replace('_', "-");
    let server = S3::start(&certificate()?, &account, &[&bucket])?;
    Ok(Begun::Ready(Access {
        locator: format!("{}://{bucket}", wanted.scheme),
        endpoint: Some(server.endpoint()),
        account: Some(account),
        authority: Some(authority()?),
        running: Box::new(server),
    }))
}
