//! Typed, env-loaded, verified handles to backing services.
//!
//! A struct declares the services that a program attaches to; the derive turns it into handles.
//! **If you hold a [`Resource<Postgres>`](Resource), then the server's identity was verified, the
//! account was checked, and the secret was never printed.**
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use backing_services::{BackingServices, Environment, Resource, Sqlite, secrecy::SecretString};
//!
//! /// All services of this deploy.
//! #[derive(BackingServices)]
//! #[services(prefix = "SHOP")]
//! struct Services {
//!     /// Read from SHOP_ORDERS_URL.
//!     orders: Resource<Sqlite>,
//!
//!     /// Read from SHOP_STRIPE_KEY.
//!     stripe_key: SecretString,
//!
//!     /// Read from SHOP_PORT.
//!     #[setting(default = 8080)]
//!     port: u16,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("backing-services-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let url = format!("sqlite://{}/orders.db", folder.display());
//! let environment = Environment::from_iter([
//!     ("SHOP_ORDERS_URL", url.as_str()),
//!     ("SHOP_STRIPE_KEY", "sk_live_4eC39HqLyjWDarjt"),
//! ]);
//! // Or `Services::attach()`, which reads the environment of the process.
//! let services = Services::attach_from(&environment).await?;
//!
//! sqlx::query("SELECT 1").execute(&services.orders.client()).await?;
//! assert_eq!(services.port, 8080);
//! services.detach().await;
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! # While it runs
//!
//! [`reattach`](BackingServices::reattach) moves resources to the current values of a source, make
//! before break: the new ones are connected and checked by all the rules before they replace the
//! old ones, and calls in flight finish on the old ones. Every hour the
//! [posture](Resource::posture) is taken again, and each new finding is logged once. `follow`
//! (feature `follow`) reattaches on every change of a source. [Credentials](credentials) that
//! expire are renewed, and open connections stay open. [`detach`](BackingServices::detach) lets
//! work in flight finish, closes everything, and reports the connections that it had to cut.
//!
//! # What to read next
//!
//! - [`macro@BackingServices`]: every attribute of the derive.
//! - [`services`]: each service, its locator, its parameters, and the limits of its driver.
//! - [`manual`]: every default with its reason, the variables that a field reads, and the threat
//!   model.
//! - [`Service`]: the trait for a service of your own.
//! - [`rules`]: the table of rules, as data.
//! - [Versions]: what a new version means, and which Rust is the oldest.
//!
//! [Versions]: https://github.com/backing-services/backing-services/blob/main/CONTRIBUTING.md#versions
//!
//! # Features
//!
//! One per service, with the name that [its module](services) has. A service of your own needs
//! none. `cloud-foundry`, `dotenv`, `etcd` and `nats` add [sources](source) and `stores`.
//! `follow` follows a source. `cli` is the command line for operators (`cli::run`): `check`,
//! `attach`, `posture` and more, for an init container or a CI gate. `dev` adds a subcommand that
//! starts servers on a developer's machine. `serde` adds `Serialize` to the manifest, findings and
//! the posture. None is on by default, and none loosens a rule.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "amqp")]
#[doc(inline)]
pub use backing_services_amqp::Amqp;
#[cfg(feature = "cli")]
#[doc(inline)]
pub use backing_services_cli as cli;
#[cfg(feature = "https")]
#[doc(inline)]
pub use backing_services_https::Https;
#[cfg(feature = "mysql")]
#[doc(inline)]
pub use backing_services_mysql::MySql;
#[cfg(feature = "nats")]
#[doc(inline)]
pub use backing_services_nats::Nats;
#[cfg(feature = "postgres")]
#[doc(inline)]
pub use backing_services_postgres::Postgres;
#[cfg(feature = "tokio-postgres")]
#[doc(inline)]
pub use backing_services_postgres::TokioPostgres;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use backing_services_redis::Redis;
#[doc(inline)]
pub use backing_services_runtime::*;
#[cfg(feature = "s3")]
#[doc(inline)]
pub use backing_services_s3::S3;
#[cfg(feature = "smtp")]
#[doc(inline)]
pub use backing_services_smtp::Smtp;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use backing_services_sqlite::Sqlite;

// The drivers, in the versions that the services return.
#[cfg(feature = "amqp")]
pub use backing_services_amqp::lapin;
#[cfg(feature = "https")]
pub use backing_services_https::reqwest;
#[cfg(feature = "nats")]
pub use backing_services_nats::async_nats;
#[cfg(feature = "tokio-postgres")]
pub use backing_services_postgres::tokio_postgres::driver as tokio_postgres;
#[cfg(feature = "redis")]
pub use backing_services_redis::redis;
#[cfg(feature = "s3")]
pub use backing_services_s3::object_store;
#[cfg(feature = "smtp")]
pub use backing_services_smtp::lettre;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub use backing_services_sqlx::sqlx;

/// The services: each is a crate of its own.
pub mod services {
    #[cfg(feature = "amqp")]
    #[doc(inline)]
    pub use backing_services_amqp as amqp;
    #[cfg(feature = "https")]
    #[doc(inline)]
    pub use backing_services_https as https;
    #[cfg(feature = "mysql")]
    #[doc(inline)]
    pub use backing_services_mysql as mysql;
    #[cfg(feature = "nats")]
    #[doc(inline)]
    pub use backing_services_nats as nats;
    #[cfg(feature = "postgres")]
    #[doc(inline)]
    pub use backing_services_postgres::postgres;
    #[cfg(feature = "tokio-postgres")]
    #[doc(inline)]
    pub use backing_services_postgres::tokio_postgres;
    #[cfg(feature = "redis")]
    #[doc(inline)]
    pub use backing_services_redis as redis;
    #[cfg(feature = "s3")]
    #[doc(inline)]
    pub use backing_services_s3 as s3;
    #[cfg(feature = "smtp")]
    #[doc(inline)]
    pub use backing_services_smtp as smtp;
    #[cfg(feature = "sqlite")]
    #[doc(inline)]
    pub use backing_services_sqlite as sqlite;
}

/// Sources that are services themselves: a store is attached by all rules before it is read.
#[cfg(any(feature = "etcd", feature = "nats"))]
pub mod stores {
    #[cfg(feature = "etcd")]
    #[doc(inline)]
    pub use backing_services_etcd::{self as etcd, Etcd};
    #[cfg(feature = "nats")]
    #[doc(inline)]
    pub use backing_services_nats::kv::{self as nats_kv, NatsKv};
}

/// Checks that the README's code compiles.
#[cfg(all(doctest, feature = "postgres", feature = "redis"))]
#[doc = include_str!("../../README.md")]
struct Readme;
