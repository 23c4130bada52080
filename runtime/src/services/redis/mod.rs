//! Redis and Valkey, through [`RedisClient`]: one multiplexed connection in RESP3, which comes back by itself.
//!
//! # Locator
//! `rediss://user:password@host:port/database`, or `valkeys://`. The port is 6379 and the database is 0 unless the locator says otherwise. A password
//! without a user is the user `default`, who is an administrator unless the server was told otherwise. Parameters:
//!
//! | parameter | meaning | default |
//! |---|---|---|
//! | `connect_timeout` | seconds until connecting has failed, 1 to 300 | 10 |
//! | `response_timeout` | milliseconds until a command has failed, 1 to 3 600 000, with the time to connect again if there is no connection; a blocking command needs more than it blocks | 5000 |
//! | `max_reply` | bytes of the largest reply, 1024 to 536 870 912, which is the longest string that Redis has | 67 108 864 |
//!
//! # How it is attached
//! 1. **TLS**, from the first byte on, by our own configuration: the resource's `_CA` and nothing else, or the public roots. The driver gets the verified
//!    stream, and never dials.
//! 2. **A `PING` before logging in.** A server that answers it lets everybody in: the finding `weak_authentication`. A client certificate is no login
//!    here: it is shown to a server that asks for it (`tls-auth-clients`), beside the password.
//! 3. **Logging in** with `HELLO 3 AUTH`, which has no variant without a user: a driver that tries RESP2's `AUTH` again without the user's name would log
//!    in as somebody else.
//! 4. **The probe**, in one round trip, which is told below.
//!
//! # What the account may do
//! What a field `needs` is written in the words of an ACL: categories and commands on key patterns (`KEY` may be left out), on channel patterns, and on nothing.
//!
//! ```text
//! needs = "@read, @write ON KEY session:*; get ON price:*; publish, subscribe ON CHANNEL news:*; client|setname"
//! ```
//!
//! A category does not mean those of its commands that are `@admin` or `@dangerous` (such as `keys`): who needs one names it. `@all`, `@admin` and `@dangerous` cannot be
//! needed. [`Manifest::grants`](crate::declare::manifest::Manifest::grants) writes the `ACL SETUSER` for it, with a selector (Redis 7) where two patterns are for different
//! commands; it can be run again, and keeps a password. The account cannot log in before it has one. Redis takes no blanks in names and patterns.
//!
//! **With `needs`**, the account asks `ACL DRYRUN` of itself what it may do: every command of Redis 7.4, with a name under each of the patterns, and with one that nobody
//! has. Nothing is carried out, nothing gets into `ACL LOG`, and nothing shows of a password. For this it needs `+acl|dryrun`, which `grants()` gives it, and which
//! also tells it what other users may do. Without it, or on a server that has no such command, `missing_privileges`: what cannot be compared is not let pass.
//! Not seen: commands of modules and of later releases; a pattern that is neither needed nor `*`.
//!
//! **Without `needs`**, it tries what only an administrator may, in calls that change nothing whatever the answer: of names that nobody has (`probe.…`), or with an
//! argument that is none. Not seen is what has no such call: `flushall`, `flushdb`, `shutdown`, `debug`, `migrate`, `replicaof`, `failover`, `keys`,
//! `monitor`, `save`, `acl|load`, `config|rewrite`, `module|load` and the like. What is refused gets into the server's `ACL LOG` (some thirty entries).
//!
//! **What could change the question.** An account brings no settings of its own, and neither a script nor a function can take a command's name. What remains:
//!
//! | what | what the probe does |
//! |---|---|
//! | RESP2 or RESP3 | `HELLO 3 AUTH` decides it for each connection; what an ACL means is the same in both |
//! | selectors (Redis 7) | the server looks at all of them, in `ACL DRYRUN` and in a call |
//! | scripts and functions | the server holds their commands against the caller's ACL |
//! | something that answers in place of `ACL DRYRUN` (`rename-command ECHO ACL`) | a server that does not know `acl|whoami`, `acl|dryrun`, `ping`, `get` or `set` is refused |
//! | `rename-command` | an ACL goes on with the former name, and the probe does not know the new one: with `rename-command FLUSHALL x`, who has `+flushall` may call `x`, and this is not seen. Where the server does not know a command that every release has, the posture's remarks say so. Managed services take some away |
//! | modules | a module cannot take the name of a command that is there; its command filter can rewrite each call, and is not seen |
//! | a proxy, or Redis Enterprise's own | what it answers is believed |
//!
//! A `superuser_account` is `default`; who may use any command of `@admin` or `@dangerous` that is not needed by its own name (so `+@all` with whatever is taken
//! away from it); and without `needs`, who may touch every key (`~*`), seen where it may do one of ten common commands. `needs = "… ON KEY *"` says that every key
//! is meant. The account needs `+hello +ping +acl|whoami` beside its own commands, and `+select` for a database other than 0.
//!
//! # What a server may send
//! A reply may have `max_reply` bytes, a million elements, 32 levels, and lines of 64 KiB: a header that promises more ends the connection, before anything
//! is allocated for it. An error may have 64 KiB; one in which a password of ours comes back, in whatever
//! encoding, ends the connection, for the driver would hand it on. `MOVED` and `ASK` are errors for the caller; nobody else is dialled.
//!
//! # How it comes back
//! The next command after the connection broke connects again, with all of the above but the probe. An attempt has `connect_timeout`, and the commands that wait for it
//! have `response_timeout` from their own beginning, whatever is left of the attempt: it goes on without them. Whoever fails waits: attempts are 100 ms apart at first and
//! 10 s at last, with jitter, and commands in between fail at once. When the server does not accept the credentials any more, it is not asked again until the
//! resource is attached anew. A command whose connection broke is not repeated: nobody knows whether it was carried out.
//!
//! **Credentials that are fetched** are renewed in place: the open connection logs in anew, with `AUTH`, between two commands. A server that ends connections
//! whose token has expired (ElastiCache after 12 h, Azure when the token does) has no reason to.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use backing_services_rules::Scheme;
use backing_services_rules::rule::{MALFORMED_LOCATOR, WEAK_AUTHENTICATION};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, ProtocolVersion, RedisConnectionInfo,
    RedisError, RedisFuture, RedisResult, Value,
};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use self::limits::Limited;
use crate::live::resource::ClientGuard;
use crate::locator::dialect::{Login, Parameter};
use crate::needs::Grantable;
use crate::net::reconnect::ReconnectBackoff;
use crate::net::tasks;
use crate::net::time::{unless, within};
use crate::report::finding::{Failure, FailureKind, Finding};
use crate::report::posture::{Posture, TlsPosture};
use crate::report::refusal::Refusal;
use crate::report::text::printable;
use crate::service::container::Container;
use crate::service::dial::Stream;
use crate::service::grants::Grants;
use crate::service::target::Target;
use crate::service::{Attachment, Service};

