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
    user: Option<String>,
    password: SecretString,
    not_after: Option<SystemTime>,
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
pub struct AnyCredentials(Arc<dyn Fetch>);

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

type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Credential, Failure>> + Send + 'a>>;

trait Fetch: Send + Sync {
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
    credentials: AnyCredentials,
    login: Login,
    /// The base name of the resource's variables.
    base: String,
    /// The user whom the source names.
    user: Option<String>,
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
    pub(crate) const fn new(credentials: AnyCredentials, login: Login, base: String, user: Option<String>) -> Self {
        Self { credentials, login, base, user, lease: None }
    }
}

/// Whether a rule is about what is fetched: it is looked at then, and not before.
pub(crate) fn is_about_login(rule: &Rule) -> bool {
    [&MISSING_CREDENTIALS, &DEFAULT_CREDENTIALS, &AMBIGUOUS_LOCATOR].contains(&rule)
}

mod fetching {
    use std::sync::Arc;
    use std::time::SystemTime;

    use backing_services_rules::rule::{AMBIGUOUS_LOCATOR, MALFORMED_VALUE, STALE_VALUE};
    use secrecy::ExposeSecret as _;

    use super::{FETCH_DEADLINE, Lease, is_about_login};
    use crate::load;
    use crate::report::finding::{Failure, FailureKind, Finding};
    use crate::report::redact::Guarded;
    use crate::report::refusal::Refusal;
    use crate::report::text::printable;
    use crate::service::erased::ServiceEntry;
    use crate::service::target::Target;
    use crate::source::MAX_VALUE;

    /// The target with credentials that are good now, and what is to be said of them. A target that has its own is as it was.
    pub(crate) async fn fetched(service: &ServiceEntry, target: Arc<Target>) -> Result<(Arc<Target>, Vec<Finding>), Refusal> {
        let Some(target) = fetch(&target).await? else { return Ok((target, Vec::new())) };
        let findings = hold_against_rules(service, &target)?;
        Ok((Arc::new(target), findings))
    }

    /// The target with credentials that were fetched just now; `None` where it has its own.
    pub(crate) async fn fetch(target: &Target) -> Result<Option<Target>, Refusal> {
        let Some(of) = &target.fetched else { return Ok(None) };
        let fetching = of.credentials.0.fetch();
        // Who fetches leaves time to connect, and to say that it was the fetching that took too long.
        let limit = FETCH_DEADLINE.min(target.time_left() / 2);
        let credential = tokio::time::timeout(limit, fetching).await.map_err(|_| late())?.map_err(|failure| told(&failure))?;
        let fetched = SystemTime::now();
        if credential.not_after.is_some_and(|not_after| not_after <= fetched) {
            return Err(Failure::new(
                FailureKind::Unavailable,
                "its credentials were fetched, and have expired already",
                "look at the service that gives them, and at the clocks of both machines",
            )
            .into());
        }
        let refused = |rule, message: &'static str, help| Refusal::from(Finding::new(rule, message).help(help));
        let user = match (&of.user, credential.user) {
            (Some(named), Some(user)) if *named != user => {
                let help = format!("name the user nowhere else: not in the locator, and not in `{}_USER`", of.base);
                return Err(refused(
                    &AMBIGUOUS_LOCATOR,
                    "its credentials were fetched, and are another user's than its own",
                    help,
                ));
            }
            (_, Some(user)) if !load::is_user_name(&user) => {
                let message =
                    "the user that was fetched with its credentials is longer than 256 bytes, or holds a control character";
                return Err(refused(&MALFORMED_VALUE, message, "give the account's name, and nothing else".to_owned()));
            }
            (named, user) => user.or_else(|| named.clone()),
        };
        if credential.password.expose_secret().len() > MAX_VALUE {
            let help = "give the password or the token, and nothing else".to_owned();
            return Err(refused(&MALFORMED_VALUE, "the password that was fetched is longer than 1 MiB", help));
        }
        let lease = credential.not_after.map(|not_after| Lease { fetched, not_after });
        let password = Some(credential.password).filter(|password| !password.expose_secret().is_empty()).map(Guarded::new);
        let mut target = Target { user, password, ..target.clone() };
        if let Some(of) = &mut target.fetched {
            of.lease = lease;
        }
        Ok(Some(target))
    }

    /// Looks at what was fetched, as at what is loaded. Gives what does not end the attempt.
    pub(crate) fn hold_against_rules(service: &ServiceEntry, target: &Target) -> Result<Vec<Finding>, Refusal> {
        let Some(of) = &target.fetched else { return Ok(Vec::new()) };
        let mut findings = Vec::new();
        let has_certificate = target.client_certificate().is_some();
        load::login(
            of.login,
            target.user(),
            target.password(),
            has_certificate,
            &format!("{}_PASSWORD", of.base),
            &of.base,
            &mut findings,
        );
        findings.extend((service.check)(target).into_iter().filter(|finding| is_about_login(finding.rule())));
        let told = |finding: Finding| {
            let message = format!("of the credentials that were fetched: {}", finding.message());
            let told = Finding::new(finding.rule(), message).help(finding.remedy().to_owned());
            if finding.warns() { told.warning() } else { told }
        };
        let findings: Vec<_> = findings.into_iter().map(told).collect();
        match findings.iter().find(|finding| finding.is_denied() && !target.waives(finding.rule())) {
            Some(refused) => Err(refused.clone().into()),
            None => Ok(findings),
        }
    }

    /// Whether both log in as the same user with the same password.
    pub(crate) fn is_same_login(one: &Target, other: &Target) -> bool {
        fn password(target: &Target) -> Option<&str> {
            target.password().map(|password| password.expose_secret())
        }
        one.user() == other.user() && password(one) == password(other)
    }

    fn late() -> Failure {
        let help = "look at the service that gives them, and at the network";
        Failure::new(FailureKind::TimedOut, "its credentials were not fetched in time", help)
    }

    /// That the target's credentials have expired.
    pub(crate) fn expired(target: &Target) -> Option<Finding> {
        let lease = target.fetched.as_ref()?.lease?;
        (lease.not_after <= SystemTime::now()).then(|| {
            Finding::new(&STALE_VALUE, "its credentials have expired, and no others can be had")
                .help("look at what gives them: it is asked again every minute")
        })
    }

    /// Whoever fetches may repeat what a server said.
    fn told(failure: &Failure) -> Failure {
        let message = format!("its credentials could not be fetched: {}", printable(failure.message()));
        Failure::new(failure.kind(), message, printable(failure.remedy()))
    }
}

pub(crate) use fetching::{expired, fetch, fetched, hold_against_rules, is_same_login};
