//! An HTTP API, through [`HttpsClient`]: one origin, below one base path, with limits for body
//! sizes and times.
//!
//! # Locator
//! `https://host:port/base/path`. The port is 443 and the base path is `/` unless the locator sets
//! them.
//!
//! - `https://user:password@host`, or the `_USER` and `_PASSWORD` variables: a Basic login.
//! - A password without a user (`https://:token@host`, or `_PASSWORD` alone): a Bearer token.
//! - A client certificate needs neither. Each handshake then has to request it; a server that does
//!   not is the finding `weak_authentication`.
//! - Without any of them, requests carry no credentials.
//!
//! Parameters:
//!
//! - `health`: a path below the base path that answers 2xx to a `GET` if the service is healthy.
//!   The request carries the credentials, so that they are checked. No default.
//! - `connect_timeout`: the limit for connecting in seconds, 1 to 300. The default is 10.
//! - `response_timeout`: the limit for a request in milliseconds, 1 to 3 600 000, from connecting
//!   to the last byte of the body. The default is 30 000.
//! - `max_body`: the limit for a response's body, 1024 to 1 073 741 824 bytes. The default is
//!   16 MiB.
//!
//! The path may be a secret, as in the URL of a webhook (Slack, Discord, Telegram). So it is never
//! shown: the posture, reports, logs and errors have scheme, host and port. If a server's text
//! repeats it, it is redacted there, as a password is.
//!
//! # How it is attached
//! - **With a `health` path**, by a `GET` of it, with the credentials. 401 and 403 mean that the
//!   credentials are not accepted; any other status that is not 2xx means that the service is not
//!   healthy. It is the client's first connection, verified like all later ones, and it stays open
//!   for the first request. The posture has the certificate and the version of TLS; the driver does
//!   not report the cipher.
//! - **Without one**, by a TLS handshake, without a request. No path exists in every API, so the
//!   credentials are not checked; the posture says so.
//!
//! HTTP does not report the account's privileges.
//!
//! # What a request may do
//! It names a path below the base path: no absolute URL, no `//host`, no `.` or `..` (also not
//! percent-encoded, once or more often, and not with parameters after a `;`, as in `..;/`), no
//! backslash, no fragment, and nothing that is not UTF-8 once it is decoded. A header cannot set
//! the host, a proxy or the framing of the message. Redirects are not followed: the caller gets the
//! 3xx response. Cookies are neither kept nor sent. Only the locator's host is resolved, and its
//! addresses are checked against the address rules each time.
//!
//! # What a server may send
//! A body of at most `max_body` bytes, whatever `Content-Length` says. Compressed bodies are not
//! decompressed. 100 headers and some 400 KiB of them, in HTTP/2 64 KiB. `response_timeout` also
//! limits interim responses (1xx) and slow bytes.

pub mod http;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use backing_services_rules::Scheme;
use backing_services_rules::rule::{MALFORMED_LOCATOR, MALFORMED_VALUE};
use backing_services_runtime::posture::{ServerPosture, printable};
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::resource::ClientGuard;
use backing_services_runtime::service::connections::Connections;
use backing_services_runtime::service::progress::Step;
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{
    Attachment, Attempt, Login, Parameter, Refusal, Target, Witness, progress,
};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Body, Method, StatusCode};
use secrecy::ExposeSecret as _;
use url::Url;

pub use reqwest;

/// An HTTP API. [The module](self) documents its locator, and how it is attached.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Https;

/// The default `response_timeout`: 30 s.
const RESPONSE_TIMEOUT: u64 = 30_000;

/// The default `max_body`: 16 MiB.
const MAX_BODY: u64 = 16 * 1024 * 1024;

