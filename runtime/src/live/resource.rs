//! The handle: one attached resource, whichever generation of it is current.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::live::detach::Detached;
use crate::live::generation::{FieldContext, Handle, Lease, ResourceInner};
use crate::live::reattach::Which;
use crate::load::spec::ConnectionSpec;
use crate::report::error::AttachError;
use crate::report::finding::Failure;
use crate::report::posture::Posture;
use crate::report::refusal::Refusal;
use crate::service::Service;
use crate::service::erased::Connected;
use crate::source::Source;

/// One attached instance of a service.
///
/// If you hold one, the server's identity was verified, the account was checked, and the secret was
/// never printed.
///
/// Cloning it is cheap, and the clone is the same resource.
pub struct Resource<S: Service> {
    shared: Arc<ResourceInner<S>>,
}

impl<S: Service> Resource<S> {
    pub(crate) fn new(
        connected: Connected,
        spec: ConnectionSpec,
        context: Arc<FieldContext>,
    ) -> Self {
        let resource = Self { shared: ResourceInner::new(connected, spec, context) };
        let Handle(life) = resource.handle();
        crate::live::recheck::begin(&life);
        crate::live::renew::begin(&life);
        resource
    }

    /// The native client. The guard is cheap (a few nanoseconds, no lock, no allocation) and keeps
    /// this generation of the client open until it is dropped. Take one for each piece of work, not
    /// one for the whole run. A reattach and a detach wait for it, up to the limits in [the
    /// manual](crate::manual::defaults).
    ///
    /// A clone of the native client may outlive its guard: it is then not protected from being
    /// closed.
    #[must_use]
    pub fn client(&self) -> S::Guard
    where
        S::Guard: From<ClientGuard<S>>,
    {
        ClientGuard { user: self.shared.user() }.into()
    }

    /// The field's path: `mail.relay`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.field()
    }

    /// The observations of the attach, or of the last re-check.
    #[must_use]
    pub fn posture(&self) -> Arc<Posture> {
        self.shared.posture()
    }

    /// Attaches it again with the current values of the source: loads, checks, connects, and probes
    /// by all the rules. Then the new client replaces the former one, which is closed when its last
    /// [guard](ClientGuard) is dropped, or when its [time limit](crate::manual::defaults) has
    /// passed. This returns as soon as [`Resource::client`] returns the new client.
    ///
    /// Concurrent reattaches of resources of one struct run one after the other. The work runs in a
    /// task of the runtime that attached, so it goes on if the future is not polled. Dropping the
    /// future ends it and changes nothing, unless the new client is being published at that moment.
    ///
    /// # Errors
    /// [`AttachError`], with all problems. Then the client stays as it was.
    pub async fn reattach(
        &self,
        source: &(impl Source + Clone + 'static),
    ) -> Result<(), AttachError> {
        let handle = self.handle();
        let owner = Arc::clone(&handle.0.context().owner);
        crate::live::reattach::reattach(
            (owner.of, owner.manifest),
            &[handle],
            Arc::new(source.clone()),
            Which::One,
            None,
        )
        .await
        .done()
        .map(drop)
    }

    /// Takes the posture again, now: connects again to the same target by the same rules, as
    /// attaching does, and closes that second client. Each new finding is logged once. This also
    /// happens [every hour](crate::manual::defaults).
    ///
    /// A finding does not end the attachment, whatever its level: see [`Posture::findings`].
    ///
    /// # Errors
    /// [`Refusal`], if the service cannot be connected to. The posture stays as it was, and its
    /// `taken_at` says when it was taken; a violated rule is added to its findings.
    pub async fn refresh_posture(&self) -> Result<Arc<Posture>, Refusal> {
        crate::live::recheck::now(&self.handle().0).await
    }

    /// Sets how often the posture is taken again, each time up to a tenth sooner, at random; `None`
    /// for never. Less than a second counts as a second.
    pub fn posture_interval(&self, interval: Option<Duration>) {
        self.handle().0.set_interval(interval);
    }

    /// Checks that the service still answers, within [`HEALTH_DEADLINE`](crate::manual::defaults).
    /// A detached resource is not asked.
    ///
    /// # Errors
    /// [`Refusal`], with a message of this crate. A panic of the service's code is one, too.
    pub async fn health(&self) -> Result<(), Refusal> {
        if self.handle().0.is_detached() {
            return Err(Failure::detached().into());
        }
        let generation = self.shared.current();
        // A service's own code. Its panic becomes an answer, because the caller itself answers a
        // probe.
        let asked = crate::net::tasks::caught(async { S::health(generation.client()).await });
        match crate::net::time::with_timeout(crate::net::time::HEALTH_DEADLINE, asked).await? {
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
    user: Lease<S>,
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

    /// Lets all users finish and closes it, within [10 s](crate::manual::defaults) in total.
    /// Whatever has not finished in time is closed forcibly, and reported.
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
