//! A server for each resource of a struct.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use backing_services_runtime::manifest::{Category, Leaf, ResourceEntry, Role};
use backing_services_runtime::{BackingServices, Environment, Manifest};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::task::JoinSet;

use self::resource::{Access, Wanted};
use crate::DevError;
use crate::program::Programs;

mod resource;
mod shared;

/// The longest beginning of an account's name that is kept. A number follows it. MySQL has the
/// shortest names: 32 characters (its manual, 8.2.1).
const LONGEST_NAME: usize = 24;

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
/// # What is started
/// A server for each resource, optional ones included, whose service is PostgreSQL, MySQL (MariaDB),
/// Redis (or Valkey), NATS, AMQP (RabbitMQ), SMTP (Exim), SQLite (a file) or, with the feature `s3`,
/// S3. It speaks TLS with a certificate of an authority that this process makes. The account is the
/// one that `grants` writes for the field's `needs`; without `needs`, it can log in and do nothing
/// else. SMTP, SQLite and S3 have no such privileges.
///
/// All `Dev`s of a process share one server for PostgreSQL, one for MariaDB and one for RabbitMQ, as
/// long as one of them is left; each resource has a database, or a virtual host, of its own. Other
/// servers start within a tenth of a second, and each resource has its own.
///
/// # The end
/// Dropping the `Dev` removes its databases and accounts, and stops the servers that no other `Dev`
/// uses. That may take some tenths of a second, during which it blocks the thread. If the process
/// ends in another way, the servers stop as well.
pub struct Dev {
    variables: BTreeMap<String, String>,
    _running: Vec<Box<dyn Any + Send + Sync>>,
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
    #[must_use]
    pub fn builder<S: BackingServices>() -> Builder {
        Builder {
            manifest: S::MANIFEST,
            variables: BTreeMap::new(),
            scripts: BTreeMap::new(),
            programs: Programs::installed(),
        }
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
    programs: Programs,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Builder").field(&self.manifest.struct_name()).finish_non_exhaustive()
    }
}

impl Builder {
    /// Gives a variable its value: a secret, a setting, or the locator of a resource that needs no
    /// server.
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Runs SQL in the database of a field (`orders`, `mail.queue`) as the administrator, before
    /// the account gets its privileges: the tables that `needs` names have to exist by then. Several
    /// scripts of one field run in order.
    pub fn with_script(mut self, field: impl Into<String>, sql: impl AsRef<str>) -> Self {
        let script = self.scripts.entry(field.into()).or_default();
        script.push_str(sql.as_ref());
        // The next one begins a statement of its own.
        script.push_str("\n;\n");
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
        let (mut variables, wanted) = self.plan()?;
        let mut tasks = JoinSet::new();
        for (leaf, wanted) in wanted {
            tasks.spawn_blocking(move || {
                let access = resource::start(&wanted)
                    .map_err(|error| DevError::new(format!("`{}`: {error}", wanted.field)))?;
                Ok::<_, DevError>((leaf, access))
            });
        }
        let mut running = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            let (leaf, access) =
                ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
            for variable in leaf.variables() {
                if let Some(value) = access.value(variable.role) {
                    variables.insert(variable.name, value);
                }
            }
            running.push(access.running);
        }
        Ok(Dev { variables, _running: running })
    }

    /// The values that need no server, and the servers that are needed.
    fn plan(self) -> Result<(BTreeMap<String, String>, Vec<(Leaf, Wanted)>), DevError> {
        let Self { manifest, mut variables, mut scripts, programs } = self;
        let mut leaves = Vec::new();
        manifest.walk(&mut |leaf| leaves.push(leaf));
        let known: HashSet<_> = leaves.iter().flat_map(Leaf::variables).map(|v| v.name).collect();
        let mut problems: Vec<String> = variables
            .keys()
            .filter(|name| !known.contains(name.strip_suffix("_FILE").unwrap_or(name)))
            .map(|name| format!("no field reads `{name}`, which `with_variable` gives"))
            .collect();
        let mut wanted = Vec::new();
        for leaf in leaves {
            let is_given = leaf.variables().iter().any(|variable| {
                variables.contains_key(&variable.name)
                    || variables.contains_key(&format!("{}_FILE", variable.name))
            });
            if is_given {
                continue;
            }
            match leaf.field.category() {
                Category::Resource(entry) => {
                    let script = scripts.remove(&*leaf.path);
                    match server(manifest, &leaf, entry, script, &programs) {
                        Ok(server) => wanted.push((leaf, server)),
                        Err(problem) => problems.push(problem),
                    }
                }
                Category::Secret(_) if leaf.is_required() => {
                    variables.insert(leaf.variable, random()?);
                }
                Category::Setting(_) if leaf.is_required() => problems.push(format!(
                    "`{}` has no default: give it a value: `.with_variable(\"{}\", \"…\")`",
                    leaf.path, leaf.variable
                )),
                _ => {}
            }
        }
        problems.extend(scripts.keys().map(|field| {
            format!("`with_script` names `{field}`, which is no resource that gets a server")
        }));
        if !problems.is_empty() {
            return Err(DevError::new(problems.join("\n")));
        }
        Ok((variables, wanted))
    }
}

/// The server that a resource needs, or the reason why there is none.
fn server(
    manifest: &Manifest,
    leaf: &Leaf,
    entry: &ResourceEntry,
    script: Option<String>,
    programs: &Programs,
) -> Result<Wanted, String> {
    let (path, variable, service) = (&leaf.path, &leaf.variable, entry.service());
    let declaration = leaf.field.declaration();
    let give = format!("give its locator: `.with_variable(\"{variable}\", \"…\")`");
    let hosts = declaration.listed_hosts();
    if !hosts.is_empty() && !hosts.contains(&"localhost") {
        let hosts = hosts.join(", ");
        return Err(format!("`{path}` leads to {hosts} alone, and a server here is none: {give}"));
    }
    if !resource::is_known(service) {
        return Err(format!("there is no server for {service}, the service of `{path}`: {give}"));
    }
    if script.is_some() && !resource::has_scripts(service) {
        return Err(format!("`with_script` names `{path}`, and {service} runs no SQL of it here"));
    }
    let accepted = |scheme: &&backing_services_rules::Scheme| {
        declaration.only_scheme().is_none_or(|only| scheme.is(only))
    };
    let scheme = entry.schemes().iter().find(accepted).map_or("", |scheme| scheme.name());
    let grants = leaf
        .grants(&account(&manifest.account_of(path)))
        .ok_or_else(|| format!("`{path}` is no resource"))?;
    Ok(Wanted { field: path.to_string(), scheme, grants, script, programs: programs.clone() })
}

/// A name for the account and the database of a resource, which no other `Dev` of the process has.
fn account(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let plain = name.chars().map(|c| if is_plain(c) { c } else { '_' });
    let begin: String = plain.take(LONGEST_NAME).collect();
    format!("{begin}_{}", COUNT.fetch_add(1, Ordering::Relaxed))
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
