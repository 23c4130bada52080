//! Any bytes as PEM, and as a certificate. The files beside this one are of an authority and of a
//! server, made with openssl for these tests alone.

use std::sync::LazyLock;

use backing_services_fuzz::check;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;

use super::*;
use crate::report::posture::LONGEST_QUOTE;

const AUTHORITY: &str = include_str!("fuzz/authority.pem");
const SERVER: &str = include_str!("fuzz/server.pem");
const KEY: &str = include_str!("fuzz/client.key");

/// The values of TLS's variables, and a peer's certificates.
static EXAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut all = vec![
        AUTHORITY.as_bytes().to_vec(),
        format!("the chain:\n{SERVER}{AUTHORITY}").into_bytes(),
        format!("{SERVER}{KEY}").into_bytes(),
        KEY.replace('\n', "\r\n").into_bytes(),
        b"sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=;".to_vec(),
        b"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f, ".to_vec(),
        b"-----BEGIN RSA PRIVATE KEY-----\nAA==\n-----END RSA PRIVATE KEY-----\n".to_vec(),
        // A key of RSA, and names that are not text: parts for the certificates.
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00".to_vec(),
        b"\x1e\x04\0a\0\x1b\x0c\x03\x1b[m\x16\x02\xff\xfe".to_vec(),
    ];
    let certificates = [AUTHORITY, SERVER].into_iter().filter_map(certificates).flatten();
    all.extend(certificates.map(|der| der.to_vec()));
    all
});

fn pem(der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}

/// Any bytes are read or refused, as a variable's text and as a peer's certificate.
#[test]
fn any_text_and_any_certificate_is_read_or_refused() {
    check!(&EXAMPLES, |input| {
        as_text(&input.text());
        as_certificate(&CertificateDer::from(input.bytes().to_vec()));
    });
}

/// A variable's text: an authority, a client's certificate, a pin.
fn as_text(text: &str) {
    if let Some(certificates) = certificates(text) {
        assert!(!certificates.is_empty());
        // Read again, they are the same.
        let again: String = certificates.iter().map(|der| pem(der)).collect();
        assert_eq!(super::certificates(&again), Some(certificates));
    }
    if let Ok(roots) = Roots::private(text) {
        assert!(certificates(text).is_some_and(|all| all.len() == roots.count()));
    }
    if let Ok(client) = client_certificate((text, KEY)) {
        assert!(!client.cert.is_empty());
    }
    let _ = client_certificate((SERVER, text));
    if let Some(pins) = verifier::pins(text) {
        let written = |pin| format!("sha256//{}", BASE64_STANDARD.encode(pin));
        let again: Vec<_> = pins.iter().map(written).collect();
        assert_eq!(verifier::pins(&again.join(";")), Some(pins));
    }
}

/// A peer's certificate. What the posture shows of it is printable and bounded.
fn as_certificate(der: &CertificateDer<'_>) {
    let posture = certificate::read(der);
    if let Some(CertificatePosture { subject, issuer, names, key, .. }) = &posture {
        assert!(names.len() <= MOST_NAMES);
        for text in names.iter().chain([subject, issuer, key]) {
            assert!(!text.chars().any(char::is_control), "{text:?}");
            // An escape of one character has ten.
            assert!(text.chars().count() <= 10 * LONGEST_QUOTE + 1, "{text}");
        }
        assert!(certificate::issuer(der).is_some());
    }
    let _ = certificate::is_weak(der);
    let _ = Distrust::of(der, &[]);
    let Some(standing) = certificate::standing(der) else { return };
    assert!(standing.not_before <= 253_402_300_799 && standing.not_after <= 253_402_300_799);
    if let Ok(roots) = Roots::private(&pem(der)) {
        assert_eq!(roots.has_any_that_stands_alone(), !standing.is_authority);
        let _ = roots.dates(0).count();
        let now = rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            1_800_000_000,
        ));
        let name = ServerName::try_from("db.example").unwrap();
        // It is trusted alone only for its own name, and in its own time.
        if roots.verify(der, &[], &name, &[], now).is_ok() && !standing.is_authority {
            assert!((standing.not_before..=standing.not_after).contains(&now.as_secs()));
            let parsed = ParsedCertificate::try_from(der).unwrap();
            assert!(standing.is_for_servers && verify_server_name(&parsed, &name).is_ok());
        }
    }
}
