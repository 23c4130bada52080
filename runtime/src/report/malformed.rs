//! A text that is not a value of its field's type.

/// The error for a text that is not a value of the type. It does not repeat the text, which may be
/// a misplaced secret. [`Malformed::new`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a value of this type")
    }
}

impl std::error::Error for Malformed {}

impl Malformed {
    /// The error. It says nothing about the text.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Default for Malformed {
    fn default() -> Self {
        Self
    }
}
