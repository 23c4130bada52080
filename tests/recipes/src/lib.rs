//! Checks that the code of the document compiles, with the versions of the tools that fit.

/// The document.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/migrations.md")]
struct Migrations;
