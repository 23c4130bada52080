//! Hostile servers, by the protocol that they speak.

pub use backing_services_dev::conformance::hostile::*;

pub mod mysql;
pub mod postgres;
pub mod redis;
