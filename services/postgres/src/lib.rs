//! PostgreSQL: [`Postgres`] on sqlx, and [`TokioPostgres`] on tokio-postgres.

#[cfg(feature = "sqlx")]
pub mod postgres;
#[cfg(any(feature = "sqlx", feature = "tokio-postgres"))]
mod postgresql;
#[cfg(feature = "tokio-postgres")]
pub mod tokio_postgres;

#[cfg(feature = "sqlx")]
#[doc(inline)]
pub use postgres::Postgres;
#[cfg(feature = "tokio-postgres")]
#[doc(inline)]
pub use tokio_postgres::TokioPostgres;
