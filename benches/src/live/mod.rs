//! What is used while it is attached: the handle, statements through it, swaps, and memory. Against real servers on this machine, over verified TLS.

use std::future::Future;

use backing_services::{BackingServices, Environment, Postgres, Resource};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::postgres;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};

use crate::Result;

pub mod client;
pub mod counted;
pub mod memory;
pub mod query;
pub mod swap;

/// One database.
#[derive(BackingServices, Debug)]
#[services(prefix = "SHOP")]
pub struct Shop {
    /// The pool that everything goes through.
    pub orders: Resource<Postgres>,
}

/// Where the database is.
#[must_use]
pub fn source(server: &postgres::Postgres) -> Environment {
    Environment::from_iter([
        ("SHOP_ORDERS_URL", server.locator()),
        ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_ORDERS_CA", server.authority.pem()),
    ])
}

/// The pool without us: as sqlx's documentation has it for verified TLS, and connected once.
///
/// # Errors
/// Where it cannot be connected.
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

/// Runs it on a runtime of its own, with a thread per core.
///
/// # Errors
/// Where there is no runtime, and what it fails with itself.
pub fn on_a_runtime<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future)
}
