//! The environment: the process's, or a given one. No other file of this crate reads the process's.
#![allow(clippy::disallowed_methods, reason = "this is the one place")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use secrecy::zeroize::Zeroize as _;

use super::{MAX_VALUE, Source, Unreadable, Value, split};

/// The environment of the process, or variables that replace it.
///
/// ```
/// use backing_services::{Environment, Source};
///
/// let environment = Environment::from_iter([("SHOP_PORT", "8080")]);
/// assert!(environment.get("SHOP_PORT").unwrap().is_some());
/// ```
#[derive(Clone)]
pub struct Environment(Variables);

#[derive(Clone)]
enum Variables {
    Process,
    /// `None` for a name that was given twice.
    Given(Arc<BTreeMap<String, Option<OsString>>>),
}

impl Environment {
    /// The environment of this process, as it is whenever a value is read.
    #[must_use]
    pub const fn process() -> Self {
        Self(Variables::Process)
    }
}

/// Variables that replace the environment, in a test or a tool. The process's environment is not
/// searched.
impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let mut given = BTreeMap::new();
        for (name, value) in variables {
            let mut value = Some(value.into());
            given
                .entry(name.into())
                .and_modify(|earlier| *earlier = None)
                .or_insert_with(|| value.take());
        }
        Self(Variables::Given(Arc::new(given)))
    }
}

/// Its name in a report.
pub const NAME: &str = "the environment";

impl Source for Environment {
    fn name(&self) -> Cow<'_, str> {
        NAME.into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        match &self.0 {
            Variables::Process => std::env::var_os(variable).map_or(Ok(None), |value| read(&value)),
            Variables::Given(given) => match given.get(variable) {
                Some(None) => Err(Unreadable::new("is given twice")),
                Some(Some(value)) => read(value),
                None => Ok(None),
            },
        }
    }

    fn snapshot(&self, may_begin: &dyn Fn(u8) -> bool) -> Option<Snapshot> {
        match &self.0 {
            Variables::Process => Some(Snapshot::of(std::env::vars_os(), may_begin)),
            Variables::Given(_) => None,
        }
    }
}

fn read(value: &OsStr) -> Result<Option<Value>, Unreadable> {
    Ok(text(value)?.map(|text| Value::new(text, NAME).of_this_machine()))
}

fn text(value: &OsStr) -> Result<Option<&str>, Unreadable> {
    if value.is_empty() {
        return Ok(None);
    }
    if value.len() > MAX_VALUE {
        return Err(Unreadable::new("is longer than 1 MiB"));
    }
    value.to_str().map(Some).ok_or_else(|| Unreadable::new("is not Unicode"))
}

/// The environment of the process at one moment.
///
/// A resource has 22 possible variables, of which one or two are set. Asking the process for each
/// one compares it with its whole environment. This finds a field's variables at once, and needs no
/// name for those that are not set.
pub struct Snapshot(Vec<Entry>);

pub(crate) struct Entry {
    /// See [`hash_of_base`]. The entries are sorted by it.
    base: u64,
    name: String,
    value: OsString,
}

impl Snapshot {
    pub(crate) fn of(
        variables: impl Iterator<Item = (OsString, OsString)>,
        may_begin: &dyn Fn(u8) -> bool,
    ) -> Self {
        let entry = |(name, value): (OsString, OsString)| {
            let begins = name.as_encoded_bytes().first().is_some_and(|first| may_begin(*first));
            // A name that is not Unicode is not the name of a field's variable.
            begins.then_some(()).and_then(|()| name.into_string().ok()).map(|name| Entry {
                base: hash_of_base(&name),
                name,
                value,
            })
        };
        let mut entries: Vec<_> = variables.filter_map(entry).collect();
        // Stable: of two variables with one name, the first is the one that the process itself
        // would return.
        entries.sort_by_key(|entry| entry.base);
        Self(entries)
    }

    /// The variables with the same base name as a name with this hash.
    pub(crate) fn around(&self, base: u64) -> Known<'_> {
        let from = self.0.partition_point(|entry| entry.base < base);
        let rest = &self.0[from..];
        Known(&rest[..rest.iter().take_while(|entry| entry.base == base).count()])
    }
}

