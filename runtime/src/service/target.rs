//! What a service is asked to connect to: a locator that has passed every check, and the secrets that go with it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backing_services_rules::{Rule, Transport};
use secrecy::SecretString;

use crate::locator::Locator;
use crate::needs::Needs;
use crate::report::posture::Posture;
use crate::report::redact::Guarded;
use crate::service::credentials::Fetched;

/// A checked locator, who logs in there, and whom to trust.
///
/// ```no_run
/// # use backing_services::{Refusal, Target};
/// # async fn connect(target: &Target) -> Result<(), Refusal> {
/// // A TCP connection to one of the host's addresses, each of them held against the address rules, under verified TLS.
/// let dialled = target.dial().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Target {
    pub(crate) locator: Locator,
    pub(crate) endpoint: Option<Locator>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Guarded>,
    /// What of its locators' paths is a secret.
    pub(crate) paths: Vec<Guarded>,
    pub(crate) trust: Trust,
    pub(crate) needs: Option<Arc<Needs>>,
    /// Where the user and the password come from, where they are fetched.
    pub(crate) fetched: Option<Fetched>,
    pub(crate) deadline: Instant,
    /// The rules that the field waives today.
    pub(crate) waived: Vec<&'static str>,
}

/// Whom to trust, and how to prove who we are, in PEM.
#[derive(Clone, Default)]
pub(crate) struct Trust {
    /// The one private authority; `None` for the public roots.
    pub(crate) ca: Option<SecretString>,
    pub(crate) client_cert: Option<SecretString>,
    pub(crate) client_key: Option<Guarded>,
    /// The one TLS configuration, with this trust.
    pub(crate) tls: Option<crate::net::tls::Tls>,
}

impl Target {
    /// Where it is. It has no way to print a secret.
    #[must_use]
    pub const fn locator(&self) -> &Locator {
        &self.locator
    }

    /// Where it is dialled, for a service whose [`Service::ENDPOINT`](crate::service::Service::ENDPOINT) says that the locator's host is none.
    #[must_use]
    pub const fn endpoint(&self) -> Option<&Locator> {
        self.endpoint.as_ref()
    }

    /// The same target at its endpoint: what this one dials is the endpoint's host, with the same trust and the same deadline. Without an endpoint it is the
    /// target itself.
    #[must_use]
    pub fn at_endpoint(&self) -> Self {
        let locator = self.endpoint.as_ref().unwrap_or(&self.locator).clone();
        Self { locator, ..self.clone() }
    }

    /// Who logs in: from the locator, or from the `_USER` variable.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// With which password: from the locator, or from the `_PASSWORD` variable.
    #[must_use]
    pub fn password(&self) -> Option<&SecretString> {
        self.password.as_deref()
    }

    /// What no peer's text may bring back.
    pub(crate) fn guarded(&self) -> impl Iterator<Item = &Guarded> {
        self.password.iter().chain(&self.trust.client_key).chain(&self.paths)
    }

    /// Whether nothing protects the connection: by a waiver, or to a loopback address in a build with `debug_assertions`.
    #[must_use]
    pub fn is_plaintext(&self) -> bool {
        self.locator.transport() == Transport::Plaintext
    }

    /// The private authority's certificates, in PEM, for a driver that takes no TLS configuration. Where there is one, nothing else is to
    /// be trusted. A service that uses it has [`Service::PINS`](crate::service::Service::PINS) `false`: then each of them is an authority, and
    /// none a certificate that stands for itself alone, of which such a driver would make one.
    #[must_use]
    pub const fn private_ca(&self) -> Option<&SecretString> {
        self.trust.ca.as_ref()
    }

    /// The client's certificate and its key, in PEM, for a driver that takes no TLS configuration.
    #[must_use]
    pub fn client_certificate(&self) -> Option<(&SecretString, &SecretString)> {
        match (&self.trust.client_cert, &self.trust.client_key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            _ => None,
        }
    }

    /// What the field says that the account must be able to do, and no more; `None` where it does not say.
    #[must_use]
    pub fn needs(&self) -> Option<&Needs> {
        self.needs.as_deref()
    }

    /// Whether the field waives a rule, today. What is waived is reported all the same, beside the client.
    #[must_use]
    pub fn waives(&self, rule: &Rule) -> bool {
        self.waived.contains(&rule.name)
    }

    /// How much time is left until attaching as a whole has to be done.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("locator", &self.locator).finish_non_exhaustive()
    }
}

impl Posture {
    /// What is known before the other end has said anything. A service fills the rest in.
    #[must_use]
    pub fn of<S: crate::service::Service>(target: &Target) -> Self {
        Self {
            service: S::NAME,
            endpoint: target.locator().to_string(),
            transport: target.locator().transport(),
            tls: None,
            server: None,
            account: None,
            privileges: Vec::new(),
            authentication: None,
            remarks: Vec::new(),
            findings: Vec::new(),
            waivers: Vec::new(),
            taken_at: std::time::SystemTime::now(),
        }
    }
}
