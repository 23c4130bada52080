//! Who a server is: by its chain, its dates and its name; by its key; or by all of them.
//!
//! rustls' own verifier decides about the chain. This one adds the pins, says more of what was not trusted, and remembers what it saw, for drivers that take
//! a configuration and keep the connection to themselves.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};

use super::certificate;
use crate::posture::CertificatePosture;

/// SHA-256 of a `SubjectPublicKeyInfo` (RFC 7469, 2.4).
pub(crate) type Pin = [u8; 32];

/// Verifies a server.
pub(super) struct Verifier {
    /// By chain, dates and name; `None` where a pin stands alone.
    pub(super) chain: Option<Arc<WebPkiServerVerifier>>,
    /// By key, where there are any.
    pub(super) pins: Arc<[Pin]>,
    pub(super) provider: Arc<CryptoProvider>,
    /// What was seen, where somebody wants to know.
    pub(super) record: Option<Record>,
}

/// What a verifier saw, of the newest connection that passed.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Option<Seen>>>);

#[derive(Clone)]
pub(super) struct Seen {
    pub(super) certificate: CertificatePosture,
    pub(super) version: &'static str,
}

impl Record {
    pub(super) fn seen(&self) -> Option<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, end_entity: &CertificateDer<'_>, version: &'static str) {
        let seen = certificate::read(end_entity).map(|certificate| Seen { certificate, version });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

/// Why a server's certificate is not trusted, where rustls only says that its issuer is unknown, or where a pin decided.
#[derive(Debug)]
pub(super) enum Distrust {
    /// Its key is none of those that are pinned.
    Pin,
    /// Its key can be factored.
    WeakKey,
    /// It vouches for itself.
    SelfSigned,
    /// The server sent nothing but its own certificate, and nobody knows its issuer.
    OnlyItsOwn { issuer: String },
    /// The chain ends with an authority that is not trusted.
    UnknownAuthority { issuer: String },
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate is not trusted")
    }
}

impl std::error::Error for Distrust {}

impl Distrust {
    fn of(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Option<Self> {
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
        if let Some(chain) = &self.chain {
            chain.verify_server_cert(end_entity, intermediates, name, ocsp, now).map_err(|error| match error {
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                    Distrust::of(end_entity, intermediates).map_or(error, Into::into)
                }
                error => error,
            })?;
        }
        // ring would refuse its signature a moment later, without saying why.
        if certificate::is_weak(end_entity) {
            return Err(Distrust::WeakKey.into());
        }
        if !self.pins.is_empty() || self.chain.is_none() {
            let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
            let key = digest::digest(&digest::SHA256, &key);
            // A pin is public: nothing is learnt from how long a comparison takes.
            if !self.pins.iter().any(|pin| pin == key.as_ref()) {
                return Err(Distrust::Pin.into());
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
        let valid =
            crypto::verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)?;
        self.note(certificate, "TLS 1.2");
        Ok(valid)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let valid =
            crypto::verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)?;
        self.note(certificate, "TLS 1.3");
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Verifier {
    /// The signature is the last thing that a server's certificate is asked for, and the first that tells the version.
    fn note(&self, certificate: &CertificateDer<'_>, version: &'static str) {
        if let Some(record) = &self.record {
            record.note(certificate, version);
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("pins", &self.pins.len()).finish_non_exhaustive()
    }
}

/// Reads pins: `sha256//` and the digest in base64, as curl writes it, or in hexadecimal; several with a `;` between them. `None` where one is not
/// well-formed, or there is none.
pub(super) fn pins(text: &str) -> Option<Vec<Pin>> {
    let pins: Option<Vec<_>> = text.split([';', ',']).map(str::trim).filter(|pin| !pin.is_empty()).map(pin).collect();
    pins.filter(|pins| !pins.is_empty())
}

fn pin(text: &str) -> Option<Pin> {
    let digest = text
        .strip_prefix("sha256//")
        .or_else(|| text.strip_prefix("sha256/"))
        .or_else(|| text.strip_prefix("sha256:"))
        .unwrap_or(text);
    // `from_str_radix` alone would take a sign.
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
    fn pins_are_read_as_they_are_written() {
        let base64 = "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let hexadecimal = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let counted: Pin = std::array::from_fn(|i| i as u8);
        assert_eq!(pins(base64), Some(vec![counted]));
        assert_eq!(pins(&format!("sha256:{hexadecimal}; {}", &base64[8..])), Some(vec![counted, counted]));
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
