//! Ours.

use backing_services::secrecy::SecretString;
use backing_services::{Amqp, AttachError, BackingServices, Environment, Postgres, Redis, Resource, Smtp};

/// The twelve fields.
#[derive(BackingServices)]
#[services(prefix = "SHOP")]
#[allow(dead_code, reason = "it is checked, and never attached")]
pub struct Services {
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

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// Loads every value, holds it against every rule that needs no connection, and drops it.
///
/// # Errors
/// All that is wrong.
pub fn check() -> Result<(), AttachError> {
    Services::check(&Environment::process())
}