mod account;
mod commands;
mod container;
mod limits;

/// Redis and Valkey. See [the module](self) for the locator, and for how it is attached.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Redis;

/// How long a command may take unless the locator says otherwise.
const RESPONSE_TIMEOUT: u64 = 5000;

/// What the largest reply may have, in bytes, unless the locator says otherwise: 64 MiB.
const MAX_REPLY: u64 = 64 * 1024 * 1024;

/// The account of whoever names none.
const DEFAULT_USER: &str = "default";

const REMARKS: &[&str] = &[
    "without `needs` the account is tried with harmless calls alone: what has none, such as `flushall`, is not seen",
    "a key or channel pattern beyond those of `needs` is seen where it is `*`",
];

const RENAMED: &str = "the server does not know commands by the names that they have in every release: they were \
    renamed or taken away (`rename-command`), and what the account may do with another name of theirs is not seen";

#[diagnostic::do_not_recommend]
impl Service for Redis {
    type Client = RedisClient;

    const NAME: &'static str = "Redis";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("rediss"), Scheme::tls("valkeys")];
    const PATH: Option<&'static str> = Some("the database's number");
    const PRIVILEGES: &'static [Grantable] = account::PRIVILEGES;
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::number("connect_timeout", 1, 300),
        Parameter::number("response_timeout", 1, 3_600_000),
        Parameter::number("max_reply", 1024, 512 * 1024 * 1024),
        Parameter::refused(
            "protocol",
            "remove it: it is RESP3, which logs in by name or not at all",
        ),
    ];
    const LOGIN: Login = Login::Password;

    fn grants(grants: &Grants) -> Option<String> {
        Some(account::grants(grants))
    }

    fn container(grants: &Grants) -> Option<Container> {
        Some(container::container(grants))
    }

    fn check(target: &Target) -> Vec<Finding> {
        if database(target).is_none() {
            return vec![
                Finding::new(&MALFORMED_LOCATOR, "its path is not the number of a database")
                    .help("write `/0`, or no path"),
            ];
        }
        Vec::new()
    }

    async fn connect(target: &Target) -> Result<Attachment<RedisClient>, Refusal> {
        let opened = open(target).await?;
        let account =
            within(target.time_left(), account::probe(opened.link.connection.clone(), target))
                .await
                .map_err(late)??;

        let mut posture = Posture::of::<Self>(target);
        posture.tls = opened.tls;
        posture.server = account.server;
        posture.account = Some(printable(&account.user));
        posture.authentication = Some(authentication(target, posture.tls.as_ref()).to_owned());
        posture.privileges = account.privileges;
        posture.remarks = REMARKS.to_vec();
        if account.misses_commands {
            posture.remarks.push(RENAMED);
        }
        let findings = opened.finding.into_iter().chain(account.findings);
        Ok(Attachment::new(RedisClient::new(target, opened.link), posture).with_findings(findings))
    }

    async fn renew(client: &RedisClient, target: &Target) -> Result<bool, Refusal> {
        client.renew(target).await.map(|()| true)
    }

    async fn health(client: &RedisClient) -> Result<(), Refusal> {
        redis::cmd("PING").exec_async(&mut client.clone()).await.map_err(|error| refusal(&error))
    }

    async fn close(client: &RedisClient) {
        client.close().await;
    }
}

