//! A client of a service whose type only the field knows, between connecting and the field.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

use crate::credentials;
use crate::finding::Finding;
use crate::generation::{Facts, Seat};
use crate::manifest::Slot;
use crate::posture::Posture;
use crate::resource::Resource;
use crate::service::{Attachment, Refusal, Service};
use crate::silence;
use crate::target::Target;
use crate::watch::{self, Step};

/// A resource that is being attached; and the target that was connected to, with the credentials that were fetched for it.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<(Arc<Target>, Connected), Refusal>> + Send>>;

/// A resource that is being closed.
pub(crate) type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What has been connected, and what is asked of it before the field gets it.
pub(crate) struct Connected {
    pub(crate) findings: Vec<Finding>,
    client: Box<dyn Any + Send + Sync>,
    pub(crate) posture: Posture,
    seal: fn(Box<dyn Any + Send + Sync>, Posture, Facts, Arc<Seat>) -> Slot,
    abandon: fn(Box<dyn Any + Send + Sync>) -> Closing,
}

/// Connects, and forgets the service's type.
pub(crate) fn connect<S: Service>(target: Arc<Target>) -> Connecting {
    Box::pin(async move {
        watch::at(Step::Fetching);
        let (target, mut findings) = credentials::fetched::<S>(target).await?;
        let Attachment { client, posture, findings: found } = silence::connect::<S>(&target).await?;
        findings.extend(found);
        Ok((target, Connected::of::<S>(client, posture, findings)))
    })
}

impl Connected {
    pub(crate) fn of<S: Service>(client: S::Client, posture: Posture, findings: Vec<Finding>) -> Self {
        Self { findings, client: Box::new(client), posture, seal: seal::<S>, abandon: abandon::<S> }
    }

    /// The `Resource<S>`.
    pub(crate) fn into_resource(self, facts: Facts, seat: Arc<Seat>) -> Slot {
        (self.seal)(self.client, self.posture, facts, seat)
    }

    /// The client with its type, and the posture.
    pub(crate) fn into_parts<S: Service>(self) -> (S::Client, Posture) {
        (*downcast::<S>(self.client), self.posture)
    }

    /// The client.
    pub(crate) fn client<S: Service>(&self) -> Option<&S::Client> {
        self.client.downcast_ref()
    }

    /// Closes the client, of which nothing will come.
    pub(crate) fn abandon(self) -> Closing {
        (self.abandon)(self.client)
    }
}

fn seal<S: Service>(client: Box<dyn Any + Send + Sync>, posture: Posture, facts: Facts, seat: Arc<Seat>) -> Slot {
    Box::new(Resource::<S>::new(*downcast::<S>(client), posture, facts, seat))
}

fn abandon<S: Service>(client: Box<dyn Any + Send + Sync>) -> Closing {
    let client = downcast::<S>(client);
    Box::pin(async move { S::close(&client).await })
}

fn downcast<S: Service>(client: Box<dyn Any + Send + Sync>) -> Box<S::Client> {
    client.downcast().unwrap_or_else(|_| unreachable!("the client and its functions come from one service"))
}
