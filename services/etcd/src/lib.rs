//! etcd: one put reconfigures a whole fleet.
//!
//! Values are keys below a prefix: `/shop/SHOP_ORDERS_URL`. They are read once, and then watched.
//! Reads are served from a snapshot, so attaching does not wait for the store, and works while the
//! store is away.
//!
//! - **Connection.** etcd's [JSON gateway], over HTTP/1.1 and the one TLS configuration, with
//!   redirects, proxies and other hosts switched off. It has the same API as gRPC, and needs no
//!   driver.
//! - **Login.** A user and a password, for a token that is fetched again when it has expired; or a
//!   client certificate, if etcd requires one of every client and has no accounts: the gateway does
//!   not pass the name in it to etcd ([authentication]). An etcd that does not ask for the
//!   certificate (`--client-cert-auth`) is refused (`weak_authentication`). If there is a password
//!   and etcd has no accounts, that is refused (`weak_authentication`), as is an account with the
//!   role `root` (`superuser_account`).
//! - **Watch.** The prefix, from the revision of the snapshot on; after a broken connection, from
//!   the revision of the last snapshot. The prefix is read again as a whole after each event, if
//!   the revision was compacted away, and if the store's revision is lower than the snapshot's: so
//!   a snapshot is always one revision of the store.
//! - **Outages.** The last snapshot stays. Attempts back off from 0.1 s to 10 s, with up to as much
//!   again at random. They end once etcd rejects the credentials, which is logged.
//! - **Speed.** Fifty processes on one machine of two cores, built without optimisation, had moved
//!   from one PostgreSQL to another 4 s after a put, and 8 s after it if the machine was building
//!   something else meanwhile. None of their queries failed (`tests/tests/live_fleet.rs` prints
//!   it).
//! - **Bounds.** 1,000 values of 1 MiB each and 16 MiB together; 10 s for an answer. A watch that
//!   is silent for 15 min is begun again, as etcd sends a message every 10 min.
//!
//! [JSON gateway]: https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/
//! [authentication]: https://etcd.io/docs/v3.5/op-guide/authentication/rbac/#using-tls-common-name

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backing_services_https::http;
use backing_services_rules::Scheme;
use backing_services_rules::rule::{
    MALFORMED_LOCATOR, MISSING_CREDENTIALS, SUPERUSER_ACCOUNT, WEAK_AUTHENTICATION,
};
use backing_services_runtime::posture::printable;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::resource::ClientGuard;
use backing_services_runtime::service::connections::{CloseOnDrop, Connections};
use backing_services_runtime::service::reconnect::ReconnectBackoff;
use backing_services_runtime::service::tasks::caught;
use backing_services_runtime::service::time::{panicked, with_timeout};
use backing_services_runtime::service::{Attachment, Attempt, Login, Refusal, Target, Witness};
use backing_services_runtime::source::{Changes, Unreadable, Value};
use backing_services_runtime::store::{self, Owned, Published, Snapshot, Wiped, too_many};
use backing_services_runtime::{AttachError, Failure, Finding, Posture, Service, Source};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use reqwest::Response;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

/// The values below a prefix of an etcd. See [the module](self) for how it is read and watched.
///
/// The store's locator and the credentials are read from another source, as for any resource:
/// `SHOP_CONFIG_URL` is `https://etcd.example:2379/shop`, whose path is the prefix, and beside it
/// are `SHOP_CONFIG_USER`, `_PASSWORD`, `_CA`, `_CLIENT_CERT` and `_CLIENT_KEY`.
///
/// ```no_run
/// # async fn example() -> Result<(), backing_services::AttachError> {
/// use backing_services::source::{Environment, Sources};
/// use backing_services::stores::Etcd;
///
/// let environment = Environment::process();
/// let etcd = Etcd::connect(&environment, "SHOP_CONFIG").await?;
/// let sources = Sources::new().then(environment).then(etcd);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Etcd {
    prefix: String,
    published: Published,
    _watch: Arc<Owned>,
}

/// The time limit for connecting and reading everything: the same as for attaching a struct.
const DEADLINE: Duration = Duration::from_secs(30);

/// The time limit for an answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The time limit for a silent watch. etcd sends a message every 10 min if it is asked to
/// (`--experimental-watch-progress-notify-interval`).
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// A watch that lasted this long was a good one: the back-off after it begins at its shortest
/// pause.
const GOOD: Duration = Duration::from_secs(10);

