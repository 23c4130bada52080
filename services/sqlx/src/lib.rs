//! Code that the services on sqlx share: the pool, its first connection, and sqlx's errors in our
//! own words.

use std::fmt;
use std::time::Duration;

use backing_services_runtime::Failure;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::relay::Relay;
use backing_services_runtime::service::tasks::Tasks;
use backing_services_runtime::service::time::READY_DEADLINE;
use backing_services_runtime::service::{Refusal, Target};
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::{Database, Error, Pool};
use tokio::time::{Instant, sleep, timeout_at};

pub use sqlx;

pub use self::guard::PoolGuard;

mod guard;

/// Converts an error of sqlx that is not a database error. Its text is never repeated: it can hold
/// a file, a certificate, or bytes that a server sent.
pub fn failure(error: &Error) -> Failure {
    let new = Failure::new;
    match error {
        Error::Io(_) => Failure::broken(),
        Error::PoolTimedOut => new(
            FailureKind::TimedOut,
            "no connection was opened in time",
            "check the server's load, and `max_connections` in the locator",
        ),
        Error::PoolClosed => Failure::detached(),
        _ => Failure::protocol(),
    }
}

/// The options of a pool whose connections go through a relay, with at most `most` of them.
pub fn pool_options<DB: Database>(target: &Target, most: u32) -> PoolOptions<DB> {
    PoolOptions::new().max_connections(most).acquire_timeout(Relay::patience(target))
}

/// The time limit for opening a new pool's connections before the pool is handed out. It is less
/// than the runtime allows, so that the connections are back in the pool in time.
const READY: Duration = READY_DEADLINE.saturating_sub(Duration::from_secs(1));

/// Opens as many connections as the previous pool has, all at once. During a login, sqlx yields to
/// other tasks some 800 times; under load, that takes as long for all connections as for one. A
/// connection that cannot be opened is left out. An example is one beyond the server's limit, which
/// sqlx would retry again and again.
pub async fn make_ready<DB: Database>(pool: &Pool<DB>, former: &Pool<DB>) {
    let deadline = Instant::now() + READY;
    let mut opening = Tasks::new();
    let mut opened = Vec::new();
    let open = async {
        // The first connection may still be on its way back to the pool.
        all_idle(pool).await;
        for _ in 0..former.size().min(pool.options().get_max_connections()) {
            let pool = pool.clone();
            opening.spawn(async move { pool.acquire().await.ok() });
        }
        while let Some(connection) = opening.join_next().await {
            opened.extend(connection.ok().flatten());
        }
    };
    let _ = timeout_at(deadline, open).await;
    opening.shutdown().await;
    drop(opened);
    // A caller that finds no idle connection would open another one.
    all_idle(pool).await;
}

/// Waits until every connection of the pool is idle. The pool has not been handed out yet. sqlx
/// returns each connection in a separate task, which pings the server first.
async fn all_idle<DB: Database>(pool: &Pool<DB>) {
    while pool.num_idle() < pool.size() as usize {
        sleep(Duration::from_millis(1)).await;
    }
}

/// The first connection of a pool, until the server has answered the probe. Until then it is not
/// returned to the pool: the pool would ping the server, and wait for the answer for ever, even
/// after attaching has ended.
pub struct Unproven<DB: Database>(Option<PoolConnection<DB>>);

impl<DB: Database> fmt::Debug for Unproven<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unproven")
    }
}

impl<DB: Database> Unproven<DB> {
    /// Opens the pool's first connection.
    ///
    /// # Errors
    /// [`Refusal`]: an error of sqlx as `refusal` converts it.
    pub async fn acquire(pool: &Pool<DB>, refusal: fn(&Error) -> Refusal) -> Result<Self, Refusal> {
        // The pool has a limit, and so has attaching.
        match pool.acquire().await {
            Ok(connection) => Ok(Self(Some(connection))),
            Err(error) => Err(refusal(&error)),
        }
    }

    /// The connection.
    pub fn get(&mut self) -> Option<&mut DB::Connection> {
        self.0.as_deref_mut()
    }

    /// Returns the connection to the pool.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl<DB: Database> Drop for Unproven<DB> {
    fn drop(&mut self) {
        // Closed without a `Terminate` message: the driver would wait until that is answered.
        drop(self.0.take().map(PoolConnection::detach));
    }
}
