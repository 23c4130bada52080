//! S3 and compatible servers, through [`S3Client`]: one bucket, below one prefix, as an
//! [`ObjectStore`].
//!
//! # Locator
//! `s3://bucket/prefix?region=eu-west-1`, with the access key's id as the user and the secret key
//! as the password: in the locator, or better in `_USER` and `_PASSWORD`. Every path that the
//! client is given is below the prefix, and cannot leave it. The `_ENDPOINT` variable sets the
//! server, as `https://minio.example.com:9000`; without it, it is Amazon's of the region. If the
//! endpoint's host begins with the bucket's name (`https://bucket.s3.example.com`), the bucket is
//! addressed by the host, otherwise by the path. Parameters:
//!
//! - `region`: the region that requests are signed for. Required without `_ENDPOINT`; with it, the
//!   default is `us-east-1`.
//! - `style`: `path` or `host`, the place of the bucket's name. The default depends on the
//!   endpoint, as above.
//! - `connect_timeout`: the limit for connecting in seconds, 1 to 300. The default is 10.
//! - `response_timeout`: the time in milliseconds for which a server may be silent, 1 to 3 600 000.
//!   It also counts while a request is sent, so upload large objects in parts. For answers that are
//!   not an object it is also the limit for the whole answer. The default is 30 000.
//!
//! A bucket's name has to be a valid host name: in lower case, and not a number. Keys with a
//! session token are not supported: they expire within hours, and so would the resource.
//!
//! # How it is attached
//! 1. **A separate TLS handshake** with the endpoint, for the posture.
//! 2. **The probe**, at the same time: it lists one key below the prefix. That requires credentials
//!    that the server accepts, and `s3:ListBucket` on the bucket, which may be restricted to the
//!    prefix.
//!
//! Requests carry a signature (AWS Signature Version 4) and never the secret key. Other privileges
//! are not checked: S3 reports the privileges of an account only for actual requests. S3 has no
//! login but by a key, so a client certificate never replaces it.
//!
//! # Sources that are not used
//! Nothing is read from `AWS_*`, from a profile, or from a metadata service: the resource's pair of
//! keys is the only one. Only the endpoint's host is resolved, and its addresses are checked
//! against the address rules each time. Redirects, including those to another region, are not
//! followed. No proxy is used.
//!
//! A key with a part that some servers read as `.` or `..` (`..;x`, `%2e%2e`) is not sent: a proxy
//! in front of the server could resolve it to a path outside the prefix.
//!
//! # What a server may send
//! A list, an error, and any other answer that is not an object is limited to 16 MiB and
//! `response_timeout`. The size of an object is not limited: stream it, or check its `meta` before
//! `bytes()`. object_store repeats a failed request if that is safe: 3 times, within 30 s.

mod closable;

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use backing_services_https::http;
use backing_services_rules::Scheme;
use backing_services_rules::rule::{MALFORMED_LOCATOR, MALFORMED_VALUE, MISSING_CREDENTIALS};
use backing_services_runtime::posture::printable;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::resource::ClientGuard;
use backing_services_runtime::service::connections::Connections;
use backing_services_runtime::service::time::{try_join_prefer_first, with_timeout};
use backing_services_runtime::service::{
    Attachment, Attempt, Host, Locator, Login, Parameter, Refusal, Target,
};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use http_body_util::{BodyExt as _, Limited};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};
use secrecy::ExposeSecret as _;

use crate::closable::Closable;

pub use object_store;

/// S3 and compatible servers. [The module](self) documents the locator, and how it is attached.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct S3;

/// The default `response_timeout`: 30 s.
const RESPONSE_TIMEOUT: u64 = 30_000;

/// The limit for an answer that is not an object, in bytes: 16 MiB. A list of a thousand keys of a
/// thousand bytes has some 1.5 MiB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

