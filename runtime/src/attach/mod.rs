//! The second half of attaching: connects to everything, probes, applies the rules; all or nothing.

pub mod connect;
pub(crate) mod fetch;
pub(crate) mod watch;
