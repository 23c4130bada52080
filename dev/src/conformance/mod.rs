//! One suite of cases that every service over a network passes, and the parts that it is made of.
//!
//! A service proves itself by one implementation of [`Subject`] and a test target with
//! `harness = false`:
//!
//! ```no_run
//! # use backing_services_dev::conformance::{Setup, Subject, Variables, Suite, suite};
//! # use backing_services_dev::DevError;
//! # struct Gopher;
//! # impl Subject for Gopher {
//! #     type Service = backing_services::Redis;
//! #     type Server = ();
//! #     fn start(_: Setup) -> Result<(), DevError> { Ok(()) }
//! #     fn port(_: &()) -> u16 { 70 }
//! #     fn account(_: &()) -> Variables { Variables::new("rediss://localhost") }
//! #     fn administrator(_: &()) -> Option<Variables> { None }
//! #     async fn work(
//! #         _: &<Self::Service as backing_services::Service>::Client,
//! #     ) -> Result<(), String> {
//! #         Ok(())
//! #     }
//! # }
//! fn main() -> std::process::ExitCode {
//!     suite::main([Suite::of::<Gopher>()])
//! }
//! ```
//!
//! `cargo test --test conformance` then runs each [`Case`] for each service, as tests with a name
//! each (`redis::expired`), and prints a table of services and cases. A filter runs some of them,
//! as for any test. The table has no empty cell: a case that does not apply is declared by the
//! service with its reason ([`Subject::EXCEPTIONS`]), and the reason is printed below the table.
//!
//! - [`attempt`] attaches, and searches every report for the secret; [`journal`] does so with
//!   everything that the process logs, and [`canary`] knows the encodings of a secret.
//! - [`pki`] makes valid and invalid certificates.
//! - [`relay`] is a network between the client and a server: slow, silent, or broken.
//! - [`hostile`] is a server that plays a script and records each byte that it receives.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a case that fails stops its test at once, with a message"
)]

pub mod attempt;
pub mod canary;
mod case;
mod cases;
pub mod hostile;
pub mod journal;
pub mod pki;
pub mod relay;
mod stage;
mod subject;
pub mod suite;
mod table;

pub use case::Case;
pub use subject::{Exception, PATIENCE, Setup, Subject, Variables};
pub use suite::Suite;