#[diagnostic::do_not_recommend]
impl Service for S3 {
    type Client = S3Client;
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "S3";
    const SCHEMES: &'static [Scheme] = &[Scheme::upgraded("s3")];
    const PATH: Option<&'static str> = Some("the prefix of every key");
    const LOGIN: Login = Login::UserAndPassword;
    const ENDPOINT: Option<fn(&Locator) -> Option<String>> = Some(amazon);
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::text("region", 64),
        Parameter::choice("style", &["path", "host"]),
        Parameter::number("response_timeout", 1, 3_600_000),
        Parameter::refused(
            "endpoint",
            "remove it; the endpoint goes into the resource's `_ENDPOINT` variable",
        ),
        Parameter::refused("profile", "remove it: nothing is read from a profile"),
        Parameter::refused("skip_signature", "remove it: every request is signed"),
        Parameter::refused(
            "unsigned_payload",
            "remove it: every request is signed with its payload",
        ),
        Parameter::refused(
            "virtual_hosted_style_request",
            "remove it, and write `style=host` if it is needed",
        ),
    ];

    fn check(target: &Target) -> Vec<Finding> {
        let mut findings = Vec::new();
        if bucket(target).is_none() {
            let finding =
                Finding::new(&MALFORMED_LOCATOR, "its host is an address, and no bucket's name");
            findings.push(finding.with_help(
                "write the bucket behind the `//`, and the server into the `_ENDPOINT` variable",
            ));
        }
        if prefix(target).is_none() {
            let finding = Finding::new(
                &MALFORMED_LOCATOR,
                "its path is no prefix: it holds an empty part, `.`, `..` or a control character",
            );
            findings
                .push(finding.with_help("write the prefix as the keys have it: `/invoices/2026`"));
        }
        if target.endpoint().is_some_and(|endpoint| !stays(endpoint.path())) {
            let finding = Finding::new(
                &MALFORMED_LOCATOR,
                "the endpoint's path holds a part that some servers read as `.` or `..`",
            );
            findings.push(finding.with_help(
                "write the path as the server has it: `https://storage.example.com/s3`",
            ));
        }
        if target.locator().parameter("region").is_some_and(|region| !is_region(region)) {
            let finding = Finding::new(
                &MALFORMED_LOCATOR,
                "the value of the parameter `region` is no region",
            );
            findings.push(finding.with_help("write it as the server does: `eu-west-1`"));
        }
        if target.locator().parameter("style") == Some("host") && !is_in_host(target) {
            let finding = Finding::new(
                &MALFORMED_VALUE,
                "`style=host` is set, and the endpoint's host does not begin with the bucket's \
                 name",
            );
            findings.push(finding.with_help(
                "write the endpoint with the bucket in it: `https://bucket.s3.example.com`",
            ));
        }
        findings
    }

    async fn connect(target: &Target, attempt: Attempt) -> Result<Attachment<S3Client>, Refusal> {
        let endpoint = target.at_endpoint();
        let mut posture = Posture::of::<Self>(target);
        posture.endpoint = format!("{} at {}", target.locator(), endpoint.locator());
        posture.transport = endpoint.locator().transport();
        let client = S3Client::new(target, endpoint.clone())?;
        // Both use the same TLS configuration and the same address rules, so they can run at the
        // same time.
        let dial = async { endpoint.dial().await.map(|dialled| dialled.tls) };
        let probe = async {
            with_timeout(attempt.time_left(), client.probe()).await.map_err(Refusal::from)?
        };
        (posture.tls, ()) = try_join_prefer_first(dial, probe).await?;
        posture.account = target.user().map(printable);
        posture.authentication = Some("AWS Signature Version 4".to_owned());
        posture
            .remarks
            .push("what the account may do beyond listing below the prefix is not checked");
        Ok(Attachment::new(client, posture))
    }

    async fn health(client: &S3Client) -> Result<(), Refusal> {
        client.probe().await
    }

    /// Refuses new calls, and waits for the end of the transfers that have begun. If that takes too
    /// long, they send no further request.
    async fn close(client: &S3Client) {
        let _cut = client.requests.close_on_drop();
        let (objects, bucket) = (client.closable.close(), closable::close(&client.bucket));
        objects.await;
        bucket.await;
        client.requests.close().await;
    }
}

/// Amazon's endpoint for a region.
fn amazon(locator: &Locator) -> Option<String> {
    let region = locator.parameter("region").filter(|region| is_region(region))?;
    let Host::Name(bucket) = locator.host()? else { return None };
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    // A certificate's `*` stands for one label, so a bucket with a dot in its name cannot be a part
    // of the host.
    let by_path = bucket.contains('.') || locator.parameter("style") == Some("path");
    Some(if by_path {
        format!("https://s3.{region}.{domain}")
    } else {
        format!("https://{bucket}.s3.{region}.{domain}")
    })
}

fn is_region(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
}

