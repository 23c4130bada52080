//! A source, and credentials that it does not have: they expire, and are fetched.

use std::borrow::Cow;
use std::fmt;

use super::{Changes, Group, Part, Source, Unreadable, Value};
use crate::service::credentials::{AnyCredentials, Credentials};
use crate::source::environment::Snapshot;

/// A source, whose resources log in with credentials that are fetched, and fetched again before they expire.
///
/// Everything else is read from the source: the locator, whom to trust, and the user where the credentials do not come with one. A password in the source is
/// an error then. [`Credentials`] has an example.
///
/// Where the locator is a store's, the field has to list its hosts, `#[service(hosts = "db.example.com")]`: whoever writes into the store would otherwise choose
/// who gets the credentials (`unlisted_host`).
#[derive(Clone)]
pub struct WithCredentials<S> {
    source: S,
    of: Vec<(String, AnyCredentials)>,
}

impl<S: Source> WithCredentials<S> {
    /// A source, with no credentials yet.
    #[must_use]
    pub const fn new(source: S) -> Self {
        Self { source, of: Vec::new() }
    }

    /// Adds credentials of a resource, by the base name of its variables: `SHOP_ORDERS`, where the locator is in `SHOP_ORDERS_URL`. Those that were added
    /// first hold.
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

    fn snapshot(&self, may_begin: &dyn Fn(u8) -> bool) -> Option<Snapshot> {
        self.source.snapshot(may_begin)
    }
}

impl<S: fmt::Debug> fmt::Debug for WithCredentials<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of: Vec<_> = self.of.iter().map(|(base, _)| base).collect();
        f.debug_struct("WithCredentials").field("source", &self.source).field("of", &of).finish()
    }
}
