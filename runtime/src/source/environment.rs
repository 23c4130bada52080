//! The environment: the process's, or one that is given. No other file of this crate reads the process's.
#![allow(clippy::disallowed_methods, reason = "this is the one place")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use super::{MAX_VALUE, Source, Unreadable, Value};

/// The environment of the process, or variables that stand in for it.
///
/// ```
/// use backing_services::{Environment, Source};
///
/// let environment = Environment::from_iter([("SHOP_PORT", "8080")]);
/// assert!(environment.get("SHOP_PORT").unwrap().is_some());
/// ```
pub struct Environment(Variables);

enum Variables {
    Process,
    /// `None` for a name that was given twice.
    Given(BTreeMap<String, Option<OsString>>),
}

impl Environment {
    /// The environment of this process, as it is whenever a value is asked for.
    #[must_use]
    pub const fn process() -> Self {
        Self(Variables::Process)
    }
}

/// Variables that stand in for the environment, in a test or a tool. They are not looked for in the process's.
impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let mut given = BTreeMap::new();
        for (name, value) in variables {
            let mut value = Some(value.into());
            given.entry(name.into()).and_modify(|earlier| *earlier = None).or_insert_with(|| value.take());
        }
        Self(Variables::Given(given))
    }
}

/// What it is called in a report.
const NAME: &str = "the environment";

impl Source for Environment {
    fn name(&self) -> Cow<'_, str> {
        NAME.into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        let value = match &self.0 {
            Variables::Process => std::env::var_os(variable),
            Variables::Given(given) => match given.get(variable) {
                Some(None) => return Err(Unreadable::new("is given twice")),
                Some(Some(value)) => Some(value.clone()),
                None => None,
            },
        };
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
        if value.len() > MAX_VALUE {
            return Err(Unreadable::new("is longer than 1 MiB"));
        }
        match value.into_string() {
            Ok(text) => Ok(Some(Value::new(text, NAME))),
            Err(_) => Err(Unreadable::new("is not Unicode")),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Variables::Process => f.write_str("Environment(process)"),
            // Names only.
            Variables::Given(given) => f.debug_tuple("Environment").field(&given.keys()).finish(),
        }
    }
}

/// Whether a variable is set that steers a driver behind the locator's back. Drivers read the process's environment, whatever the source is.
pub(crate) fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

/// Whether the user asked for no colours (<https://no-color.org>).
pub(crate) fn colour_is_unwanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
