//! Type-erased clients: the state between connecting and storing the client in its field.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use backing_services_rules::{Scheme, Transport};

use crate::locator::Locator;
use crate::locator::dialect::{CONNECT_TIMEOUT, Login, Parameter};
use crate::needs::Grantable;
use crate::report::finding::Finding;
use crate::report::posture::Posture;
use crate::report::redact;
use crate::report::refusal::Refusal;
use crate::service::grants::Grants;
use crate::service::relay::Relay;
use crate::service::target::{Attempt, Target};
use crate::service::{Attachment, Service};

/// A running attempt to connect.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<Connected, Refusal>> + Send>>;

/// A client that is being closed.
pub(crate) type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connected client, with its posture and findings, before the field receives it.
pub(crate) struct Connected {
    pub(crate) findings: Vec<Finding>,
    client: Box<dyn Any + Send + Sync>,
    relay: Option<Relay>,
    pub(crate) posture: Posture,
    abandon: fn(Box<dyn Any + Send + Sync>) -> Closing,
}

/// Connects, and erases the service's type. This is the only caller of a service's `connect`.
pub(crate) fn connect<S: Service>(target: Arc<Target>, attempt: Attempt) -> Connecting {
    Box::pin(async move {
        let Attachment { client, mut posture, mut findings, relay } =
            S::connect(&target, attempt).await?;
        findings.extend(target.findings_of_trust(posture.tls.as_ref(), &findings));
        redact::redact_posture(&mut posture);
        let client: Box<dyn Any + Send + Sync> = Box::new(client);
        Ok(Connected { findings, client, relay, posture, abandon: abandon::<S> })
    })
}

impl Connected {
    /// Adds findings that were made before connecting.
    pub(crate) fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings.splice(..0, findings);
        self
    }

    /// The typed client, its relay, and the posture.
    pub(crate) fn into_parts<S: Service>(self) -> (S::Client, Option<Relay>, Posture) {
        (*downcast::<S>(self.client), self.relay, self.posture)
    }

    /// The typed client; `None` if it is of another service.
    pub(crate) fn client<S: Service>(&self) -> Option<&S::Client> {
        self.client.downcast_ref()
    }

    /// Closes the client without using it.
    pub(crate) fn abandon(self) -> Closing {
        closing(self.relay.map(Arc::new), (self.abandon)(self.client))
    }

    /// The posture, the findings, and the closing of the client.
    pub(crate) fn into_closing(self) -> (Posture, Vec<Finding>, Closing) {
        let closing = closing(self.relay.map(Arc::new), (self.abandon)(self.client));
        (self.posture, self.findings, closing)
    }
}

/// Closes a client together with its relay, which opens no connection from now on. If the future is
/// dropped, the relay ends the connections that are left.
pub(crate) fn closing(relay: Option<Arc<Relay>>, client: Closing) -> Closing {
    let Some(relay) = relay else { return client };
    Box::pin(async move {
        let of_relay = relay.close();
        client.await;
        of_relay.await;
    })
}

fn abandon<S: Service>(client: Box<dyn Any + Send + Sync>) -> Closing {
    let client = downcast::<S>(client);
    Box::pin(async move { S::close(&client).await })
}

fn downcast<S: Service>(client: Box<dyn Any + Send + Sync>) -> Box<S::Client> {
    client
        .downcast()
        .unwrap_or_else(|_| unreachable!("the client and its functions come from one service"))
}

/// The type-erased service, as the manifest stores it.
pub(crate) struct ServiceEntry {
    pub(crate) name: &'static str,
    pub(crate) schemes: &'static [Scheme],
    /// Without those that the runtime adds.
    pub(crate) parameters: &'static [Parameter],
    pub(crate) login: Login,
    pub(crate) privileges: &'static [Grantable],
    pub(crate) grants: fn(&Grants) -> Option<String>,
    pub(crate) path: Option<&'static str>,
    pub(crate) several_hosts: bool,
    pub(crate) secret_path: bool,
    pub(crate) ambient: &'static [&'static str],
    pub(crate) endpoint: Option<fn(&Locator) -> Option<String>>,
    pub(crate) check: fn(&Target) -> Vec<Finding>,
    pub(crate) connect: fn(Arc<Target>, Attempt) -> Connecting,
}

impl ServiceEntry {
    /// True if a client of this service dials a host.
    pub(crate) fn is_dialled(&self) -> bool {
        self.schemes.iter().any(|scheme| scheme.transport() != Transport::Embedded)
    }

    /// The parameters that the runtime adds to the service's own.
    pub(crate) fn added_parameters(&self) -> &'static [Parameter] {
        if self.is_dialled() { &[CONNECT_TIMEOUT] } else { &[] }
    }
}

impl fmt::Debug for ServiceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Erases a service's type.
pub(crate) trait Erased: Service {
    const ENTRY: &'static ServiceEntry = &ServiceEntry {
        name: Self::NAME,
        schemes: Self::SCHEMES,
        parameters: Self::PARAMETERS,
        login: Self::LOGIN,
        privileges: Self::PRIVILEGES,
        grants: Self::grants,
        path: Self::PATH,
        several_hosts: Self::SEVERAL_HOSTS,
        secret_path: Self::SECRET_PATH,
        ambient: Self::CONFLICTING_ENV,
        endpoint: Self::ENDPOINT,
        check: Self::check,
        connect: connect::<Self>,
    };
}

impl<S: Service> Erased for S {}