/// The limit for all values together, in bytes, as the gateway encodes them: 16 MiB. etcd accepts
/// 1.5 MiB in one request.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// The limit for an answer without values, in bytes.
const MAX_REMARK: usize = 64 * 1024;

impl Etcd {
    /// Connects, reads every value, and begins to watch. It needs a tokio runtime, and the watch
    /// ends with this source.
    ///
    /// # Errors
    /// [`AttachError`], with the problem in the store's locator and credentials, or in the store.
    pub async fn connect(
        source: &(impl Source + Clone + 'static),
        base: &str,
    ) -> Result<Self, AttachError> {
        let source = Arc::new(source.clone());
        let store = store::load::<EtcdStore>("etcd", source, base, DEADLINE).await?;
        let (client, snapshot) = store.connect().await?;
        let published = Published::new(snapshot);
        let prefix = client.prefix.clone();
        Ok(Self {
            prefix,
            published: published.clone(),
            _watch: Arc::new(Owned::spawn(watch(client, published))),
        })
    }
}

impl Source for Etcd {
    fn name(&self) -> Cow<'_, str> {
        format!("etcd below `{}`", printable(&self.prefix)).into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        let value = self.published.get(variable)?;
        Ok(value.map(|value| {
            Value::new(value, format!("the key `{}{variable}` in etcd", printable(&self.prefix)))
        }))
    }

    fn changes(&self) -> Changes {
        self.published.changes()
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The service by which the store is loaded and connected to, by the rules of any resource.
struct EtcdStore;

impl Service for EtcdStore {
    /// The client, and every value.
    type Client = (Client, Snapshot);
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "etcd";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("https").with_port(2379)];
    const LOGIN: Login = Login::Password;
    const PATH: Option<&'static str> = Some("the prefix of the keys");
    const SECRET_PATH: bool = false;

    fn check(target: &Target) -> Vec<Finding> {
        let mut findings = Vec::new();
        if target.locator().path().trim_matches('/').is_empty() {
            let finding = Finding::new(&MALFORMED_LOCATOR, "it names no prefix of the keys");
            findings.push(
                finding.with_help("write the prefix as its path: `https://etcd.example:2379/shop`"),
            );
        }
        if target.user().is_some() != target.password().is_some() {
            let finding = Finding::new(
                &MISSING_CREDENTIALS,
                "it has one of a user and a password, and etcd takes both",
            );
            findings.push(finding.with_help("write both, or neither beside a client certificate"));
        }
        findings
    }

    /// Checks the account, and reads every value.
    async fn connect(
        target: &Target,
        _: Attempt,
    ) -> Result<Attachment<(Client, Snapshot)>, Refusal> {
        let (mut client, witness) = Client::new(target)?;
        client.check_account().await?;
        let snapshot = client.read().await?;
        let mut posture = Posture::of::<Self>(target);
        if !target.is_plaintext() {
            posture.tls = Some(witness.posture_of_connected()?);
        }
        Ok(Attachment::new((client, snapshot), posture))
    }

    async fn health(_: &(Client, Snapshot)) -> Result<(), Refusal> {
        Ok(())
    }

    async fn close(_: &(Client, Snapshot)) {}
}

/// Watches until etcd rejects the credentials, or the source is dropped.
async fn watch(mut client: Client, published: Published) {
    let mut again = ReconnectBackoff::new();
    let mut is_told = false;
    loop {
        let begin = Instant::now();
        // The server's data go through the HTTP client and the parser. A panic there is one more
        // reason to watch again.
        let refusal = match caught(client.watch(&published, &mut is_told)).await {
            Some(Err(refusal)) => refusal,
            None => panicked().into(),
        };
        if begin.elapsed() > GOOD {
            again = ReconnectBackoff::new();
        }
        again.failed(&refusal);
        if again.has_given_up() {
            tracing::error!("etcd is watched no more, and the last values stay: {refusal}");
            return;
        }
        if !is_told {
            is_told = true;
            tracing::warn!("etcd is not watched for now, and the last values stay: {refusal}");
        }
        again.wait().await;
    }
}

/// A client of one etcd's gateway.
struct Client {
    http: reqwest::Client,
    _openings: CloseOnDrop,
    target: Target,
    origin: String,
    prefix: String,
    /// The end of the prefix's range, as etcd defines it.
    end: String,
    token: Option<SecretString>,
    /// The revision of the last snapshot.
    revision: i64,
}

/// The reason why there is no answer: etcd's own code, which is gRPC's, or a refusal.
enum Trouble {
    Code(u64),
    Refusal(Refusal),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Refusal(failure.into())
    }
}

