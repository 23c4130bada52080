//! The loader with this library.

use backing_services::secrecy::SecretString;
use backing_services::{
    Amqp, AttachError, BackingServices, Environment, Postgres, Redis, Resource, Smtp,
};

macro_rules! twelve_fields {
    ($name:ident, $prefix:literal) => {
        /// The twelve fields.
        #[derive(BackingServices)]
        #[services(prefix = $prefix)]
        #[allow(dead_code, reason = "it is checked, and never attached")]
        pub struct $name {
            orders: Resource<Postgres>,
            sessions: Resource<Redis>,
            queue: Resource<Amqp>,
            relay: Resource<Smtp>,
            stripe_key: SecretString,
            signing_key: SecretString,
            #[setting]
            port: u16,
            #[setting]
            workers: usize,
            #[setting]
            timeout_seconds: u64,
            #[setting]
            maintenance: bool,
            #[setting]
            shard: Option<u16>,
            #[setting]
            origins: Vec<String>,
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

twelve_fields!(Services, "SHOP");
twelve_fields!(Flawless, "FLAWLESS");

/// Loads every value, checks it against every rule that needs no connection, and drops it.
///
/// # Errors
/// If a value is missing or invalid.
pub fn check() -> Result<(), AttachError> {
    Services::check(&Environment::process())
}

/// The same for the variables with another prefix, which have no mistake.
///
/// # Errors
/// If a value is missing or invalid.
pub fn check_flawless() -> Result<(), AttachError> {
    Flawless::check(&Environment::process())
}
