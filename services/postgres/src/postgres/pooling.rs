//! Poolers between the relay and the server: PgBouncer, Supavisor, RDS Proxy, Neon's.
//!
//! A pooler in transaction mode gives each transaction another server process. What a session
//! keeps, a prepared statement for example, is then on a process that the next transaction does not
//! get. This is observed, not inferred from a name.

use std::time::Duration;

use backing_services_runtime::Failure;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::Refusal;
use backing_services_runtime::service::time::with_timeout;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

/// The time for all steps.
const PATIENCE: Duration = Duration::from_secs(6);

/// The comparisons before a pooler is believed to keep sessions.
const COMPARISONS: u32 = 3;

/// The result of the observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The server process is the client's for the whole session.
    Session,
    /// Each transaction gets a process, and prepared statements work.
    Transaction,
    /// Each transaction gets a process, and a prepared statement was not there any more.
    Forgetful,
    /// There was no second connection to compare with.
    Unknown,
}

impl Pooling {
    /// The remark for the posture.
    pub(super) const fn remark(self) -> Option<&'static str> {
        match self {
            Self::Session => None,
            Self::Transaction => Some(
                "a pooler gives each transaction another session of the server: `SET`, `LISTEN`, \
                 advisory locks and temporary tables end with the transaction",
            ),
            // It is refused.
            Self::Forgetful => None,
            Self::Unknown => Some(
                "a pooler is between here and the server, and it did not open a second connection \
                 to find out whether each transaction gets another session of the server",
            ),
        }
    }
}

/// Observes what a pooler does with two connections, within the limit. `first` is the one that
/// attaching uses.
pub(super) async fn observe(
    first: &mut PgConnection,
    options: &PgConnectOptions,
    limit: Duration,
) -> Pooling {
    match with_timeout(limit.min(PATIENCE), compare(first, options)).await {
        Ok(Ok(pooling)) => pooling,
        _ => Pooling::Unknown,
    }
}

/// Compares until one comparison shows something else than a session, up to [`COMPARISONS`] times.
/// A pooler of several processes, or one that takes its servers in turn, may give the first
/// connection the same process again by chance.
async fn compare(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<Pooling, sqlx::Error> {
    for _ in 1..COMPARISONS {
        let pooling = compare_once(first, options).await?;
        if pooling != Pooling::Session {
            return Ok(pooling);
        }
    }
    compare_once(first, options).await
}

/// Runs a prepared statement on the first connection, and occupies a process by a transaction of
/// the second one. If it is the first one's process, the second one prepares a statement of the
/// same name there. If not, the first one runs its statement again.
async fn compare_once(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<Pooling, sqlx::Error> {
    let before = process(first).await?;
    let mut second = options.connect().await?;
    let mut transaction = second.begin().await?;
    // Not prepared: its name would be the other connection's on the same process.
    let other: i32 = sqlx::raw_sql(PROCESS).fetch_one(&mut *transaction).await?.try_get(0)?;
    let is_shared = other == before;
    let again = if is_shared { process(&mut transaction).await } else { process(first).await };
    drop(transaction);
    let _ = second.close().await;
    Ok(match again {
        Ok(after) if !is_shared && after == before => Pooling::Session,
        Ok(_) => Pooling::Transaction,
        Err(sqlx::Error::Database(error))
            if error.code().is_some_and(|code| FORGOTTEN.contains(&code.as_ref())) =>
        {
            Pooling::Forgetful
        }
        Err(_) => Pooling::Unknown,
    })
}

/// `invalid_sql_statement_name` and `duplicate_prepared_statement`: the session has not this
/// connection's statement, but another one's.
const FORGOTTEN: [&str; 2] = ["26000", "42P05"];

const PROCESS: &str = "SELECT pg_catalog.pg_backend_pid()";

/// By a prepared statement, which the connection keeps.
async fn process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar(PROCESS).fetch_one(connection).await
}

/// Refuses a pooler through which the driver's queries would fail now and then. The driver sends
/// the statement and its values in two transactions, whether it keeps the statement or not.
pub(super) fn check(pooling: Pooling) -> Result<(), Refusal> {
    if pooling != Pooling::Forgetful {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::Unavailable,
        "a pooler in transaction mode forgets the prepared statements of this driver, so that \
         queries fail now and then",
        "write the port of the pooler's session mode, or of the server itself; or let the pooler \
         keep them (PgBouncer 1.21: `max_prepared_statements`)",
    )
    .into())
}
