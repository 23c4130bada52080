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
//! sqlx::query("SELECT 1").execute(&*services.orders.client()).await?;
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
//! (feature `follow`) reattaches on every change of a source. [`Credentials`] that expire are
//! renewed, and open connections stay open. [`detach`](BackingServices::detach) lets work in flight
//! finish, closes everything, and reports the connections that it had to cut.
//!
//! # What to read next
//!
//! - [`macro@BackingServices`]: every attribute of the derive.
//! - [`services`]: each service, its locator, its parameters, and the limits of its driver.
//! - [`manual`]: every default with its reason, the variables that a field reads, and the threat
//!   model.
//! - [`Service`]: the trait for a service of your own.
//! - [`rules`]: the table of rules, as data.
//!
//! # Features
//!
//! One per service, with the name that [its module](services) has. A service of your own needs
//! none. `cloud-foundry`, `dotenv`, `etcd` and `nats` add [sources](source) and [`stores`].
//! `follow` follows a source. `cli` is the command line for operators (`cli::run`): `check`,
//! `attach`, `posture` and more, for an init container or a CI gate. `serde` adds `Serialize` to
//! the manifest, findings and the posture. None is on by default, and none loosens a rule.

#![cfg_attr(docsrs, feature(doc_cfg))]
// A public type that may grow says so.
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

// A folder uses the folders above it in this list, and never one below it (`ci/layers`).
mod report;

mod locator;

pub mod needs;

mod net;

mod service;

mod declare;

pub mod source;

mod load;

mod attach;

mod live;

pub mod services;

#[cfg(any(feature = "etcd", feature = "nats"))]
pub mod stores;

#[cfg(feature = "serde")]
mod serialize;

#[cfg(feature = "cli")]
pub mod cli;

pub mod manual;

#[doc(inline)]
pub use backing_services_macros::BackingServices;
pub use backing_services_rules as rules;
pub use backing_services_rules::{Level, Rule, Scheme};
pub use declare::manifest::{self, Manifest};
pub use declare::secret::SecretValue;
pub use declare::setting::Setting;
pub use live::backing_services::BackingServices;
pub use live::detach::{Detached, ForcedClose};
#[cfg(feature = "follow")]
pub use live::follow::{Followed, Following};
pub use live::resource::{AnyResource, ClientGuard, Resource};
pub use locator::dialect::{Login, Parameter};
pub use locator::{Host, Locator};
pub use needs::{Difference, Grantable, Needs};
pub use net::tls::Witness;
pub use report::error::AttachError;
pub use report::finding::{Failure, FailureKind, Finding};
pub use report::malformed::Malformed;
pub use report::posture::{self, Posture};
pub use report::refusal::Refusal;
pub use rustls;
pub use secrecy;
pub use service::container::Container;
pub use service::credentials::{AnyCredentials, Credential, Credentials};
pub use service::dial::{Dialled, Stream};
pub use service::grants::{self, Grants};
pub use service::target::{Attempt, Target};
pub use service::{Attachment, Service};
#[cfg(feature = "amqp")]
#[doc(inline)]
pub use services::amqp::{Amqp, AmqpClient};
#[cfg(feature = "https")]
#[doc(inline)]
pub use services::https::{Https, HttpsClient};
#[cfg(feature = "mysql")]
#[doc(inline)]
pub use services::mysql::MySql;
#[cfg(feature = "nats")]
#[doc(inline)]
pub use services::nats::Nats;
#[cfg(feature = "postgres")]
#[doc(inline)]
pub use services::postgres::Postgres;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use services::redis::Redis;
#[cfg(feature = "s3")]
#[doc(inline)]
pub use services::s3::{S3, S3Client};
#[cfg(feature = "smtp")]
#[doc(inline)]
pub use services::smtp::{Smtp, SmtpClient};
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use services::sqlite::Sqlite;
#[cfg(feature = "tokio-postgres")]
#[doc(inline)]
pub use services::tokio_postgres::TokioPostgres;
pub use source::{Environment, Source, Sources};

/// The items that generated code uses. Not part of the API: it changes whenever the derive does.
#[doc(hidden)]
pub mod __private {
    pub use crate::declare::manifest::{Category, Declaration, Field};
    pub use crate::declare::setting::{Setting, assert_public};
    pub use crate::live::field::{
        Attached, Optional, ResourceField, SecretField, Values, assert_scheme,
    };
    pub use crate::live::generation::Handle;
    pub use crate::live::resource::{AnyResource, Sealed};
    pub use crate::report::waiver::Waiver;
    pub use crate::service::assert::assert_needs;
    pub use crate::source::environment::Snapshot;
    pub use ::core;
    pub use ::std::vec::Vec;
}

/// Checks that the README's code compiles.
#[cfg(all(doctest, feature = "postgres", feature = "redis"))]
#[doc = include_str!("../../README.md")]
struct Readme;