fn bucket(target: &Target) -> Option<&str> {
    match target.locator().host()? {
        Host::Name(name) => Some(name),
        _ => None,
    }
}

fn prefix(target: &Target) -> Option<Path> {
    let path = target.locator().path();
    Path::parse(path.strip_suffix('/').unwrap_or(path)).ok().filter(|_| stays(path))
}

/// Returns true if no server would read the path as one that leaves its base path.
fn stays(path: &str) -> bool {
    path.split('/').all(|part| http::climbs(part).is_none())
}

/// Returns true if the endpoint's host begins with the bucket's name.
fn is_in_host(target: &Target) -> bool {
    let (Some(bucket), Some(Host::Name(host))) =
        (bucket(target), target.endpoint().and_then(Locator::host))
    else {
        return false;
    };
    host.strip_prefix(bucket).is_some_and(|rest| rest.starts_with('.'))
}

/// The endpoint as a URL. The grammar has checked and decoded its path; it is encoded again here.
fn url(endpoint: &Target) -> Option<String> {
    let locator = endpoint.locator();
    let scheme = if endpoint.is_plaintext() { "http" } else { "https" };
    let mut url =
        url::Url::parse(&format!("{scheme}://{}:{}/", locator.host()?, locator.port())).ok()?;
    let parts = locator.path().split('/').filter(|part| !part.is_empty());
    if !stays(locator.path()) {
        return None;
    }
    url.path_segments_mut().ok()?.clear().extend(parts);
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// One bucket below one prefix. It derefs to an [`ObjectStore`]:
///
/// ```no_run
/// # use backing_services::{Resource, S3};
/// # async fn example(invoices: Resource<S3>) -> object_store::Result<()> {
/// use object_store::{ObjectStoreExt as _, path::Path};
///
/// invoices.client().put(&Path::from("2026/11/7.pdf"), vec![0x25, 0x50].into()).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct S3Client {
    /// `objects`, which can be closed.
    closable: Arc<Closable<PrefixStore<AmazonS3>>>,
    objects: Arc<dyn ObjectStore>,
    /// The bucket that the probe lists; `None` after closing.
    bucket: Arc<ArcSwapOption<AmazonS3>>,
    /// The status of the last answer to the probe. object_store's error has some of them only as
    /// text.
    status: Arc<AtomicU16>,
    /// Closed when no request may be sent and no connection be opened any more.
    requests: Connections,
    prefix: Path,
    target: Target,
    endpoint: Target,
}

impl S3Client {
    fn new(target: &Target, endpoint: Target) -> Result<Self, Refusal> {
        let timeout = Duration::from_millis(
            target.locator().number("response_timeout").unwrap_or(RESPONSE_TIMEOUT),
        );
        let requests = Connections::new();
        let (builder, _) = http::builder(&endpoint, http::Versions::One, &requests)?;
        let http = http::build(builder.http1_only().read_timeout(timeout))?;
        let status = Arc::new(AtomicU16::new(0));
        let bounded =
            Bounded { http, timeout, requests: requests.clone(), status: Arc::clone(&status) };
        let bucket = store(target, &endpoint, bounded.clone())?;
        let prefix = prefix(target).ok_or_else(unusable)?;
        let bounded = Bounded { status: Arc::default(), ..bounded };
        let objects = store(target, &endpoint, bounded)?;
        let closable = Arc::new(Closable::new(PrefixStore::new(objects, prefix.clone())));
        Ok(Self {
            objects: Arc::clone(&closable) as _,
            closable,
            bucket: Arc::new(ArcSwapOption::from_pointee(bucket)),
            status,
            requests,
            prefix,
            target: target.clone(),
            endpoint,
        })
    }

    /// Lists one key below the prefix.
    async fn probe(&self) -> Result<(), Refusal> {
        let prefix =
            if self.prefix.as_ref().is_empty() { None } else { Some(format!("{}/", self.prefix)) };
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let Some(bucket) = self.bucket.load_full() else { return Err(detached()) };
        match bucket.list_paginated(prefix.as_deref(), options).await {
            Ok(_) => Ok(()),
            Err(error) => Err(refusal(&self.endpoint, &error, self.status.load(Ordering::Relaxed))),
        }
    }
}

fn detached() -> Refusal {
    Failure::new(FailureKind::Unavailable, "the resource is detached", "attach it again").into()
}

fn unusable() -> Refusal {
    Finding::new(&MALFORMED_LOCATOR, "its bucket, its prefix or its endpoint cannot be used").into()
}

