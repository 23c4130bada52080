//! Counts the openings of the driver's connections. The driver opens a connection for each request
//! that finds none idle, and goes on with that even if the request has got another one meanwhile.
//!
//! Each opening checks first that the target may still be plaintext: an address in the locator is
//! not resolved, so the resolver does not check it.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use backing_services_runtime::service::Target;
use backing_services_runtime::service::connections::Connections;
use tower_layer::Layer;
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// Wraps the driver's connector.
#[derive(Clone)]
pub(super) struct CountOpenings(pub(super) Connections, pub(super) Target);

impl<S> Layer<S> for CountOpenings {
    type Service = CountedConnector<S>;

    fn layer(&self, connector: S) -> CountedConnector<S> {
        CountedConnector { connector, connections: self.0.clone(), target: self.1.clone() }
    }
}

/// The driver's connector, whose openings end when the client is closed.
#[derive(Clone)]
pub(super) struct CountedConnector<S> {
    connector: S,
    connections: Connections,
    target: Target,
}

impl<S, R> Service<R> for CountedConnector<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (opening, connections) = (self.connector.call(request), self.connections.clone());
        let plaintext = self.target.check_plaintext();
        Box::pin(async move {
            plaintext?;
            let opened = connections.open(|counted| async move {
                let _counted = counted;
                Ok(opening.await)
            });
            opened.await?
        })
    }
}