/// What proved who logged in.
fn authentication(target: &Target, tls: Option<&TlsPosture>) -> &'static str {
    match target.password() {
        Some(_) => "password",
        None if target.is_login_by_certificate(tls) => "client certificate",
        None => "nothing",
    }
}

fn database(target: &Target) -> Option<i64> {
    match target.locator().path() {
        "" => Some(0),
        // Not `parse` alone, which takes a sign. Redis has 16 databases unless it is told otherwise.
        digits if digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok()
        }
        _ => None,
    }
}

/// How long a command may take.
fn response_timeout(target: &Target) -> Duration {
    Duration::from_millis(target.locator().number("response_timeout").unwrap_or(RESPONSE_TIMEOUT))
}

/// One connection.
struct Link {
    connection: MultiplexedConnection,
    /// Closed when the driver has ended: no command comes back from it any more.
    driver: watch::Receiver<()>,
}

impl Link {
    fn is_alive(&self) -> bool {
        self.driver.has_changed().is_ok()
    }
}

struct Opened {
    link: Link,
    tls: Option<TlsPosture>,
    finding: Option<Finding>,
}

/// Dials, sees that the server keeps strangers out, and logs in.
async fn open(target: &Target) -> Result<Opened, Refusal> {
    let mut dialled = target.dial().await?;
    let lets_strangers_in =
        within(target.connect_timeout(), lets_strangers_in(&mut dialled.stream))
            .await
            .map_err(late)??;
    let finding = lets_strangers_in.then(|| {
        Finding::new(&WEAK_AUTHENTICATION, "the server answers whoever connects, without a password")
            .help("switch the user `default` off, or give it a password (`ACL SETUSER default off`, or `requirepass`)")
    });
    if let Some(finding) = &finding
        && !target.waives(&WEAK_AUTHENTICATION)
    {
        return Err(finding.clone().into());
    }

    let locator = target.locator();
    let mut info = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(database(target).unwrap_or_default())
        .set_skip_set_lib_name();
    if let Some(password) = target.password() {
        info = info
            .set_username(target.user().unwrap_or(DEFAULT_USER))
            .set_password(password.expose_secret());
    }
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(response_timeout(target)));
    let stream = Limited::new(dialled.stream, locator.number("max_reply").unwrap_or(MAX_REPLY));
    let logging_in = MultiplexedConnection::new_with_config(&info, stream, config);
    let (connection, driver) = within(target.connect_timeout(), logging_in)
        .await
        .map_err(late)?
        .map_err(|error| refusal(&error))?;

    let (running, watched) = watch::channel(());
    // It ends when the last clone of the connection is gone, or when the connection breaks.
    tasks::spawn(&Handle::current(), async move {
        driver.await;
        drop(running);
    });
    Ok(Opened { link: Link { connection, driver: watched }, tls: dialled.tls, finding })
}

/// Sends a `PING` before anybody has logged in. The answer is one line, and all that is read.
async fn lets_strangers_in(stream: &mut Stream) -> Result<bool, Refusal> {
    /// `-NOAUTH Authentication required.` has 33 bytes.
    const LONGEST_ANSWER: usize = 256;
    let broken = |_| {
        Failure::new(
            FailureKind::Unreachable,
            "the server closed the connection before anything was asked of it",
            "look at the port and at the server's log",
        )
    };
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        if answer.len() == LONGEST_ANSWER {
            return Err(foreign().into());
        }
        answer.push(stream.read_u8().await.map_err(broken)?);
    }
    match answer.as_slice() {
        [b'+', ..] => Ok(true),
        answer if answer.starts_with(b"-NOAUTH") => Ok(false),
        answer if answer.starts_with(b"-LOADING") => Err(Failure::new(
            FailureKind::Unavailable,
            "the server is still loading its data",
            "wait",
        )
        .into()),
        _ => Err(foreign().into()),
    }
}

