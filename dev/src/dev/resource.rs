//! The start of each service: a server, a database, an account.

use std::any::Any;
use std::sync::Arc;

use backing_services_runtime::grants::Grants;

use super::advice::Advice;
use super::database::{Database, mysql, postgres, sqlite};
use super::migration::Administrator;
use super::random;
use super::shared::{Origin, Shared, administrator, authority, authority_file, certificate};
use crate::container::nats::variable;
use crate::kept::{Kept, Place};
use crate::program::Programs;
use crate::server::Account;
use crate::server::amqp::{self, Amqp};
use crate::server::nats::{self, Nats};
use crate::server::redis::{self, Redis};
use crate::server::smtp::{self, Smtp};
use crate::{DevError, quoted};

/// The demands of a resource.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) field: String,
    pub(super) scheme: &'static str,
    /// With a name that no other resource has.
    pub(super) grants: Grants,
    pub(super) script: Option<String>,
    pub(super) programs: Programs,
    /// The folder of the data, if they are kept.
    pub(super) kept: Option<Kept>,
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
    Database(Box<dyn Database>),
}

impl Begun {
    /// The resource with its account.
    pub(super) fn granted(self, wanted: &Wanted) -> Result<Access, DevError> {
        match self {
            Self::Ready(access) => Ok(access),
            Self::Database(database) => database.grant(wanted),
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
    /// The same with another account, and so another database.
    pub(super) fn again(&self) -> Result<Self, DevError> {
        let grants = self.grants.clone().with_account(super::plan::another(self.name()));
        let grants = grants.map_err(|_| DevError::new("the account has no name"))?;
        Ok(Self { grants, ..self.clone() })
    }

    /// The server that the resource shares with others.
    pub(super) fn origin(&self) -> Origin {
        (self.programs.clone(), self.kept.clone())
    }

    /// The place of the data of a server, if they are kept. Any release of it can read them, or
    /// says that it cannot.
    fn place(&self, server: &str) -> Result<Option<Place>, DevError> {
        self.kept.as_ref().map(|kept| kept.place(server, None)).transpose()
    }

    /// The same for a server of this resource alone.
    pub(super) fn own_place(&self, server: &str) -> Result<Option<Place>, DevError> {
        self.place(&format!("{server}-{}", self.field))
    }

    /// The name of the account, and of its database.
    pub(super) fn name(&self) -> &str {
        self.grants.account()
    }

    pub(super) fn account(&self) -> Result<Account, DevError> {
        Ok(Account::new(self.name(), random()?))
    }

    /// The statements that create the account, in a database, or in the service's default.
    pub(super) fn statements(&self, database: Option<&str>) -> Result<String, DevError> {
        let grants = match database {
            Some(database) => self.grants.clone().with_database(database).ok(),
            None => Some(self.grants.clone()),
        };
        grants.and_then(|grants| grants.statements()).ok_or_else(|| {
            DevError::new(format!("{} has no statements for an account", self.grants.service()))
        })
    }

    /// The error for an account that the server refuses.
    pub(super) fn refused(&self, error: &DevError) -> DevError {
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
    pub(super) fn administrator(
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
    pub(super) fn access(
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

/// Removes what has this name from a server.
type Remove<T> = fn(&T, &str) -> Result<(), DevError>;

/// Something on a shared server that is removed at the end, if the server goes on.
pub(super) struct Owned<T> {
    pub(super) server: Arc<T>,
    pub(super) name: String,
    /// `None` if it is kept.
    pub(super) remove: Option<Remove<T>>,
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // The last one stops the server, and all of its data with it.
        if let Some(remove) = self.remove.filter(|_| Arc::strong_count(&self.server) > 1) {
            // A remainder disturbs nothing, and is gone with the server.
            let _ = remove(&self.server, &self.name);
        }
    }
}

impl<T> Owned<T> {
    pub(super) fn new(server: Arc<T>, wanted: &Wanted, remove: Remove<T>) -> Self {
        let remove = Some(remove).filter(|_| wanted.kept.is_none());
        Self { server, name: wanted.name().to_owned(), remove }
    }
}

/// Starts a server with kept data. Its error names their folder.
pub(super) fn kept<T>(
    place: Option<Place>,
    start: impl FnOnce(Option<Place>) -> Result<T, DevError>,
) -> Result<T, DevError> {
    let advice = place.as_ref().map(Place::advice).unwrap_or_default();
    start(place).map_err(|error| DevError::new(format!("{error}{advice}")))
}

fn redis(wanted: &Wanted) -> Result<Begun, DevError> {
    let options = redis::Options::tls(certificate()?);
    let server = kept(wanted.own_place("redis")?, |place| {
        Redis::keep(&wanted.programs, administrator()?, &options, place)
    })?;
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
    let place = wanted.own_place("nats")?;
    let server = kept(place, |place| Nats::keep(&wanted.programs, options, place))?;
    wanted.access(server.port, "", account, server).map(Begun::Ready)
}

fn amqp(wanted: &Wanted) -> Result<Begun, DevError> {
    static SERVERS: Shared<Amqp> = Shared::new();
    let programs = &wanted.programs;
    let server = SERVERS.get(wanted.origin(), || {
        let options = amqp::Options {
            leaf: certificate()?,
            client_ca: authority()?,
            definitions: r#"{"vhosts": [{"name": "/"}], "users": [], "permissions": []}"#.into(),
        };
        kept(wanted.place("rabbitmq")?, |place| Amqp::keep(programs, &options, place))
    })?;
    let (name, account) = (wanted.name(), wanted.account()?);
    let owned = Owned::new(server, wanted, remove_from_amqp);
    let server = &owned.server;
    let word = quoted::for_shell(name);
    let mut add = format!("rabbitmqctl --quiet add_vhost -- {word}\n");
    if wanted.kept.is_some() {
        let there =
            |list: &str| format!("rabbitmqctl --silent {list} | grep -q -E '^'{word}'(\t|$)'");
        add = format!(
            "{} || {add}if {}; then rabbitmqctl --quiet delete_user -- {word}; fi\n",
            there("list_vhosts"),
            there("list_users")
        );
    }
    let script = format!(
        "{add}\
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

#[cfg(feature = "s3")]
fn s3(wanted: &Wanted) -> Result<Begun, DevError> {
    use crate::server::s3::S3;
    let account = wanted.account()?;
    // A bucket's name is a host name.
    let bucket = wanted.name().replace('_', "-");
    let server = S3::keep(&certificate()?, &account, &[&bucket], wanted.own_place("s3")?)?;
    Ok(Begun::Ready(Access {
        locator: format!("{}://{bucket}", wanted.scheme),
        endpoint: Some(server.endpoint()),
        account: Some(account),
        authority: Some(authority()?),
        running: Box::new(server),
    }))
}