/// gRPC's codes (<https://grpc.io/docs/guides/status-codes>) that are handled here.
const INVALID_ARGUMENT: u64 = 3;
const PERMISSION_DENIED: u64 = 7;
const FAILED_PRECONDITION: u64 = 9;
const UNAUTHENTICATED: u64 = 16;

impl Trouble {
    /// The refusal, in our own words: etcd's text is not repeated.
    fn into_refusal(self) -> Refusal {
        match self {
            Self::Refusal(refusal) => refusal,
            Self::Code(INVALID_ARGUMENT | UNAUTHENTICATED) => Failure::new(
                FailureKind::AuthenticationFailed,
                "etcd does not accept the credentials, or wants some",
                "check the user and the password; a client certificate does not name a user here",
            )
            .into(),
            Self::Code(PERMISSION_DENIED) => Failure::new(
                FailureKind::AuthenticationFailed,
                "the account may not read the prefix",
                "grant a role of the account: \
                 `etcdctl role grant-permission ROLE read --prefix PREFIX`",
            )
            .into(),
            Self::Code(_) => Failure::new(
                FailureKind::Unavailable,
                "etcd does not answer for now",
                "read its log, and its quorum",
            )
            .into(),
        }
    }
}

fn ended() -> Refusal {
    Failure::new(
        FailureKind::Unavailable,
        "etcd ended the watch",
        "read its log: it may be restarting",
    )
    .into()
}

/// A whole number, which the gateway writes as a text.
fn number(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| json.as_str()?.parse().ok())
}

fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

impl Client {
    fn new(target: &Target) -> Result<(Self, Witness), Refusal> {
        let locator = target.locator();
        let host = locator.host().ok_or_else(Failure::protocol)?;
        let scheme = if target.is_plaintext() { "http" } else { "https" };
        // A peer that vanished is noticed after a minute, even while there is nothing to send to
        // it.
        let connections = Connections::new();
        let (builder, witness) = http::builder(target, http::Versions::One, &connections)?;
        let builder = builder
            .tcp_keepalive(Duration::from_secs(20))
            .tcp_keepalive_interval(Duration::from_secs(10))
            .tcp_keepalive_retries(4);
        let path = locator.path().trim_matches('/');
        let client = Self {
            http: http::build(builder)?,
            _openings: connections.close_on_drop(),
            target: target.clone(),
            origin: format!("{scheme}://{host}:{}", locator.port()),
            prefix: format!("/{path}/"),
            // The character after the `/` at the end of the prefix.
            end: format!("/{path}0"),
            token: None,
            revision: 0,
        };
        Ok((client, witness))
    }

