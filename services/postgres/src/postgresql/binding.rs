//! The channel binding of a login: a digest of the server's certificate, which binds the login to
//! its TLS connection (`tls-server-end-point`, RFC 5929, 4.1).
//!
//! A machine in between that ends TLS with another certificate, however valid, has another digest,
//! and the server's proof does not fit.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// The hash of each signature algorithm (RFC 3279, RFC 4055, RFC 5758). MD5 and SHA-1 are replaced
/// by SHA-256. Algorithms without a hash of their own, Ed25519 and RSA-PSS, define no binding.
const HASHES: &[(&str, &Algorithm)] = &[
    ("1.2.840.113549.1.1.4", &SHA256),
    ("1.2.840.113549.1.1.5", &SHA256),
    ("1.2.840.10045.4.1", &SHA256),
    ("1.2.840.113549.1.1.11", &SHA256),
    ("1.2.840.10045.4.3.2", &SHA256),
    ("1.2.840.113549.1.1.12", &SHA384),
    ("1.2.840.10045.4.3.3", &SHA384),
    ("1.2.840.113549.1.1.13", &SHA512),
    ("1.2.840.10045.4.3.4", &SHA512),
];

/// The binding of a certificate. `None` if the certificate's signature defines none.
pub(super) fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let oid = parsed.signature_algorithm().oid.to_string();
    let (_, hash) = HASHES.iter().find(|(known, _)| *known == oid)?;
    Some(digest(hash, certificate).as_ref().to_vec())
}
