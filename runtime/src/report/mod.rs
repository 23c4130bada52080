//! The parts of every report: findings, failures, the posture, and printable text from peers.

pub(crate) mod colour;
pub(crate) mod error;
pub(crate) mod finding;
#[cfg(test)]
mod fuzz;
pub(crate) mod malformed;
pub mod posture;
pub mod redact;
pub(crate) mod refusal;
pub(crate) mod text;
pub(crate) mod waiver;
