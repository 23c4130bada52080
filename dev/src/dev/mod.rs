//! A server for each resource of a struct.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use backing_services_rules::variable;
use backing_services_runtime::manifest::{Leaf, Role};
use backing_services_runtime::{BackingServices, Environment, Manifest};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::task::{JoinError, JoinSet};

use self::advice::Advice;
use self::database::Database;
use self::plan::Plan;
use self::resource::{Access, Begun, Wanted};
use crate::DevError;
use crate::kept::Kept;
use crate::program::Programs;
use crate::server::Account;

mod advice;
mod database;
mod migration;
mod plan;
mod resource;
mod shared;
mod template;

pub use template::Template;

/// Servers for the resources of one struct, with an account for each of them.
///
/// ```no_run
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// use backing_services::{BackingServices, Postgres, Redis, Resource};
/// use backing_services_dev::Dev;
///
/// #[derive(BackingServices)]
/// #[services(prefix = "SHOP")]
/// struct Services {
///     #[service(needs = "SELECT, INSERT ON orders")]
///     orders: Resource<Postgres>,
///     #[service(needs = "get, setex ON KEY session:*")]
///     sessions: Resource<Redis>,
/// }
///
/// let dev = Dev::builder::<Services>()
///     .with_script("orders", "CREATE TABLE orders (id bigint PRIMARY KEY)")
///     .start()
///     .await?;
/// let services = Services::attach_from(&dev.environment()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # The servers
/// A server for each resource, optional ones included, whose service is PostgreSQL, MySQL
/// (MariaDB), Redis (or Valkey), NATS, AMQP (RabbitMQ), SMTP (Exim), SQLite (a file) or, with the
/// feature `s3`, S3. It speaks TLS with a certificate of an authority that this process makes. The
/// account is the one that `grants` writes for the field's `needs`; without `needs`, it can log in
/// and do nothing else. SMTP, SQLite and S3 have no such privileges.
///
/// A required secret that is not given gets a random value. An optional one stays absent. A setting
/// has its default.
///
/// All `Dev`s of a process share one server for PostgreSQL, one for MariaDB and one for RabbitMQ,
/// as long as one of them is left; each resource has a database, or a virtual host, of its own.
/// Other servers start in a fraction of a second, and each resource has its own. Tests that run one
/// after the other share servers too, if one `Dev` is kept in a `static`.
///
/// # The end
/// Dropping the `Dev` removes its databases and accounts, and stops the servers that no other `Dev`
/// uses. That may take some tenths of a second, during which it blocks the thread. If the process
/// ends in another way, the servers stop as well.
pub struct Dev {
    variables: BTreeMap<String, String>,
    running: Vec<Box<dyn Any + Send + Sync>>,
}

impl Dev {
    /// Starts a server for each resource of a struct, as [`Dev::builder`] without options does.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start<S: BackingServices>() -> Result<Self, DevError> {
        Self::builder::<S>().start().await
    }

    /// The options of the servers of a struct.
    pub fn builder<S: BackingServices>() -> Builder {
        Builder::of(S::MANIFEST, Advice::Code)
    }

    /// The values of all variables of the struct, for `attach_from`.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.variables().collect()
    }

    /// The name and the value of each variable of the struct, secrets among them: for the
    /// environment of a program that a test starts.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Dev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.variables.keys()).finish()
    }
}

/// The options of a [`Dev`].
#[must_use]
pub struct Builder {
    manifest: &'static Manifest,
    variables: BTreeMap<String, String>,
    scripts: BTreeMap<String, String>,
    left_out: BTreeSet<String>,
    programs: Programs,
    migration: Option<String>,
    kept: Option<PathBuf>,
    watch: Option<Watch>,
    advice: Advice,
}

type Watch = Arc<dyn Fn(Progress<'_>) + Send + Sync>;

/// An event while servers start.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The server of a resource is up, and the account has its privileges.
    Started {
        /// The path of the field: `orders`.
        field: &'a str,
        /// The locator, without an account.
        locator: &'a str,
        /// The name of the account.
        account: Option<&'a str>,
    },
    /// The command for the migrations begins.
    Migrating,
    /// A line of its output.
    Output {
        /// The line as it is, but without the passwords of the administrators.
        line: &'a str,
    },
    /// It has ended well.
    Migrated,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Builder").field(&self.manifest.struct_name()).finish_non_exhaustive()
    }
}

