//! Verifies a server: by its chain, its dates and its name; by its key; or by all of them.
//!
//! rustls' own verifier decides about the chain. This one adds the pins and more precise errors. It
//! also records the verified connection, for drivers that take a configuration and keep the
//! connection to themselves.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};

use super::certificate;
use crate::net::tls::client::Requests;
use crate::net::tls::roots::Roots;
use crate::report::posture::{CertificatePosture, ClientCertificatePosture};

/// SHA-256 of a `SubjectPublicKeyInfo` (RFC 7469, 2.4).
pub(crate) type Pin = [u8; 32];

/// Verifies a server.
pub(super) struct Verifier {
    /// Verifies chain, dates and name; `None` if a pin alone decides.
    pub(super) roots: Option<Arc<Roots>>,
    /// The pinned keys; may be empty.
    pub(super) pins: Arc<[Pin]>,
    pub(super) provider: Arc<CryptoProvider>,
    /// The newest connection that passed.
    pub(super) record: Record,
    /// The requests for a client's certificate.
    pub(super) requests: Requests,
    /// The client's certificate is the login: a handshake that did not request it, or could not use
    /// it, ends before any application data is sent.
    pub(super) demands_certificate: bool,
}

/// The newest connection that passed a verifier.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Option<VerifiedConnection>>>);

#[derive(Clone)]
pub(super) struct VerifiedConnection {
    pub(super) certificate: CertificatePosture,
    pub(super) version: &'static str,
    pub(super) client_certificate: ClientCertificatePosture,
}

impl Record {
    pub(super) fn seen(&self) -> Option<VerifiedConnection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(
        &self,
        end_entity: &CertificateDer<'_>,
        version: &'static str,
        client: ClientCertificatePosture,
    ) {
        let seen = certificate::read(end_entity).map(|certificate| VerifiedConnection {
            certificate,
            version,
            client_certificate: client,
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

/// The reason why a server's certificate is not trusted. Used if rustls only reports an unknown
/// issuer, or if this crate's own checks decided.
#[derive(Debug)]
pub(super) enum Distrust {
    /// Its key is not one of the pinned keys.
    Pin,
    /// Its RSA key is too short.
    WeakKey,
    /// It is self-signed.
    SelfSigned,
    /// The server sent only its own certificate, and its issuer is unknown.
    OnlyItsOwn { issuer: String },
    /// The chain ends with an authority that is not trusted.
    UnknownAuthority { issuer: String },
    /// Its issuer is in `_CA`, but is not an authority.
    NoAuthority,
    /// The server is trusted, but did not request the client's certificate, which is the login.
    NotRequested,
    /// The server is trusted, and requested a client's certificate, but accepts no signature that
    /// ours can make.
    Withheld,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate is not trusted")
    }
}

impl std::error::Error for Distrust {}

impl Distrust {
    pub(super) fn of(
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Option<Self> {
        let own = certificate::read(end_entity)?;
        Some(match intermediates.last() {
            _ if own.subject == own.issuer => Self::SelfSigned,
            None => Self::OnlyItsOwn { issuer: own.issuer },
            Some(last) => Self::UnknownAuthority { issuer: certificate::read(last)?.issuer },
        })
    }
}

impl From<Distrust> for rustls::Error {
    fn from(distrust: Distrust) -> Self {
        CertificateError::Other(OtherError(Arc::new(distrust))).into()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots
            && let Err(error) = roots.verify(end_entity, intermediates, name, ocsp, now)
        {
            return Err(self.refused(error));
        }
        // ring would reject its signature later, without a reason.
        if certificate::is_weak(end_entity) {
            return Err(self.refused(Distrust::WeakKey.into()));
        }
        if !self.pins.is_empty() || self.roots.is_none() {
            let key =
                ParsedCertificate::try_from(end_entity).map_err(|error| self.refused(error))?;
            let key = key.subject_public_key_info();
            let key = digest::digest(&digest::SHA256, &key);
            // A pin is public: the comparison does not have to take constant time.
            if !self.pins.iter().any(|pin| pin == key.as_ref()) {
                return Err(self.refused(Distrust::Pin.into()));
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let valid = crypto::verify_tls12_signature(message, certificate, signature, algorithms);
        self.record(valid, certificate, "TLS 1.2")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let valid = crypto::verify_tls13_signature(message, certificate, signature, algorithms);
        self.record(valid, certificate, "TLS 1.3")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Verifier {
    /// The signature is the last part of a server's certificate that is verified, and the first
    /// callback that knows the version. The server's request for our certificate has arrived by
    /// then: it comes before the server's certificate (TLS 1.3; RFC 8446, 2), or before the end of
    /// the server's flight, at which rustls verifies (TLS 1.2; RFC 5246, 7.3).
    fn record(
        &self,
        valid: Result<HandshakeSignatureValid, rustls::Error>,
        certificate: &CertificateDer<'_>,
        version: &'static str,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let client = self.requests.take();
        let valid = valid?;
        match client {
            ClientCertificatePosture::NotRequested if self.demands_certificate => {
                return Err(Distrust::NotRequested.into());
            }
            ClientCertificatePosture::Withheld if self.demands_certificate => {
                return Err(Distrust::Withheld.into());
            }
            _ => {}
        }
        self.record.note(certificate, version, client);
        Ok(valid)
    }

    /// This handshake ends here: its request must not count for another one.
    fn refused(&self, error: rustls::Error) -> rustls::Error {
        let _ = self.requests.take();
        error
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("pins", &self.pins.len()).finish_non_exhaustive()
    }
}

/// Parses pins: `sha256//` and the digest in base64, as curl writes it, or in hexadecimal; several
/// with a `;` or a `,` between them. `None` if one is malformed, or there is none.
pub(super) fn pins(text: &str) -> Option<Vec<Pin>> {
    let pins: Option<Vec<_>> =
        text.split([';', ',']).map(str::trim).filter(|pin| !pin.is_empty()).map(pin).collect();
    pins.filter(|pins| !pins.is_empty())
}

fn pin(text: &str) -> Option<Pin> {
    let digest = text
        .strip_prefix("sha256//")
        .or_else(|| text.strip_prefix("sha256/"))
        .or_else(|| text.strip_prefix("sha256:"))
        .unwrap_or(text);
    // `from_str_radix` alone would accept a sign.
    if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        let mut pin = [0; 32];
        for (byte, digits) in pin.iter_mut().zip(digest.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        return Some(pin);
    }
    BASE64_STANDARD.decode(digest).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_parsed() {
        let base64 = "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let hexadecimal = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let counted: Pin = std::array::from_fn(|i| i as u8);
        assert_eq!(pins(base64), Some(vec![counted]));
        assert_eq!(
            pins(&format!("sha256:{hexadecimal}; {}", &base64[8..])),
            Some(vec![counted, counted])
        );
        for malformed in [
            "",
            ";",
            "sha256//",
            "sha1//AAECAwQFBgcICQoLDA0ODxAREhM=",
            "sha256//AAEC",
            "+0",
            &hexadecimal[..62],
            &format!("{base64};x"),
            &hexadecimal.replace("00", "+0"),
        ] {
            assert_eq!(pins(malformed), None, "{malformed}");
        }
    }
}
