//! The stage of a case: the shared server of a service, and the structs that attach to it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backing_services_runtime::{AttachError, BackingServices, Environment, Resource, Service};
use rustls::ServerConfig;

use crate::conformance::attempt;
use crate::conformance::hostile::{Asking, Hostile};
use crate::conformance::pki::{Authority, Leaf};
use crate::conformance::relay::Relay;
use crate::conformance::subject::{Setup, Subject, Variables};

/// The time of an attempt that needs no deadline.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The deadline of a [`Hasty`] attempt, and the time until its end is seen.
pub(crate) const LIMIT: Duration = Duration::from_secs(4);

/// A struct of one field.
pub(crate) trait Fixture: BackingServices + Send + Sync + 'static {
    type Service: Service;

    fn subject(&self) -> &Resource<Self::Service>;
}

macro_rules! fixture {
    ($(#[doc = $text:literal])* $name:ident, $deadline:literal $(, $attribute:meta)?) => {
        $(#[doc = $text])*
        #[derive(BackingServices)]
        #[services(crate = backing_services_runtime, prefix = "SUITE", deadline = $deadline)]
        pub(crate) struct $name<S: Service> {
            $(#[$attribute])?
            subject: Resource<S>,
        }

        impl<S: Service> Fixture for $name<S> {
            type Service = S;

            fn subject(&self) -> &Resource<S> {
                &self.subject
            }
        }
    };
}

fixture!(
    /// It has the time that it needs.
    Patient, 20
);
fixture!(
    /// It gives up soon.
    Hasty, 2
);
fixture!(
    /// It admits an administrator.
    Waived,
    20,
    service(allow(superuser_account, reason = "the account of the suite"))
);

/// The server that the cases of one service share, and its authority.
pub(crate) struct Stage<S: Subject> {
    pub(crate) authority: Authority,
    server: OnceLock<Arc<S::Server>>,
}

impl<S: Subject> Stage<S> {
    pub(crate) fn new() -> Self {
        Self { authority: Authority::new("the suite's authority"), server: OnceLock::new() }
    }

    /// The shared server, with a valid certificate.
    pub(crate) fn server(&self) -> &S::Server {
        self.server.get_or_init(|| Arc::new(self.start(self.authority.server(), None)))
    }

    /// A server of the case's own.
    pub(crate) fn start(&self, leaf: Leaf, client_ca: Option<String>) -> S::Server {
        S::start(Setup { leaf: Some(leaf), client_ca }).unwrap()
    }

    /// The variables of the shared server's account.
    pub(crate) fn variables(&self) -> Variables {
        self.trusting(S::account(self.server()))
    }

    /// The same variables, with the authority of the suite.
    pub(crate) fn trusting(&self, variables: Variables) -> Variables {
        variables.with("CA", self.authority.pem())
    }

    /// The variables of the account, for another port.
    pub(crate) fn at(&self, port: u16) -> Variables {
        self.variables().at(S::port(self.server()), port)
    }

    /// A network before the shared server, and the variables that lead through it.
    pub(crate) fn relayed(&self) -> (Relay, Variables) {
        let relay = Relay::to(S::port(self.server()));
        let variables = self.at(relay.port);
        (relay, variables)
    }

    /// A server with this certificate that sends nothing under TLS, and the variables that lead to
    /// it.
    pub(crate) fn pretender(&self, leaf: &Leaf) -> (Hostile, Variables) {
        let pretender = self.serve(Asking::Not.configuration(leaf, rustls::ALL_VERSIONS));
        let variables = self.at(pretender.port);
        (pretender, variables)
    }

    /// A server with this configuration that sends nothing under TLS.
    pub(crate) fn serve(&self, configuration: Arc<ServerConfig>) -> Hostile {
        Hostile::start(move |peer| {
            let configuration = Arc::clone(&configuration);
            async move { Ok(Some(S::before_tls(peer).await?.encrypt_as(configuration).await?)) }
        })
    }
}

/// The environment of these variables.
pub(crate) fn environment(variables: &Variables) -> Environment {
    Environment::from_iter(
        variables.iter().map(|(name, value)| (format!("SUITE_SUBJECT_{name}"), value)),
    )
}

/// Attaches, and searches everything for the secret.
pub(crate) async fn attach<T: BackingServices>(variables: &Variables) -> Result<T, AttachError> {
    attempt::attach(&named(variables)).await
}

/// As [`attach`], for an attempt that has to fail within `limit`.
pub(crate) async fn refused<T: BackingServices>(
    variables: &Variables,
    limit: Duration,
) -> AttachError {
    attempt::refused::<T>(&named(variables), limit).await
}

fn named(variables: &Variables) -> Vec<(String, &str)> {
    variables.iter().map(|(name, value)| (format!("SUITE_SUBJECT_{name}"), value)).collect()
}
