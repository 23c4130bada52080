//! The target of a connection: a locator that has passed every check, and its secrets. And one
//! attempt to connect to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backing_services_rules::{Rule, Transport};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::locator::{Locator, dialect};
use crate::needs::Needs;
use crate::report::posture::Posture;
use crate::report::redact::Guarded;
use crate::report::waiver::{Waiver, today};
use crate::service::credentials::Fetched;

/// The limit for a TCP connection, and for a handshake, unless the locator sets another one: 10 s.
/// Three lost SYNs are repeated within 7 s (RFC 6298, 2).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A checked locator, with its credentials and its trust anchors.
///
/// A client that reconnects by itself keeps the target. It holds nothing that passes with the first
/// connection: the deadline of that is the [`Attempt`]'s, and each connection has
/// [`Target::connect_timeout`].
///
/// ```no_run
/// # use backing_services::service::{Refusal, Target};
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
    pub(crate) connect_timeout: Duration,
    /// The field's waivers, whether they have ended or not.
    pub(crate) waivers: &'static [Waiver],
}

/// One attempt to connect to a [`Target`].
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    deadline: Instant,
}

impl Attempt {
    pub(crate) const fn new(deadline: Instant) -> Self {
        Self { deadline }
    }

    /// The time that is left until the deadline for attaching; zero after it.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The trust anchors and the client's own certificate, in PEM.
#[derive(Clone, Default)]
pub(crate) struct Trust {
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

    /// The same target, but it dials the endpoint's host, with the same trust and the same time
    /// limit. Without an endpoint it is the target itself.
    #[must_use]
    pub fn at_endpoint(&self) -> Self {
        let locator = self.endpoint.as_ref().unwrap_or(&self.locator).clone();
        Self { locator, ..self.clone() }
    }

