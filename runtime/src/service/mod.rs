//! For the author of a service: the trait [`Service`], and its toolkit.
//!
//! Dialling ([`Target::dial`]), the witness of TLS, redaction, the count of a pool's connections,
//! reconnecting, checked streams, relays, time limits, tasks, names, and progress.

pub(crate) mod assert;
pub mod connections;
pub(crate) mod credentials;
pub(crate) mod dial;
pub(crate) mod erased;
pub mod grants;
pub mod reconnect;
pub mod relay;
pub(crate) mod target;

pub use crate::locator::dialect::{Login, Parameter};
pub use crate::locator::{Host, Locator};
pub use crate::net::tls::Witness;
pub use crate::net::{metered, progress, random_name, tasks, thread, time, tls};
pub use crate::report::redact;
pub use crate::report::refusal::Refusal;
pub use crate::report::text::{printable_lines_up_to, printable_up_to};
pub use crate::service::dial::{Dialled, Stream, unreachable};
pub use crate::service::target::{Attempt, Target};

use std::fmt;
use std::ops::Deref;

use backing_services_rules::Scheme;

use crate::needs::Grantable;
use crate::report::finding::Finding;
use crate::report::posture::Posture;
use crate::service::grants::Grants;
use crate::service::relay::Relay;

/// A type of backing service: `Postgres`, `Redis`, or one of your own.
///
/// The runtime loads and checks the locator and asks [`Service::connect`] for a client of the
/// checked target. It checks the posture against the rules, and wraps client and posture in a
/// [`Resource`](crate::Resource). A panic in one of these functions ends no task of the runtime: it
/// is reported as a failure of the operation. An implementation never receives a locator as text:
/// it builds its driver's options from the target's checked parts, one setter at a time.
///
/// ```
/// use backing_services::resource::ClientGuard;
/// use backing_services::rules::Scheme;
/// use backing_services::service::{Attachment, Attempt, Refusal, Target};
/// use backing_services::{Posture, Service};
///
/// /// The Gopher protocol, over TLS.
/// struct Gophers;
///
/// impl Service for Gophers {
///     type Client = ();
///     type Guard = ClientGuard<Self>;
///     const NAME: &'static str = "Gopher";
///     const SCHEMES: &'static [Scheme] = &[Scheme::tls("gophers").with_port(7070)];
///
///     async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
///         // `target.dial().await?` is a TCP connection under verified TLS.
///         Ok(Attachment::new((), Posture::of::<Self>(target)))
///     }
///
///     async fn health(_: &()) -> Result<(), Refusal> { Ok(()) }
///
///     async fn close(_: &()) {}
/// }
/// ```
///
/// A scheme that is known to be plaintext does not compile:
///
/// ```compile_fail,E0080
/// # use backing_services::rules::Scheme;
/// const SCHEMES: &[Scheme] = &[Scheme::tls("gopher"), Scheme::tls("telnet")];
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a backing service",
    label = "not a type that implements `Service`",
    note = "the services of `backing_services` have a feature each: `backing_services::Postgres` \
            is there with `features = [\"postgres\"]`",
    note = "for a service of your own, implement `backing_services::Service`"
)]
pub trait Service: Sized + Send + Sync + 'static {
    /// The native client, as [`Resource::client`](crate::live::resource::Resource::client) returns
    /// it. It is cheap to use through a shared reference.
    type Client: Send + Sync + 'static;

    /// The guard that `Resource::client` returns: `ClientGuard<Self>`, whose path is
    /// `backing_services_runtime::resource::ClientGuard`. A service's own crate may wrap that
    /// guard, to implement its driver's traits for it. The wrapper is `From<ClientGuard<Self>>`.
    type Guard: Deref<Target = Self::Client>;

    /// The product's name, as its makers write it.
    const NAME: &'static str;

    /// The schemes that a locator of this service may have.
    const SCHEMES: &'static [Scheme];

    /// The parameters that a locator of this service may have. Every other one is refused.
    ///
    /// If the service is dialled, the runtime adds `connect_timeout`: [`Target::connect_timeout`].
    const PARAMETERS: &'static [Parameter] = &[];

    /// The credentials that a login requires.
    const LOGIN: Login = Login::UserAndPassword;

    /// The meaning of the locator's path, to follow "the path is": `the database's name`. `None` if
    /// the locator has no path.
    const PATH: Option<&'static str> = None;

    /// True if a locator may list several hosts, as in `postgres://ada@a.example,b.example:5433/`.
    /// The service then dials each target of [`Target::each_host`] by itself, in the order that it
    /// documents: the whole target refuses to be dialled. Each host passes every rule about hosts.
    ///
    /// If false, a locator with several hosts is refused.
    const SEVERAL_HOSTS: bool = false;

    /// True if the locator's path may be a credential. It is then never shown: not in the posture,
    /// not in a report, and not in an error or a log of this crate. The default is true for a
    /// service with the scheme `https`, because the URL of a webhook is its secret.
    const SECRET_PATH: bool = has_https(Self::SCHEMES);

    /// The privileges that an account can be granted: the vocabulary of `needs = "…"`. If it is
    /// empty, `needs` is refused.
    ///
    /// A service with privileges compares [`Target::needs`] with the account's privileges in
    /// [`Service::connect`].
    const PRIVILEGES: &'static [Grantable] = &[];

    /// The default endpoint of a service whose locator names an object, such as a bucket, instead
    /// of a host. The `_ENDPOINT` variable overrides it. Return `None` if it cannot be derived from
    /// the locator. [`Target::endpoint`] returns the result.
    const ENDPOINT: Option<fn(&Locator) -> Option<String>> = None;

    /// Checks that only this service can make: the shape of its path, and contradictory parameters.
    /// No I/O.
    fn check(target: &Target) -> Vec<Finding> {
        let _ = target;
        Vec::new()
    }

    /// Environment variables that would change the driver's behaviour in spite of the locator.
    const CONFLICTING_ENV: &'static [&'static str] = &[];

    /// The statements that create an account with exactly the privileges that a field needs. An
    /// administrator runs them. Names are quoted, and there is no password. `None` if the service
    /// has no such statements.
    fn grants(grants: &Grants) -> Option<String> {
        let _ = grants;
        None
    }

    /// Connects, authenticates, and collects the posture.
    ///
    /// The target is what to connect to: a client that reconnects by itself keeps a clone of it.
    /// The attempt is only about this call. [`Attempt::time_left`] bounds what the driver would
    /// wait for without end, such as the probe's answers.
    ///
    /// The future is dropped when the deadline passes, and must then leave nothing open. It is
    /// called again when the resource is reattached, and on each re-check of the posture, after
    /// which the client is closed at once.
    ///
    /// # Errors
    /// A [`Refusal`] in this crate's own words: a driver's error may contain the password, and a
    /// server's may contain anything.
    fn connect(
        target: &Target,
        attempt: Attempt,
    ) -> impl Future<Output = Result<Attachment<Self::Client>, Refusal>> + Send;

    /// Adopts the user and the password of a target that is otherwise the same as the client's, for
    /// all later logins. Returns whether that succeeded. Open connections stay open; a connection
    /// that must log in again before its credentials expire does so.
    ///
    /// [`Service::connect`] has just connected to this target. The default returns `false`: the new
    /// client then replaces this one, as in a reattach.
    ///
    /// # Errors
    /// As [`Service::connect`]. The client is then unchanged.
    fn renew(
        client: &Self::Client,
        target: &Target,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send {
        let _ = (client, target);
        std::future::ready(Ok(false))
    }

    /// Prepares a client to replace the `former` one, which is still in use. A pool opens as many
    /// connections as the former one has, so that callers need not wait for them after the switch.
    /// No caller has the new client yet, and it has passed all rules.
    ///
    /// The default does nothing. Failures are ignored: missing connections are opened on demand.
    /// The future is dropped when the deadline for attaching passes; the client then replaces the
    /// former one as it is.
    fn make_ready(client: &Self::Client, former: &Self::Client) -> impl Future<Output = ()> + Send {
        let _ = (client, former);
        std::future::ready(())
    }

    /// Asks the service whether it still answers.
    ///
    /// # Errors
    /// As [`Service::connect`].
    fn health(client: &Self::Client) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Waits for work in flight and closes. The future is dropped when the deadline for detaching
    /// passes, or after 900 ms if the client was cut.
    ///
    /// The application may keep clones of the client. After the end, none of them opens a
    /// connection or begins a call. An opening that has begun ends with the client, or is waited
    /// for: [`connections`] counts those of a pool, and [`reconnect::Reconnector`] has at most one.
    /// If the future is dropped, it ends what is left, as far as the driver has a way to do that.
    fn close(client: &Self::Client) -> impl Future<Output = ()> + Send;
}