#[diagnostic::do_not_recommend]
impl Service for Https {
    type Client = HttpsClient;
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "HTTPS";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("https")];
    const PATH: Option<&'static str> = Some("what every request's path begins with");
    const LOGIN: Login = Login::Optional;
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::text("health", 1024),
        Parameter::number("response_timeout", 1, 3_600_000),
        Parameter::number("max_body", 1024, 1024 * 1024 * 1024),
        Parameter::refused("proxy", "remove it: the host is dialled itself"),
        Parameter::refused("redirect", "remove it: redirects are not followed"),
    ];

    fn check(target: &Target) -> Vec<Finding> {
        let mut findings = Vec::new();
        match base(target) {
            None => findings.push(
                Finding::new(
                    &MALFORMED_LOCATOR,
                    "its path holds a part that is empty, `.` or `..`, or is no path",
                )
                .with_help("write the path as the server has it: `/api/v2`"),
            ),
            Some(base) => {
                if target
                    .locator()
                    .parameter("health")
                    .is_some_and(|path| reach(&base, path).is_err())
                {
                    let finding = Finding::new(
                        &MALFORMED_LOCATOR,
                        "the value of the parameter `health` is no path below the base path",
                    );
                    findings.push(finding.with_help("write a path alone: `/healthz`"));
                }
            }
        }
        if target.password().is_some() && authorization(target).is_none() {
            findings.push(
                Finding::new(
                    &MALFORMED_VALUE,
                    "its user holds a `:`, or its token something else than visible ASCII \
                     characters",
                )
                .with_help("HTTP has no way to send these: ask for other credentials"),
            );
        }
        findings
    }

    async fn connect(
        target: &Target,
        attempt: Attempt,
    ) -> Result<Attachment<HttpsClient>, Refusal> {
        let mut posture = Posture::of::<Self>(target);
        let (client, witness) = HttpsClient::new(target)?;
        if client.shared.health.is_none() {
            posture.tls = target.dial().await?.tls;
            posture
                .remarks
                .push("the locator has no `health` path: the credentials were not tried");
        } else {
            progress::at(Step::Connecting);
            let response = with_timeout(attempt.time_left(), client.healthy())
                .await
                .map_err(Refusal::from)??;
            posture.tls =
                if target.is_plaintext() { None } else { Some(witness.posture_of_connected()?) };
            posture.server = response.header("server").map(|server| ServerPosture::new(server, ""));
            posture.account = target.user().map(printable);
            posture.authentication = match (target.user(), target.password()) {
                (Some(_), Some(_)) => Some("Basic".to_owned()),
                (None, Some(_)) => Some("Bearer".to_owned()),
                (_, None) if target.is_login_by_certificate(posture.tls.as_ref()) => {
                    Some("client certificate".to_owned())
                }
                (_, None) => None,
            };
        }
        Ok(Attachment::new(client, posture))
    }

    async fn health(client: &HttpsClient) -> Result<(), Refusal> {
        if client.shared.health.is_none() {
            return client.shared.target.dial().await.map(drop);
        }
        client.healthy().await.map(drop)
    }

    async fn close(client: &HttpsClient) {
        client.close().await;
    }
}

/// The origin and the base path, without a `/` at its end; `None` if the path is not a valid base
/// path.
fn base(target: &Target) -> Option<Url> {
    let locator = target.locator();
    let scheme = if target.is_plaintext() { "http" } else { "https" };
    let mut url =
        Url::parse(&format!("{scheme}://{}:{}/", locator.host()?, locator.port())).ok()?;
    let path = locator.path();
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(url);
    }
    let is_sound = |part: &str| !part.is_empty() && http::climbs(part).is_none();
    if !path.split('/').all(is_sound) || path.contains(['\\', '%', '?', '#']) {
        return None;
    }
    url.path_segments_mut().ok()?.clear().extend(path.split('/'));
    Some(url)
}

