//! Certificates for the tests: those of [`crate::authority`], and invalid ones.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::authority::{self, NAMES, authority_parameters, server_parameters};
pub use crate::authority::{Leaf, SUBJECT};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ED25519,
};

use crate::folder::Folder;
use crate::process::{self, unprivileged};
use crate::program::Programs;

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate authority.
#[derive(Clone, Debug)]
pub struct Authority(Arc<authority::Authority>);

impl Authority {
    /// A new authority.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::new(authority::Authority::new(name).unwrap()))
    }

    /// A new authority that signs with this key.
    #[must_use]
    pub fn with(name: &str, key: KeyPair) -> Self {
        Self(Arc::new(authority::Authority::with(name, authority_parameters(name), key).unwrap()))
    }

    /// An authority whose validity ends in this number of seconds.
    #[must_use]
    pub fn ending_in(name: &str, seconds: i64) -> Self {
        let mut params = authority_parameters(name);
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
        let mut params = server();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::ExplicitNoCa;
        Self::of(name, params)
    }

    /// An authority (`CA:TRUE`) whose key may not sign certificates.
    #[must_use]
    pub fn that_may_not_sign(name: &str) -> Self {
        let mut params = authority_parameters(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        Self::of(name, params)
    }

    fn of(name: &str, params: CertificateParams) -> Self {
        Self(Arc::new(authority::Authority::with(name, params, authority::key().unwrap()).unwrap()))
    }

    /// Its own certificate and key, as a server would present them.
    #[must_use]
    pub fn as_leaf(&self) -> Leaf {
        self.0.as_leaf()
    }

    /// An authority below this one.
    #[must_use]
    pub fn intermediate(&self, name: &str) -> Self {
        Self(Arc::new(self.0.intermediate(name).unwrap()))
    }

    /// Its own certificate in PEM: the value of a `_CA` variable.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server certificate, valid for every name of the loopback interface.
    #[must_use]
    pub fn server(&self) -> Leaf {
        self.0.server().unwrap()
    }

    /// The same, with this subject.
    #[must_use]
    pub fn server_called(&self, subject: &str) -> Leaf {
        let mut params = server();
        params.distinguished_name.push(DnType::CommonName, subject);
        self.issue(params)
    }

    /// The same, for this key.
    #[must_use]
    pub fn server_with(&self, key: &KeyPair) -> Leaf {
        self.0.issue(server(), key).unwrap()
    }

    /// A certificate whose validity ended yesterday.
    #[must_use]
    pub fn expired(&self) -> Leaf {
        self.issue(valid(server(), -30, -1))
    }

    /// A certificate whose validity begins tomorrow.
    #[must_use]
    pub fn not_yet_valid(&self) -> Leaf {
        self.issue(valid(server(), 1, 30))
    }

    /// A certificate with this number of days left, and half a day more.
    #[must_use]
    pub fn about_to_expire(&self, days: u32) -> Leaf {
        let mut params = valid(server(), -30, 30);
        params.not_after = (SystemTime::now() + DAY * days + DAY / 2).into();
        self.issue(params)
    }

    /// A certificate for another host.
    #[must_use]
    pub fn other_host(&self) -> Leaf {
        self.issue(server_parameters(&["db.example.com"]).unwrap())
    }

    /// A certificate that is valid for clients only.
    #[must_use]
    pub fn not_for_servers(&self) -> Leaf {
        let mut params = server_parameters(&["localhost"]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// A server certificate that is valid for a client, too.
    #[must_use]
    pub fn server_and_client(&self) -> Leaf {
        let mut params = server();
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.issue(params)
    }

    /// A client certificate.
    #[must_use]
    pub fn client(&self, name: &str) -> Leaf {
        self.0.client(name).unwrap()
    }

    fn issue(&self, params: CertificateParams) -> Leaf {
        self.0.issue(params, &authority::key().unwrap()).unwrap()
    }
}

/// An RSA key of 2048 bits. `openssl` makes it, because ring cannot.
#[must_use]
pub fn rsa_key() -> KeyPair {
    let mut openssl = Command::new(Programs::installed().find("openssl").unwrap());
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
    let key = authority::key().unwrap();
    let certificate = server().self_signed(&key).expect("a certificate");
    Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// A server certificate for an RSA key of so many bits, signed by RSA with this digest, and its
/// authority. `openssl` makes them, because ring refuses weak ones.
#[must_use]
pub fn weak(bits: u32, digest: &str) -> (Leaf, String) {
    let folder = Folder::new("weak").unwrap();
    folder
        .write("extensions", "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    for line in [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 30"
            .to_owned(),
        format!(
            "req -newkey rsa:{bits} -nodes -keyout server.key -out server.csr -subj /CN=server"
        ),
        format!(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 2 -days 30 -{digest} \
             -extfile extensions -out server.pem"
        ),
    ] {
        let mut openssl = unprivileged("openssl");
        process::run(openssl.args(line.split(' ')).current_dir(folder.path())).unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    (Leaf { certificate: read("server.pem"), key: read("server.key") }, read("ca.pem"))
}

/// The parameters of a valid server certificate.
fn server() -> CertificateParams {
    server_parameters(&NAMES).unwrap()
}

/// The same with another validity, in days from now.
fn valid(mut params: CertificateParams, from: i32, until: i32) -> CertificateParams {
    params.not_before = day(from).into();
    params.not_after = day(until).into();
    params
}

fn day(from_now: i32) -> SystemTime {
    let distance = DAY * from_now.unsigned_abs();
    if from_now < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
}