/// A client of one Redis server. Clones share one connection, and commands of all of them go through it at once.
///
/// It is a [`ConnectionLike`], and so is the guard that [`Resource::client`](crate::live::resource::Resource::client) hands out:
///
/// ```no_run
/// # async fn example(sessions: backing_services::Resource<backing_services::Redis>) -> redis::RedisResult<()> {
/// use redis::AsyncCommands as _;
///
/// let () = sessions.client().set("greeting", "hello").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisClient {
    shared: Arc<Shared>,
}

struct Shared {
    /// Its credentials may be renewed.
    target: ArcSwap<Target>,
    database: i64,
    current: ArcSwapOption<Link>,
    /// Whether the resource is detached: an attempt to connect again ends with it.
    closed: watch::Sender<bool>,
    /// Held by the attempt to connect again, whoever waits for it.
    again: Arc<Mutex<ReconnectBackoff>>,
}

impl RedisClient {
    fn new(target: &Target, link: Link) -> Self {
        let shared = Shared {
            target: ArcSwap::from_pointee(target.clone()),
            database: database(target).unwrap_or_default(),
            current: ArcSwapOption::from_pointee(link),
            closed: watch::Sender::new(false),
            again: Arc::new(Mutex::new(ReconnectBackoff::new())),
        };
        Self { shared: Arc::new(shared) }
    }

    async fn send_command(&self, command: &Cmd) -> RedisResult<Value> {
        match self.live() {
            Some(mut connection) => connection.send_packed_command(command).await,
            None => {
                self.in_time(async { self.connection().await?.send_packed_command(command).await })
                    .await
            }
        }
    }

    async fn send_pipeline(
        &self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        match self.live() {
            Some(mut connection) => connection.send_packed_commands(pipeline, offset, count).await,
            None => {
                let sent = async {
                    self.connection().await?.send_packed_commands(pipeline, offset, count).await
                };
                self.in_time(sent).await
            }
        }
    }

    /// Connecting again and the answer together have the time that an answer has. On a connection that
    /// is there, the driver limits the answer.
    async fn in_time<T>(&self, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let limit = response_timeout(&self.shared.target.load());
        // On the heap, so that the usual way stays small.
        match tokio::time::timeout(limit, Box::pin(work)).await {
            Ok(done) => done,
            Err(_) => {
                let message = "no connection to the server, and no answer, within `response_timeout`; connecting again goes on";
                Err(io::Error::new(io::ErrorKind::TimedOut, message).into())
            }
        }
    }

    /// The connection, or a new one where it broke.
    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        let again = Arc::clone(&self.shared.again).lock_owned().await;
        // Whoever held the lock may have connected.
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        if *self.shared.closed.borrow() {
            return Err(detached());
        }
        if again.has_given_up() {
            return Err((
                ErrorKind::AuthenticationFailed,
                "the server did not accept the credentials when connecting again; attach the resource anew",
            )
                .into());
        }
        if again.is_waiting() {
            return Err((
                ErrorKind::Io,
                "the server could not be connected to again a moment ago; the next attempt waits",
            )
                .into());
        }
        // A command that stops waiting does not end the attempt: a server that is slower than
        // `response_timeout` would never be connected to again.
        let attempt =
            tasks::spawn(&Handle::current(), Arc::clone(&self.shared).connect_again(again)).join();
        attempt
            .await
            .unwrap_or_else(|| Err((ErrorKind::Io, "connecting to the server again failed").into()))
    }

    /// Logs in anew on the connection that is open; whatever comes after it logs in likewise.
    async fn renew(&self, target: &Target) -> Result<(), Refusal> {
        // Nobody connects again meanwhile.
        let mut again = self.shared.again.lock().await;
        if let (Some(mut connection), Some(password)) = (self.live(), target.password()) {
            let user = target.user().unwrap_or(DEFAULT_USER);
            let mut login = redis::cmd("AUTH");
            let answered =
                login.arg(user).arg(password.expose_secret()).exec_async(&mut connection).await;
            // A connection that broke meanwhile is no refusal: the next one logs in with these.
            if let Err(error) = answered
                && self.live().is_some()
            {
                return Err(refusal(&error));
            }
        }
        self.shared.target.store(Arc::new(target.clone()));
        *again = ReconnectBackoff::new();
        Ok(())
    }

    fn live(&self) -> Option<MultiplexedConnection> {
        let current = self.shared.current.load();
        let link = current.as_ref().filter(|link| link.is_alive())?;
        Some(link.connection.clone())
    }

    /// No command begins any more; those that have are answered: the driver ends with the last of them.
    async fn close(&self) {
        self.shared.closed.send_replace(true);
        // An attempt to connect again ends at once, and leaves nothing behind.
        let _again = self.shared.again.lock().await;
        let Some(link) = self.shared.current.swap(None) else { return };
        let mut driver = link.driver.clone();
        drop(link);
        // An error is what comes when it has ended.
        while driver.changed().await.is_ok() {}
    }
}

