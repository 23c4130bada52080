//! Servers for development and tests, for programs that use backing-services.
//!
//! - [`Dev`] (feature `servers`, on by default) starts a real server for each resource of a struct,
//!   with TLS and with exactly the account of the field's `needs`.
//! - [`server`] has these servers one by one. They are started from the programs that are
//!   installed, with TLS by an [authority] that is made on the spot. They run as an unprivileged
//!   user in a temporary folder on free ports, and end with the process.
//! - [`conformance`] (feature `conformance`) is the suite of cases that every service passes. A
//!   service of your own proves itself by it.
//! - [`Containers`] has a server in a container for each service that it knows. The command line
//!   writes them into a compose file (`template compose`).

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "servers")]
pub mod authority;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod container;
#[cfg(feature = "servers")]
mod dev;
#[cfg(feature = "servers")]
mod error;
#[cfg(feature = "servers")]
pub mod folder;
#[cfg(feature = "servers")]
mod kept;
#[cfg(feature = "servers")]
pub mod port;
#[cfg(feature = "servers")]
pub mod process;
#[cfg(feature = "servers")]
pub mod program;
mod quoted;
#[cfg(feature = "servers")]
pub mod server;

pub use container::{Container, Containers};
#[cfg(feature = "servers")]
pub use dev::{Builder, Dev, Progress, Template};
#[cfg(feature = "servers")]
pub use error::DevError;
#[cfg(feature = "servers")]
pub use program::Programs;

/// Checks that the README's code compiles.
#[cfg(all(doctest, feature = "servers"))]
#[doc = include_str!("../README.md")]
struct Readme;
