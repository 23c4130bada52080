//! A real HTTPS server: axum, over TLS with a certificate of the harness.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use axum::serve::Listener;
use backing_services_dev::server::tls::TlsListener;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::server::TlsStream;

use crate::canary::PASSWORD;
use crate::hostile::{self, Asking};
use crate::pki::{Authority, Leaf};

/// The account of `/api/health` and `/api/orders`.
pub const USER: &str = "winkelier";

/// A server that runs until it is stopped or dropped. Its API is below `/api`.
#[derive(Debug)]
pub struct Https {
    runtime: Option<Runtime>,
    state: Shared,
    /// The port that it listens on.
    pub port: u16,
    /// The issuer of its certificate, if that is a valid authority.
    pub authority: Authority,
}

#[derive(Clone, Debug, Default)]
struct Shared {
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    versions: Arc<Mutex<Vec<Version>>>,
}

impl Https {
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
        Self::serve(authority, leaf, app())
    }

    /// A server that requests a client certificate, or does not.
    #[must_use]
    pub fn asking(authority: Authority, asking: Asking) -> Self {
        let leaf = authority.server();
        let configuration = asking.configuration(&leaf, rustls::ALL_VERSIONS);
        let anybody = Router::new().route("/api/health", get(|| async { "well" }));
        Self::serve_with(authority, configuration, anybody)
    }

    /// A server with this certificate, which requires a client certificate of this authority if
    /// there is one.
    #[must_use]
    pub fn configured(authority: Authority, leaf: &Leaf, client_ca: Option<&str>) -> Self {
        Self::requiring(authority, leaf, client_ca, app())
    }

    /// A server for another application.
    #[must_use]
    pub fn serve(authority: Authority, leaf: &Leaf, app: Router) -> Self {
        Self::requiring(authority, leaf, None, app)
    }

    /// The same, which requires a client certificate of this authority if there is one.
    pub(crate) fn requiring(
        authority: Authority,
        leaf: &Leaf,
        client_ca: Option<&str>,
        app: Router,
    ) -> Self {
        Self::serve_with(authority, configuration(leaf, client_ca), app)
    }

    fn serve_with(authority: Authority, configuration: Arc<ServerConfig>, app: Router) -> Self {
        let listener = hostile::listen();
        let port = listener.local_addr().expect("a port").port();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = {
            let _entered = runtime.enter();
            TlsListener::new(TcpListener::from_std(listener).expect("a listener"), configuration)
        };
        let state = Shared { accepted: listener.accepted(), ..Shared::default() };
        let listener = Counting { listener, open: Arc::clone(&state.open) };
        let app = app.layer(axum::middleware::from_fn_with_state(state.clone(), remember));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { runtime: Some(runtime), state, port, authority }
    }

    /// Stops the server, and closes every connection.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// The locator of its API.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("https://localhost:{}/api", self.port)
    }

    /// The requests so far: the method, and the path with the query.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().expect("the requests").clone()
    }

    /// The HTTP version of each request so far.
    #[must_use]
    pub fn versions(&self) -> Vec<Version> {
        self.state.versions.lock().expect("the versions").clone()
    }

    /// The number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// The number of accepted TCP connections.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Waits until no connection is left.
    ///
    /// # Panics
    /// If one is left after some seconds.
    pub async fn assert_no_connection(&self) {
        for _ in 0..100 {
            if self.connections() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} connections are left", self.connections());
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn configuration(leaf: &Leaf, client_ca: Option<&str>) -> Arc<ServerConfig> {
    let configuration = match client_ca {
        Some(ca) => hostile::requiring(leaf, ca),
        None => Asking::Not.configuration(leaf, rustls::ALL_VERSIONS),
    };
    let mut configuration = Arc::unwrap_or_clone(configuration);
    configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(configuration)
}

async fn remember(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    state.requests.lock().expect("the requests").push(format!("{} {path}", request.method()));
    state.versions.lock().expect("the versions").push(request.version());
    next.run(request).await
}

fn app() -> Router {
    Router::new()
        .route("/api/health", get(|headers: HeaderMap| async move { admitted(&headers, "well") }))
        .route("/api/orders", get(|headers: HeaderMap| async move { admitted(&headers, "[7]") }))
        .route("/api/echo", post(|body: Bytes| async move { body }))
        .route("/api/headers", any(|headers: HeaderMap| async move { format!("{headers:?}") }))
        .route("/api/bytes", get(bytes))
        .route(
            "/api/moved",
            get(|| async {
                (StatusCode::FOUND, [("location", "https://127.0.0.1:1/elsewhere")], "")
            }),
        )
        .route("/secret", get(|| async { "outside of the base path" }))
}

/// Admits the one account: by Basic, or with its password as a token.
fn admitted(headers: &HeaderMap, answer: &'static str) -> Response {
    let said =
        headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    if said == basic || said == format!("Bearer {PASSWORD}") {
        ([("server", "a test server/1.0")], answer).into_response()
    } else {
        (StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic")], "kanarie: no").into_response()
    }
}

/// A body of this number of bytes.
async fn bytes(Query(query): Query<HashMap<String, usize>>) -> Body {
    Body::from(vec![b'x'; query.get("count").copied().unwrap_or_default()])
}

/// Counts the connections of a listener.
struct Counting {
    listener: TlsListener,
    open: Arc<AtomicUsize>,
}

impl Listener for Counting {
    type Io = Counted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Counted, SocketAddr) {
        let (stream, address) = self.listener.accept().await;
        self.open.fetch_add(1, Ordering::SeqCst);
        (Counted { stream, open: Arc::clone(&self.open) }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that is counted while it is open.
#[derive(Debug)]
pub struct Counted {
    stream: TlsStream<TcpStream>,
    open: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
