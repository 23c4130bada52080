//! The declaration of a struct: its manifest, and the types that its fields may have.

mod grants;
pub mod manifest;
pub(crate) mod secret;
pub(crate) mod setting;
