//! Servers for development and tests, for programs that use backing-services.
//!
//! - [`server`] (feature `servers`, on by default): real servers, started from the programs that are
//!   installed, with TLS by an [authority](authority) that is made on the spot. They run as an
//!   unprivileged user in a temporary folder on free ports, and end with the process.
//! - [`Containers`]: a server in a container for each service that it knows. The command line writes
//!   them into a compose file (`template compose`).

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "servers")]
pub mod authority;
pub mod container;
#[cfg(feature = "servers")]
mod dev;
#[cfg(feature = "servers")]
mod error;
#[cfg(feature = "servers")]
pub mod folder;
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
pub use dev::{Builder, Dev};
#[cfg(feature = "servers")]
pub use error::DevError;
