//! What a service must offer to be attached.

pub(crate) mod assert;
pub(crate) mod container;
pub(crate) mod credentials;
pub(crate) mod dial;
pub(crate) mod erased;
pub mod grants;
pub(crate) mod target;

use std::fmt;

use backing_services_rules::Scheme;

use crate::locator::Locator;
use crate::locator::dialect::{Login, Parameter};
use crate::needs::Grantable;
use crate::report::finding::Finding;
use crate::report::posture::Posture;
use crate::report::refusal::Refusal;
use crate::service::container::Container;
use crate::service::grants::Grants;
use crate::service::target::Target;

/// A type of backing service: `Postgres`, `Redis`, or one of your own.
///
/// The runtime loads and checks the locator, asks [`Service::connect`] for a client of a target that has passed, holds the
/// posture against the rules, and wraps both in a [`Resource`](crate::Resource). A panic in a
/// function of it ends no task of the runtime: it is reported, and is a failure of what it was
/// called for. An implementation never sees a locator as text: it builds its
/// driver's options out of the target's checked parts, one setter at a time.
///
/// ```
/// use backing_services::{Attachment, Posture, Refusal, Scheme, Service, Target};
///
/// /// The Gopher protocol, over TLS.
/// struct Gophers;
///
/// impl Service for Gophers {
///     type Client = ();
///     const NAME: &'static str = "Gopher";
///     const SCHEMES: &'static [Scheme] = &[Scheme::tls("gophers").with_port(7070)];
///
///     async fn connect(target: &Target) -> Result<Attachment<()>, Refusal> {
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
/// # use backing_services::Scheme;
/// const SCHEMES: &[Scheme] = &[Scheme::tls("gopher"), Scheme::tls("telnet")];
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a backing service",
    label = "not a type that implements `Service`",
    note = "the services of `backing_services` have a feature each: `backing_services::Postgres` is there with `features = [\"postgres\"]`",
    note = "for a service of your own, implement `backing_services::Service`"
)]
pub trait Service: Sized + Send + Sync + 'static {
    /// What [`Resource::client`](crate::live::resource::Resource::client) hands out: the native client, cheap to use through a shared reference.
    type Client: Send + Sync + 'static;

    /// The product's name, as its makers write it.
    const NAME: &'static str;

    /// The schemes that a locator of this service may have.
    const SCHEMES: &'static [Scheme];

    /// The parameters that a locator of this service may have. Every other one is refused.
    const PARAMETERS: &'static [Parameter] = &[];

    /// Whether one has to log in, and with what.
    const LOGIN: Login = Login::UserAndPassword;

    /// What the locator's path means, to follow "the path is": `the database's name`. `None` where there may be none.
    const PATH: Option<&'static str> = None;

    /// Whether the locator's path may be what lets its holder in. Then it is shown nowhere: not in the
    /// posture, not in a report, and not in an error or a log of this crate. Unless a service says
    /// otherwise, that is so if it has the scheme `https`: the URL of a webhook is its secret.
    const SECRET_PATH: bool = has_https(Self::SCHEMES);

    /// What an account can be granted: the words of `needs = "…"`. Where there is none, `needs` is refused.
    ///
    /// A service with such words compares [`Target::needs`] with what the account has, in [`Service::connect`].
    const PRIVILEGES: &'static [Grantable] = &[];

    /// Whether the driver lets our verifier decide whom to trust, so that `_PIN` can name the server's key, and `_CA` a certificate that is no
    /// authority. If not, both are refused.
    const PINS: bool = true;

    /// For a service whose host is a name of its own, such as a bucket, and no host: where to dial it unless its `_ENDPOINT` variable says so. `None` from
    /// the function is a locator that does not tell. [`Target::endpoint`] gives what came of it.
    const ENDPOINT: Option<fn(&Locator) -> Option<String>> = None;

    /// Checks what only this service knows: the shape of its path, parameters that contradict each other. No I/O.
    fn check(target: &Target) -> Vec<Finding> {
        let _ = target;
        Vec::new()
    }

    /// Variables of the process that would steer the driver behind the locator's back.
    const AMBIENT: &'static [&'static str] = &[];

    /// The statements that create an account with the privileges that a field needs, and no more: as an administrator runs them, names quoted, without
    /// a password. `None` where the service has no such statements.
    fn grants(grants: &Grants) -> Option<String> {
        let _ = grants;
        None
    }

    /// A server of this service for a developer's own machine, which has the account of these grants, and no other one for the program: `template compose` writes it
    /// into a compose file. Where a field does not say what it needs, the grants need nothing: the account logs in, and may do no more. `None` where the service has no
    /// such server.
    fn container(grants: &Grants) -> Option<Container> {
        let _ = grants;
        None
    }

    /// Connects, authenticates, and learns the posture.
    ///
    /// It is dropped when the deadline passes, and must leave nothing open then. It is called again when the resource is reattached, and whenever the
    /// posture is taken again: then the client is closed at once.
    ///
    /// # Errors
    /// [`Refusal`], in this crate's own words: a driver's error may hold the password, and a server's may hold anything.
    fn connect(
        target: &Target,
    ) -> impl Future<Output = Result<Attachment<Self::Client>, Refusal>> + Send;

    /// Takes on the user and the password of a target that differs from the client's in nothing else, for whatever logs in from now on, and gives whether it
    /// could. What is open stays open; where a connection has to log in again before its credentials expire, it does.
    ///
    /// The target has just been connected to, by [`Service::connect`]. By default it cannot: then that other client takes this one's place, as when the resource
    /// is reattached.
    ///
    /// # Errors
    /// As [`Service::connect`]. The client then stays what it was.
    fn renew(
        client: &Self::Client,
        target: &Target,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send {
        let _ = (client, target);
        std::future::ready(Ok(false))
    }

    /// Makes a client ready to take the place of another one, which is still in use: a pool opens as many connections as the former one has, so that nobody waits
    /// for them once it is the current one. It is not yet known to anybody, and has passed all rules.
    ///
    /// By default there is nothing to do. What does not come about is no error: the client then does it when it is asked for. It is dropped when the deadline for
    /// attaching passes, and the client takes its place as it is.
    fn make_ready(client: &Self::Client, former: &Self::Client) -> impl Future<Output = ()> + Send {
        let _ = (client, former);
        std::future::ready(())
    }

    /// Asks the service whether it still answers.
    ///
    /// # Errors
    /// As [`Service::connect`].
    fn health(client: &Self::Client) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Finishes what is in flight and closes. It is dropped when the deadline for detaching passes;
    /// if the client was cut, that is after 900 ms.
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

/// What [`Service::connect`] comes back with.
pub struct Attachment<C> {
    pub(crate) client: C,
    pub(crate) posture: Posture,
    pub(crate) findings: Vec<Finding>,
}

impl<C> Attachment<C> {
    /// A client, and what connecting it taught.
    #[must_use]
    pub const fn new(client: C, posture: Posture) -> Self {
        Self { client, posture, findings: Vec::new() }
    }

    /// Adds what was found wrong with the account or the server. Whether it ends the attempt is for the rule's level and
    /// the field's waivers to say.
    #[must_use]
    pub fn with_findings(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        self.findings.extend(findings);
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