/// The hash of a variable's base name: its name without `_FILE`, and without the ending of a
/// resource's variable.
pub(crate) fn hash_of_base(mut name: &str) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    while let Some(rest) = name.strip_suffix("_FILE") {
        name = rest;
    }
    KEY.hash_one(split(name).map_or(name, |(base, _)| base))
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        for entry in self.0.drain(..) {
            entry.value.into_encoded_bytes().as_mut_slice().zeroize();
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only.
        f.debug_set().entries(self.0.iter().map(|entry| &entry.name)).finish()
    }
}

/// The variables of one field in a [`Snapshot`].
#[derive(Clone, Copy)]
pub(crate) struct Known<'a>(&'a [Entry]);

impl<'a> Known<'a> {
    /// Returns true if the only known variable is one with this name.
    pub(crate) fn is_only(self, name: &str) -> bool {
        matches!(self.0, [entry] if entry.name == name)
    }

    /// The name and the value of the variable `base` + `ending` + `file`, as [`Source::get`]
    /// returns it.
    pub(crate) fn get(
        self,
        base: &str,
        ending: &str,
        file: &str,
    ) -> Result<Option<(&'a str, &'a str)>, Unreadable> {
        let is_it = |entry: &&Entry| {
            entry.name.len() == base.len() + ending.len() + file.len()
                && entry.name.strip_prefix(base).and_then(|rest| rest.strip_prefix(ending))
                    == Some(file)
        };
        let Some(Entry { name, value, .. }) = self.0.iter().find(is_it) else { return Ok(None) };
        Ok(text(value)?.map(|text| (name.as_str(), text)))
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

/// Returns true if a variable is set that changes a driver's behaviour unseen by the locator.
/// Drivers read the process's environment, whatever the source is.
pub(crate) fn is_set(variable: &str) -> bool {
    // An empty `SSL_CERT_FILE` names no authority, and Kubernetes can only empty a variable that an
    // image sets.
    let may_be_empty = variable.starts_with("SSL_CERT_");
    std::env::var_os(variable).is_some_and(|value| !may_be_empty || !value.is_empty())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_snapshot_has_what_the_process_gives() {
        let process = Environment::process();
        let snapshot = process.snapshot(&|_| true).unwrap();
        let mut names = 0;
        for (name, _) in
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        {
            let found = snapshot
                .around(hash_of_base(&name))
                .get(&name, "", "")
                .map(|found| found.map(|(_, text)| text.to_owned()));
            assert_eq!(
                found,
                process
                    .get(&name)
                    .map(|value| value.map(|value| value.text().expose_secret().to_owned())),
                "{name}"
            );
            names += 1;
        }
        assert!(names > 0);
        assert!(process.snapshot(&|first| first == b'?').unwrap().0.is_empty());
    }

    #[test]
    fn the_variables_of_a_field_are_found_together() {
        let given = ["A_URL", "A_URL_FILE", "A_CLIENT_KEY", "AB_URL", "A_URL", "A_B", "B_URL"];
        let variables =
            given.iter().enumerate().map(|(i, name)| (name.into(), i.to_string().into()));
        let snapshot = Snapshot::of(variables, &|first| first == b'A');
        let around = snapshot.around(hash_of_base("A_PASSWORD"));
        assert_eq!(around.get("A", "_URL", ""), Ok(Some(("A_URL", "0"))), "the first of two");
        assert_eq!(around.get("A", "_URL", "_FILE"), Ok(Some(("A_URL_FILE", "1"))));
        assert_eq!(around.get("A", "_CLIENT_KEY", ""), Ok(Some(("A_CLIENT_KEY", "2"))));
        assert_eq!(around.get("A_CLIENT_KEY", "", ""), Ok(Some(("A_CLIENT_KEY", "2"))));
        assert!(!around.is_only("A_URL"));
        assert!(snapshot.around(hash_of_base("AB_HOST")).is_only("AB_URL"));
        assert_eq!(snapshot.around(hash_of_base("B_URL")).get("B_URL", "", ""), Ok(None));
        assert_eq!(format!("{snapshot:?}").matches("A_URL").count(), 3);
    }
}
