//! The sources of values.
//!
//! | source | reads | feature |
//! |---|---|---|
//! | [`Environment`] | a copy of the process's environment, or variables that stand in for it | |
//! | [`SystemdCredentials`] | `$CREDENTIALS_DIRECTORY` | |
//! | [`ServiceBindings`] | `$SERVICE_BINDING_ROOT` | |
//! | `CloudFoundry` | `VCAP_SERVICES`, or the file in `VCAP_SERVICES_FILE_PATH` | `cloud-foundry` |
//! | `DotEnv` | a `.env` file, in development builds | `dotenv` |
//! | [`Sources`] | several of them, in ranks | |
//! | [`WithCredentials`] | another source, for resources whose credentials are fetched | |
//!
//! # What a source may name
//! The environment, `.env` files, systemd's credentials and service bindings belong to this
//! machine: the operator who deploys the program there set them. Their values may name files, by
//! `NAME_FILE` and by a `sqlite://` locator. Values of other sources may not, especially those of a
//! store on the network: an author with write access to it could otherwise read this machine's
//! files. A value that names one is the finding `malformed_value`, which names the variable. A
//! source of your own [marks its own values](Value::of_this_machine), one by one; by default, they
//! may not name files. Cloud Foundry's services come from a broker, and may not.
//!
//! Such a source does not decide either who gets a password that it does not hold: a fetched one,
//! or one of this machine. If it holds the locator, the `_CA` or the `_PIN` of such a field, the
//! field needs `hosts = "…"` (`unlisted_host`).
//!
//! # Owner of a file
//! A file belongs to root or to the user that the process runs as, and so does each folder and each
//! link on its path, from the root on; and no other user can write them. Otherwise it is the
//! finding `readable_secret_file`, which is denied. A sticky folder such as `/tmp` may be writable
//! for all users: no other user can remove or rename our entries there. A group may have write
//! permission if it has the user's own name, or is root's, has no other member in `/etc/passwd`
//! and `/etc/group`, and the file or folder has no access list beside its mode (`acl(5)`). A secret
//! that every user can read warns; a public value, such as `_CA` or a setting, does not.
//!
//! It is a regular file, and not one of the kernel's (`/proc`, `/sys`): opening it never waits. A
//! file system on a network may block a thread; attaching waits for that thread no longer than its
//! deadline. [`check`](crate::live::backing_services::BackingServices::check) has no deadline, and
//! waits.
//!
//! # The default source
//! [`attach`](crate::live::backing_services::BackingServices::attach) reads the process's
//! environment alone, and the files that a `NAME_FILE` in it names. The operator who deploys the
//! program sets that. A folder or a file that a variable names may have other authors, so a program
//! has to name such a source, with
//! [`attach_from`](crate::live::backing_services::BackingServices::attach_from).

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use backing_services_rules::variable;
use secrecy::{ExposeSecret as _, SecretString};

use crate::service::credentials::AnyCredentials;

mod base_names;
mod bindings;
mod changes;
#[cfg(feature = "cloud-foundry")]
mod cloud_foundry;
#[cfg(feature = "dotenv")]
mod dotenv;
pub mod environment;
pub mod file;
#[cfg(feature = "json")]
pub(crate) mod json;
mod sources;
mod systemd;
mod with_credentials;

pub use bindings::ServiceBindings;
pub use changes::{ChangeListener, ChangeSignal, Changes};
#[cfg(feature = "cloud-foundry")]
pub use cloud_foundry::CloudFoundry;
#[cfg(feature = "dotenv")]
pub use dotenv::DotEnv;
pub use environment::Environment;
pub use sources::Sources;
pub use systemd::SystemdCredentials;
pub use with_credentials::WithCredentials;

/// A source of values.
///
/// A source is asked for variables by name: `SHOP_ORDERS_URL`, `SHOP_ORDERS_URL_FILE`. It does not
/// know their purpose.
pub trait Source: Send + Sync {
    /// Its name in a report: `the environment`.
    fn name(&self) -> Cow<'_, str>;

    /// The value of a variable; `None` if there is none. An empty value counts as absent.
    ///
    /// It is called each time that something is attached, and returns the current value. While a
    /// struct is attached, a thread of its own calls it, under the deadline of attaching.
    ///
    /// A value is foreign unless it is marked [otherwise](Value::of_this_machine): it may not name
    /// files of this machine.
    ///
    /// # Errors
    /// [`Unreadable`] if there is a value that cannot be used as it is: not Unicode, too large,
    /// twice in the source. Nothing is guessed and nothing is repaired.
    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable>;

    /// Selects the sub-source to read this field's variables from; `group` lists all of them.
    /// `None`, the default, is the source itself. [`Sources`] returns one of its ranks. A source
    /// that only wraps another one passes the call on.
    fn part(&self, group: &Group<'_>) -> Option<Part<'_>> {
        let _ = group;
        None
    }

    /// The provider of a resource's credentials; `group` lists all of the resource's variables.
    /// `None`, the default, means that they are values like any other. [`WithCredentials`] returns
    /// one. A source that only wraps another one passes the call on.
    fn credentials(&self, group: &Group<'_>) -> Option<AnyCredentials> {
        let _ = group;
        None
    }

    /// The means for a follower to detect that values have changed. By default, there is none.
    fn changes(&self) -> Changes {
        Changes::none()
    }
}

/// One source for several structs: mainly a store that is watched.
impl<S: Source + ?Sized> Source for Arc<S> {
    fn name(&self) -> Cow<'_, str> {
        (**self).name()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        (**self).get(variable)
    }

