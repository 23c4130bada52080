//! The handle: one attached resource, and the generation of it that is current.

use std::fmt;
use std::ops::Deref;
#[cfg(feature = "net")]
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::posture::Posture;
use crate::service::Service;
#[cfg(feature = "net")]
use crate::service::{Closing, Refusal};

/// One attached instance of a service.
///
/// If you hold one, the server's identity was verified, the account was looked at, and the secret was never printed.
///
/// Cloning it is cheap, and the clone is the same resource.
pub struct Resource<S: Service> {
    shared: Arc<Shared<S>>,
}

struct Shared<S: Service> {
    identity: Identity,
    current: ArcSwap<Generation<S>>,
}

/// What a resource is called, through all its generations.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The field's path.
    pub(crate) field: String,
}

/// A client, from when it was attached until its last user is done with it.
struct Generation<S: Service> {
    client: S::Client,
    posture: Arc<Posture>,
}

impl<S: Service> Resource<S> {
    pub(crate) fn new(client: S::Client, posture: Posture, identity: Identity) -> Self {
        let generation = Generation { client, posture: Arc::new(posture) };
        Self { shared: Arc::new(Shared { identity, current: ArcSwap::from_pointee(generation) }) }
    }

    /// The native client. The guard is cheap (a few nanoseconds, no lock, no allocation) and keeps this generation of the client open until it is
    /// dropped: take one for each piece of work, not one for ever.
    ///
    /// A clone of the native client that outlives its guard is on its own.
    #[must_use]
    pub fn client(&self) -> ClientGuard<S> {
        ClientGuard { generation: self.shared.current.load() }
    }

    /// The field's path: `mail.relay`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.identity.field
    }

    /// What attaching learnt.
    #[must_use]
    pub fn posture(&self) -> Arc<Posture> {
        Arc::clone(&self.shared.current.load().posture)
    }

    /// Asks the service whether it still answers, within [`HEALTH_DEADLINE`](crate::manual::defaults).
    ///
    /// # Errors
    /// [`Refusal`], in this crate's own words.
    #[cfg(feature = "net")]
    pub async fn health(&self) -> Result<(), Refusal> {
        let generation = self.shared.current.load_full();
        crate::attach::within(crate::attach::HEALTH_DEADLINE, S::health(&generation.client))
            .await
            .unwrap_or_else(|timed_out| Err(timed_out.into()))
    }

    #[cfg(feature = "net")]
    async fn close(&self) {
        let generation = self.shared.current.load_full();
        S::close(&generation.client).await;
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
    generation: Guard<Arc<Generation<S>>>,
}

impl<S: Service> Deref for ClientGuard<S> {
    type Target = S::Client;

    fn deref(&self) -> &S::Client {
        &self.generation.client
    }
}

impl<S: Service> fmt::Debug for ClientGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientGuard<{}>", S::NAME)
    }
}

/// A [`Resource`] of any service.
pub trait AnyResource: fmt::Debug + Send + Sync {
    /// The field's path: `mail.relay`.
    fn name(&self) -> &str;

    /// The service's name.
    fn service(&self) -> &'static str;

    /// What attaching learnt.
    fn posture(&self) -> Arc<Posture>;

    /// As [`Resource::health`].
    #[cfg(feature = "net")]
    fn health(&self) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + '_>>;

    /// Finishes what is in flight and closes, within
    /// [`DETACH_DEADLINE`](crate::manual::defaults).
    #[cfg(feature = "net")]
    fn close(&self) -> Closing;
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

    #[cfg(feature = "net")]
    fn health(&self) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + '_>> {
        Box::pin(self.health())
    }

    #[cfg(feature = "net")]
    fn close(&self) -> Closing {
        let resource = self.clone();
        Box::pin(async move { resource.close().await })
    }
}
