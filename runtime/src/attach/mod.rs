//! The second half of attaching: connects to everything, probes, applies the rules; all or nothing.

pub(crate) mod connect;
pub(crate) mod fetch;
pub(crate) mod preflight;
pub(crate) mod watch;