/// The `Authorization` header. `None` if there are no credentials, or HTTP cannot encode them.
fn authorization(target: &Target) -> Option<HeaderValue> {
    let password = target.password()?.expose_secret();
    let value = match target.user() {
        // RFC 7617, 2: the first `:` ends the user.
        Some(user) if user.contains(':') => return None,
        Some(user) => format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
        None if password.bytes().all(|byte| byte.is_ascii_graphic()) => {
            format!("Bearer {password}")
        }
        None => return None,
    };
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The URL of a path, if it stays below the base path.
fn reach(base: &Url, path: &str) -> Result<Url, HttpsError> {
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HttpsError::Path(
            "it holds a blank, a control character or something beyond ASCII, which are \
             percent-encoded",
        ));
    }
    if path.contains(['\\', '#']) {
        return Err(HttpsError::Path("it holds a backslash or a `#`, which are percent-encoded"));
    }
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.starts_with('/') || path.contains("://") {
        return Err(HttpsError::Path("it names a host, which is the locator's to name"));
    }
    if let Some(why) = path.split('/').find_map(http::climbs) {
        return Err(HttpsError::Path(why));
    }
    let mut url = base.clone();
    if !path.is_empty() {
        url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    }
    url.set_query(query);
    // Check the URL after `url` has normalized it: the origin and the base path must be unchanged.
    let stays = url.origin() == base.origin()
        && url.path().strip_prefix(base.path()).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('/') || base.path().ends_with('/')
        });
    if stays { Ok(url) } else { Err(HttpsError::Path("it leads out of the base path")) }
}

/// Headers that set a message's destination or framing. The locator and the client decide these.
const OWN_HEADERS: &[&str] = &[
    "connection", "content-length", "expect", "forwarded", "host", "keep-alive",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
];

/// A client of one HTTP API. Clones share its connections.
///
/// ```no_run
/// # use backing_services::services::https::{Https, HttpsError};
/// # async fn example(rates: backing_services::Resource<Https>) -> Result<(), HttpsError> {
/// let response = rates.client().get("/v2/latest").query("base", "EUR").send().await?;
/// if response.status().is_success() {
///     let body = response.bytes().await?; // at most `max_body` bytes
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct HttpsClient {
    shared: Arc<Shared>,
}

struct Shared {
    target: Target,
    base: Url,
    health: Option<Url>,
    authorization: Option<HeaderValue>,
    max_body: u64,
    /// `None` after closing.
    http: ArcSwapOption<reqwest::Client>,
    connections: Connections,
}

impl HttpsClient {
    fn new(target: &Target) -> Result<(Self, Witness), Refusal> {
        let locator = target.locator();
        let malformed = || Refusal::from(Finding::new(&MALFORMED_LOCATOR, "its path is no path"));
        let base = base(target).ok_or_else(malformed)?;
        let health = locator
            .parameter("health")
            .map(|path| reach(&base, path).map_err(|_| malformed()))
            .transpose()?;
        let timeout =
            Duration::from_millis(locator.number("response_timeout").unwrap_or(RESPONSE_TIMEOUT));
        let connections = Connections::new();
        let (builder, witness) = http::builder(target, http::Versions::OneAndTwo, &connections)?;
        let http = http::build(builder.timeout(timeout))?;
        let shared = Shared {
            target: target.clone(),
            base,
            health,
            authorization: authorization(target),
            max_body: locator.number("max_body").unwrap_or(MAX_BODY),
            http: ArcSwapOption::from_pointee(http),
            connections,
        };
        Ok((Self { shared: Arc::new(shared) }, witness))
    }

    /// A `GET` of a path below the base path.
    pub fn get(&self, path: &str) -> HttpsRequest {
        self.request(Method::GET, path)
    }

    /// A `POST` to a path below the base path.
    pub fn post(&self, path: &str) -> HttpsRequest {
        self.request(Method::POST, path)
    }

    /// A `PUT` to a path below the base path.
    pub fn put(&self, path: &str) -> HttpsRequest {
        self.request(Method::PUT, path)
    }

    /// A `DELETE` of a path below the base path.
    pub fn delete(&self, path: &str) -> HttpsRequest {
        self.request(Method::DELETE, path)
    }

    /// A request for a path below the base path, which may have a query. [`HttpsRequest::send`]
    /// returns the error if the path is not valid.
    pub fn request(&self, method: Method, path: &str) -> HttpsRequest {
        let (url, problem) = match reach(&self.shared.base, path) {
            Ok(url) => (url, None),
            Err(problem) => (self.shared.base.clone(), Some(problem)),
        };
        HttpsRequest {
            client: self.clone(),
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            timeout: None,
            problem,
        }
    }

