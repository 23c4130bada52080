//! The services. Each has a module of its own, all of the same shape, and none depends on another.

#[cfg(feature = "amqp")]
pub mod amqp;
#[cfg(feature = "https")]
pub mod https;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "smtp")]
pub mod smtp;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "tokio-postgres")]
pub mod tokio_postgres;

#[cfg(any(feature = "postgres", feature = "tokio-postgres"))]
mod postgresql;
#[cfg(any(feature = "amqp", feature = "nats", feature = "redis"))]
mod random_name;
#[cfg(feature = "_sqlx")]
mod sqlx;

#[cfg(any(feature = "etcd", feature = "https", feature = "s3"))]
pub(crate) mod http;