    /// One target for each host of the locator, in the order in which they are written. Each one
    /// dials its own host, and verifies the certificate under the name of that host alone; the rest
    /// is the same. A locator with one host, or with none, gives the target itself.
    ///
    /// The targets do not change: a client may keep them, instead of making them for each
    /// connection.
    pub fn each_host(&self) -> impl Iterator<Item = Self> {
        let hosts = self.locator.hosts();
        let each = hosts.map(|(host, port)| self.locator.with_host(host, port));
        let embedded = self.locator.host().is_none().then(|| self.locator.clone());
        each.chain(embedded).map(|locator| Self { locator, ..self.clone() })
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
    /// client. A waiver that ends does not cover later connections.
    #[must_use]
    pub fn waives(&self, rule: &Rule) -> bool {
        let today = today();
        self.waivers.iter().any(|waiver| waiver.rule() == rule && waiver.is_in_force(today))
    }

    /// The limit for each connection: the locator's `connect_timeout`, 1 to 300 s. The default is
    /// 10 s: TCP repeats three lost SYNs within 7 s (RFC 6298, 2).
    ///
    /// The runtime adds this parameter to those of each service that is dialled.
    #[must_use]
    pub const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The limit for one connection, whichever host takes it: [`Self::connect_timeout`] for each
    /// host, as in libpq.
    #[must_use]
    pub fn opening_timeout(&self) -> Duration {
        let hosts = u32::try_from(self.locator.hosts().count()).unwrap_or(u32::MAX);
        self.connect_timeout.saturating_mul(hosts.max(1))
    }
}

/// The limit for each connection to a locator's host.
pub(crate) fn connect_timeout(locator: &Locator) -> Duration {
    let seconds = locator.number(dialect::CONNECT_TIMEOUT.name);
    seconds.map_or(CONNECT_TIMEOUT, Duration::from_secs)
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

#[cfg(test)]
mod tests {
    use backing_services_rules::Scheme;
    use backing_services_rules::rule::{PLAINTEXT_SCHEME, SUPERUSER_ACCOUNT, WEAK_AUTHENTICATION};

    use super::*;
    use crate::locator::{self, Dialect};
    use crate::report::refusal::Refusal;

    const SCHEMES: &[Scheme] = &[Scheme::tls("rediss"), Scheme::embedded("disk")];

    fn target(text: &str, waivers: &'static [Waiver]) -> Target {
        let dialect = Dialect {
            schemes: SCHEMES,
            parameters: &[],
            added: &[dialect::CONNECT_TIMEOUT],
            login: dialect::Login::None,
            path: Some("the file"),
            several_hosts: true,
            secret_path: false,
            plaintext_waiver: waivers
                .iter()
                .any(|waiver| *waiver.rule() == PLAINTEXT_SCHEME)
                .then_some("it was in force when the locator was loaded"),
            plaintext_loopback: true,
        };
        let locator = |text: &str, dialect: &Dialect| {
            let parsed = locator::parse(text, dialect);
            parsed.unwrap_or_else(|findings| panic!("{findings:?}")).locator
        };
        let (locator, endpoint) = (
            locator(text, &dialect),
            Some(locator("https://endpoint.example", &dialect.endpoint())),
        );
        Target {
            connect_timeout: connect_timeout(&locator),
            locator,
            endpoint,
            user: None,
            password: None,
            paths: Vec::new(),
            trust: Trust::default(),
            needs: None,
            fetched: None,
            waivers,
        }
    }

    #[test]
    fn the_limit_of_a_connection_is_the_locator_s_at_the_endpoint_too() {
        for (text, seconds) in
            [("rediss://cache.example", 10), ("rediss://cache.example?connect_timeout=25", 25)]
        {
            let target = target(text, &[]);
            assert_eq!(target.connect_timeout(), Duration::from_secs(seconds));
            assert_eq!(target.at_endpoint().connect_timeout(), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn each_host_of_a_list_is_a_target_of_its_own() {
        let shown = |target: &Target| target.locator().to_string();
        let whole = target("rediss://a.example,[2001:db8::1]:7,b.example?connect_timeout=25", &[]);
        let each: Vec<_> = whole.each_host().collect();
        let hosts: Vec<_> = each.iter().map(shown).collect();
        assert_eq!(
            hosts,
            ["rediss://a.example:6379/", "rediss://[2001:db8::1]:7/", "rediss://b.example:6379/"]
        );
        for (index, target) in each.iter().enumerate() {
            assert!(target.locator().only_host().is_some());
            assert_eq!(target.connect_timeout(), Duration::from_secs(25));
            assert_eq!(target.is_host("b.example"), index == 2);
            assert_eq!(
                target.each_host().map(|one| shown(&one)).collect::<Vec<_>>(),
                [shown(target)]
            );
        }
        assert!(!whole.is_host("a.example"), "it is more than this host");
        for text in ["rediss://cache.example", "disk:/var/lib/cache"] {
            let one = target(text, &[]);
            assert_eq!(one.each_host().map(|one| shown(&one)).collect::<Vec<_>>(), [shown(&one)]);
        }
    }

    #[tokio::test]
    async fn several_hosts_are_never_dialled_as_one() {
        static WAIVERS: &[Waiver] =
            &[Waiver::new("plaintext_scheme", "the mesh", Some("9999-12-31"))];
        for text in ["rediss://127.0.0.1:1,127.0.0.2:1", "redis://127.0.0.1:1,127.0.0.2:1"] {
            let whole = target(text, WAIVERS);
            let refusals = [
                whole.resolve().await.map(drop).unwrap_err(),
                whole.dial_tcp().await.map(drop).unwrap_err(),
                whole.dial().await.map(drop).unwrap_err(),
            ];
            for refusal in refusals {
                let Refusal::Failure(failure) = refusal else { panic!("{refusal:?}") };
                assert!(failure.message().contains("several hosts"), "{failure}");
            }
            let addresses =
                whole.each_host().map(|one| async move { one.resolve().await.unwrap() });
            for (address, expected) in addresses.zip(["127.0.0.1:1", "127.0.0.2:1"]) {
                assert_eq!(address.await, [expected.parse().unwrap()]);
            }
        }
    }

    /// A build with `debug_assertions` accepts plaintext to this machine, for all hosts or none.
    #[test]
    fn a_list_is_of_this_machine_if_all_of_its_hosts_are() {
        let local = target("redis://127.0.0.1,[::1],localhost", &[]);
        assert_eq!(local.check_plaintext().is_ok(), cfg!(debug_assertions));
        for target in local.each_host() {
            assert_eq!(target.check_plaintext().is_ok(), cfg!(debug_assertions));
        }
        static ENDED: &[Waiver] =
            &[Waiver::new("plaintext_scheme", "the mesh", Some("2020-01-01"))];
        let remote = target("redis://10.0.0.1,10.0.0.2", ENDED);
        assert!(remote.check_plaintext().is_err());
        assert!(remote.each_host().all(|target| target.check_plaintext().is_err()));
    }

    #[test]
    fn a_waiver_that_has_ended_covers_no_later_connection() {
        static WAIVERS: &[Waiver] = &[
            Waiver::new("superuser_account", "one account", Some("2020-01-01")),
            Waiver::new("weak_authentication", "the appliance's", Some("9999-12-31")),
        ];
        let target = target("rediss://cache.example", WAIVERS);
        assert!(target.waives(&WEAK_AUTHENTICATION));
        assert!(!target.waives(&SUPERUSER_ACCOUNT));
    }

    #[tokio::test]
    async fn no_plaintext_connection_begins_after_its_waiver_has_ended() {
        static ENDED: &[Waiver] =
            &[Waiver::new("plaintext_scheme", "the mesh", Some("2020-01-01"))];
        static IN_FORCE: &[Waiver] =
            &[Waiver::new("plaintext_scheme", "the mesh", Some("9999-12-31"))];
        let Refusal::Finding(finding) =
            target("redis://10.0.0.1", ENDED).resolve().await.unwrap_err()
        else {
            panic!("a finding")
        };
        assert_eq!(*finding.rule(), PLAINTEXT_SCHEME);
        assert!(finding.is_denied());
        assert!(target("redis://10.0.0.1", IN_FORCE).resolve().await.is_ok());
        assert!(target("rediss://10.0.0.1", ENDED).resolve().await.is_ok());
        // A build with `debug_assertions` needs no waiver for this machine.
        let of_this_machine = target("redis://127.0.0.1", ENDED).resolve().await;
        assert_eq!(of_this_machine.is_ok(), cfg!(debug_assertions));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_has_no_time_left_after_its_deadline() {
        let attempt = Attempt::new(Instant::now() + Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(attempt.time_left(), Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(attempt.time_left(), Duration::ZERO);
    }
}
