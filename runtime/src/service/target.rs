//! The target of a connection: a locator that has passed every check, and its secrets.

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

/// A checked locator, with its credentials and its trust anchors.
///
/// ```no_run
/// # use backing_services::{Refusal, Target};
/// # async fn connect(target: &Target) -> Result<(), Refusal> {
/// // A TCP connection to one of the host's addresses, each of them checked against the address
/// // rules, under verified TLS.
/// let dialled = target.dial().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Target {
    pub(crate) locator: Locator,
    pub(crate) endpoint: Option<Locator>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Guarded>,
    /// The secret parts of its locators' paths.
    pub(crate) paths: Vec<Guarded>,
    pub(crate) trust: Trust,
    pub(crate) needs: Option<Arc<Needs>>,
    /// The provider of user and password, if they are fetched.
    pub(crate) fetched: Option<Fetched>,
    pub(crate) deadline: Instant,
    /// The rules that the field waives today.
    pub(crate) waived: Vec<&'static str>,
}

/// The trust anchors and the client's own certificate, in PEM.
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
    /// The locator. It cannot print a secret.
    #[must_use]
    pub const fn locator(&self) -> &Locator {
        &self.locator
    }

    /// The locator that is dialled, for a service with a
    /// [`Service::ENDPOINT`](crate::service::Service::ENDPOINT), whose own locator has no host.
    #[must_use]
    pub const fn endpoint(&self) -> Option<&Locator> {
        self.endpoint.as_ref()
    }

    /// The same target, but it dials the endpoint's host, with the same trust and the same
    /// deadline. Without an endpoint it is the target itself.
    #[must_use]
    pub fn at_endpoint(&self) -> Self {
        let locator = self.endpoint.as_ref().unwrap_or(&self.locator).clone();
        Self { locator, ..self.clone() }
    }

    /// The user, from the locator or from the `_USER` variable.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, from the locator or from the `_PASSWORD` variable.
    #[must_use]
    pub fn password(&self) -> Option<&SecretString> {
        self.password.as_deref()
    }

    /// The secrets that are removed from peers' texts.
    pub(crate) fn guarded(&self) -> impl Iterator<Item = &Guarded> {
        self.password.iter().chain(&self.trust.client_key).chain(&self.paths)
    }

    /// True if the connection is unprotected: by a waiver, or to a loopback address in a build with
    /// `debug_assertions`.
    #[must_use]
    pub fn is_plaintext(&self) -> bool {
        self.locator.transport() == Transport::Plaintext
    }

    /// The private authority's certificates, in PEM, for a driver that accepts no TLS
    /// configuration. If there are any, the driver must trust nothing else.
    ///
    /// A service that uses this sets `Service::SUPPORTS_PINNING` to `false`. Then each certificate
    /// is an authority. None is a server's own certificate, which such a driver would treat as an
    /// authority.
    #[must_use]
    pub const fn private_ca(&self) -> Option<&SecretString> {
        self.trust.ca.as_ref()
    }

    /// The client's certificate and its key, in PEM, for a driver that accepts no TLS
    /// configuration.
    #[must_use]
    pub fn client_certificate(&self) -> Option<(&SecretString, &SecretString)> {
        match (&self.trust.client_cert, &self.trust.client_key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            _ => None,
        }
    }

    /// The privileges that the field declares in `needs`; `None` if it declares none.
    #[must_use]
    pub fn needs(&self) -> Option<&Needs> {
        self.needs.as_deref()
    }

    /// True if the field waives the rule today. A waived violation is still reported beside the
    /// client.
    #[must_use]
    pub fn waives(&self, rule: &Rule) -> bool {
        self.waived.contains(&rule.name)
    }

    /// The time that is left until the deadline for attaching.
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
    /// The posture before the peer has sent anything. The service fills in the rest.
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
