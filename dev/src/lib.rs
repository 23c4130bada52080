//! Servers for development and tests, for programs that use backing-services.
//!
//! [`Containers`] has a server in a container for each service that it knows. The command line
//! writes them into a compose file (`template compose`).

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod container;
mod quoted;

pub use container::{Container, Containers};
