//! Where values come from. The files of this folder are the only ones that read the environment or a file.

use std::borrow::Cow;
use std::fmt;

use secrecy::SecretString;

pub(crate) mod environment;
pub(crate) mod file;

pub use environment::Environment;

/// A place that values come from.
///
/// A source is asked for variables by name: `SHOP_ORDERS_URL`, `SHOP_ORDERS_URL_FILE`. It does not know what they are for.
pub trait Source: Send + Sync {
    /// What it is called in a report: `the environment`.
    fn name(&self) -> Cow<'_, str>;

    /// The value of a variable; `None` where there is none. An empty value is as good as none.
    ///
    /// # Errors
    /// [`Unreadable`] where there is one that cannot be had, as it is: not Unicode, too large, in the source twice. Nothing is guessed and
    /// nothing is repaired.
    fn get(&self, variable: &str) -> Result<Option<SecretString>, Unreadable>;
}

/// Why a value that is there cannot be had. It holds nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    message: Cow<'static, str>,
}

impl Unreadable {
    /// Says why, to follow the variable's name: `is not Unicode`.
    #[must_use]
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unreadable {}

/// The longest value, in bytes: 1 MiB, which is what a Kubernetes Secret can hold. A certificate chain has some thousand.
pub const MAX_VALUE: usize = 1024 * 1024;
