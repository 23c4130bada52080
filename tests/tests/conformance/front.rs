//! TLS before a server that has none: its certificate costs no start of the server.

use std::sync::Arc;

use backing_services_dev::conformance::Setup;
use backing_services_tests::hostile::{Asking, Hostile, requiring};

/// A port that speaks TLS with the certificate of the setup, and leads to a port without TLS.
pub(crate) fn front(setup: &Setup, port: u16) -> Hostile {
    let leaf = setup.leaf.as_ref().expect("a certificate");
    let configuration = match &setup.client_ca {
        Some(ca) => requiring(leaf, ca),
        None => Asking::Not.configuration(leaf, rustls::ALL_VERSIONS),
    };
    Hostile::start(move |peer| {
        let configuration = Arc::clone(&configuration);
        async move {
            peer.encrypt_as(configuration).await?.forward(port).await?;
            Ok(None)
        }
    })
}
