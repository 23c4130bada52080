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

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    /// Signed by ECDSA with SHA-256. Made with openssl for these tests.
    const ECDSA: &str = "\
-----BEGIN CERTIFICATE-----
MIIBbzCCARWgAwIBAgIUZTGe7YQQFBMUbwESP36KgDaBqewwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYTAgFw0yNjExMzAxNDI3MDJaGA8yMTI2MTEwNjE0MjcwMlow
DDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEWJrJlpvMsv
N3yk6OsGRbNqv45Vi4hBk03gTOv1Ok5P0NcIW7EBzvkmnF6qKl7TRZDttyQFlcaO
fNNp50Sa0HKjUzBRMB0GA1UdDgQWBBTsaEjyvdZUOzzzor9CN8thdbUQEjAfBgNV
HSMEGDAWgBTsaEjyvdZUOzzzor9CN8thdbUQEjAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0gAMEUCIEJeK34SOpUHo9eMI5rndiSREE+SNvCI/xzvvlSXndYf
AiEA+lHLdR7jViT+kP58ZQgjQNwRCriEwISFKVAzSAVL7Lw=
-----END CERTIFICATE-----
";

    /// Signed by Ed25519.
    const ED25519: &str = "\
-----BEGIN CERTIFICATE-----
MIIBLjCB4aADAgECAhRvY3rpziIVBQhmR4bLm41TW0el4DAFBgMrZXAwDDEKMAgG
A1UEAwwBYjAgFw0yNjExMzAxNDI3MDJaGA8yMTI2MTEwNjE0MjcwMlowDDEKMAgG
A1UEAwwBYjAqMAUGAytlcAMhAMZqcOSPtGHnV6eBW3PxRD16PD3MHnUk9RNLp22a
qj1Po1MwUTAdBgNVHQ4EFgQUHZpydq2A3KcWYBmjD4IHo0530V0wHwYDVR0jBBgw
FoAUHZpydq2A3KcWYBmjD4IHo0530V0wDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXAD
QQDSr1R99ho348Q0o68wSfPIKEXiS5yoF4A7N8pe5wRWwV2BzLWZ2W5ypGJdy5UG
D+L4shbl2xzMphQqx4cfS1wO
-----END CERTIFICATE-----
";

    /// `ecdsa-with-SHA256`, as DER.
    const OID: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

    pub(super) fn ecdsa() -> Vec<u8> {
        CertificateDer::from_pem_slice(ECDSA.as_bytes()).unwrap().to_vec()
    }

    pub(super) fn ed25519() -> Vec<u8> {
        CertificateDer::from_pem_slice(ED25519.as_bytes()).unwrap().to_vec()
    }

    /// The certificate as if it were signed with another algorithm. Its signature is not verified
    /// here.
    fn signed_with(last: u8) -> Vec<u8> {
        let mut der = ecdsa();
        while let Some(at) = der.windows(OID.len()).position(|window| window == OID) {
            der[at + OID.len() - 1] = last;
        }
        der
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (last, hash) in [(3, &SHA384), (4, &SHA512)] {
            let der = signed_with(last);
            let expected = digest(hash, &der).as_ref().to_vec();
            assert_eq!(end_point(&der.into()), Some(expected), "{last}");
        }
        let der = ecdsa();
        let expected = digest(&SHA256, &der).as_ref().to_vec();
        assert_eq!(end_point(&der.into()), Some(expected));
    }

    #[test]
    fn a_signature_without_a_hash_of_its_own_defines_none() {
        assert_eq!(end_point(&ed25519().into()), None);
        // `ecdsa-with-SHA224`, which no certificate of today has.
        assert_eq!(end_point(&signed_with(1).into()), None);
        let der = ecdsa();
        for cut in 0..der.len() {
            assert_eq!(end_point(&der[..cut].to_vec().into()), None, "{cut}");
        }
    }
}

#[cfg(test)]
mod fuzz {
    use std::sync::LazyLock;

    use backing_services_fuzz::{Input, check};

    use super::*;

    static CERTIFICATES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let others = HASHES.iter().map(|(oid, _)| x509_cert::der::oid::ObjectIdentifier::new(oid));
        let mut all = vec![tests::ecdsa(), tests::ed25519()];
        // Parts for the certificates: the other algorithms.
        all.extend(others.filter_map(Result::ok).map(|oid| oid.as_bytes().to_vec()));
        all
    });

    /// Any bytes are a certificate or not. The binding is a digest of all of them.
    #[test]
    fn any_certificate_is_bound_to_or_defines_no_binding() {
        check!(&CERTIFICATES, |input: &Input| {
            let Some(binding) = end_point(&input.bytes().to_vec().into()) else { return };
            let hashes = [&SHA256, &SHA384, &SHA512];
            assert!(hashes.iter().any(|hash| digest(hash, input.bytes()).as_ref() == binding));
        });
    }
}
