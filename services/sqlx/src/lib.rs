//! Code that the services on sqlx share: the pool, its first connection, and sqlx's errors in our
//! own words.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use backing_services_runtime::Failure;
use backing_services_runtime::posture::{TlsPosture, TrustPosture};
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::relay::Relay;
use backing_services_runtime::service::tasks::Tasks;
use backing_services_runtime::service::time::{READY_DEADLINE, with_timeout};
use backing_services_runtime::service::{Attempt, Host, Refusal, Target};
use sqlx::pool::{CloseEvent, PoolConnection, PoolOptions};
use sqlx::{AssertSqlSafe, Connection, Database, Error, Executor, Pool};
use tokio::time::{Instant, sleep, timeout_at};

pub use sqlx;

pub use self::guard::PoolGuard;

mod guard;

/// The environment variables that decide which authorities sqlx trusts, if another crate of the
/// program enables its feature `tls-native-tls` or `tls-rustls-ring-native-roots`: cargo builds one
/// sqlx for the whole program. OpenSSL and rustls-native-certs read them.
pub const CONFLICTING_ENV: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Converts an error of sqlx that is not a database error. Its text is never repeated: it can hold
/// a file, a certificate, or bytes that a server sent.
pub fn failure(error: &Error) -> Failure {
    let new = Failure::new;
    match error {
        Error::Io(_) => Failure::broken(),
        Error::Tls(_) => new(
            FailureKind::Protocol,
            "the driver's TLS handshake failed",
            "read the server's log: it served a first connection otherwise",
        ),
        Error::PoolTimedOut => new(
            FailureKind::TimedOut,
            "no connection was opened in time",
            "check the server's load, and `max_connections` in the locator",
        ),
        Error::PoolClosed => Failure::detached(),
        _ => Failure::protocol(),
    }
}

/// The TLS posture of sqlx's connections, given the posture of our own first connection.
pub fn as_trusted(mut own: TlsPosture) -> TlsPosture {
    if own.trust == TrustPosture::PrivateCa {
        own.trust = TrustPosture::PrivateCaAndPublicRoots;
    }
    own
}

/// The remark on sqlx's trust that the posture's trust does not include.
pub const fn remark_on_trust(trust: TrustPosture) -> &'static str {
    match trust {
        TrustPosture::PrivateCa | TrustPosture::PrivateCaAndPublicRoots => {
            "sqlx trusts the public roots beside the private authority, on the connections of its \
             pool"
        }
        _ => {
            "sqlx trusts the roots of its own build, on the connections of its pool: the bundled \
             ones, unless another crate switches on its `native-roots` or `native-tls`"
        }
    }
}

/// The host, as the options of sqlx accept it: an IPv6 address has no brackets.
///
/// # Errors
/// [`Refusal`], if the locator has no host.
pub fn host(target: &Target) -> Result<String, Refusal> {
    match target.locator().host() {
        Some(Host::Address(address)) => Ok(address.to_string()),
        Some(name) => Ok(name.to_string()),
        None => {
            let kind = FailureKind::Unresolved;
            Err(Failure::new(kind, "its locator has no host", "write the host").into())
        }
    }
}

/// The options of a pool whose connections go through a relay, with at most `most` of them.
pub fn pool_options<DB: Database>(target: &Target, most: u32) -> PoolOptions<DB> {
    PoolOptions::new().max_connections(most).acquire_timeout(Relay::patience(target))
}

/// Creates a pool without connections, of at most `most`. `bound` is the statement that limits the
/// time of a connection's statements. It is empty until the first connection, the probe's, has
/// determined it. Each later connection begins with it.
///
/// An opening that has begun ends in an error once the pool is closed: the server ends the
/// connection at the statement `goodbye`. An idle connection that was being checked for a caller is
/// closed.
pub fn pool<DB>(
    target: &Target,
    options: <DB::Connection as Connection>::Options,
    most: u32,
    bound: Arc<OnceLock<String>>,
    goodbye: &'static str,
) -> Pool<DB>
where
    DB: Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    // The probe limits the first connection itself.
    let first = AtomicBool::new(true);
    let closed = Closed::default();
    let (opened, checked) = (closed.clone(), closed.clone());
    let pool = PoolOptions::<DB>::new()
        .max_connections(most)
        .acquire_timeout(target.connect_timeout())
        .after_connect(move |connection: &mut DB::Connection, _| {
            let is_first = first.swap(false, Ordering::Relaxed);
            let bound = bound.get().cloned();
            let is_closed = opened.get();
            Box::pin(async move {
                if is_closed {
                    // sqlx waits until the server closes a connection that is of no use.
                    let _ = connection.execute(sqlx::raw_sql(goodbye)).await;
                    return Err(Error::PoolClosed);
                }
                if is_first {
                    return Ok(());
                }
                // The pool logs this error, so it must not contain the server's text.
                let unbounded =
                    || Error::Protocol("the statement's time could not be bounded".into());
                let bound = sqlx::raw_sql(AssertSqlSafe(bound.ok_or_else(unbounded)?));
                connection.execute(bound).await.map(drop).map_err(|_| unbounded())
            })
        })
        .before_acquire(move |_, _| {
            let is_open = !checked.get();
            Box::pin(std::future::ready(Ok(is_open)))
        })
        .connect_lazy_with(options);
    closed.observe(&pool);
    pool
}

/// The mark of a closed pool, for the functions that the pool itself calls.
#[derive(Clone, Default)]
struct Closed(Arc<OnceLock<Mutex<CloseEvent>>>);

impl Closed {
    fn observe<DB: Database>(&self, pool: &Pool<DB>) {
        self.0.get_or_init(|| Mutex::new(pool.close_event()));
    }

    fn get(&self) -> bool {
        self.0.get().is_some_and(|event| {
            let mut event = event.lock().unwrap_or_else(PoisonError::into_inner);
            let mut context = Context::from_waker(Waker::noop());
            Pin::new(&mut *event).poll(&mut context).is_ready()
        })
    }
}

/// A path of a Unix socket that cannot exist. sqlx repeats an attempt that was refused, for
/// `connect_timeout`, even once the pool is closed. It does not repeat one that finds no socket.
pub const NOWHERE: &str = "/dev/null/detached";

/// Closes a pool. `nowhere` leads to [`NOWHERE`]: the next attempt of an opening ends it.
pub async fn close<DB: Database>(
    pool: &Pool<DB>,
    nowhere: <DB::Connection as Connection>::Options,
) {
    let closed = pool.close();
    pool.set_connect_options(nowhere);
    closed.await;
}

/// Renews the options of a pool's next connections, unless the pool is closed.
pub fn renew<DB: Database>(
    pool: &Pool<DB>,
    options: <DB::Connection as Connection>::Options,
    nowhere: <DB::Connection as Connection>::Options,
) {
    pool.set_connect_options(options);
    // Closing may have come in between. It marks the pool as closed before it sets its options.
    if pool.is_closed() {
        pool.set_connect_options(nowhere);
    }
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
    /// [`Refusal`]: a timeout, or an error of sqlx as `refusal` converts it.
    pub async fn acquire(
        pool: &Pool<DB>,
        target: &Target,
        attempt: Attempt,
        refusal: fn(&Error) -> Refusal,
    ) -> Result<Self, Refusal> {
        let limit = Relay::patience(target).min(attempt.time_left());
        match with_timeout(limit, pool.acquire()).await? {
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
