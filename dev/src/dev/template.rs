//! Databases from which those of single tests are copied.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use backing_services_runtime::manifest::Leaf;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::database;
use super::resource::Wanted;
use super::{Dev, Waiting, ended_well};
use crate::DevError;

/// Servers whose databases are templates: [`dev`](Self::dev) copies them, so that each test has
/// databases of its own.
///
/// ```no_run
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// use backing_services::{BackingServices, Postgres, Resource};
/// use backing_services_dev::{Dev, Template};
/// use tokio::sync::OnceCell;
///
/// #[derive(BackingServices)]
/// #[services(prefix = "SHOP")]
/// struct Services {
///     #[service(needs = "SELECT, INSERT ON orders")]
///     orders: Resource<Postgres>,
/// }
///
/// static TEMPLATE: OnceCell<Template> = OnceCell::const_new();
///
/// // In each test:
/// let template = TEMPLATE
///     .get_or_try_init(|| {
///         Dev::builder::<Services>()
///             .with_script("orders", "CREATE TABLE orders (id bigint PRIMARY KEY)")
///             .template()
///     })
///     .await?;
/// let dev = template.dev().await?;
/// let services = Services::attach_from(&dev.environment()).await?;
/// # Ok(())
/// # }
/// ```
///
/// A copy has all that the scripts and the migrations made, and an account of its own for the
/// field's `needs`. PostgreSQL copies a database by itself. MariaDB cannot, so its copy runs the
/// statements that `mariadb-dump` writes. The copy of SQLite is a copy of the file.
///
/// All other resources are shared: a test that needs keys, queues, streams or buckets of its own
/// puts a random part into their names, or starts a [`Dev`] of its own.
///
/// The servers stop once the template and all of its copies are dropped, and with the process.
pub struct Template {
    /// All resources that are not copied.
    shared: Arc<Dev>,
    variables: BTreeMap<String, String>,
    databases: Arc<[Copied]>,
    turns: Semaphore,
}

/// The number of `Dev`s that are made at once: more only wait for each other in the server.
const AT_ONCE: usize = 8;

struct Copied {
    leaf: Leaf,
    wanted: Wanted,
    template: Box<dyn database::Template>,
}

impl Template {
    pub(super) async fn of(mut dev: Dev, waiting: Vec<Waiting>) -> Result<Self, DevError> {
        let databases = tokio::task::spawn_blocking(move || {
            let all = waiting.into_iter().map(|Waiting { leaf, wanted, database }| {
                let template = database.template().map_err(|error| wanted.failed(&error))?;
                Ok(Copied { leaf, wanted, template })
            });
            all.collect::<Result<_, DevError>>()
        });
        let databases = ended_well(databases.await)?;
        let variables = std::mem::take(&mut dev.variables);
        let turns = Semaphore::new(AT_ONCE);
        Ok(Self { shared: Arc::new(dev), variables, databases, turns })
    }

    /// Copies the databases, and creates the accounts. Dropping the `Dev` removes both.
    ///
    /// # Errors
    /// If a server refuses the statements of an account: a table that `needs` names may be missing.
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    pub async fn dev(&self) -> Result<Dev, DevError> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let mut dev = Dev { variables: self.variables.clone(), running: Vec::new() };
        let mut tasks = JoinSet::new();
        for index in 0..self.databases.len() {
            let databases = Arc::clone(&self.databases);
            tasks.spawn_blocking(move || {
                let Copied { wanted, template, .. } = &databases[index];
                let access = template.copy(&wanted.again()?);
                let access = access.map_err(|error| wanted.failed(&error))?;
                Ok::<_, DevError>((index, access))
            });
        }
        while let Some(ended) = tasks.join_next().await {
            let (index, access) = ended_well(ended)?;
            dev.add(&self.databases[index].leaf, access, None);
        }
        dev.running.push(Box::new((Arc::clone(&self.shared), Arc::clone(&self.databases))));
        Ok(dev)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.databases.iter().map(|copied| &*copied.leaf.path);
        f.debug_list().entries(fields).finish()
    }
}
