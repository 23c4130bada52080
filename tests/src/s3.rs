//! A real S3 server: s3s over a folder, under TLS with a certificate of the harness.

use backing_services_dev::server::{Account, s3};

use crate::canary::PASSWORD;
use crate::folder::Folder;
use crate::https::Https;
use crate::pki::{Authority, Leaf};

/// The id of the access key.
pub const USER: &str = "AKIAWINKELIER00000000";

/// The only bucket.
pub const BUCKET: &str = "winkelgegevens";

/// A server that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct S3 {
    /// The HTTPS server below it.
    pub server: Https,
    folder: Folder,
}

impl S3 {
    /// A server with a valid certificate.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let leaf = authority.server();
        Self::with(authority, &leaf)
    }

    /// A server with this certificate.
    #[must_use]
    pub fn with(authority: Authority, leaf: &Leaf) -> Self {
        Self::configured(authority, leaf, None)
    }

    /// The same, which requires a client certificate of this authority if there is one.
    #[must_use]
    pub fn configured(authority: Authority, leaf: &Leaf, client_ca: Option<&str>) -> Self {
        let folder = Folder::new("s3");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        let app = s3::router(folder.path(), &Account::new(USER, PASSWORD)).unwrap();
        Self { server: Https::requiring(authority, leaf, client_ca, app), folder }
    }

    /// The value of the `_ENDPOINT` variable.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.server.port)
    }

    /// The content of an object, read from the folder.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.path().join(BUCKET).join(key)).ok()
    }
}