const fn has_https(schemes: &[Scheme]) -> bool {
    let mut at = 0;
    while at < schemes.len() {
        if matches!(schemes[at].name().as_bytes(), b"https") {
            return true;
        }
        at += 1;
    }
    false
}

/// The result of [`Service::connect`].
pub struct Attachment<C> {
    pub(crate) client: C,
    pub(crate) posture: Posture,
    pub(crate) findings: Vec<Finding>,
    pub(crate) relay: Option<Relay>,
}

impl<C> Attachment<C> {
    /// A client, and the posture of its connection.
    #[must_use]
    pub const fn new(client: C, posture: Posture) -> Self {
        Self { client, posture, findings: Vec::new(), relay: None }
    }

    /// Adds findings about the account or the server. The rule's level and the field's waivers
    /// decide whether a finding ends the attempt.
    #[must_use]
    pub fn with_findings(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        self.findings.extend(findings);
        self
    }

    /// Adds the relay that the client's connections go through. It lives as long as the client is
    /// attached. The runtime renews its credentials, so that [`Service::renew`] is not called, and
    /// closes it together with the client: it ends what [`Service::close`] leaves open.
    #[must_use]
    pub fn with_relay(mut self, relay: Relay) -> Self {
        self.relay = Some(relay);
        self
    }
}

impl<C> fmt::Debug for Attachment<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("posture", &self.posture)
            .field("findings", &self.findings)
            .finish_non_exhaustive()
    }
}
