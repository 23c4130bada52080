//! The client's certificate, and whether the server requested it in the handshake.
//!
//! rustls calls its resolver only if the server has sent a `CertificateRequest`. So the resolver is
//! the one place that can observe the request, and it records its answer.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

use crate::report::posture::ClientCertificatePosture;

/// The `CertificateRequest`s that the handshakes of one configuration received. Each counts once:
/// the verification of the same handshake, which always comes later, removes it.
///
/// The configuration of our own stream serves one handshake, so its count is exact. A driver's
/// configuration serves many. A handshake that breaks between the two steps leaves its request
/// behind, and a later handshake without a request would take it.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<Mutex<Open>>);

/// The requests that no verification has taken yet, by the answer that they got.
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

    /// The answer to the request of the handshake that is being verified. A withheld certificate is
    /// returned first: if two handshakes run at the same time, neither is reported as stronger than
    /// it is.
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

/// Answers a `CertificateRequest` with the client's certificate, or with none.
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
    fn a_request_without_a_certificate_is_recorded_as_withheld() {
        let requests = Requests::default();
        let resolver = Resolver { certificate: None, requests: requests.clone() };
        let schemes = [SignatureScheme::ED25519];
        assert!(resolver.resolve(&[], &schemes).is_none() && !resolver.has_certs());
        assert_eq!(requests.take(), Withheld);
    }
}
