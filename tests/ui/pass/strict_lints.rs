//! Generated code passes the strictest lints.

#![deny(warnings, missing_docs, missing_debug_implementations, unused_qualifications)]
#![deny(unreachable_pub, single_use_lifetimes, nonstandard_style, future_incompatible, unused)]
#![deny(trivial_casts, let_underscore_drop, unused_lifetimes, variant_size_differences)]
#![forbid(unsafe_code)]

use backing_services::{BackingServices, Redis, Resource, Service, secrecy::SecretString};

/// Documented.
#[derive(BackingServices, Debug)]
pub struct Services<S: Service> {
    /// Documented.
    #[service(
        default = "rediss://localhost",
        needs = "@read ON session:*",
        allow(superuser_account, reason = "one account")
    )]
    pub cache: Resource<S>,
    /// Documented.
    pub key: SecretString,
    /// Documented.
    #[setting(default = 8080)]
    pub tokens: Count,
    /// Documented.
    pub mail: Mail,
}

/// Documented.
#[derive(BackingServices, Debug)]
pub struct Mail {
    /// Documented.
    #[service(scheme = "rediss")]
    pub relay: Option<Resource<Redis>>,
    /// Documented.
    #[setting(default = 8080)]
    pub tokens: Count,
}

/// Documented.
pub type Count = u64;

fn main() {
    assert_eq!(<Services<Redis> as BackingServices>::MANIFEST.fields().len(), 4);
}
