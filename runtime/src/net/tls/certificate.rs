//! The content of X.509 certificates. The posture reads a certificate only after rustls has
//! verified it.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::{MOST_NAMES, name};
use crate::report::posture::CertificatePosture;
use crate::report::text::printable;

/// RFC 3279, 2.3.1.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480, 2.1.1.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 8410, 3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// RFC 5480, 2.1.1.1.
const CURVES: &[(ObjectIdentifier, &str)] = &[
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), "ECDSA P-256"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), "ECDSA P-384"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "ECDSA P-521"),
];

/// Reads a certificate; `None` if it cannot be parsed.
pub(super) fn read(der: &CertificateDer<'_>) -> Option<CertificatePosture> {
    let certificate = decoded(der)?;
    let certificate = certificate.tbs_certificate();
    Some(CertificatePosture {
        subject: printable(&name::written(certificate.subject())),
        issuer: printable(&name::written(certificate.issuer())),
        names: names(
            certificate.get_extension().ok()?.map(|(_, names): (bool, SubjectAltName)| names),
        ),
        key: key(certificate.subject_public_key_info()),
        not_after: certificate.validity().not_after.to_unix_duration().as_secs(),
    })
}

/// The parts of a certificate that limit what it may be trusted for.
pub(super) struct Standing {
    /// `basicConstraints` has `CA:TRUE`. A certificate without the extension is not an authority
    /// (RFC 5280, 4.2.1.9).
    pub(super) is_authority: bool,
    /// `keyUsage` has `keyCertSign`, or is absent (RFC 5280, 4.2.1.3).
    pub(super) may_sign: bool,
    /// `extKeyUsage` has `serverAuth`, or is absent (RFC 5280, 4.2.1.12).
    pub(super) is_for_servers: bool,
    /// The first second of its validity, in seconds since 1970.
    pub(super) not_before: u64,
    /// The last second of its validity.
    pub(super) not_after: u64,
    pub(super) subject: Option<Name>,
}

/// `id-kp-serverAuth` (RFC 5280, 4.2.1.12).
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

/// Reads these parts; `None` if the certificate or one of these extensions cannot be parsed.
pub(super) fn standing(der: &CertificateDer<'_>) -> Option<Standing> {
    let certificate = decoded(der)?;
    let certificate = certificate.tbs_certificate();
    let constraints: Option<(bool, BasicConstraints)> = certificate.get_extension().ok()?;
    let usage: Option<(bool, KeyUsage)> = certificate.get_extension().ok()?;
    let purposes: Option<(bool, ExtendedKeyUsage)> = certificate.get_extension().ok()?;
    Some(Standing {
        is_authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
        may_sign: usage.is_none_or(|(_, usage)| usage.key_cert_sign()),
        is_for_servers: purposes.is_none_or(|(_, purposes)| purposes.0.contains(&SERVER_AUTH)),
        not_before: certificate.validity().not_before.to_unix_duration().as_secs(),
        not_after: certificate.validity().not_after.to_unix_duration().as_secs(),
        subject: Some(certificate.subject().clone()),
    })
}

/// The issuer of a certificate.
pub(super) fn issuer(der: &CertificateDer<'_>) -> Option<Name> {
    Some(decoded(der)?.tbs_certificate().issuer().clone())
}

/// Not inlined: the decoder is the largest part of each function that uses it.
#[inline(never)]
fn decoded(der: &CertificateDer<'_>) -> Option<Box<Certificate>> {
    Certificate::from_der(der).ok().map(Box::new)
}

/// The shortest acceptable RSA modulus, in bits (NIST SP 800-131A; the Baseline Requirements,
/// 6.1.5).
const SHORTEST_RSA: usize = 2048;

/// Returns true if the certificate's key is RSA, and its modulus is too short or unreadable.
pub(super) fn is_weak(der: &CertificateDer<'_>) -> bool {
    let Some(certificate) = decoded(der) else { return false };
    let key = certificate.tbs_certificate().subject_public_key_info();
    key.algorithm.oid == RSA
        && key
            .subject_public_key
            .as_bytes()
            .and_then(modulus_bits)
            .is_none_or(|bits| bits < SHORTEST_RSA)
}

