//! Networking that does not depend on a service: time limits, tasks, backoff, address rules, TLS.

pub(crate) mod address;
pub(crate) mod backoff;
pub mod metered;
pub mod progress;
pub mod random_name;
pub mod tasks;
pub mod thread;
pub mod time;
pub mod tls;