/// Builds the driver from checked parts.
fn store(target: &Target, endpoint: &Target, http: Bounded) -> Result<AmazonS3, Refusal> {
    let missing = || {
        Refusal::from(
            Finding::new(
                &MISSING_CREDENTIALS,
                "there is no access key, and no other source is asked for one",
            )
            .with_help(
                "set the resource's `_USER` to the key's id and its `_PASSWORD` to the secret key",
            ),
        )
    };
    // Without both, the driver would request some from a metadata service, even if
    // `missing_credentials` is waived.
    let (key, secret) =
        (target.user().ok_or_else(missing)?, target.password().ok_or_else(missing)?);
    AmazonS3Builder::new()
        .with_bucket_name(bucket(target).ok_or_else(unusable)?)
        .with_region(target.locator().parameter("region").unwrap_or("us-east-1"))
        .with_endpoint(url(endpoint).ok_or_else(unusable)?)
        .with_virtual_hosted_style_request(
            target.locator().parameter("style") != Some("path") && is_in_host(target),
        )
        .with_allow_http(endpoint.is_plaintext())
        .with_access_key_id(key)
        .with_secret_access_key(secret.expose_secret())
        .with_retry(RetryConfig {
            max_retries: 3,
            retry_timeout: Duration::from_secs(30),
            ..RetryConfig::default()
        })
        .with_http_connector(http)
        .build()
        .map_err(|_| unusable())
}

impl Deref for S3Client {
    type Target = Arc<dyn ObjectStore>;

    fn deref(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }
}

impl fmt::Debug for S3Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Client({} at {})", self.target.locator(), self.endpoint.locator())
    }
}

/// Converts an error of object_store. Its own text contains the server's, and is not used.
fn refusal(endpoint: &Target, error: &object_store::Error, status: u16) -> Refusal {
    match status {
        401 | 403 => Failure::new(
            FailureKind::AuthenticationFailed,
            "the server does not accept the access key, or the account may not list below the \
             prefix",
            "check the key's id in `_USER`, the secret key in `_PASSWORD`, and the region; \
             `s3:ListBucket` on the bucket, restricted to the prefix, is what attaching takes",
        ),
        404 => Failure::new(
            FailureKind::Unavailable,
            "the server has no such bucket",
            "check the bucket's name, and the region",
        ),
        300..=399 => Failure::new(
            FailureKind::Unavailable,
            format!(
                "the server sends us elsewhere with the status {status}, and redirects are not \
                 followed"
            ),
            "check the region: it has to be the bucket's own",
        ),
        400.. => Failure::new(
            FailureKind::Unavailable,
            format!("the server refuses the request with the status {status}"),
            "check the region, whether the endpoint speaks S3, and the server's log",
        ),
        _ => return http::refusal(endpoint, error),
    }
    .into()
}

/// Gives object_store the HTTP client of this crate, and ignores its options.
impl HttpConnector for Bounded {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// Sends requests, and limits answers that are not an object.
#[derive(Clone)]
struct Bounded {
    http: reqwest::Client,
    timeout: Duration,
    requests: Connections,
    status: Arc<AtomicU16>,
}

impl fmt::Debug for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bounded")
    }
}

impl HttpService for Bounded {
    // The expansion by `async_trait` of
    // `async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>`.
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            match self.requests.run(async { Ok(self.send(request).await) }).await {
                Ok(answer) => answer,
                Err(detached) => Err(HttpError::new(HttpErrorKind::Unknown, detached)),
            }
        })
    }
}

impl Bounded {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // To S3 a key is one name. A proxy or a servlet container in front of it resolves it
        // like any path.
        if !stays(request.uri().path()) {
            return Err(HttpError::new(HttpErrorKind::Unknown, Climbs));
        }
        // An object is the answer to a `GET` without a query, or with a query that only names a
        // version.
        let is_object = request.method() == "GET"
            && request
                .uri()
                .query()
                .is_none_or(|query| query.starts_with("versionId=") && !query.contains('&'));
        self.status.store(0, Ordering::Relaxed);
        let response = self.http.call(request).await?;
        self.status.store(response.status().as_u16(), Ordering::Relaxed);
        if is_object && response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let too_much = |_| HttpError::new(HttpErrorKind::Decode, TooMuch);
        let read = Limited::new(body, MAX_ANSWER).collect();
        let body = match with_timeout(self.timeout, read).await {
            Ok(body) => body.map_err(too_much)?.to_bytes(),
            Err(_) => {
                return Err(HttpError::new(
                    HttpErrorKind::Timeout,
                    std::io::Error::from(std::io::ErrorKind::TimedOut),
                ));
            }
        };
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)))
    }
}

