//! The harness of the tests: real servers under TLS with certificates made on the spot, and servers that are hostile.
//!
//! Nothing here is skipped: a server that is not installed fails the test that needs it, with the command that installs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a harness that cannot do what it should has to stop the test, there and loudly"
)]

pub mod amqp;
pub mod attempt;
pub mod canary;
pub mod echo;
pub mod etcd;
pub mod folder;
pub mod hostile;
pub mod https;
pub mod journal;
pub mod mariadb;
pub mod nats;
pub mod pki;
pub mod port;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod relay;
pub mod s3;
pub mod smtp;
