//! The second half of attaching: connect to everything, probe, apply the rules, all or nothing.

pub(crate) mod connect;
pub(crate) mod fetch;
pub(crate) mod watch;
