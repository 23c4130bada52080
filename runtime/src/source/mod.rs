//! Where values come from. The files of this folder are the only ones that read the environment or a file.

use std::borrow::Cow;
use std::fmt;

use secrecy::SecretString;

mod changes;
pub(crate) mod environment;
pub(crate) mod file;

pub use changes::Changes;
pub use environment::Environment;

/// A place that values come from.
///
/// A source is asked for variables by name: `SHOP_ORDERS_URL`, `SHOP_ORDERS_URL_FILE`. It does not know what they are for.
pub trait Source: Send + Sync {
    /// What it is called in a report: `the environment`.
    fn name(&self) -> Cow<'_, str>;

    /// The value of a variable; `None` where there is none. An empty value is as good as none.
    ///
    /// It is asked anew each time that something is attached, and gives what is there then.
    ///
    /// # Errors
    /// [`Unreadable`] where there is one that cannot be had, as it is: not Unicode, too large, in the source twice. Nothing is guessed and
    /// nothing is repaired.
    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable>;

    /// What tells that values have changed, for whoever follows the source. By default nothing does.
    fn changes(&self) -> Changes {
        Changes::none()
    }
}

/// A value, where exactly it was, and what the source noticed about it.
pub struct Value {
    text: SecretString,
    place: Cow<'static, str>,
    notices: Vec<Notice>,
}

impl Value {
    /// A value, and where it was, in words that a report can repeat: ``the environment``, ``the binding `orders` ``. They hold nothing of the value.
    #[must_use]
    pub fn new(text: impl Into<SecretString>, place: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), place: place.into(), notices: Vec::new() }
    }

    /// Adds what the source noticed about it.
    #[must_use]
    pub fn noticed(mut self, notices: impl IntoIterator<Item = Notice>) -> Self {
        self.notices.extend(notices);
        self
    }

    /// The value itself.
    #[must_use]
    pub const fn text(&self) -> &SecretString {
        &self.text
    }

    /// Where it was, in words.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What the source noticed about it.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    pub(crate) fn into_parts(self) -> (SecretString, Cow<'static, str>, Vec<Notice>) {
        (self.text, self.place, self.notices)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("place", &self.place).field("notices", &self.notices).finish_non_exhaustive()
    }
}

/// What a source noticed about a value that it could read all the same. Each is a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Every user of the machine can read it: `readable_secret_file`, which warns here. Image entry points and Kubernetes' default mode leave such files
    /// behind, and in a container there may be no other user.
    OthersRead,
    /// Every user of the machine can write it, or put another in its place: `readable_secret_file`.
    OthersWrite,
    /// It stays as it is for as long as the process runs, although whoever provides it can change it: `static_mount`.
    NeverUpdated,
}

/// Why a value that is there cannot be had. It holds nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    message: Cow<'static, str>,
    is_whole: bool,
}

impl Unreadable {
    /// Says why, to follow the variable's name: `is not Unicode`.
    #[must_use]
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), is_whole: false }
    }

    /// Says why no value of the source can be had: ``the folder that `SERVICE_BINDING_ROOT` names does not exist``. It is a sentence of its own, and a
    /// report says it once for each field.
    #[must_use]
    pub fn whole(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), is_whole: true }
    }

    pub(crate) const fn is_whole(&self) -> bool {
        self.is_whole
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