    /// Sends a request, and returns once the answer begins.
    async fn send(
        &self,
        path: &str,
        body: &Json,
        token: Option<&SecretString>,
    ) -> Result<Response, Trouble> {
        let mut request = self.http.post(format!("{}{path}", self.origin)).body(body.to_string());
        request = request.header("Content-Type", "application/json");
        if let Some(token) = token {
            let mut value = reqwest::header::HeaderValue::from_str(token.expose_secret())
                .map_err(|_| Failure::protocol())?;
            value.set_sensitive(true);
            request = request.header("Authorization", value);
        }
        let sent = with_timeout(RESPONSE_TIMEOUT, request.send())
            .await
            .map_err(|_| Failure::no_answer())?;
        let response = sent.map_err(|error| http::refusal(&self.target, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        // The gateway reports gRPC's code in a JSON body.
        let json = self.body(response, MAX_REMARK).await?;
        Err(Trouble::Code(json.get("code").and_then(Json::as_u64).ok_or_else(Failure::protocol)?))
    }

    async fn body(&self, mut response: Response, most: usize) -> Result<Wiped, Trouble> {
        let mut body = Zeroizing::new(Vec::new());
        let read = async {
            while let Some(chunk) =
                response.chunk().await.map_err(|error| http::refusal(&self.target, &error))?
            {
                if body.len() + chunk.len() > most {
                    return Err(Refusal::from(too_many()));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(())
        };
        with_timeout(RESPONSE_TIMEOUT, read).await.map_err(|_| Failure::no_answer())??;
        Ok(Wiped::parse(&body).ok_or_else(Failure::protocol)?)
    }

    /// A token for the user and the password; `None` if there are none.
    async fn log_in(&self) -> Result<Option<SecretString>, Trouble> {
        let (Some(user), Some(password)) = (self.target.user(), self.target.password()) else {
            return Ok(None);
        };
        let body = json!({ "name": user, "password": password.expose_secret() });
        let response = self.send("/v3/auth/authenticate", &body, None).await?;
        let json = self.body(response, MAX_REMARK).await?;
        let token = json.get("token").and_then(Json::as_str).ok_or_else(Failure::protocol)?;
        Ok(Some(token.into()))
    }

    /// Sends a request. Logs in first if there is no token, and again if the token has expired.
    async fn ask(&mut self, path: &str, body: &Json) -> Result<Response, Trouble> {
        if let Some(token) = &self.token {
            match self.send(path, body, Some(token)).await {
                Err(Trouble::Code(INVALID_ARGUMENT | UNAUTHENTICATED)) => self.token = None,
                other => return other,
            }
        }
        self.token = self.log_in().await?;
        self.send(path, body, self.token.as_ref()).await
    }

    /// Checks that etcd asks for a login, and that the account is not its administrator.
    async fn check_account(&mut self) -> Result<(), Refusal> {
        // The login is a client certificate: there is no account to check.
        let Some(user) = self.target.user().map(str::to_owned) else { return Ok(()) };
        match self.log_in().await {
            Ok(token) => self.token = token,
            Err(Trouble::Code(FAILED_PRECONDITION)) => {
                return Err(weak(
                    "etcd has no accounts: it answers every client, and did not check the \
                     password",
                )
                .into());
            }
            Err(trouble) => return Err(trouble.into_refusal()),
        }
        let response = self
            .ask("/v3/auth/user/get", &json!({ "name": user }))
            .await
            .map_err(Trouble::into_refusal)?;
        let json = self.body(response, MAX_REMARK).await.map_err(Trouble::into_refusal)?;
        let roles = match json.get("roles") {
            None => &[],
            Some(roles) => roles.as_array().ok_or_else(Failure::protocol)?.as_slice(),
        };
        if roles.iter().any(|role| role.as_str() == Some("root")) {
            return Err(Finding::new(&SUPERUSER_ACCOUNT, "the account has the role `root`")
                .with_help(
                    "give the application an account of its own: \
                     `etcdctl role grant-permission ROLE read --prefix PREFIX`, \
                     `etcdctl user grant-role USER ROLE`",
                )
                .into());
        }
        Ok(())
    }

    fn range(&self) -> Json {
        json!({
            "key": encoded(&self.prefix),
            "range_end": encoded(&self.end),
            "limit": store::MOST_VALUES,
        })
    }

    /// Reads every value, as one revision of the store.
    async fn read(&mut self) -> Result<Snapshot, Refusal> {
        let range = self.range();
        let response = self.ask("/v3/kv/range", &range).await.map_err(Trouble::into_refusal)?;
        let json = self.body(response, MAX_ANSWER).await.map_err(Trouble::into_refusal)?;
        let (revision, snapshot) = snapshot(&json, &self.prefix)?;
        self.revision = revision;
        Ok(snapshot)
    }

    /// Watches until the watch ends.
    async fn watch(
        &mut self,
        published: &Published,
        is_told: &mut bool,
    ) -> Result<std::convert::Infallible, Refusal> {
        let create = json!({ "create_request": {
            "key": encoded(&self.prefix), "range_end": encoded(&self.end),
            "start_revision": (self.revision + 1).to_string(), "progress_notify": true,
        }});
        // etcd answers an expired token as a missing permission to watch: it only says that the
        // watch is over. So each watch begins with a new token.
        self.token = None;
        let mut response = self.ask("/v3/watch", &create).await.map_err(Trouble::into_refusal)?;
        let mut lines = Lines::default();
        loop {
            let chunk =
                with_timeout(SILENCE, response.chunk()).await.map_err(|_| Failure::no_answer())?;
            let chunk =
                chunk.map_err(|error| http::refusal(&self.target, &error))?.ok_or_else(ended)?;
            for seen in lines.push(&chunk)? {
                if *is_told {
                    *is_told = false;
                    tracing::info!("etcd is watched again");
                }
                if seen.is_news(self.revision) {
                    published.replace(self.read().await?);
                }
                if seen.is_over {
                    return Err(ended());
                }
            }
        }
    }
}

fn weak(message: &'static str) -> Finding {
    Finding::new(&WEAK_AUTHENTICATION, message).with_help(
        "switch authentication on (`etcdctl auth enable`), and give the application an account of \
         its own",
    )
}

/// Reads the gateway's answer to a range request.
fn snapshot(json: &Json, prefix: &str) -> Result<(i64, Snapshot), Refusal> {
    let revision =
        json.pointer("/header/revision").and_then(number).ok_or_else(Failure::protocol)?;
    if json.get("more").and_then(Json::as_bool) == Some(true) {
        return Err(too_many().into());
    }
    let mut snapshot = Snapshot::default();
    let pairs = match json.get("kvs") {
        None => &[],
        Some(pairs) => pairs.as_array().ok_or_else(Failure::protocol)?.as_slice(),
    };
    for pair in pairs {
        let bytes = |key: &str| match pair.get(key) {
            None => Some(Zeroizing::default()),
            Some(text) => BASE64_STANDARD.decode(text.as_str()?).ok().map(Zeroizing::new),
        };
        let (key, value) = (
            bytes("key").ok_or_else(Failure::protocol)?,
            bytes("value").ok_or_else(Failure::protocol)?,
        );
        // A key that is not text is not the name of a variable.
        let Some(name) = str::from_utf8(&key).ok().and_then(|key| key.strip_prefix(prefix)) else {
            continue;
        };
        snapshot.insert(name, &value)?;
    }
    Ok((revision, snapshot))
}

/// The messages of a watch: one per line.
#[derive(Default)]
struct Lines(Zeroizing<Vec<u8>>);

/// The parts of a message that matter. The values do not: they are read as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WatchMessage {
    /// The store's revision. There is none if a watch is refused because its revision was compacted
    /// away.
    revision: Option<i64>,
    has_events: bool,
    /// The revision to watch from is compacted away, and perhaps a change with it.
    is_compacted: bool,
    is_over: bool,
}

impl WatchMessage {
    /// True if the snapshot of a revision may be outdated. A store with a lower revision than the
    /// snapshot is another store.
    fn is_news(self, snapshot: i64) -> bool {
        let is_newer = self.has_events && self.revision.is_none_or(|revision| revision > snapshot);
        is_newer || self.is_compacted || self.revision.is_some_and(|revision| revision < snapshot)
    }
}

impl Lines {
    /// Adds a chunk, and takes out the whole messages.
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<WatchMessage>, Refusal> {
        let mut seen = Vec::new();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            if self.0.len() + piece.len() > MAX_ANSWER {
                return Err(too_many().into());
            }
            self.0.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.0);
                if !line.trim_ascii().is_empty() {
                    seen.push(message(&line)?);
                }
            }
        }
        Ok(seen)
    }
}

