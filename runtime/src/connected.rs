//! A client of a service whose type only the field knows, between connecting and the field.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

use crate::credentials;
use crate::finding::Finding;
use crate::generation::{Facts, Seat};
use crate::manifest::Slot;
use crate::posture::Posture;
use crate::redact;
use crate::resource::Resource;
use crate::service::{Attachment, Refusal, Service, ServiceEntry};
use crate::target::Target;
use crate::watch::{self, Step};

/// A service that is being connected to.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<Connected, Refusal>> + Send>>;

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

/// Fetches the credentials, where something does, and connects. Gives the target that was connected to as well, with those credentials.
pub(crate) async fn fetch_and_connect(
    service: &'static ServiceEntry,
    target: Arc<Target>,
) -> Result<(Arc<Target>, Connected), Refusal> {
    watch::at(Step::Fetching);
    let (target, findings) = credentials::fetched(service, target).await?;
    let connected = (service.connect)(Arc::clone(&target)).await?;
    Ok((target, connected.with_findings(findings)))
}

/// Connects, and forgets the service's type. This is the one way to a service's `connect`.
pub(crate) fn connect<S: Service>(target: Arc<Target>) -> Connecting {
    Box::pin(async move {
        let Attachment { client, mut posture, mut findings } = S::connect(&target).await?;
        findings.extend(target.findings_of_trust(posture.tls.as_ref(), &findings));
        redact::redact_posture(&mut posture);
        Ok(Connected::of::<S>(client, posture, findings))
    })
}

impl Connected {
    pub(crate) fn of<S: Service>(client: S::Client, posture: Posture, findings: Vec<Finding>) -> Self {
        Self { findings, client: Box::new(client), posture, seal: seal::<S>, abandon: abandon::<S> }
    }

    /// The same, and what was found before it was connected to.
    pub(crate) fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings.splice(..0, findings);
        self
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

    /// What was learnt, and the client's end.
    pub(crate) fn into_closing(self) -> (Posture, Vec<Finding>, Closing) {
        (self.posture, self.findings, (self.abandon)(self.client))
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
