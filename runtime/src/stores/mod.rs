//! Sources that are services themselves: a store is attached by all rules before it is read.

#[cfg(feature = "etcd")]
pub mod etcd;
pub(crate) mod load;
#[cfg(feature = "nats")]
pub mod nats_kv;
pub(crate) mod snapshot;

#[cfg(feature = "etcd")]
pub use etcd::Etcd;
#[cfg(feature = "nats")]
pub use nats_kv::NatsKv;