fn message(line: &[u8]) -> Result<WatchMessage, Refusal> {
    let json = Wiped::parse(line).ok_or_else(Failure::protocol)?;
    if json.get("error").is_some() {
        return Err(ended());
    }
    let result = json.get("result").ok_or_else(Failure::protocol)?;
    let is = |key: &str| result.get(key).and_then(Json::as_bool) == Some(true);
    Ok(WatchMessage {
        revision: result.pointer("/header/revision").and_then(number),
        has_events: result
            .get("events")
            .and_then(Json::as_array)
            .is_some_and(|events| !events.is_empty()),
        is_compacted: result
            .get("compact_revision")
            .and_then(number)
            .is_some_and(|revision| revision > 0),
        is_over: is("canceled"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_snapshot() {
        let pair = |key: &str, value: &str| json!({ "key": encoded(key), "value": encoded(value) });
        let json = json!({ "header": { "revision": "7" }, "count": "4", "kvs": [
            pair("/shop/A", "1"),
            pair("/shop/a/b", "2"),
            pair("/other/B", "3"),
            { "key": encoded("/shop/EMPTY") },
        ] });
        let (revision, found) = snapshot(&json, "/shop/").unwrap();
        assert_eq!(revision, 7);
        let published = Published::new(found);
        assert_eq!(published.get("A").unwrap().unwrap().expose_secret(), "1");
        assert!(published.get("EMPTY").unwrap().is_none() && published.get("B").unwrap().is_none());
        for foreign in [
            json!({}),
            json!({ "header": { "revision": "x" } }),
            json!({ "header": { "revision": "7" }, "kvs": {} }),
            json!({ "header": { "revision": "7" }, "kvs": [{ "key": 1 }] }),
            json!({
                "header": { "revision": "7" },
                "kvs": [{ "key": "L3Nob3AvQQ==", "value": "%" }],
            }),
            json!({ "header": { "revision": "7" }, "more": true }),
        ] {
            assert!(snapshot(&foreign, "/shop/").is_err(), "{foreign}");
        }
    }

    #[test]
    fn messages_come_in_any_pieces() {
        let text = concat!(
            r#"{"result":{"header":{"revision":"5"},"created":true}}"#,
            "\n\n",
            r#"{"result":{"header":{"revision":"6"},"events":[{"kv":{"key":"QQ=="}}]}}"#,
            "\n",
            r#"{"result":{"header":{},"canceled":true,"compact_revision":"8"}}"#,
            "\n"
        );
        let seen = |revision, has_events, is_compacted, is_over| WatchMessage {
            revision,
            has_events,
            is_compacted,
            is_over,
        };
        let expected = [
            seen(Some(5), false, false, false),
            seen(Some(6), true, false, false),
            seen(None, false, true, true),
        ];
        for size in [1, 7, 64, 1000] {
            let mut lines = Lines::default();
            let found: Vec<_> =
                text.as_bytes().chunks(size).flat_map(|chunk| lines.push(chunk).unwrap()).collect();
            assert_eq!(found, expected, "{size}");
        }
        assert_eq!(expected.map(|seen| seen.is_news(5)), [false, true, true]);
        assert_eq!(
            expected.map(|seen| seen.is_news(6)),
            [true, false, true],
            "a store with a lower revision is another store"
        );
        for line in ["x\n", "{}\n", "{\"error\":{\"grpc_code\":16}}\n", "{\"error\":{}}\n"] {
            assert!(Lines::default().push(line.as_bytes()).is_err(), "{line}");
        }
        let uncompacted = b"{\"result\":{\"compact_revision\":\"0\"}}\n";
        let found = Lines::default().push(uncompacted).unwrap();
        assert_eq!(found, [seen(None, false, false, false)]);
        // The longest line, without its end.
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; 16 * 1024 * 1024 - 1]).unwrap();
        lines.push(b"x").unwrap();
        assert!(lines.push(b"x").is_err());
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{Input, check};

    use super::*;

    const ANSWERS: &[&str] = &[
        r#"{"header":{"revision":"7"},"count":"2","kvs":[{"key":"L3Nob3AvQQ==","value":"MQ=="},
            {"key":"L290aGVyL0I="},{"key":"L3Nob3AvYS9i","value":"/w=="}]}"#,
        r#"{"header":{"revision":7},"more":true,"kvs":{}}"#,
        "{\"result\":{\"header\":{\"revision\":\"5\"},\"created\":true}}\n\n",
        "{\"result\":{\"header\":{\"revision\":\"6\"},\"events\":[{\"kv\":{\"key\":\"QQ==\"}}]}}\n",
        "{\"result\":{\"header\":{},\"canceled\":true,\"compact_revision\":\"8\"}}\n{}\n",
        "{\"error\":{\"grpc_code\":16}}\r\n",
    ];

    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<WatchMessage>> {
        let mut lines = Lines::default();
        let mut messages = Vec::new();
        for piece in pieces {
            messages.extend(lines.push(piece).ok()?);
            assert!(lines.0.len() <= MAX_ANSWER);
        }
        Some(messages)
    }

    /// An answer is read or refused, however the server splits it. What is read is below the
    /// prefix.
    #[test]
    fn any_answer_is_read_or_refused() {
        check!(ANSWERS, |input: &Input| {
            assert_eq!(read(input.pieces()), read([input.bytes()].into_iter()));
            let Some(json) = Wiped::parse(input.bytes()) else { return };
            if let Ok((revision, snapshot)) = snapshot(&json, "/shop/") {
                assert!(json.pointer("/header/revision").and_then(number) == Some(revision));
                let published = Published::new(snapshot);
                let keys = json.get("kvs").and_then(Json::as_array).into_iter().flatten();
                let is_there = keys
                    .filter_map(|pair| BASE64_STANDARD.decode(pair.get("key")?.as_str()?).ok())
                    .any(|key| key == b"/shop/A");
                assert!(is_there || published.get("A").ok().flatten().is_none());
            }
        });
    }
}
