//! Adds credentials that are fetched, and expire, to another source.

use std::borrow::Cow;
use std::fmt;

use super::{Changes, Group, Part, Source, Unreadable, Value};
use crate::service::credentials::{AnyCredentials, Credentials};

/// A source whose resources log in with fetched credentials, which are fetched again before they
/// expire.
///
/// Everything else is read from the source: the locator, the trusted authorities, and the user if
/// the credentials do not include one. A password in the source is then an error. [`Credentials`]
/// has an example.
///
/// If the locator comes from a store, the field has to list its hosts, `#[service(hosts =
/// "db.example.com")]`: an author with write access to the store could otherwise choose who gets
/// the credentials (`unlisted_host`).
#[derive(Clone)]
pub struct WithCredentials<S> {
    source: S,
    of: Vec<(String, AnyCredentials)>,
}

impl<S: Source> WithCredentials<S> {
    /// Wraps a source, with no credentials yet.
    #[must_use]
    pub const fn new(source: S) -> Self {
        Self { source, of: Vec::new() }
    }

    /// Adds credentials of a resource, by the base name of its variables: `SHOP_ORDERS` if the
    /// locator is in `SHOP_ORDERS_URL`. The first added credentials win.
    #[must_use]
    pub fn of(mut self, base: impl Into<String>, credentials: impl Credentials) -> Self {
        self.of.push((base.into(), AnyCredentials::new(credentials)));
        self
    }
}

impl<S: Source> Source for WithCredentials<S> {
    fn name(&self) -> Cow<'_, str> {
        self.source.name()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        self.source.get(variable)
    }

    fn part(&self, group: &Group<'_>) -> Option<Part<'_>> {
        self.source.part(group)
    }

    fn credentials(&self, group: &Group<'_>) -> Option<AnyCredentials> {
        let added = self
            .of
            .iter()
            .find(|(base, _)| group.base == Some(base))
            .map(|(_, credentials)| credentials.clone());
        added.or_else(|| self.source.credentials(group))
    }

    fn changes(&self) -> Changes {
        self.source.changes()
    }
}

impl<S: fmt::Debug> fmt::Debug for WithCredentials<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of: Vec<_> = self.of.iter().map(|(base, _)| base).collect();
        f.debug_struct("WithCredentials").field("source", &self.source).field("of", &of).finish()
    }
}
