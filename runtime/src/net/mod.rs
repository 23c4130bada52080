//! The network, without a service: time limits, tasks, backoff, address rules, TLS.

pub(crate) mod address;
pub(crate) mod backoff;
pub(crate) mod progress;
pub(crate) mod tasks;
pub(crate) mod thread;
pub(crate) mod time;
pub(crate) mod tls;