    /// Requests the `health` path.
    async fn healthy(&self) -> Result<HttpsResponse, Refusal> {
        let Some(url) = self.shared.health.clone() else { return Err(Failure::detached().into()) };
        let request = HttpsRequest {
            client: self.clone(),
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
            timeout: None,
            problem: None,
        };
        let response = request.send().await.map_err(HttpsError::into_refusal)?;
        match response.status().as_u16() {
            200..=299 => Ok(response),
            401 | 403 => Err(Failure::new(
                FailureKind::AuthenticationFailed,
                "the server does not accept the credentials for the `health` path",
                "check the user, the password or the token; they may have been rotated",
            )
            .into()),
            300..=399 => Err(Failure::new(
                FailureKind::Unavailable,
                "the server wants to send us elsewhere from the `health` path, and redirects are \
                 not followed",
                "write the host and the path that answer themselves",
            )
            .into()),
            status => Err(Failure::new(
                FailureKind::Unavailable,
                format!("the server answers to the `health` path with the status {status}"),
                "check the path, and the server's log",
            )
            .into()),
        }
    }

    /// Refuses new requests. Idle connections close; those in use close after the response was
    /// read. Then every opening ends that no request waits for.
    async fn close(&self) {
        let Some(http) = self.shared.http.swap(None) else { return };
        let _cut = self.shared.connections.close_on_drop();
        // Each request in flight holds a clone: the count is the only signal of its end.
        while Arc::strong_count(&http) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.shared.connections.close().await;
    }
}

impl fmt::Debug for HttpsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpsClient({})", self.shared.target.locator())
    }
}

/// A request that has not been sent yet.
#[must_use = "a request is sent by `send`"]
pub struct HttpsRequest {
    client: HttpsClient,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Body>,
    timeout: Option<Duration>,
    problem: Option<HttpsError>,
}

impl HttpsRequest {
    /// Adds `name=value` to the query, percent-encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Sets a header. [`HttpsRequest::send`] refuses one that sets the message's destination or
    /// framing (`Host`, `Content-Length`, `Transfer-Encoding` and the like). The request's own
    /// `Authorization` replaces the resource's.
    pub fn header(
        mut self,
        name: impl TryInto<HeaderName>,
        value: impl TryInto<HeaderValue>,
    ) -> Self {
        match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(_)) if OWN_HEADERS.contains(&name.as_str()) => {
                self.problem.get_or_insert(HttpsError::Header(
                    "it says where the message goes or ends, which is the client's to say",
                ));
            }
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            _ => {
                self.problem.get_or_insert(HttpsError::Header(
                    "its name or its value is none that HTTP has",
                ));
            }
        }
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets how long this request may take, instead of the locator's `response_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the request. A status other than 2xx is not an error.
    ///
    /// # Errors
    /// [`HttpsError`]: the path or a header is refused, or there is no response.
    pub async fn send(self) -> Result<HttpsResponse, HttpsError> {
        let Self { client, method, url, mut headers, body, timeout, problem } = self;
        if let Some(problem) = problem {
            return Err(problem);
        }
        let Some(http) = client.shared.http.load_full() else {
            return Err(HttpsError::Refused(Failure::detached().into()));
        };
        if let Some(authorization) = &client.shared.authorization {
            headers.entry(reqwest::header::AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers;
        *request.body_mut() = body;
        *request.timeout_mut() = timeout;
        match http.execute(request).await {
            Ok(response) => {
                let left = client.shared.max_body;
                Ok(HttpsResponse { response, left, client, _http: http })
            }
            Err(error) => Err(HttpsError::Refused(http::refusal(&client.shared.target, &error))),
        }
    }
}

impl fmt::Debug for HttpsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpsRequest({} to {})", self.method, self.client.shared.target.locator())
    }
}

