//! Real servers, started from the programs that are installed.
//!
//! Each listens on a free port of the loopback interface. Each stops when its handle is dropped,
//! and when this process ends in any other way: see [`Process`](crate::process::Process).

use std::fmt;

use backing_services_runtime::secrecy::{ExposeSecret as _, SecretString};

pub mod amqp;
pub mod etcd;
pub mod mariadb;
pub mod nats;
pub mod postgres;
pub mod redis;
#[cfg(feature = "s3")]
pub mod s3;
pub mod smtp;
#[cfg(feature = "s3")]
pub mod tls;

/// An account of a server: its name and its password.
#[derive(Clone)]
pub struct Account {
    name: String,
    password: SecretString,
}

impl Account {
    /// An account.
    #[must_use]
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self { name: name.into(), password: SecretString::from(password.into()) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its password.
    #[must_use]
    pub fn password(&self) -> &str {
        self.password.expose_secret()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.name)
    }
}
