//! Checks that the code of the document compiles, with the versions of the tools that fit, and that
//! a guard executes the queries of sqlx's macros.

use backing_services::{Postgres, Resource};

/// The document.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/migrations.md")]
struct Migrations;

/// An order.
#[derive(Debug)]
pub struct Order {
    /// Its number.
    pub id: i64,
}

/// Executes a query of each macro. The folder `.sqlx` has the query's types, so that no database is
/// needed to compile it.
///
/// # Errors
/// If there is no such order.
pub async fn find(orders: &Resource<Postgres>, id: i64) -> sqlx::Result<Order> {
    let row = sqlx::query!("SELECT id FROM orders WHERE id = $1", id)
        .fetch_one(&orders.client())
        .await?;
    let scalar = sqlx::query_scalar!("SELECT id FROM orders WHERE id = $1", row.id)
        .fetch_one(&orders.client())
        .await?;
    sqlx::query_as!(Order, "SELECT id FROM orders WHERE id = $1", scalar)
        .fetch_one(&orders.client())
        .await
}