    fn part(&self, group: &Group<'_>) -> Option<Part<'_>> {
        (**self).part(group)
    }

    fn credentials(&self, group: &Group<'_>) -> Option<AnyCredentials> {
        (**self).credentials(group)
    }

    fn changes(&self) -> Changes {
        (**self).changes()
    }
}

/// The variables that belong together: a resource's locator and its companions, or a single one;
/// and each as a `…_FILE`.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    first: &'a str,
    /// The base name of the companions, if there are any.
    base: Option<&'a str>,
}

impl<'a> Group<'a> {
    pub(crate) const fn of_resource(locator: &'a str, base: &'a str) -> Self {
        Self { first: locator, base: Some(base) }
    }

    pub(crate) const fn of_value(variable: &'a str) -> Self {
        Self { first: variable, base: None }
    }

    /// Their common name in a report.
    pub(crate) fn name(&self) -> &'a str {
        self.base.unwrap_or(self.first)
    }

    /// The names of the variables.
    pub fn variables(&self) -> impl Iterator<Item = String> {
        let companions = |base: &'a str| {
            variable::RESOURCE_ENDINGS[1..].iter().map(move |ending| format!("{base}{ending}"))
        };
        let names = std::iter::once(self.first.to_owned())
            .chain(self.base.into_iter().flat_map(companions));
        names.flat_map(|name| [format!("{name}_FILE"), name])
    }
}

/// The part of a source that is read for one field.
pub struct Part<'a> {
    source: &'a dyn Source,
    passed_over: Vec<(String, String)>,
}

impl<'a> Part<'a> {
    /// This source, and nothing else.
    #[must_use]
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source, passed_over: Vec::new() }
    }

    /// Notes a variable that is elsewhere and not read, with its place in words. It becomes a
    /// warning.
    #[must_use]
    pub fn with_shadowed(mut self, variable: impl Into<String>, place: impl Into<String>) -> Self {
        self.passed_over.push((variable.into(), place.into()));
        self
    }

    pub(crate) fn into_parts(self) -> (&'a dyn Source, Vec<(String, String)>) {
        (self.source, self.passed_over)
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("source", &self.source.name())
            .field("passed_over", &self.passed_over)
            .finish()
    }
}

/// A value, its exact place, and the source's notices about it.
pub struct Value {
    text: SecretString,
    place: Cow<'static, str>,
    notices: Vec<Notice>,
    is_of_this_machine: bool,
}

impl Value {
    /// A value and its place, in words that a report can repeat: ``the environment``, ``the binding
    /// `orders` ``. The words contain nothing of the value.
    #[must_use]
    pub fn new(text: impl Into<SecretString>, place: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            place: place.into(),
            notices: Vec::new(),
            is_of_this_machine: false,
        }
    }

    /// Marks a value that only the operator who deploys the program on this machine can set: a
    /// value of the process's environment, or of a file of this machine. By default, a value is not
    /// marked.
    ///
    /// Only such a value may name files of this machine, as `NAME_FILE` and a `sqlite://` locator
    /// do. And only such a locator is sent a password from another place, unless the field lists
    /// its hosts. Otherwise an author with write access to a store on the network could read the
    /// machine's files, and collect its passwords.
    ///
    /// A source that only wraps another one returns the values unchanged.
    #[must_use]
    pub const fn of_this_machine(mut self) -> Self {
        self.is_of_this_machine = true;
        self
    }

    /// True if only the operator who deploys the program on this machine can set it.
    #[must_use]
    pub const fn is_of_this_machine(&self) -> bool {
        self.is_of_this_machine
    }

    /// Adds the source's notices about it.
    #[must_use]
    pub fn with_notices(mut self, notices: impl IntoIterator<Item = Notice>) -> Self {
        self.notices.extend(notices);
        self
    }

    /// The value itself.
    #[must_use]
    pub const fn text(&self) -> &SecretString {
        &self.text
    }

    /// Its place, in words.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The source's notices about it.
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
        f.debug_struct("Value")
            .field("place", &self.place)
            .field("notices", &self.notices)
            .finish_non_exhaustive()
    }
}

/// A source's notice about a value that it could read all the same. Each is a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Every user of the machine can read it: `readable_secret_file`, which only warns here, and
    /// does not apply to a public value. Image entry points and Kubernetes' default mode create
    /// such files, and in a container there may be no other user.
    OthersRead,
    /// Other users of the machine can write it: all of them, or a group that is not the user's own.
    /// `readable_secret_file`.
    OthersWrite,
    /// Another user of the machine, who is not the administrator, owns it: `readable_secret_file`.
    OtherOwner,
    /// Other users of the machine can write a folder on its path, and so replace the file:
    /// `readable_secret_file`.
    PathOthersWrite,
    /// Another user of the machine, who is not the administrator, owns a folder or a link on its
    /// path, and can so replace the file: `readable_secret_file`.
    PathOtherOwner,
    /// It does not change while the process runs, although its provider may change it:
    /// `static_mount`.
    NeverUpdated,
}

