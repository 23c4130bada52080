//! The runtime of [`backing-services`](https://docs.rs/backing-services): it loads, checks and
//! attaches what a struct declares, and it is the toolkit for a service of your own.
//!
//! Applications depend on `backing-services`, which re-exports all of this beside the derive and
//! the services. A crate that implements [`Service`] depends on this one alone: no driver is in its
//! tree. [`service`] is the toolkit: dialling, TLS, checked streams, time limits, tasks,
//! reconnecting, printable text.

#![cfg_attr(docsrs, feature(doc_cfg))]
// A public type that may grow says so.
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

// A folder uses the folders above it in this list, and never one below it (`ci/layers`).
mod report;

mod locator;

pub mod needs;

mod net;

pub mod service;

mod declare;

pub mod source;

mod load;

mod attach;

mod live;

pub mod store;

#[cfg(feature = "serde")]
mod serialize;

pub mod manual;

#[doc(inline)]
pub use backing_services_macros::BackingServices;
pub use backing_services_rules as rules;
pub use declare::manifest::{self, Manifest};
pub use live::backing_services::BackingServices;
pub use live::resource::Resource;
pub use report::error::AttachError;
pub use report::finding::{Failure, Finding};
pub use report::posture::{self, Posture};
pub use rustls;
pub use secrecy;
pub use service::Service;
pub use service::grants;
pub use source::{Environment, Source};

/// The problems of an [`AttachError`]: findings and failures.
pub mod problem {
    pub use crate::report::error::{Problem, Severity};
    pub use crate::report::finding::FailureKind;
}

/// The types that an application uses after attaching.
pub mod resource {
    pub use crate::live::detach::{Detached, ForcedClose};
    #[cfg(feature = "follow")]
    pub use crate::live::follow::{Followed, Following};
    pub use crate::live::resource::{AnyResource, ClientGuard};
}

/// Credentials that are fetched when a resource is attached, and renewed before they expire.
pub mod credentials {
    pub use crate::service::credentials::{AnyCredentials, Credential, Credentials};
}

/// The types of settings and of secrets.
pub mod setting {
    pub use crate::declare::secret::SecretValue;
    pub use crate::declare::setting::Setting;
    pub use crate::report::malformed::Malformed;
}

/// The items that generated code uses. Not part of the API: it changes whenever the derive does.
#[doc(hidden)]
pub mod __private {
    pub use crate::declare::manifest::{Category, Declaration, Field};
    pub use crate::declare::setting::{Setting, assert_public};
    pub use crate::live::field::{
        Attached, Optional, ResourceField, SecretField, Values, assert_scheme,
    };
    pub use crate::live::generation::Handle;
    pub use crate::live::resource::{AnyResource, Sealed};
    pub use crate::report::waiver::Waiver;
    pub use crate::service::assert::assert_needs;
    pub use ::core;
    pub use ::std::vec::Vec;
}

/// A check of a struct's fields that reports each of them, for an init container or a CI gate.
pub mod preflight {
    pub use crate::attach::preflight::{FieldReport, FieldState, Preflight};
    pub use crate::attach::watch::{Ended, Watch};
    pub use crate::net::progress::Step;
}

/// Helpers of the command line. Not part of the API: they change with every release.
#[doc(hidden)]
pub mod __cli {
    pub use crate::net::time::run_until_cancelled;
    pub use crate::net::tls::EXPIRY_NOTICE_DAYS;
    pub use crate::report::error::{Paint, counted};
    pub use crate::report::text::{is_invisible, printable_up_to};
    pub use crate::service::grants::fault;
}