fn names(names: Option<SubjectAltName>) -> Vec<String> {
    let name = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(printable(name.as_str())),
        GeneralName::IpAddress(octets) => address(octets.as_bytes()),
        _ => None,
    };
    names.iter().flat_map(|names| &names.0).filter_map(name).take(MOST_NAMES).collect()
}

fn address(octets: &[u8]) -> Option<String> {
    let address = match octets.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
    };
    Some(address.to_string())
}

fn key(key: &SubjectPublicKeyInfoOwned) -> String {
    let parameters = || key.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok();
    match key.algorithm.oid {
        RSA => key
            .subject_public_key
            .as_bytes()
            .and_then(modulus_bits)
            .map_or_else(|| "RSA".to_owned(), |bits| format!("RSA {bits}")),
        EC => parameters()
            .and_then(|curve| CURVES.iter().find(|(oid, _)| *oid == curve))
            .map_or_else(|| "ECDSA".to_owned(), |(_, name)| (*name).to_owned()),
        ED25519 => "Ed25519".to_owned(),
        other => other.to_string(),
    }
}

/// The length of an RSA key's modulus in bits. `RSAPublicKey` is a sequence that begins with the
/// modulus (RFC 3279, 2.3.1).
fn modulus_bits(key: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(key).ok()?;
    reader
        .sequence(|reader| {
            let modulus = x509_cert::der::asn1::Uint::decode(reader)?;
            // The exponent follows. It is not used, but the sequence has to be read to its end.
            let _: x509_cert::der::asn1::Uint = x509_cert::der::asn1::Uint::decode(reader)?;
            Ok::<_, x509_cert::der::Error>(modulus)
        })
        .ok()
        .map(|modulus| {
            let bytes = modulus.as_bytes();
            let zeros = bytes.first().map_or(0, |byte| byte.leading_zeros() as usize);
            bytes.len() * 8 - zeros
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::certificates;

    fn first(pem: &str) -> CertificateDer<'static> {
        certificates(pem).unwrap().swap_remove(0)
    }

    /// The files are made with openssl, for tests alone.
    #[test]
    fn a_certificate_is_described() {
        let server = read(&first(include_str!("fuzz/server.pem"))).unwrap();
        assert_eq!(server.names, ["db.example", "*.db.example", "192.0.2.1", "2001:db8::1"]);
        assert_eq!(server.key, "ECDSA P-256");
        assert_eq!(server.not_after, 4_949_623_809);
        let authority = first(include_str!("fuzz/authority.pem"));
        let issuer = read(&authority).unwrap();
        assert_eq!((&server.issuer, issuer.names.len()), (&issuer.subject, 0));
        assert_ne!(server.subject, server.issuer);
        let rsa = first(include_str!("fuzz/rsa.pem"));
        assert_eq!(read(&rsa).unwrap().key, "RSA 2048");
        assert!(![authority, rsa].iter().any(is_weak), "2048 bits are enough");
        assert!(read(&CertificateDer::from(vec![0x30, 0])).is_none());
    }

    #[test]
    fn an_address_has_four_bytes_or_sixteen() {
        assert_eq!(address(&[192, 0, 2, 1]).as_deref(), Some("192.0.2.1"));
        assert_eq!(address(&[0; 16]).as_deref(), Some("::"));
        assert_eq!([&[][..], &[0; 3], &[0; 5], &[0; 17]].map(address), [const { None }; 4]);
    }

    #[test]
    fn the_bits_of_a_modulus_are_counted_from_its_first_one() {
        // A sequence of the modulus and the exponent 3.
        let bits = |modulus: &[u8]| {
            let length = u8::try_from(modulus.len()).unwrap();
            let rest = [&[2, length][..], modulus, &[2, 1, 3]].concat();
            modulus_bits(&[&[0x30, length + 5][..], &rest].concat())
        };
        assert_eq!(bits(&[0, 0x80, 1]), Some(16));
        assert_eq!(bits(&[0x7f, 1, 1]), Some(23));
        assert_eq!(bits(&[1, 0, 0]), Some(17));
        assert_eq!(modulus_bits(&[0x30, 3, 2, 1, 3]), None, "no exponent");
        assert_eq!(modulus_bits(&[2, 1, 3]), None);
    }
}
