//! Credentials that expire: the trait that fetches them, and the rules that are checked after each
//! fetch.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use backing_services_rules::Rule;
use backing_services_rules::rule::{AMBIGUOUS_LOCATOR, DEFAULT_CREDENTIALS, MISSING_CREDENTIALS};
use secrecy::SecretString;

use crate::locator::dialect::Login;
use crate::report::finding::Failure;

/// The time limit for fetching credentials: 10 s, the same as for a connection, and at most half of
/// the time that is left for attaching.
pub(crate) const FETCH_DEADLINE: Duration = Duration::from_secs(10);

/// A provider of credentials that expire: cloud tokens, or leases of a secret store.
///
/// [`WithCredentials`](crate::source::WithCredentials) assigns a provider to a resource. The
/// credentials are fetched when the resource is attached, and again [before they
/// expire](crate::manual::defaults). After each fetch they are checked against the rules and tested
/// by connecting, before they are used. Open connections stay open if the service supports it
/// ([`Service::renew`](crate::service::Service::renew)).
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use backing_services::source::{Environment, WithCredentials};
/// use backing_services::Failure;
/// use backing_services::credentials::{Credential, Credentials};
///
/// struct Tokens;
///
/// impl Credentials for Tokens {
///     async fn fetch(&self) -> Result<Credential, Failure> {
///         // Ask the token service.
///         let token = "a-token-of-15-minutes";
///         let not_after = SystemTime::now() + Duration::from_secs(15 * 60);
///         Ok(Credential::new(token).with_not_after(not_after))
///     }
/// }
///
/// // Locator and user are read from the environment: `SHOP_ORDERS_URL`.
/// // `SHOP_ORDERS_PASSWORD` is not set.
/// let source = WithCredentials::new(Environment::process()).of("SHOP_ORDERS", Tokens);
/// ```
pub trait Credentials: Send + Sync + 'static {
    /// Fetches credentials that are valid now. Implementations may return cached credentials that
    /// are still valid for long. The runtime does not call it more often than necessary.
    ///
    /// The future is dropped if it takes [too long](crate::manual::defaults). After a failure the
    /// runtime calls it again, after a pause.
    ///
    /// # Errors
    /// A [`Failure`] whose texts contain no value. They are shown.
    fn fetch(&self) -> impl Future<Output = Result<Credential, Failure>> + Send;
}

impl<C: Credentials> Credentials for Arc<C> {
    fn fetch(&self) -> impl Future<Output = Result<Credential, Failure>> + Send {
        (**self).fetch()
    }
}

/// The result of [`Credentials::fetch`].
#[derive(Clone)]
pub struct Credential {
    pub(crate) user: Option<String>,
    pub(crate) password: SecretString,
    pub(crate) not_after: Option<SystemTime>,
}

impl Credential {
    /// A password or token that does not expire, for the user that the source names.
    #[must_use]
    pub fn new(password: impl Into<SecretString>) -> Self {
        Self { user: None, password: password.into(), not_after: None }
    }

    /// Sets the user, if the provider returns one. The source must then name no user, or the same
    /// one.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the time of expiry. Without it, the credential is not fetched again.
    #[must_use]
    pub const fn with_not_after(mut self, not_after: SystemTime) -> Self {
        self.not_after = Some(not_after);
        self
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// Type-erased [`Credentials`], as a [`Source`](crate::Source) returns them.
#[derive(Clone)]
pub struct AnyCredentials(pub(crate) Arc<dyn Fetch>);

impl AnyCredentials {
    /// Erases the type.
    #[must_use]
    pub fn new(credentials: impl Credentials) -> Self {
        Self(Arc::new(credentials))
    }
}

impl fmt::Debug for AnyCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyCredentials")
    }
}

pub(crate) type Fetching<'a> =
    Pin<Box<dyn Future<Output = Result<Credential, Failure>> + Send + 'a>>;

pub(crate) trait Fetch: Send + Sync {
    fn fetch(&self) -> Fetching<'_>;
}

impl<C: Credentials> Fetch for C {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(Credentials::fetch(self))
    }
}

/// The provider of a target's user and password.
#[derive(Clone)]
pub(crate) struct Fetched {
    pub(crate) credentials: AnyCredentials,
    pub(crate) login: Login,
    /// The base name of the resource's variables.
    pub(crate) base: String,
    /// The user that the source names.
    pub(crate) user: Option<String>,
    /// The time of the fetch and the time of expiry.
    pub(crate) lease: Option<Lease>,
}

/// The validity of fetched credentials.
#[derive(Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) fetched: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Fetched {
    pub(crate) const fn new(
        credentials: AnyCredentials,
        login: Login,
        base: String,
        user: Option<String>,
    ) -> Self {
        Self { credentials, login, base, user, lease: None }
    }
}

/// True if the rule is about fetched credentials: it is checked after the fetch, not before.
pub(crate) fn is_about_login(rule: &Rule) -> bool {
    [&MISSING_CREDENTIALS, &DEFAULT_CREDENTIALS, &AMBIGUOUS_LOCATOR].contains(&rule)
}
