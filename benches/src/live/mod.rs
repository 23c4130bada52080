//! Benchmarks of attached resources: the handle, statements through it, swaps, and memory. With
//! real servers on this machine, over verified TLS.

use std::future::Future;

use backing_services::{BackingServices, Environment, Postgres, Resource};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::postgres;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};

use crate::Result;

pub mod bulk;
pub mod client;
pub mod counted;
pub mod memory;
pub mod query;
pub mod swap;

/// One database.
#[derive(BackingServices, Debug)]
#[services(prefix = "SHOP")]
pub struct Shop {
    /// The pool for all statements.
    pub orders: Resource<Postgres>,
}

/// The variables to connect to the database.
#[must_use]
pub fn source(server: &postgres::Postgres) -> Environment {
    Environment::from_iter([
        ("SHOP_ORDERS_URL", server.locator()),
        ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_ORDERS_CA", server.authority.pem()),
    ])
}

/// The pool without us: as in sqlx's documentation for verified TLS, and connected once.
///
/// # Errors
/// If the connection fails.
pub async fn bare(server: &postgres::Postgres) -> Result<PgPool> {
    let options = PgConnectOptions::new_without_pgpass()
        .host("localhost")
        .port(server.port)
        .username(postgres::USER)
        .password(PASSWORD)
        .database(postgres::DATABASE)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(server.authority.pem().into_bytes());
    Ok(PgPoolOptions::new().connect_with(options).await?)
}

/// Runs a future on a runtime of its own, with a thread per core.
///
/// # Errors
/// If there is no runtime, or the future fails.
pub fn on_a_runtime<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future)
}