/// The error for a key that some server would read as a path outside the prefix.
#[derive(Debug)]
struct Climbs;

impl fmt::Display for Climbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key holds a part that some servers read as `.` or `..`")
    }
}

impl std::error::Error for Climbs {}

/// The error for a body that is too large, or broke off.
#[derive(Debug)]
struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body is larger than 16 MiB, or broke off")
    }
}

impl std::error::Error for TooMuch {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backing_services_runtime::{AttachError, Environment, store};

    use super::*;

    /// The target of a locator, after all rules.
    async fn target(text: &str, endpoint: Option<&str>) -> Result<Target, AttachError> {
        let mut variables = vec![
            ("STORE_URL", text),
            ("STORE_USER", "key"),
            ("STORE_PASSWORD", "secret-of-the-key"),
        ];
        variables.extend(endpoint.map(|endpoint| ("STORE_ENDPOINT", endpoint)));
        let source = Arc::new(Environment::from_iter(variables));
        let loaded = store::load::<S3>("store", source, "STORE", Duration::from_secs(10)).await?;
        Ok(loaded.target().clone())
    }

    #[tokio::test]
    async fn a_prefix_or_an_endpoint_that_climbs_is_refused() {
        for (text, endpoint) in [
            ("s3://bucket/a/..;/b", "https://minio.example.com"),
            ("s3://bucket/a/%252e%252e/b", "https://minio.example.com"),
            ("s3://bucket/a", "https://minio.example.com/s3/..;x=y/admin"),
            ("s3://bucket/a", "https://minio.example.com/s3/%2e%2e/admin"),
        ] {
            let error = target(text, Some(endpoint)).await.unwrap_err();
            assert!(
                error.findings().any(|finding| finding.rule() == &MALFORMED_LOCATOR),
                "{text} at {endpoint}"
            );
        }
    }

    #[tokio::test]
    async fn no_key_climbs_out_of_its_prefix() {
        use object_store::ObjectStoreExt as _;
        let target = target("s3://bucket/prefix?style=path", Some("https://localhost:1"));
        let target = target.await.unwrap_or_else(|error| panic!("{error}"));
        let client = S3Client::new(&target, target.at_endpoint())
            .unwrap_or_else(|refusal| panic!("{refusal}"));
        for key in ["..;/x", "a/..;x=y/b", "..%3b/x", "%2e%2e/x", "%252e%252e;/x", "a/.;/b"] {
            let error = client.get(&Path::parse(key).unwrap()).await.unwrap_err();
            let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
                error.source()
            });
            assert!(
                chain.map(ToString::to_string).any(|text| text == Climbs.to_string()),
                "{key}: {error:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_default_endpoint_depends_on_region_bucket_and_style() {
        for (text, endpoint) in [
            ("s3://bucket?region=eu-west-1", Some("https://bucket.s3.eu-west-1.amazonaws.com")),
            ("s3://a.bucket?region=eu-west-1", Some("https://s3.eu-west-1.amazonaws.com")),
            ("s3://bucket?region=eu-west-1&style=path", Some("https://s3.eu-west-1.amazonaws.com")),
            (
                "s3://bucket?region=cn-north-1",
                Some("https://bucket.s3.cn-north-1.amazonaws.com.cn"),
            ),
            ("s3://bucket", None),
            ("s3://bucket?region=evil.example/", None),
            ("s3://bucket?region=x%40evil.example", None),
        ] {
            let target = target(text, None).await.ok();
            let url = target.and_then(|target| url(&target.at_endpoint()));
            assert_eq!(url.as_deref(), endpoint, "{text}");
        }
    }

