//! The environment: the process's, or a given one. No other file of this crate reads the process's.
#![allow(clippy::disallowed_methods, reason = "this is the one place")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::{MAX_VALUE, Source, Unreadable, Value};

/// The environment of the process, or variables that replace it.
///
/// It is a copy, which its clones share. The values are wiped with the last of them.
///
/// ```
/// use backing_services::{Environment, Source};
///
/// let environment = Environment::from_iter([("SHOP_PORT", "8080")]);
/// assert!(environment.get("SHOP_PORT").unwrap().is_some());
/// ```
#[derive(Clone)]
pub struct Environment(Arc<BTreeMap<String, Variable>>);

/// A value, or the reason why it cannot be used.
type Variable = Result<SecretString, &'static str>;

impl Environment {
    /// The environment of this process, as it is now. A later change of it, which takes `unsafe`
    /// code, has no effect on this copy.
    #[must_use]
    pub fn process() -> Self {
        let mut variables = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let value = variable(value);
            // A name that is not Unicode is not the name of a field's variable.
            if let Ok(name) = name.into_string() {
                // Of two variables with one name, the process itself returns the first.
                variables.entry(key(name).into_owned()).or_insert(value);
            }
        }
        Self(Arc::new(variables))
    }
}

/// Variables that replace the environment, in a test or a tool. The process's environment is not
/// searched.
impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(given: I) -> Self {
        let mut variables = BTreeMap::new();
        for (name, value) in given {
            variables
                .entry(key(name.into()).into_owned())
                .and_modify(|earlier| *earlier = Err("is given twice"))
                .or_insert(variable(value.into()));
        }
        Self(Arc::new(variables))
    }
}

/// A variable's key in the map. Windows finds a variable by its name in any case.
fn key<'a>(name: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let name = name.into();
    if cfg!(windows) { name.to_ascii_uppercase().into() } else { name }
}

fn variable(value: OsString) -> Variable {
    let value = value.into_string().map(SecretString::from).map_err(|value| {
        value.into_encoded_bytes().zeroize();
        "is not Unicode"
    });
    value.and_then(|text| match text.expose_secret().len() {
        ..=MAX_VALUE => Ok(text),
        _ => Err("is longer than 1 MiB"),
    })
}

/// Its name in a report.
pub const NAME: &str = "the environment";

impl Source for Environment {
    fn name(&self) -> Cow<'_, str> {
        NAME.into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        match self.0.get(&*key(variable)) {
            Some(Ok(text)) if !text.expose_secret().is_empty() => {
                Ok(Some(Value::new(text.clone(), NAME).of_this_machine()))
            }
            Some(Err(why)) => Err(Unreadable::new(*why)),
            _ => Ok(None),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").field(&self.0.keys()).finish()
    }
}

/// Returns true if a variable is set that changes a driver's behaviour unseen by the locator.
/// Drivers read the process's environment, whatever the source is.
pub(crate) fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(environment: &Environment, name: &str) -> Result<Option<String>, Unreadable> {
        let value = environment.get(name)?;
        Ok(value.map(|value| value.text().expose_secret().to_owned()))
    }

    #[test]
    fn the_environment_of_the_process_has_each_of_its_variables() {
        let process = Environment::process();
        let mut names = 0;
        for (name, value) in std::env::vars() {
            let expected = Some(value).filter(|value| !value.is_empty());
            assert_eq!(value_of(&process, &name), Ok(expected), "{name}");
            names += 1;
        }
        assert!(names > 0);
        assert_eq!(process.0.len(), names);
        assert_eq!(value_of(&process, "A_NAME_THAT_NO_VARIABLE_HAS"), Ok(None));
    }

    #[test]
    fn clones_share_one_copy_of_the_values() {
        let given = Environment::from_iter([("A", "1")]);
        assert!(Arc::ptr_eq(&given.0, &given.clone().0));
    }

    #[test]
    fn a_value_that_cannot_be_used_has_its_reason() {
        let longest = "x".repeat(MAX_VALUE);
        let given = [("A", "1"), ("B", "2"), ("A", "1"), ("E", ""), ("L", &longest)];
        let given = Environment::from_iter(given);
        assert_eq!(value_of(&given, "A"), Err(Unreadable::new("is given twice")));
        assert_eq!(value_of(&given, "B"), Ok(Some("2".to_owned())));
        assert_eq!(value_of(&given, "E"), Ok(None));
        assert_eq!(value_of(&given, "L"), Ok(Some(longest.clone())));
        let longer = Environment::from_iter([("L", longest + "x")]);
        assert_eq!(value_of(&longer, "L"), Err(Unreadable::new("is longer than 1 MiB")));
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt as _;
            let given = Environment::from_iter([("N", OsString::from_vec(vec![b'a', 0xff]))]);
            assert_eq!(value_of(&given, "N"), Err(Unreadable::new("is not Unicode")));
        }
    }

    #[test]
    fn its_debug_output_has_names_and_no_values() {
        let given = Environment::from_iter([("B", "kX3-vR9"), ("A", "wQ1z")]);
        assert_eq!(format!("{given:?}"), r#"Environment(["A", "B"])"#);
        let process = format!("{:?}", Environment::process());
        for (name, value) in std::env::vars().filter(|(_, value)| value.len() > 20) {
            assert!(process.contains(&name) && !process.contains(&value), "{name}");
        }
    }
}
