//! The harness of the tests: real servers under TLS with certificates made at run time, and hostile
//! servers.
//!
//! No test is skipped. If a server is not installed, the test that needs it fails, and prints the
//! command that installs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a harness that fails has to stop the test at once, with a message"
)]

pub use backing_services_dev::conformance::{attempt, canary, journal, pki, relay};

pub mod amqp;
pub mod certified;
pub mod echo;
pub mod etcd;
pub mod folder;
pub mod hostile;
pub mod https;
pub mod mariadb;
pub mod nats;
pub mod pgbouncer;
pub mod port;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod s3;
pub mod smtp;
pub mod variables;

/// Checks that the document's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/development.md")]
struct Development;