    #[tokio::test]
    async fn a_bucket_is_addressed_by_host_or_by_path() {
        for (endpoint, in_host, text) in [
            ("https://minio.example.com:9000", false, "https://minio.example.com:9000"),
            ("https://bucket.s3.example.com", true, "https://bucket.s3.example.com"),
            ("https://buckets.example.com", false, "https://buckets.example.com"),
            ("https://example.com/storage/v1/s3/", false, "https://example.com/storage/v1/s3"),
            ("https://example.com/a%3Fb", false, "https://example.com/a%3Fb"),
            ("https://[2001:db8::1]:9000", false, "https://[2001:db8::1]:9000"),
        ] {
            let target = target("s3://bucket/prefix/", Some(endpoint)).await;
            let target = target.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(is_in_host(&target), in_host, "{endpoint}");
            assert_eq!(url(&target.at_endpoint()).as_deref(), Some(text));
            assert_eq!(prefix(&target).map(String::from).as_deref(), Some("prefix"));
        }
    }

    #[tokio::test]
    async fn a_region_and_a_style_have_to_fit_the_endpoint() {
        let at = async |region: &str| {
            target(&format!("s3://bucket?region={region}"), Some("https://minio.example.com")).await
        };
        assert!(at("eu-west-1").await.is_ok());
        assert!(at("eu-west-1&style=path").await.is_ok());
        for (region, rule) in
            [("x%40evil.example", &MALFORMED_LOCATOR), ("eu-west-1&style=host", &MALFORMED_VALUE)]
        {
            let error = at(region).await.unwrap_err();
            assert!(error.findings().any(|finding| finding.rule() == rule), "{region}");
        }
        let in_host = target("s3://bucket?style=host", Some("https://bucket.s3.example.com"));
        assert!(in_host.await.is_ok());
    }

    #[tokio::test]
    async fn each_status_has_its_words() {
        let target = target("s3://bucket", Some("https://minio.example.com")).await.unwrap();
        let error = object_store::Error::NotImplemented {
            operation: String::new(),
            implementer: String::new(),
        };
        for (status, words) in [
            (0, "is not HTTP"),
            (200, "is not HTTP"),
            (299, "is not HTTP"),
            (300, "sends us elsewhere with the status 300"),
            (399, "sends us elsewhere with the status 399"),
            (400, "refuses the request with the status 400"),
            (401, "does not accept the access key"),
            (403, "does not accept the access key"),
            (404, "has no such bucket"),
            (503, "refuses the request with the status 503"),
        ] {
            let text = refusal(&target, &error, status).to_string();
            assert!(text.contains(words), "{status}: {text}");
        }
    }

    /// A server that promises a body, and never sends it. An object is passed on as it comes; any
    /// other answer is waited for, and limited.
    #[tokio::test]
    async fn only_an_object_may_be_without_end() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = format!("http://127.0.0.1:{port}");
        let target = target("s3://bucket", Some("https://127.0.0.1:1")).await.unwrap();
        let connections = Connections::new();
        let dialled = target.at_endpoint();
        let (builder, _) = http::builder(&dialled, http::Versions::One, &connections).unwrap();
        let bounded = Bounded {
            http: http::build(builder.https_only(false)).unwrap(),
            timeout: Duration::from_millis(50),
            requests: Connections::new(),
            status: Arc::default(),
        };
        for (method, query, status, is_passed_on) in [
            ("GET", "", "200 OK", true),
            ("GET", "?versionId=7", "200 OK", true),
            ("GET", "?versionId=7&acl", "200 OK", false),
            ("GET", "?list-type=2", "200 OK", false),
            ("GET", "", "404 Not Found", false),
            ("PUT", "", "200 OK", false),
        ] {
            let mut request = HttpRequest::new(Vec::new().into());
            *request.method_mut() = method.parse().unwrap();
            *request.uri_mut() = format!("{endpoint}/bucket/key{query}").parse().unwrap();
            let answering = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut heard = Vec::new();
                while !heard.ends_with(b"\r\n\r\n") {
                    heard.push(stream.read_u8().await.unwrap());
                }
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                stream
            };
            let (answer, _stream) = tokio::join!(bounded.send(request), answering);
            assert_eq!(answer.is_ok(), is_passed_on, "{method} {query} {status}");
            let noted = bounded.status.load(Ordering::Relaxed).to_string();
            assert!(status.starts_with(&noted), "{noted}");
        }
    }

    #[test]
    fn what_ends_a_request_is_explained() {
        assert_eq!(MAX_ANSWER >> 20, 16);
        assert_eq!(
            [Climbs.to_string(), TooMuch.to_string()],
            [
                "the key holds a part that some servers read as `.` or `..`",
                "the body is larger than 16 MiB, or broke off"
            ]
        );
    }
}