/// A response whose body has not been read yet.
pub struct HttpsResponse {
    response: reqwest::Response,
    /// The bytes that the rest of the body may have.
    left: u64,
    client: HttpsClient,
    /// Keeps the connections open until the body was read.
    _http: Arc<reqwest::Client>,
}

impl HttpsResponse {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers, as the server sent them.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header's value, if it is visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// [`HttpsError::TooLarge`] if all pieces together are larger than `max_body`;
    /// [`HttpsError::Refused`] if the connection fails or the time limit ends.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpsError> {
        let chunk = self.response.chunk().await;
        let chunk = chunk.map_err(|error| {
            HttpsError::Refused(http::refusal(&self.client.shared.target, &error))
        })?;
        let Some(chunk) = chunk else { return Ok(None) };
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(length).ok_or(HttpsError::TooLarge)?;
        Ok(Some(Vec::from(chunk)))
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`HttpsResponse::chunk`].
    pub async fn bytes(mut self) -> Result<Vec<u8>, HttpsError> {
        // `Content-Length` is not trusted: it can only end the response early.
        if self.response.content_length().is_some_and(|length| length > self.left) {
            return Err(HttpsError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The whole body, as UTF-8.
    ///
    /// # Errors
    /// As [`HttpsResponse::chunk`], and [`HttpsError::NotText`].
    pub async fn text(self) -> Result<String, HttpsError> {
        String::from_utf8(self.bytes().await?).map_err(|_| HttpsError::NotText)
    }
}

impl fmt::Debug for HttpsResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "HttpsResponse({} from {})",
            self.status().as_u16(),
            self.client.shared.target.locator()
        )
    }
}

/// The reason why there is no response, or no body. It contains no URL, no header, and no text of
/// the server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HttpsError {
    /// The path is not below the base path, with the reason.
    Path(&'static str),
    /// A header is refused, with the reason.
    Header(&'static str),
    /// The body is larger than `max_body`.
    TooLarge,
    /// The body is not UTF-8.
    NotText,
    /// The refusal that attaching would return too.
    Refused(Refusal),
}

impl HttpsError {
    fn into_refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            other => Failure::new(
                FailureKind::Protocol,
                other.to_string(),
                "check what answers on the port",
            )
            .into(),
        }
    }
}

impl fmt::Display for HttpsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(why) => write!(f, "the path is refused: {why}"),
            Self::Header(why) => write!(f, "the header is refused: {why}"),
            Self::TooLarge => f.write_str("the response's body is larger than `max_body`"),
            Self::NotText => f.write_str("the response's body is not UTF-8"),
            Self::Refused(refusal) => fmt::Display::fmt(refusal, f),
        }
    }
}

