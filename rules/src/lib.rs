//! The static knowledge of `backing-services`: the rules, the schemes, the parameters that weaken a
//! connection, and the names that suggest a secret.
//!
//! Each fact is defined here once. The derive uses it to refuse a mistake at compile time. The
//! runtime uses it to refuse the same mistake in a value. `docs/rules.md` is generated from it.
//! There is no dependency, no allocation and no I/O. Every look-up is a `const fn`, so that it also
//! works in a constant of another crate.

#![no_std]
#![forbid(unsafe_code)]
// A public type that may grow says so.
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

pub mod date;
pub mod name;
pub mod parameter;
pub mod release;
pub mod rule;
pub mod scheme;
pub mod spelling;
mod text;
pub mod variable;

pub use date::Date;
pub use rule::{Level, Phase, RULES, Rule};
pub use scheme::{KNOWN_SCHEMES, KnownScheme, Scheme, Transport};
