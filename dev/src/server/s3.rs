//! A real S3 server, in this process: s3s over a folder.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::DevError;
use crate::authority::Leaf;
use crate::folder::Folder;
use crate::kept::{self, Place};
use crate::server::Account;
use crate::server::tls::TlsListener;

/// A server for one access key. It serves until it is dropped.
pub struct S3 {
    runtime: Option<Runtime>,
    data: PathBuf,
    /// Removed with the server.
    _folder: Folder,
    _place: Option<Place>,
    /// The port that it listens on.
    pub port: u16,
}

impl S3 {
    /// Starts a server with this certificate, this access key and these buckets.
    ///
    /// # Errors
    /// If it cannot listen, or if the certificate is none.
    pub fn start(leaf: &Leaf, account: &Account, buckets: &[&str]) -> Result<Self, DevError> {
        Self::keep(leaf, account, buckets, None)
    }

    /// The same with kept data, if there is a place for them.
    pub(crate) fn keep(
        leaf: &Leaf,
        account: &Account,
        buckets: &[&str],
        place: Option<Place>,
    ) -> Result<Self, DevError> {
        let folder = Folder::of_values("s3")?;
        let data = match &place {
            None => folder.folder("data")?,
            Some(place) => place.data(false, |_| Ok(()))?,
        };
        for bucket in buckets {
            kept::make_folder(&data.join(bucket), 0o700)?;
        }
        let app = router(&data, account)?;
        let configuration = Arc::new(configuration(leaf)?);
        let cannot = |error| DevError::system("the server for S3 cannot listen", &error);
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let port = listener.local_addr().map_err(cannot)?.port();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(cannot)?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener).map_err(cannot)?
        };
        let listener = TlsListener::new(listener, configuration);
        runtime.spawn(async move { axum::serve(listener, app).await });
        Ok(Self { runtime: Some(runtime), data, _folder: folder, _place: place, port })
    }

    /// The value of the `_ENDPOINT` variable.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The folder of the buckets.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.data
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("port", &self.port).finish_non_exhaustive()
    }
}

/// The application that serves a folder, whose folders are the buckets, to one access key.
///
/// # Errors
/// If the folder is none.
pub fn router(folder: &Path, account: &Account) -> Result<Router, DevError> {
    let files = FileSystem::new(folder).map_err(|_| {
        DevError::new(format!("{} is not a folder that can be served", folder.display()))
    })?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(account.name(), account.password()));
    let service = builder.build();
    Ok(Router::new().fallback(move |request: Request| {
        let service = service.clone();
        async move {
            match service.call(request.map(s3s::Body::http_body_unsync)).await {
                Ok(response) => response.map(Body::new),
                Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
    }))
}

fn configuration(leaf: &Leaf) -> Result<ServerConfig, DevError> {
    let chain = CertificateDer::pem_slice_iter(leaf.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(DevError::certificate)?;
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).map_err(DevError::certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(DevError::certificate)
}
