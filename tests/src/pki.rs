//! Certificates made at run time: an authority, the certificates that it issues, and invalid ones.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData as _,
};

use crate::process::find;

const DAY: Duration = Duration::from_secs(86_400);

/// The subject of every server certificate.
pub const SUBJECT: &str = "a test server";

/// A certificate authority.
pub struct Authority {
    name: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.name)
    }
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate.
    pub certificate: String,
    /// Its key, as PKCS #8.
    pub key: String,
}

impl Leaf {
    /// The value of a `_PIN` variable for this certificate's key.
    #[must_use]
    pub fn pin(&self) -> String {
        let key = KeyPair::from_pem(&self.key).expect("a key");
        let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
        format!("sha256//{}", BASE64_STANDARD.encode(digest))
    }
}

impl Authority {
    /// A new authority.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with(name, KeyPair::generate().expect("a key"))
    }

    /// A new authority that signs with this key.
    #[must_use]
    pub fn with(name: &str, key: KeyPair) -> Self {
        Self {
            name: name.to_owned(),
            issuer: CertifiedIssuer::self_signed(authority(name), key).expect("an authority"),
        }
    }

    /// An authority whose validity ends in this number of seconds.
    #[must_use]
    pub fn ending_in(name: &str, seconds: i64) -> Self {
        let mut params = authority(name);
        let distance = Duration::from_secs(seconds.unsigned_abs());
        let end =
            if seconds < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance };
        params.not_after = end.into();
        Self::of(name, params)
    }

    /// An issuer whose own certificate is a server's (`CA:FALSE`), valid for every name of the
    /// loopback interface.
    #[must_use]
    pub fn without_authority(name: &str) -> Self {
        let mut params = server(&["localhost", "127.0.0.1", "::1"], -1, 90);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::ExplicitNoCa;
        Self::of(name, params)
    }

    /// An authority (`CA:TRUE`) whose key may not sign certificates.
    #[must_use]
    pub fn that_may_not_sign(name: &str) -> Self {
        let mut params = authority(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        Self::of(name, params)
    }

    fn of(name: &str, params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self {
            name: name.to_owned(),
            issuer: CertifiedIssuer::self_signed(params, key).expect("an authority"),
        }
    }

    /// Its own certificate and key, as a server would present them.
    #[must_use]
    pub fn as_leaf(&self) -> Leaf {
        Leaf { certificate: self.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// An authority below this one.
    #[must_use]
    pub fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self {
            name: name.to_owned(),
            issuer: CertifiedIssuer::signed_by(authority(name), key, &self.issuer)
                .expect("an authority"),
        }
    }

    /// Its own certificate in PEM: the value of a `_CA` variable.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server certificate, valid for every name of the loopback interface.
    #[must_use]
    pub fn server(&self) -> Leaf {
        self.issue(server(&["localhost", "127.0.0.1", "::1"], -1, 90))
    }

    /// The same, with this subject.
    #[must_use]
    pub fn server_called(&self, subject: &str) -> Leaf {
        let mut params = server(&["localhost", "127.0.0.1", "::1"], -1, 90);
        params.distinguished_name.push(DnType::CommonName, subject);
        self.issue(params)
    }

    /// The same, for this key.
    #[must_use]
    pub fn server_with(&self, key: &KeyPair) -> Leaf {
        let certificate = server(&["localhost", "127.0.0.1", "::1"], -1, 90)
            .signed_by(key, &self.issuer)
            .expect("a certificate");
        Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A certificate whose validity ended yesterday.
    #[must_use]
    pub fn expired(&self) -> Leaf {
        self.issue(server(&["localhost", "127.0.0.1", "::1"], -30, -1))
    }

    /// A certificate whose validity begins tomorrow.
    #[must_use]
    pub fn not_yet_valid(&self) -> Leaf {
        self.issue(server(&["localhost", "127.0.0.1", "::1"], 1, 30))
    }

    /// A certificate with this number of days left, and half a day more.
    #[must_use]
    pub fn about_to_expire(&self, days: u32) -> Leaf {
        let mut params = server(&["localhost", "127.0.0.1", "::1"], -30, 30);
        params.not_after = (SystemTime::now() + DAY * days + DAY / 2).into();
        self.issue(params)
    }

    /// A certificate for another host.
    #[must_use]
    pub fn other_host(&self) -> Leaf {
        self.issue(server(&["db.example.com"], -1, 90))
    }

    /// A certificate that is valid for clients only.
    #[must_use]
    pub fn not_for_servers(&self) -> Leaf {
        let mut params = server(&["localhost"], -1, 90);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// A server certificate that is valid for a client, too.
    #[must_use]
    pub fn server_and_client(&self) -> Leaf {
        let mut params = server(&["localhost", "127.0.0.1", "::1"], -1, 90);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.issue(params)
    }

    /// A client certificate.
    #[must_use]
    pub fn client(&self, name: &str) -> Leaf {
        let mut params = server(&[], -1, 90);
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    fn issue(&self, params: CertificateParams) -> Leaf {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// An RSA key of 2048 bits. `openssl` makes it, because ring cannot.
#[must_use]
pub fn rsa_key() -> KeyPair {
    let mut openssl = Command::new(find("openssl", &[]));
    let output = openssl
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let output = output.stderr(Stdio::null()).output().expect("openssl");
    KeyPair::from_pem(str::from_utf8(&output.stdout).expect("a key in PEM")).expect("a key")
}

/// An Ed25519 key.
#[must_use]
pub fn ed25519_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).expect("a key")
}

/// A certificate that is signed by its own key only.
#[must_use]
pub fn self_signed() -> Leaf {
    let key = KeyPair::generate().expect("a key");
    let certificate = server(&["localhost", "127.0.0.1", "::1"], -1, 90)
        .self_signed(&key)
        .expect("a certificate");
    Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A server certificate for some names. Its validity is given in days from now.
fn server(names: &[&str], from: i32, until: i32) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, SUBJECT);
    params.not_before = day(from).into();
    params.not_after = day(until).into();
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn day(from_now: i32) -> SystemTime {
    let distance = DAY * from_now.unsigned_abs();
    if from_now < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
}
