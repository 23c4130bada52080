//! The pool that an application gets, and its connections.

use std::fmt;
use std::ops::{Deref, DerefMut};

use backing_services_runtime::Failure;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::Refusal;
use deadpool::managed::{Object, Pool, PoolError, TimeoutType};

use super::{Connection, Manager};

/// A pool of PostgreSQL connections. Clones share the connections.
///
/// [`get`](Self::get) returns one of them. It derefs to [`tokio_postgres::Client`], and returns to
/// the pool when it is dropped.
///
/// ```no_run
/// # async fn example(
/// #     orders: backing_services::Resource<backing_services::TokioPostgres>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let pool = orders.client();
/// let client = pool.get().await?;
/// let rows = client.query("SELECT id FROM orders WHERE customer = $1", &[&7_i32]).await?;
/// # drop(rows); Ok(()) }
/// ```
#[derive(Clone)]
pub struct TokioPostgresPool(pub(super) Pool<Manager>);

impl TokioPostgresPool {
    /// Waits for a connection, up to the locator's `connect_timeout`, and checks that the server
    /// still answers on it.
    ///
    /// # Errors
    /// [`Refusal`]: no connection came free in time, a new one was refused, or the resource is
    /// detached.
    pub async fn get(&self) -> Result<PooledConnection, Refusal> {
        self.0.get().await.map(PooledConnection).map_err(|error| refusal(&error))
    }

    /// The number of connections.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let status = self.0.status();
        PoolStatus {
            max_size: status.max_size,
            size: status.size,
            available: status.available,
            waiting: status.waiting,
        }
    }
}

impl fmt::Debug for TokioPostgresPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokioPostgresPool").field(&self.status()).finish()
    }
}

/// The number of connections of a [`TokioPostgresPool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// The most connections that it may have: the locator's `max_connections`.
    pub max_size: usize,
    /// The connections that it has.
    pub size: usize,
    /// Those that are not in use.
    pub available: usize,
    /// The callers that wait for one.
    pub waiting: usize,
}

/// One connection of a [`TokioPostgresPool`]. It derefs to [`tokio_postgres::Client`].
pub struct PooledConnection(Object<Manager>);

impl Deref for PooledConnection {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        let connection: &Connection = &self.0;
        connection
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut tokio_postgres::Client {
        let connection: &mut Connection = &mut self.0;
        connection
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PooledConnection")
    }
}

fn refusal(error: &PoolError<Refusal>) -> Refusal {
    match error {
        PoolError::Backend(refusal) => refusal.clone(),
        PoolError::Timeout(TimeoutType::Wait) => Failure::new(
            FailureKind::TimedOut,
            "no connection came free in time",
            "check the server's load, and `max_connections` in the locator",
        )
        .into(),
        PoolError::Closed => Failure::detached().into(),
        _ => Failure::no_greeting().into(),
    }
}
