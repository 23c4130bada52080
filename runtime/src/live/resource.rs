//! The handle: one attached resource, whatever generation of it is current.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::live::detach::Detached;
use crate::live::generation::{Handle, Seat, Shared, User};
use crate::live::reattach::Which;
use crate::load::facts::Facts;
use crate::report::error::AttachError;
use crate::report::posture::Posture;
use crate::report::refusal::Refusal;
use crate::service::Service;
use crate::source::Source;

/// One attached instance of a service.
///
/// If you hold one, the server's identity was verified, the account was looked at, and the secret was never printed.
///
/// Cloning it is cheap, and the clone is the same resource.
pub struct Resource<S: Service> {
    shared: Arc<Shared<S>>,
}

impl<S: Service> Resource<S> {
    pub(crate) fn new(client: S::Client, posture: Posture, facts: Facts, seat: Arc<Seat>) -> Self {
        let resource = Self { shared: Shared::new(client, posture, facts, seat) };
        let Handle(life) = resource.handle();
        crate::live::recheck::begin(&life);
        crate::live::renew::begin(&life);
        resource
    }

    /// The native client. The guard is cheap (a few nanoseconds, no lock, no allocation) and keeps this generation of the client open until it is
    /// dropped: take one for each piece of work, not one for ever. A reattach and a detach wait for it, as long as
    /// [the manual](crate::manual::defaults) says.
    ///
    /// A clone of the native client that outlives its guard is on its own.
    #[must_use]
    pub fn client(&self) -> ClientGuard<S> {
        ClientGuard { user: self.shared.user() }
    }

    /// The field's path: `mail.relay`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.field()
    }

    /// What attaching learnt, or what was learnt since, when the posture was taken again.
    #[must_use]
    pub fn posture(&self) -> Arc<Posture> {
        self.shared.posture()
    }

    /// Attaches it anew, with what the source has now: loads, checks, connects and probes by all the rules. Then the new client takes the place of the one
    /// before, which is closed when its last [guard](ClientGuard) is gone, or when its time [is up](crate::manual::defaults). This returns as soon as
    /// [`Resource::client`] gives the new one.
    ///
    /// Who reattaches resources of one struct at the same time does it by turns. The work is done
    /// in a task of the runtime that attached, so it goes on if the future is not polled. Dropping
    /// the future ends it and leaves everything as it was, unless the new client takes its place in
    /// that moment.
    ///
    /// # Errors
    /// [`AttachError`], with everything that is wrong. Then the client stays what it was.
    pub async fn reattach(
        &self,
        source: &(impl Source + Clone + 'static),
    ) -> Result<(), AttachError> {
        let handle = self.handle();
        let whole = Arc::clone(&handle.0.seat().whole);
        crate::live::reattach::reattach(
            (whole.of, whole.manifest),
            &[handle],
            Arc::new(source.clone()),
            Which::One,
            None,
        )
        .await
        .done()
        .map(drop)
    }

    /// Takes the posture again, now: connects anew to the same target by the same rules, as attaching does, and closes that second client. What is new in
    /// it is in the log, once. It is done [every hour](crate::manual::defaults) anyway.
    ///
    /// A finding, whatever its level, does not end what is attached: look at [`Posture::findings`].
    ///
    /// # Errors
    /// [`Refusal`], where the service cannot be connected to. The posture stays what it was, and its `taken_at` tells of when; a violated rule is added to
    /// its findings.
    pub async fn retake_posture(&self) -> Result<Arc<Posture>, Refusal> {
        crate::live::recheck::now(&self.handle().0).await
    }

    /// How often the posture is taken again from now on, give or take a tenth; `None` for never. Less than a second is a second.
    pub fn posture_interval(&self, interval: Option<Duration>) {
        self.handle().0.set_interval(interval);
    }

    /// Asks the service whether it still answers, within [`HEALTH_DEADLINE`](crate::manual::defaults).
    ///
    /// # Errors
    /// [`Refusal`], in this crate's own words. A panic of the service's code is one, too.
    pub async fn health(&self) -> Result<(), Refusal> {
        let generation = self.shared.current();
        // A service's own code: its panic is an answer, as whoever asks for it answers a probe.
        let asked = crate::net::tasks::caught(async { S::health(generation.client()).await });
        match crate::net::time::within(crate::net::time::HEALTH_DEADLINE, asked).await? {
            Some(answer) => answer,
            None => Err(crate::net::time::panicked_in("health").into()),
        }
    }
}

impl<S: Service> Clone for Resource<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: Service> fmt::Debug for Resource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource<{}>({})", S::NAME, self.name())
    }
}

/// A shared reference to a resource's native client, which stays open as long as this lives.
pub struct ClientGuard<S: Service> {
    user: User<S>,
}

impl<S: Service> Deref for ClientGuard<S> {
    type Target = S::Client;

    fn deref(&self) -> &S::Client {
        self.user.client()
    }
}

impl<S: Service> fmt::Debug for ClientGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientGuard<{}>", S::NAME)
    }
}

/// A [`Resource`] of any service.
pub trait AnyResource: Sealed + fmt::Debug + Send + Sync {
    /// The field's path: `mail.relay`.
    fn name(&self) -> &str;

    /// The service's name.
    fn service(&self) -> &'static str;

    /// As [`Resource::posture`].
    fn posture(&self) -> Arc<Posture>;

    /// As [`Resource::health`].
    fn health(&self) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + '_>>;

    /// Lets everybody finish and closes, within [10 s](crate::manual::defaults) in all. What was
    /// not done in time is cut, and told.
    ///
    /// From then on, new calls fail. Dropping the future does not stop it.
    fn close(&self) -> Pin<Box<dyn Future<Output = Detached> + Send>>;

    /// As [`Resource::posture_interval`].
    fn posture_interval(&self, interval: Option<Duration>) {
        self.handle().0.set_interval(interval);
    }
}

/// Keeps [`AnyResource`] to this crate, which can then add methods to it.
pub trait Sealed {
    /// The resource, without the type of its service.
    fn handle(&self) -> Handle;
}

impl<S: Service> Sealed for Resource<S> {
    fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared) as _)
    }
}

impl<S: Service> AnyResource for Resource<S> {
    fn name(&self) -> &str {
        self.name()
    }

    fn service(&self) -> &'static str {
        S::NAME
    }

    fn posture(&self) -> Arc<Posture> {
        self.posture()
    }

    fn health(&self) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + '_>> {
        Box::pin(self.health())
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = Detached> + Send>> {
        let closing = self.handle().close();
        Box::pin(async move { Detached::one(closing.await) })
    }
}