impl Builder {
    /// The options of the command line's `dev`: an optional resource without a server stays absent,
    /// and an error advises what to type.
    #[doc(hidden)]
    pub fn __of_command_line(manifest: &'static Manifest) -> Self {
        Self::of(manifest, Advice::CommandLine)
    }

    const fn of(manifest: &'static Manifest, advice: Advice) -> Self {
        Self {
            manifest,
            variables: BTreeMap::new(),
            scripts: BTreeMap::new(),
            left_out: BTreeSet::new(),
            programs: Programs::installed(),
            migration: None,
            kept: None,
            watch: None,
            advice,
        }
    }

    /// Gives a variable its value: a secret, a setting, or the locator of a resource that needs no
    /// server.
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Runs SQL in the database of a field (`orders`, `mail.queue`) as the administrator, before
    /// the account gets its privileges: the tables that `needs` names have to exist by then.
    /// Several scripts of one field run in order.
    pub fn with_script(mut self, field: impl Into<String>, sql: impl AsRef<str>) -> Self {
        let script = self.scripts.entry(field.into()).or_default();
        script.push_str(sql.as_ref());
        // The next one begins a statement of its own.
        script.push_str("\n;\n");
        self
    }

    /// Runs a command with `sh -c`, once, after all scripts and before the accounts get their
    /// privileges: `sqlx migrate run`.
    ///
    /// It has the environment of this process, and for each resource with a database the locator of
    /// an administrator, password included, in `SHOP_ORDERS_ADMIN_URL`: the variable of the
    /// resource's locator, with `_ADMIN_URL` in place of `_URL`. If there is one such resource,
    /// `DATABASE_URL` is its locator too. If there are several, it is empty.
    ///
    /// The locator has the options of TLS as libpq and sqlx read them (`sslmode=verify-full` with
    /// `sslrootcert`; `ssl-mode=VERIFY_IDENTITY` with `ssl-ca`).
    pub fn with_migration(mut self, command: impl Into<String>) -> Self {
        self.migration = Some(command.into());
        self
    }

    /// Keeps the data of the servers in this folder, for the next run of the command line. Mail is
    /// not kept.
    #[doc(hidden)]
    pub fn __keeping(mut self, folder: impl Into<PathBuf>) -> Self {
        self.kept = Some(folder.into());
        self
    }

    /// Reports the progress while the servers start.
    pub fn with_watch(mut self, watch: impl Fn(Progress<'_>) + Send + Sync + 'static) -> Self {
        self.watch = Some(Arc::new(watch));
        self
    }

    /// Leaves an optional resource out.
    pub fn without(mut self, field: impl Into<String>) -> Self {
        self.left_out.insert(field.into());
        self
    }

    /// Takes the programs of the servers from elsewhere.
    pub fn with_programs(mut self, programs: Programs) -> Self {
        self.programs = programs;
        self
    }

    /// Starts the servers, all at once.
    ///
    /// # Errors
    /// For each field without a value and without a server: what to do about it. A program that is
    /// missing, or a server that does not start. A script or the statements of an account that the
    /// server refuses.
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    pub async fn start(self) -> Result<Dev, DevError> {
        let watch = self.watch.clone();
        let (mut dev, waiting) = self.begin(false).await?;
        dev.grant(waiting, watch.as_ref()).await?;
        Ok(dev)
    }

    /// Starts the servers, and makes the tables, as [`start`](Self::start) does. Each
    /// [`Template::dev`] then has databases of its own, which are copies of these.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    pub async fn template(self) -> Result<Template, DevError> {
        let (dev, waiting) = self.begin(true).await?;
        Template::of(dev, waiting).await
    }

