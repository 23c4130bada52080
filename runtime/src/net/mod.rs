//! Networking that does not depend on a service: time limits, tasks, backoff, address rules, TLS.

pub(crate) mod address;
pub(crate) mod backoff;
pub(crate) mod progress;
#[cfg(any(
    feature = "amqp",
    feature = "etcd",
    feature = "nats",
    feature = "redis",
    feature = "tokio-postgres"
))]
pub(crate) mod reconnect;
pub(crate) mod tasks;
pub(crate) mod thread;
pub(crate) mod time;
pub(crate) mod tls;