impl Notice {
    /// The reason why other users can change a file; `None` if they cannot. It follows "a file of
    /// which".
    pub const fn why_not_ours(self) -> Option<&'static str> {
        match self {
            Self::OthersWrite => Some("other users of this machine can write the text"),
            Self::OtherOwner => Some("another user of this machine is the owner"),
            Self::PathOthersWrite => {
                Some("other users of this machine can write a folder on the path")
            }
            Self::PathOtherOwner => {
                Some("another user of this machine owns a folder or a link on the path")
            }
            Self::OthersRead | Self::NeverUpdated => None,
        }
    }
}

/// The reason why an existing value cannot be used. It contains nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    message: Cow<'static, str>,
    scope: Scope,
}

/// The extent of an [`Unreadable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One value.
    Value,
    /// One value that exists twice.
    Twice,
    /// The whole source.
    Whole,
}

impl Unreadable {
    /// The reason, to follow the variable's name: `is not Unicode`.
    #[must_use]
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), scope: Scope::Value }
    }

    /// The reason why no value of the source can be used: ``the folder that `SERVICE_BINDING_ROOT`
    /// names does not exist``. It is a sentence of its own, and a report repeats it once for each
    /// field.
    #[must_use]
    pub fn whole(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), scope: Scope::Whole }
    }

    /// The value is in two places, and neither of them wins.
    #[must_use]
    pub fn twice(one: &str, other: &str) -> Self {
        Self { message: format!("is in {one} and in {other}").into(), scope: Scope::Twice }
    }

    pub(crate) const fn scope(&self) -> Scope {
        self.scope
    }

    #[cfg(test)]
    pub(crate) fn is_whole(&self) -> bool {
        self.scope == Scope::Whole
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unreadable {}

/// The longest value, in bytes: 1 MiB, which is the limit of a Kubernetes Secret. A certificate
/// chain has some thousand.
pub const MAX_VALUE: usize = 1024 * 1024;

/// The path in a variable of the environment; `None` if it is not set.
fn path_in(environment: &Environment, variable: &str) -> Result<Option<PathBuf>, Unreadable> {
    let value = environment
        .get(variable)
        .map_err(|why| Unreadable::whole(format!("`{variable}` {why}")))?;
    let Some(value) = value else { return Ok(None) };
    let path = PathBuf::from(value.text().expose_secret());
    if path.is_absolute() {
        Ok(Some(path))
    } else {
        Err(Unreadable::whole(format!("`{variable}` is not an absolute path")))
    }
}

/// The base name and the ending of a resource's variable; `None` for any other one.
pub(crate) fn split(variable: &str) -> Option<(&str, &'static str)> {
    // No ending is the end of another one, so the first that fits is the only one.
    let last = variable.as_bytes().last();
    let ends = |ending: &&&str| ending.as_bytes().last() == last && variable.ends_with(**ending);
    let ending = variable::RESOURCE_ENDINGS.iter().find(ends)?;
    let base = &variable[..variable.len() - ending.len()];
    (!base.is_empty()).then_some((base, ending))
}

/// Returns whether a locator holds a user, and whether it holds a password. A quick look only: the
/// loader implements the grammar of a locator.
fn login_within(locator: &str) -> (bool, bool) {
    let rest = locator.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((userinfo, _)) => {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            (!user.is_empty(), !password.is_empty())
        }
        None => (false, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_one_ending() {
        for (i, one) in variable::RESOURCE_ENDINGS.iter().enumerate() {
            for (j, other) in variable::RESOURCE_ENDINGS.iter().enumerate() {
                assert!(i == j || !one.ends_with(other), "{one} {other}");
            }
        }
        assert_eq!(split("SHOP_ORDERS_CLIENT_KEY"), Some(("SHOP_ORDERS", "_CLIENT_KEY")));
        assert_eq!(split("A_DATABASE_URL"), Some(("A_DATABASE", "_URL")));
        for none in ["_URL", "SHOP_STRIPE_KEY", "SHOP_ORDERS_URL_FILE", ""] {
            assert_eq!(split(none), None, "{none}");
        }
    }

    #[test]
    fn a_login_is_seen_in_a_locator() {
        for (locator, found) in [
            ("postgres://ada:s@db/x", (true, true)),
            ("postgres://ada@db/x", (true, false)),
            ("rediss://:s@db", (false, true)),
            ("postgres://db/x@y:z", (false, false)),
            ("postgres://db?u=a:b@c", (false, false)),
            ("a:b@c", (false, false)),
            ("postgres://a:b@c@db", (true, true)),
        ] {
            assert_eq!(login_within(locator), found, "{locator}");
        }
    }
}