    /// Starts the servers, and returns those databases whose accounts are still to be created: all
    /// of them for a template, and with a migration.
    async fn begin(self, is_template: bool) -> Result<(Dev, Vec<Waiting>), DevError> {
        let (migration, watch) = (self.migration.clone(), self.watch.clone());
        let owner =
            format!("{} ({})", self.manifest.struct_name(), self.manifest.variable_prefix());
        let kept = self.kept.as_ref().map(|folder| Kept::take(folder, &owner)).transpose()?;
        let Plan { variables, wanted } = plan::plan(self, kept.as_ref())?;
        let mut dev = Dev { variables, running: Vec::new() };
        let has_to_wait = is_template || migration.is_some();
        let mut tasks = JoinSet::new();
        for (leaf, wanted) in wanted {
            tasks.spawn_blocking(move || {
                let begun = resource::begin(&wanted)
                    .and_then(|begun| match begun {
                        Begun::Database(..) if has_to_wait => Ok(begun),
                        begun => begun.granted(&wanted).map(Begun::Ready),
                    })
                    .map_err(|error| wanted.failed(&error))?;
                Ok::<_, DevError>((leaf, wanted, begun))
            });
        }
        let mut waiting = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            match ended_well(ended)? {
                (leaf, _, Begun::Ready(access)) => dev.add(&leaf, access, watch.as_ref()),
                (leaf, wanted, Begun::Database(database)) => {
                    waiting.push(Waiting { leaf, wanted, database });
                }
            }
        }
        if let Some(command) = migration {
            migrate(command, &waiting, watch).await?;
        }
        Ok((dev, waiting))
    }
}

/// A database whose account is still to be created.
struct Waiting {
    leaf: Leaf,
    wanted: Wanted,
    database: Box<dyn Database>,
}

/// Runs the command of the migrations for these databases.
async fn migrate(
    command: String,
    waiting: &[Waiting],
    watch: Option<Watch>,
) -> Result<(), DevError> {
    let mut databases = Vec::new();
    for Waiting { leaf, database, .. } in waiting {
        let variable = format!("{}_ADMIN_URL", variable::base(&leaf.variable));
        let administrator = database.administrator()?;
        databases.push(migration::Database { variable, administrator });
    }
    let run = tokio::task::spawn_blocking(move || {
        report(watch.as_ref(), Progress::Migrating);
        migration::run(&command, &databases, |line| {
            report(watch.as_ref(), Progress::Output { line });
        })?;
        report(watch.as_ref(), Progress::Migrated);
        Ok(())
    });
    ended_well(run.await)
}

impl Dev {
    /// Creates the accounts in these databases.
    async fn grant(
        &mut self,
        waiting: Vec<Waiting>,
        watch: Option<&Watch>,
    ) -> Result<(), DevError> {
        let mut tasks = JoinSet::new();
        for Waiting { leaf, wanted, database } in waiting {
            tasks.spawn_blocking(move || {
                let access = database.grant(&wanted).map_err(|error| wanted.failed(&error))?;
                Ok::<_, DevError>((leaf, access))
            });
        }
        while let Some(ended) = tasks.join_next().await {
            let (leaf, access) = ended_well(ended)?;
            self.add(&leaf, access, watch);
        }
        Ok(())
    }

    /// Adds a resource that is ready.
    fn add(&mut self, leaf: &Leaf, access: Access, watch: Option<&Watch>) {
        let account = access.account.as_ref().map(Account::name);
        report(watch, Progress::Started { field: &leaf.path, locator: &access.locator, account });
        for variable in leaf.variables() {
            if let Some(value) = access.value(variable.role) {
                self.variables.insert(variable.name, value);
            }
        }
        self.running.push(access.running);
    }
}

fn report(watch: Option<&Watch>, progress: Progress<'_>) {
    if let Some(watch) = watch {
        watch(progress);
    }
}

/// The result of a task. Its panic goes on here.
fn ended_well<T>(ended: Result<Result<T, DevError>, JoinError>) -> Result<T, DevError> {
    ended.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(DevError::new("the runtime ended before the servers had started")),
    })
}

/// 192 random bits, as hexadecimal digits: a password that needs no quoting anywhere.
pub(crate) fn random() -> Result<String, DevError> {
    let mut bytes = [0_u8; 24];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| DevError::new("this machine gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Access {
    /// The value of a variable.
    fn value(&self, role: Role) -> Option<String> {
        match role {
            Role::Locator => Some(self.locator.clone()),
            Role::User => self.account.as_ref().map(|account| account.name().to_owned()),
            Role::Password => self.account.as_ref().map(|account| account.password().to_owned()),
            Role::Authority => self.authority.clone(),
            Role::Endpoint => self.endpoint.clone(),
            _ => None,
        }
    }
}
