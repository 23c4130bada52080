//! Who we are to a server: the client's certificate, and whether a handshake asked for it.
//!
//! rustls asks its resolver for a certificate if the server has sent a `CertificateRequest`, and only
//! then. So the resolver is the one place that knows, and it writes down what it answered.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

use crate::report::posture::ClientCertificatePosture;

/// What the handshakes of one configuration were asked for. Each `CertificateRequest` counts once: the
/// verification of the same handshake, which always comes after it, takes it out again.
///
/// A configuration of our own stream serves one handshake, so its count is exact. A driver's
/// configuration serves many. A handshake that breaks between the two steps leaves its request
/// behind, and a later one that was not asked would take it.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<Mutex<Open>>);

/// The requests that no verification has taken yet.
#[derive(Default)]
struct Open {
    sent: usize,
    withheld: usize,
}

impl Requests {
    fn note(&self, is_sent: bool) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *(if is_sent { &mut open.sent } else { &mut open.withheld }) += 1;
    }

    /// What the handshake that is being verified was asked for. One that got less comes first: of two
    /// handshakes at the same time, neither can pass for the other.
    pub(super) fn take(&self) -> ClientCertificatePosture {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.withheld > 0 {
            open.withheld -= 1;
            return ClientCertificatePosture::Withheld;
        }
        if open.sent > 0 {
            open.sent -= 1;
            return ClientCertificatePosture::Sent;
        }
        ClientCertificatePosture::NotRequested
    }
}

/// Answers a `CertificateRequest`, with the one certificate that there is or with none.
pub(super) struct Resolver {
    pub(super) certificate: Option<Arc<CertifiedKey>>,
    pub(super) requests: Requests,
}

impl ResolvesClientCert for Resolver {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        // Without a common signature scheme, rustls would send an empty list of certificates.
        let certificate = self.certificate.as_ref();
        let certificate = certificate.filter(|own| own.key.choose_scheme(schemes).is_some());
        self.requests.note(certificate.is_some());
        certificate.cloned()
    }

    fn has_certs(&self) -> bool {
        self.certificate.is_some()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClientCertificatePosture::{NotRequested, Sent, Withheld};

    #[test]
    fn each_request_counts_for_one_handshake() {
        let requests = Requests::default();
        assert_eq!(requests.take(), NotRequested);
        requests.note(true);
        requests.note(true);
        assert_eq!((requests.take(), requests.take(), requests.take()), (Sent, Sent, NotRequested));
        requests.note(true);
        requests.note(false);
        assert_eq!(
            (requests.take(), requests.take(), requests.take()),
            (Withheld, Sent, NotRequested)
        );
    }

    #[test]
    fn a_request_without_a_certificate_is_noted_as_such() {
        let requests = Requests::default();
        let resolver = Resolver { certificate: None, requests: requests.clone() };
        let schemes = [SignatureScheme::ED25519];
        assert!(resolver.resolve(&[], &schemes).is_none() && !resolver.has_certs());
        assert_eq!(requests.take(), Withheld);
    }
}
