//! Certificates made at run time: an authority, and the certificates that it issues.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData as _,
};

use crate::DevError;
use crate::folder::Folder;

/// The crate of the certificates' parameters.
pub use rcgen;

const DAY: Duration = Duration::from_secs(86_400);

/// The validity of a certificate, in days: longer than any run of tests or development.
const VALIDITY: u32 = 90;

/// The subject of every server certificate.
pub const SUBJECT: &str = "a test server";

/// The names of a server certificate: all names of the loopback interface.
pub const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A private certificate authority. Its key is in the memory of this process alone.
pub struct Authority {
    name: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.name)
    }
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Leaf {
    /// The certificate.
    pub certificate: String,
    /// Its key, as PKCS #8.
    pub key: String,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Leaf {
    /// Writes the certificate and the key into the folder of a server, and returns their paths.
    pub(crate) fn write(&self, folder: &Folder) -> Result<[String; 2], DevError> {
        let certificate = folder.write("server.crt", &self.certificate)?;
        let key = folder.write("server.key", &self.key)?;
        Ok([certificate, key].map(|path| path.display().to_string()))
    }

    /// The value of a `_PIN` variable for this certificate's key.
    ///
    /// # Errors
    /// If the key is none.
    pub fn pin(&self) -> Result<String, DevError> {
        let key = KeyPair::from_pem(&self.key).map_err(DevError::certificate)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
        Ok(format!("sha256//{}", BASE64_STANDARD.encode(digest)))
    }
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// If no key can be generated.
    pub fn new(name: &str) -> Result<Self, DevError> {
        Self::with(name, authority_parameters(name), key()?)
    }

    /// A new authority with these parameters, which signs with this key.
    ///
    /// # Errors
    /// If the parameters are contradictory.
    pub fn with(name: &str, parameters: CertificateParams, key: KeyPair) -> Result<Self, DevError> {
        let issuer =
            CertifiedIssuer::self_signed(parameters, key).map_err(DevError::certificate)?;
        Ok(Self { name: name.to_owned(), issuer })
    }

    /// An authority below this one.
    ///
    /// # Errors
    /// If no key can be generated.
    pub fn intermediate(&self, name: &str) -> Result<Self, DevError> {
        let issuer = CertifiedIssuer::signed_by(authority_parameters(name), key()?, &self.issuer)
            .map_err(DevError::certificate)?;
        Ok(Self { name: name.to_owned(), issuer })
    }

    /// Its own certificate and key, as a server would present them.
    #[must_use]
    pub fn as_leaf(&self) -> Leaf {
        Leaf { certificate: self.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// Its own certificate in PEM: the value of a `_CA` variable.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server certificate, valid for every name of the loopback interface and for 90 days.
    ///
    /// # Errors
    /// If no key can be generated.
    pub fn server(&self) -> Result<Leaf, DevError> {
        self.issue(server_parameters(&NAMES)?, &key()?)
    }

    /// A client certificate, valid for 90 days.
    ///
    /// # Errors
    /// If no key can be generated.
    pub fn client(&self, name: &str) -> Result<Leaf, DevError> {
        let mut parameters = server_parameters(&[])?;
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(parameters, &key()?)
    }

    /// A certificate with these parameters for this key.
    ///
    /// # Errors
    /// If the parameters are contradictory.
    pub fn issue(&self, parameters: CertificateParams, key: &KeyPair) -> Result<Leaf, DevError> {
        let certificate = parameters.signed_by(key, &self.issuer).map_err(DevError::certificate)?;
        Ok(Leaf { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// A new key, for ECDSA with P-256.
///
/// # Errors
/// If the machine gives no random numbers.
pub fn key() -> Result<KeyPair, DevError> {
    KeyPair::generate().map_err(DevError::certificate)
}

/// The parameters of an authority.
#[must_use]
pub fn authority_parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

/// The parameters of a server certificate for some names, from yesterday on and for 90 days.
///
/// # Errors
/// If a name is none.
pub fn server_parameters(names: &[&str]) -> Result<CertificateParams, DevError> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(names).map_err(DevError::certificate)?;
    parameters.distinguished_name.push(DnType::CommonName, SUBJECT);
    // Clocks differ.
    parameters.not_before = (SystemTime::now() - DAY).into();
    parameters.not_after = (SystemTime::now() + DAY * VALIDITY).into();
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters)
}
