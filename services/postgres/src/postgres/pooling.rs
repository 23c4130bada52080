//! Poolers between the relay and the server: PgBouncer, Supavisor, RDS Proxy, Neon's.
//!
//! A pooler in transaction mode gives each transaction another server process. What a session
//! keeps, a prepared statement for example, is then on a process that the next transaction does not
//! get. This is observed, not inferred from a name.

use std::time::Duration;

use backing_services_runtime::Failure;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Refusal, Target};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

/// The time for each step. A pooler with one server process keeps the second connection waiting.
const PATIENCE: Duration = Duration::from_secs(2);

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
            Self::Forgetful => Some(
                "a pooler gives each transaction another session of the server, and prepared \
                 statements do not outlast one",
            ),
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
    match with_timeout(limit.min(3 * PATIENCE), compare(first, options)).await {
        Ok(Ok(pooling)) => pooling,
        _ => Pooling::Unknown,
    }
}

/// Runs a prepared statement on the first connection, occupies a process by a transaction of the
/// second one, and runs the prepared statement again.
async fn compare(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<Pooling, sqlx::Error> {
    let before = process(first).await?;
    let mut second = options.connect().await?;
    let mut transaction = second.begin().await?;
    let other = process(&mut transaction).await?;
    let again = with_timeout(PATIENCE, process(first)).await;
    transaction.rollback().await?;
    let _ = second.close().await;
    Ok(match again {
        Ok(Ok(after)) if other != before && after == before => Pooling::Session,
        Ok(Ok(_)) => Pooling::Transaction,
        // `invalid_sql_statement_name`, or one of another client with its name.
        Ok(Err(sqlx::Error::Database(error)))
            if matches!(error.code().as_deref(), Some("26000" | "42P05" | "08P01")) =>
        {
            Pooling::Forgetful
        }
        // One process for both: the first waits for the second's transaction.
        Err(_) if other == before => Pooling::Transaction,
        _ => Pooling::Unknown,
    })
}

async fn process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_catalog.pg_backend_pid()").fetch_one(connection).await
}

/// Refuses a driver whose prepared statements would fail now and then.
pub(super) fn check(pooling: Pooling, target: &Target) -> Result<(), Refusal> {
    if pooling != Pooling::Forgetful || !super::prepares(target) {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::Unavailable,
        "a pooler in transaction mode forgets the prepared statements of this driver, so that \
         queries fail now and then",
        "add `prepared_statements=off` to the locator, or write the port of the pooler's session \
         mode, or of the server itself",
    )
    .into())
}