impl std::error::Error for HttpsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_base() {
        for base in [
            "https://api.example.com/",
            "https://api.example.com/v2/shop",
            "https://api.example.com:8443/v2",
        ] {
            let base = Url::parse(base).unwrap();
            for path in [
                "//evil.example", "///evil.example", "https://evil.example/",
                "http://evil.example", "a://b", "..", "/..", "../x", "a/../../x", "%2e%2e/x",
                "a/%2E%2e", ".%2e/x", "..%2fx", "a%5c..%5cx", "..%5Cx", "\\\\evil.example",
                "/\\evil.example", "a\\b", "x#y", "a b", "a\nb", "a\r\nHost: evil", "ü", "./x",
                "a/./b", "%00", "a%0d%0ab", "/..?x", "..;/x", "..;", ".;/x", "..;a=b/x",
                "a/..;/../x", "..%3b/x", "..%3B", "%2e%2e;/x", "%2e%2e%3bx", ".%2e;x=y/z",
                "%252e%252e/x", "..%253b/x", "%25252e%25252e%25252fx", "a/..%252fx", "..;%2fx",
                "a%2f..;b", "..%5c;x", "a%5c..;x", "..%20/x", "%20../x", "..%20;a",
                "%c0%ae%c0%ae/x", "%c0%af", "%ff", "a%2500b", "%ef%bc%8e%ef%bc%8e/x",
                "%e2%80%a5/x", "..%ef%bc%8fx", "..%ef%bc%9bx", "%e2%80%a4%e2%80%a4/x",
            ] {
                assert!(matches!(reach(&base, path), Err(HttpsError::Path(_))), "{path}");
            }
            for (path, expected) in [
                ("", ""),
                ("/", ""),
                ("orders", "/orders"),
                ("/orders/7", "/orders/7"),
                ("orders/7/", "/orders/7/"),
                ("a//b", "/a//b"),
                ("a%2Fb", "/a%2Fb"),
                ("m:predict", "/m:predict"),
                ("a@b", "/a@b"),
                ("...", "/..."),
                ("@evil.example", "/@evil.example"),
                (":443/x", "/:443/x"),
                ("a;v=1/b", "/a;v=1/b"),
                (";jsessionid=..", "/;jsessionid=.."),
                ("a%20b%3Bc", "/a%20b%3Bc"),
                ("a..b/..a/a..", "/a..b/..a/a.."),
                ("100%25", "/100%25"),
                ("%c3%bc%e2%80%a6", "/%c3%bc%e2%80%a6"),
            ] {
                let url = reach(&base, path).unwrap();
                assert_eq!(url.origin(), base.origin());
                let wanted = format!("{}{expected}", base.path().trim_end_matches('/'));
                assert_eq!(url.path(), if wanted.is_empty() { "/" } else { &wanted }, "{path}");
            }
            assert_eq!(reach(&base, "a?b=/../c&d=//e").unwrap().query(), Some("b=/../c&d=//e"));
        }
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::check;

    use super::*;

    const PATHS: &[&str] = &[
        "orders/7?b=/../c&d=//e",
        "/m:predict/a;v=1/b",
        "..;/x/.%2e/%2E%2e/%252e%252e%252f",
        "a%2f..;b/..%5c;x/..%20/%c0%ae/\\x",
        "%ef%bc%8e%e2%80%a5%ef%bc%8f%ef%bc%9b%e2%80%a4",
        "//evil.example/https://evil.example/@evil:443#x",
        "%25252525%2520 \u{e4}\u{ff0e}./\r\n",
    ];

    /// The path as different servers read it, naive ones included: each decodes it `decodings`
    /// times, and may remove parameters after a `;` or treat a backslash as a slash.
    fn resolved(path: &str, decodings: usize, cuts: bool, backslashes: bool) -> Vec<String> {
        let mut path = path.as_bytes().to_vec();
        for _ in 0..decodings {
            path = percent_encoding::percent_decode(&path).collect();
        }
        let mut path = String::from_utf8_lossy(&path).into_owned();
        if backslashes {
            path = path.replace('\\', "/");
        }
        let mut stack = Vec::new();
        for part in path.split('/') {
            let part = if cuts { part.split(';').next().unwrap_or_default() } else { part };
            match part.trim_end() {
                "" | "." => {}
                ".." => drop(stack.pop()),
                part => stack.push(part.to_owned()),
            }
        }
        stack
    }

    /// Every accepted path keeps the origin, and stays below the base on all of these servers.
    #[test]
    fn no_server_reads_a_path_that_leaves_the_base() {
        check!(PATHS, |input| {
            let path = input.text();
            let base = Url::parse("https://api.example.com/v2/shop").unwrap();
            let Ok(url) = reach(&base, &path) else { return };
            assert_eq!(url.origin(), base.origin());
            assert!(url.path() == "/v2/shop" || url.path().starts_with("/v2/shop/"), "{url}");
            assert!(url.username().is_empty() && url.password().is_none());
            assert!(url.fragment().is_none());
            for decodings in 0..4 {
                for (cuts, backslashes) in
                    [(false, false), (true, false), (false, true), (true, true)]
                {
                    let parts = resolved(url.path(), decodings, cuts, backslashes);
                    assert!(parts.starts_with(&["v2".into(), "shop".into()]), "{path}: {parts:?}");
                }
            }
        });
    }
}
