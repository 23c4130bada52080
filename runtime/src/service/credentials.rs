//! Credentials that expire: what fetches them, and what is looked at before a service gets them.

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

/// How long fetching credentials may take: 10 s, what a connection may; and at most half of the time that is left for attaching.
pub(crate) const FETCH_DEADLINE: Duration = Duration::from_secs(10);

/// What gives credentials that expire: a cloud's tokens, a lease of a secret store.
///
/// [`WithCredentials`](crate::source::WithCredentials) says which resource they are for. They are fetched when that is attached, and again
/// [before they expire](crate::manual::defaults); each time they are held against the rules, and tried, before they are used. Connections that are open stay open where
/// the service lets them ([`Service::renew`](crate::service::Service::renew)).
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use backing_services::source::{Environment, WithCredentials};
/// use backing_services::{Credential, Credentials, Failure};
///
/// struct Tokens;
///
/// impl Credentials for Tokens {
///     async fn fetch(&self) -> Result<Credential, Failure> {
///         // Ask whoever gives them.
///         let token = "a-token-of-15-minutes";
///         Ok(Credential::new(token).not_after(SystemTime::now() + Duration::from_secs(15 * 60)))
///     }
/// }
///
/// // Locator and user are read from the environment: `SHOP_ORDERS_URL`. `SHOP_ORDERS_PASSWORD` is not set.
/// let source = WithCredentials::new(Environment::process()).of("SHOP_ORDERS", Tokens);
/// ```
pub trait Credentials: Send + Sync + 'static {
    /// Fetches credentials that are valid now. Who has some in store that are valid for long may give those: nobody is asked more often than that needs.
    ///
    /// It is dropped when it takes [too long](crate::manual::defaults). Where it fails, it is called again, after a pause.
    ///
    /// # Errors
    /// [`Failure`], in words that hold no value. They are shown.
    fn fetch(&self) -> impl Future<Output = Result<Credential, Failure>> + Send;
}

impl<C: Credentials> Credentials for Arc<C> {
    fn fetch(&self) -> impl Future<Output = Result<Credential, Failure>> + Send {
        (**self).fetch()
    }
}

/// What [`Credentials::fetch`] gives.
#[derive(Clone)]
pub struct Credential {
    pub(crate) user: Option<String>,
    pub(crate) password: SecretString,
    pub(crate) not_after: Option<SystemTime>,
}

impl Credential {
    /// A password or a token, which does not expire, and is the user's that the source names.
    #[must_use]
    pub fn new(password: impl Into<SecretString>) -> Self {
        Self { user: None, password: password.into(), not_after: None }
    }

    /// Whose it is, where that comes with it. The source then names nobody, or the same one.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// When it has expired. Without that, it is not fetched again.
    #[must_use]
    pub const fn not_after(mut self, not_after: SystemTime) -> Self {
        self.not_after = Some(not_after);
        self
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// [`Credentials`] of whatever type, as a [`Source`](crate::Source) hands them on.
#[derive(Clone)]
pub struct AnyCredentials(pub(crate) Arc<dyn Fetch>);

impl AnyCredentials {
    /// Forgets the type.
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

/// Where the user and the password of a target come from.
#[derive(Clone)]
pub(crate) struct Fetched {
    pub(crate) credentials: AnyCredentials,
    pub(crate) login: Login,
    /// The base name of the resource's variables.
    pub(crate) base: String,
    /// The user whom the source names.
    pub(crate) user: Option<String>,
    /// When they were fetched, and when they will have expired.
    pub(crate) lease: Option<Lease>,
}

/// How long fetched credentials are good.
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

/// Whether a rule is about what is fetched: it is looked at then, and not before.
pub(crate) fn is_about_login(rule: &Rule) -> bool {
    [&MISSING_CREDENTIALS, &DEFAULT_CREDENTIALS, &AMBIGUOUS_LOCATOR].contains(&rule)
}