impl Shared {
    /// One attempt, within `connect_timeout`.
    async fn connect_again(
        self: Arc<Self>,
        mut again: OwnedMutexGuard<ReconnectBackoff>,
    ) -> RedisResult<MultiplexedConnection> {
        let target = self.target.load_full();
        let mut closed = self.closed.subscribe();
        let closing = async {
            let _ = closed.wait_for(|closed| *closed).await;
        };
        let Some(opened) = unless(closing, within(target.connect_timeout(), open(&target))).await
        else {
            return Err(detached());
        };
        match opened.unwrap_or_else(|timed_out| Err(timed_out.into())) {
            Ok(opened) => {
                *again = ReconnectBackoff::new();
                let connection = opened.link.connection.clone();
                self.current.store(Some(Arc::new(opened.link)));
                tracing::info!(service = Redis::NAME, endpoint = %target.locator(), "connected again");
                Ok(connection)
            }
            Err(refusal) => {
                again.failed(&refusal);
                tracing::warn!(service = Redis::NAME, endpoint = %target.locator(), given_up = again.has_given_up(), "not connected again: {refusal}");
                Err((
                    ErrorKind::Io,
                    "the server could not be connected to again",
                    refusal.to_string(),
                )
                    .into())
            }
        }
    }
}

fn detached() -> RedisError {
    (ErrorKind::Io, "the resource is detached").into()
}

impl fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisClient({})", self.shared.target.load().locator())
    }
}

impl ConnectionLike for RedisClient {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.send_command(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.send_pipeline(pipeline, offset, count))
    }

    fn get_db(&self) -> i64 {
        self.shared.database
    }
}

/// The guard is a connection itself, so that a command is one line, and the resource's generation stays open until it is answered.
impl ConnectionLike for ClientGuard<Redis> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.send_command(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.send_pipeline(pipeline, offset, count))
    }

    fn get_db(&self) -> i64 {
        self.shared.database
    }
}

/// Reads an error of the driver's. Of what the server said, only its code decides; none of it is repeated.
fn refusal(error: &RedisError) -> Refusal {
    let new = Failure::new;
    match error.code() {
        Some("WRONGPASS") => new(
            FailureKind::NotAdmitted,
            "the server does not accept the user and the password",
            "look at both; they may have been rotated",
        ),
        Some("NOAUTH" | "NOPERM") => new(
            FailureKind::NotAdmitted,
            "the account may not do what attaching takes",
            "`ACL SETUSER <user> +hello +ping +acl|whoami`, and `+select` for a database other than 0",
        ),
        Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN") => {
            new(FailureKind::Unavailable, "the server does not want to serve anybody now", "look at its log")
        }
        Some("NOPROTO") => {
            new(FailureKind::Unavailable, "the server has no RESP3: it is older than Redis 6", "upgrade the server")
        }
        _ if error.kind() == ErrorKind::AuthenticationFailed => new(
            FailureKind::NotAdmitted,
            "the server does not accept the user and the password",
            "look at both; they may have been rotated",
        ),
        _ if error.kind() == ErrorKind::RESP3NotSupported => {
            new(FailureKind::Unavailable, "the server has no RESP3: it is older than Redis 6", "upgrade the server")
        }
        _ if error.is_timeout() => new(
            FailureKind::TimedOut,
            "the server did not answer in time",
            "look at its load, and at `response_timeout` in the locator",
        ),
        _ if error.is_connection_dropped() => {
            new(FailureKind::Unreachable, "the server closed the connection", "look at its log")
        }
        Some(_) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {
            new(FailureKind::Unavailable, "the server answered with an error", "look at its log")
        }
        _ => foreign(),
    }
    .into()
}

fn foreign() -> Failure {
    Failure::new(
        FailureKind::Protocol,
        "what the server sent is not its protocol, or more than it may send",
        "look at what answers on the port",
    )
}

fn late(timed_out: Failure) -> Refusal {
    timed_out.into()
}
