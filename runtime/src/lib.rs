//! Draft front page.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "net"), allow(dead_code, reason = "without `net` nothing is attached, only declared and checked"))]

#[cfg(feature = "net")]
mod attach;
mod attached;
mod backing_services;
mod check;
#[cfg(feature = "net")]
mod dial;
mod error;
mod finding;
mod locator;
pub mod manifest;
pub mod manual;
pub mod posture;
mod resource;
#[cfg(feature = "serde")]
mod serialize;
mod service;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub mod services;
mod setting;
pub mod source;
mod target;
#[cfg(feature = "net")]
mod tls;

pub use attached::SecretValue;
pub use backing_services::BackingServices;
#[doc(inline)]
pub use backing_services_macros::BackingServices;
pub use backing_services_rules as rules;
pub use backing_services_rules::{Level, Rule, Scheme};
#[cfg(feature = "net")]
pub use dial::{Dialled, Stream};
pub use error::AttachError;
pub use finding::{Failure, FailureKind, Finding};
pub use locator::Locator;
pub use manifest::Manifest;
pub use posture::Posture;
pub use resource::{AnyResource, ClientGuard, Resource};
pub use secrecy;
pub use service::{Attachment, Login, Parameter, Refusal, Service};
#[cfg(feature = "postgres")]
#[doc(inline)]
pub use services::postgres::Postgres;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use services::redis::Redis;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use services::sqlite::Sqlite;
pub use setting::{Malformed, Setting};
pub use source::{Environment, Source};
pub use target::Target;

/// What generated code uses. It is no part of the API: it changes whenever the derive does.
#[doc(hidden)]
pub mod __private {
    pub use crate::attached::{Attached, ResourceField, SecretField, Values, assert_needs, assert_scheme};
    pub use crate::manifest::{Category, Declaration, Field, Waiver};
    pub use crate::resource::AnyResource;
    pub use crate::setting::{Setting, assert_public};
    pub use ::core;
    pub use ::std::vec::Vec;
}
