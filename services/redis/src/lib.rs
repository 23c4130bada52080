//! Redis and Valkey, through [`RedisClient`]: one multiplexed connection in RESP3, which reconnects
//! by itself.
//!
//! # Locator
//! `rediss://user:password@host:port/database`, or `valkeys://`. The default port is 6379, and the
//! default database is 0. A password without a user belongs to the user `default`, which is an
//! administrator unless the server is configured otherwise. The parameters:
//!
//! | parameter | meaning | default |
//! |---|---|---|
//! | `connect_timeout` | seconds until connecting fails, 1 to 300 | 10 |
//! | `response_timeout` | milliseconds until a command fails, 1 to 3 600 000 | 5000 |
//! | `max_reply` | bytes of the largest reply, 1024 to 536 870 912 | 67 108 864 |
//!
//! `response_timeout` includes the time to reconnect if there is no connection. A blocking command
//! needs more than the time that it blocks. The upper limit of `max_reply` is the longest string in
//! Redis.
//!
//! # How it is attached
//! 1. **TLS** from the first byte on, with our own configuration: it trusts only the resource's
//!    `_CA`, or the public roots. The driver gets the verified stream, and never dials.
//! 2. **A `PING` before the login.** If the server answers it, it admits every client: the finding
//!    `weak_authentication`. A client certificate is not a login here: it is presented to a server
//!    that requests it (`tls-auth-clients`), in addition to the password.
//! 3. **The login** by `HELLO 3 AUTH`, which has no variant without a user. A driver that falls
//!    back to RESP2's `AUTH` without the user's name would log in as another user.
//! 4. **The probe**, in one round trip, as described below. A second one follows if the field has
//!    `needs` and the account may not use `ACL DRYRUN`.
//!
//! # The account's privileges
//! A field's `needs` are written in the words of an ACL: categories and commands on key patterns
//! (`KEY` may be omitted), on channel patterns, and without an object.
//!
//! ```text
//! needs = "@read, @write ON KEY session:*; get ON price:*; \
//!          publish, subscribe ON CHANNEL news:*; client|setname"
//! ```
//!
//! A category excludes its commands that are `@admin` or `@dangerous` (such as `keys`): list them
//! by name if they are needed. `@all`, `@admin` and `@dangerous` cannot be needed.
//! [`Manifest::grants`](backing_services_runtime::Manifest::grants) writes the matching
//! `ACL SETUSER`, with a selector (Redis 7) if two patterns are for different commands. The
//! statement can be run again, and keeps a password. The account cannot log in before it has one.
//! Redis allows no blanks in names and patterns.
//!
//! **With `needs`**, the account checks its own privileges by `ACL DRYRUN`: every command of Redis
//! 7.4, with a name under each of the patterns, and with a random name. Nothing is executed,
//! nothing is added to `ACL LOG`, and no password is revealed. This needs `+acl|dryrun`, which
//! `grants()` includes, and which also lets the account read the privileges of other users. Without
//! it, or on a server without that command, the finding is `missing_privileges`: an account that
//! cannot be compared is not accepted. The check does not see commands of modules and of later
//! releases, nor a pattern that is neither needed nor `*`.
//!
//! **Without `needs`**, the probe tries administrators' commands in calls that change nothing
//! whatever the answer: on random names (`probe.…`), or with an invalid argument. It does not see
//! commands without such a call: `flushall`, `flushdb`, `shutdown`, `debug`, `migrate`,
//! `replicaof`, `failover`, `keys`, `monitor`, `save`, `acl|load`, `config|rewrite`, `module|load`
//! and the like. Denied calls are added to the server's `ACL LOG` (some thirty entries).
//!
//! **Influences on the probe.** An account has no settings of its own, and neither a script nor a
//! function can replace a command. These remain:
//!
//! - RESP2 or RESP3: `HELLO 3 AUTH` sets it for each connection. The meaning of an ACL is the same
//!   in both.
//! - Selectors (Redis 7): the server evaluates all of them, in `ACL DRYRUN` and in a call.
//! - Scripts and functions: the server checks their commands against the caller's ACL.
//! - Another command in place of `ACL DRYRUN` (`rename-command ECHO ACL`): a server that does not
//!   know `acl|whoami`, `acl|dryrun`, `ping`, `get` or `set` is refused.
//! - `rename-command`: an ACL keeps the former name, and the probe does not know the new one. After
//!   `rename-command FLUSHALL x`, an account with `+flushall` may call `x`, and the probe does not
//!   see it. If the server does not know a command that is part of every release, the posture's
//!   remarks report it. Managed services remove some.
//! - Modules: a module cannot replace an existing command. Its command filter can rewrite each
//!   call, and the probe does not see that.
//! - A proxy, including Redis Enterprise's own: its answers are believed.
//!
//! These accounts are a `superuser_account`: `default`; an account that may use any command of
//! `@admin` or `@dangerous` that is not needed by its own name (so `+@all`, whatever is removed
//! from it); and without `needs`, an account that may access every key (`~*`), which is seen if it
//! may use one of ten common commands. `needs = "… ON KEY *"` declares that every key is meant. The
//! account needs `+hello +ping +acl|whoami` in addition to its own commands, and `+select` for a
//! database other than 0.
//!
//! # Limits on the server's messages
//! A reply has at most `max_reply` bytes, a million elements, 32 levels, and lines of 64 KiB. A
//! header that promises more ends the connection, before anything is allocated for it. An error has
//! at most 64 KiB. An error that contains one of our passwords, in any encoding, ends the
//! connection, because the driver would pass it on. `MOVED` and `ASK` are errors for the caller; no
//! other server is dialled.
//!
//! # Reconnecting
//! The first command after the connection broke reconnects, with all of the above but the probe. An
//! attempt has `connect_timeout`. A command that waits for it has `response_timeout` from its own
//! beginning; when that passes, the command fails and the attempt goes on. Attempts are 100 ms
//! apart at first and 10 s at last, with jitter, and commands in between fail at once. If the
//! server rejects the credentials, there is no further attempt until new ones are fetched or the
//! resource is attached again. A command whose connection broke is not repeated: the server may
//! have executed it.
//!
//! **Fetched credentials** are renewed in place: the open connection logs in again, with `AUTH`,
//! between two commands. A server that ends connections whose token has expired (ElastiCache after
//! 12 h, Azure when the token does) then has no reason to.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use backing_services_rules::Scheme;
use backing_services_rules::rule::{MALFORMED_LOCATOR, WEAK_AUTHENTICATION};
use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::Grantable;
use backing_services_runtime::posture::{TlsPosture, printable};
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::resource::ClientGuard;
use backing_services_runtime::service::metered::Metered;
use backing_services_runtime::service::reconnect::{self, Reconnector};
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{
    Attachment, Attempt, Login, Parameter, Refusal, Stream, Target, tasks,
};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, ProtocolVersion, RedisConnectionInfo,
    RedisError, RedisFuture, RedisResult, Value,
};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::watch;

use self::limits::ReplyLimits;

pub use redis;

mod account;
mod commands;
mod limits;

/// Redis and Valkey. See [the module](self) for the locator and the steps of attaching.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Redis;

/// The default of `response_timeout`, in milliseconds.
const RESPONSE_TIMEOUT: u64 = 5000;

/// The default of `max_reply`, in bytes: 64 MiB.
const MAX_REPLY: u64 = 64 * 1024 * 1024;

/// The account of a login without a user.
const DEFAULT_USER: &str = "default";

const REMARKS: &[&str] = &[
    "without `needs` the account is tried with harmless calls alone: what has none, such as \
     `flushall`, is not seen",
    "a key or channel pattern beyond those of `needs` is seen only if it is `*`",
];

const RENAMED: &str = "the server does not know commands by the names that they have in every \
    release: they were renamed or taken away (`rename-command`), and what the account may do with \
    another name of theirs is not seen";

#[diagnostic::do_not_recommend]
impl Service for Redis {
    type Client = RedisClient;
    type Guard = RedisGuard;

    const NAME: &'static str = "Redis";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("rediss"), Scheme::tls("valkeys")];
    const PATH: Option<&'static str> = Some("the database's number");
    const PRIVILEGES: &'static [Grantable] = account::PRIVILEGES;
    const PARAMETERS: &'static [Parameter] = &[
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

    fn check(target: &Target) -> Vec<Finding> {
        if database(target).is_none() {
            return vec![
                Finding::new(&MALFORMED_LOCATOR, "its path is not the number of a database")
                    .with_help("write `/0`, or no path"),
            ];
        }
        Vec::new()
    }

    async fn connect(
        target: &Target,
        attempt: Attempt,
    ) -> Result<Attachment<RedisClient>, Refusal> {
        let opened = open(target).await?;
        let account = with_timeout(
            attempt.time_left(),
            account::probe(opened.link.connection.clone(), target),
        )
        .await??;

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
        let log_in = |link: Arc<Link>| async move { log_in_again(&link, target).await };
        client.link.renew(target, log_in).await.map(|()| true)
    }

    async fn health(client: &RedisClient) -> Result<(), Refusal> {
        let limit = response_timeout(&client.link.target());
        let link = with_timeout(limit, client.link.get()).await??;
        let mut connection = link.connection.clone();
        redis::cmd("PING").exec_async(&mut connection).await.map_err(|error| refusal(&error))
    }

    async fn close(client: &RedisClient) {
        client.close().await;
    }
}

/// The proof of the account's identity.
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
        // Not only `parse`, which accepts a sign. Redis has 16 databases by default.
        digits if digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok()
        }
        _ => None,
    }
}

/// The time limit of a command.
fn response_timeout(target: &Target) -> Duration {
    Duration::from_millis(target.locator().number("response_timeout").unwrap_or(RESPONSE_TIMEOUT))
}

/// One connection.
struct Link {
    connection: MultiplexedConnection,
    /// Closed when the driver task has ended: no command is answered after that.
    driver: watch::Receiver<()>,
}

impl reconnect::Link for Link {
    const SERVICE: &'static str = Redis::NAME;

    fn is_alive(&self) -> bool {
        self.driver.has_changed().is_ok()
    }

    async fn open(target: &Target) -> Result<Self, Refusal> {
        Ok(open(target).await?.link)
    }
}

struct Opened {
    link: Link,
    tls: Option<TlsPosture>,
    finding: Option<Finding>,
}

/// Dials, checks that the server demands authentication, and logs in.
async fn open(target: &Target) -> Result<Opened, Refusal> {
    let mut dialled = target.dial().await?;
    let lets_strangers_in =
        with_timeout(target.connect_timeout(), lets_strangers_in(&mut dialled.stream)).await??;
    let finding = lets_strangers_in.then(|| {
        Finding::new(
            &WEAK_AUTHENTICATION,
            "the server answers every client, without a password",
        )
        .with_help(
            "switch the user `default` off, or give it a password (`ACL SETUSER default off`, or \
             `requirepass`)",
        )
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
    let limits = ReplyLimits::new(locator.number("max_reply").unwrap_or(MAX_REPLY));
    let stream = Metered::new(dialled.stream, limits);
    let logging_in = MultiplexedConnection::new_with_config(&info, stream, config);
    let (connection, driver) = with_timeout(target.connect_timeout(), logging_in)
        .await?
        .map_err(|error| refusal(&error))?;

    let (running, watched) = watch::channel(());
    // The driver ends when the last clone of the connection is dropped, or when the connection
    // breaks.
    tasks::spawn(&Handle::current(), async move {
        driver.await;
        drop(running);
    });
    Ok(Opened { link: Link { connection, driver: watched }, tls: dialled.tls, finding })
}

/// Sends a `PING` before the login. Reads only the answer, which is one line.
async fn lets_strangers_in(stream: &mut Stream) -> Result<bool, Refusal> {
    /// `-NOAUTH Authentication required.` has 33 bytes.
    const LONGEST_ANSWER: usize = 256;
    let broken = |_| {
        Failure::new(
            FailureKind::Unreachable,
            "the server closed the connection before anything was asked of it",
            "check the port and the server's log",
        )
    };
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        if answer.len() == LONGEST_ANSWER {
            return Err(Failure::protocol().into());
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
        _ => Err(Failure::protocol().into()),
    }
}

/// A client of one Redis server. Clones share one connection, which multiplexes their commands.
///
/// It is a [`ConnectionLike`], and so is the guard from
/// [`Resource::client`](backing_services_runtime::Resource::client):
///
/// ```no_run
/// # async fn example(
/// #     sessions: backing_services::Resource<backing_services::Redis>,
/// # ) -> redis::RedisResult<()> {
/// use redis::AsyncCommands as _;
///
/// let () = sessions.client().set("greeting", "hello").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisClient {
    link: Reconnector<Link>,
    database: i64,
}

impl RedisClient {
    fn new(target: &Target, link: Link) -> Self {
        let database = database(target).unwrap_or_default();
        Self { link: Reconnector::new(target, link), database }
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

    /// Limits reconnecting and the answer together to `response_timeout`. On an open connection,
    /// the driver limits the answer.
    async fn in_time<T>(&self, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let limit = response_timeout(&self.link.target());
        // On the heap, so that the future of the usual case stays small.
        match tokio::time::timeout(limit, Box::pin(work)).await {
            Ok(done) => done,
            Err(_) => {
                let message = "no connection to the server, and no answer, within \
                               `response_timeout`; connecting again goes on";
                Err(io::Error::new(io::ErrorKind::TimedOut, message).into())
            }
        }
    }

    /// The connection, or a new one if it broke.
    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        match self.link.get().await {
            Ok(link) => Ok(link.connection.clone()),
            Err(refusal) => Err(not_connected(&refusal)),
        }
    }

    fn live(&self) -> Option<MultiplexedConnection> {
        Some(self.link.live()?.connection.clone())
    }

    /// Accepts no new commands, and waits for the answers to the open ones: the driver ends after
    /// the last of them.
    async fn close(&self) {
        let Some(link) = self.link.close().await else { return };
        let mut driver = link.driver.clone();
        drop(link);
        // `changed` returns an error once the driver has ended.
        while driver.changed().await.is_ok() {}
    }
}

/// Logs in again on an open connection.
async fn log_in_again(link: &Link, target: &Target) -> Result<(), Refusal> {
    let Some(password) = target.password() else { return Ok(()) };
    redis::cmd("AUTH")
        .arg(target.user().unwrap_or(DEFAULT_USER))
        .arg(password.expose_secret())
        .exec_async(&mut link.connection.clone())
        .await
        .map_err(|error| refusal(&error))
}

/// The driver's error for a connection that could not be opened.
fn not_connected(refusal: &Refusal) -> RedisError {
    let kind = match refusal {
        Refusal::Failure(failure) if failure.kind() == FailureKind::AuthenticationFailed => {
            ErrorKind::AuthenticationFailed
        }
        _ => ErrorKind::Io,
    };
    (kind, "there is no connection to the server", refusal.to_string()).into()
}

impl fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisClient({})", self.link.target().locator())
    }
}

/// A guard on a [`RedisClient`]. It is a connection itself, so a command is one line, and the
/// client stays open until the answer.
#[derive(Debug)]
pub struct RedisGuard(ClientGuard<Redis>);

impl From<ClientGuard<Redis>> for RedisGuard {
    fn from(guard: ClientGuard<Redis>) -> Self {
        Self(guard)
    }
}

impl Deref for RedisGuard {
    type Target = RedisClient;

    fn deref(&self) -> &RedisClient {
        &self.0
    }
}

/// The client and its guard are both a connection.
macro_rules! connections {
    ($($connection:ty),*) => {$(
        impl ConnectionLike for $connection {
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
                self.database
            }
        }
    )*};
}

connections!(RedisClient, RedisGuard);

/// Converts an error of the driver. Of the server's error, only the code counts; its text is not
/// repeated.
fn refusal(error: &RedisError) -> Refusal {
    let new = Failure::new;
    match error.code() {
        Some("WRONGPASS") => new(
            FailureKind::AuthenticationFailed,
            "the server does not accept the user and the password",
            "check both; they may have been rotated",
        ),
        Some("NOAUTH" | "NOPERM") => new(
            FailureKind::AuthenticationFailed,
            "the account lacks a privilege that attaching requires",
            "`ACL SETUSER <user> +hello +ping +acl|whoami`, and `+select` for a database other \
             than 0",
        ),
        Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN") => {
            new(FailureKind::Unavailable, "the server does not accept commands now", "read its log")
        }
        Some("NOPROTO") => new(
            FailureKind::Unavailable,
            "the server has no RESP3: it is older than Redis 6",
            "upgrade the server",
        ),
        _ if error.kind() == ErrorKind::AuthenticationFailed => new(
            FailureKind::AuthenticationFailed,
            "the server does not accept the user and the password",
            "check both; they may have been rotated",
        ),
        _ if error.kind() == ErrorKind::RESP3NotSupported => new(
            FailureKind::Unavailable,
            "the server has no RESP3: it is older than Redis 6",
            "upgrade the server",
        ),
        _ if error.is_timeout() => Failure::no_answer(),
        _ if error.is_connection_dropped() => Failure::closed(),
        Some(_) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {
            Failure::server_error()
        }
        _ => Failure::protocol(),
    }
    .into()
}

#[cfg(test)]
mod fuzz {
    use ::redis::{ConnectionAddr, IntoConnectionInfo as _};
    use backing_services_fuzz::{check, is_same_host, target};

    use super::*;

    const LOCATORS: &[&str] = &[
        "rediss://shop:hyacinth%2Dbulb-67@Cache.example.com.:6380/7",
        "rediss://:hyacinth-bulb%40%3A67@[2001:db8::1]",
        "rediss://s!$&'()*+,;=h%C3%BC:hyacinth-bulb-67@10.1.2.3/0",
        "rediss://a:hyacinth-bulb-67@[::ffff:10.1.2.3]:1/00012",
        "rediss://a:hyacinth-bulb-67@167837955",
    ];

    /// If we accept a locator, the driver reads it with the same host, port, login and database.
    #[test]
    fn the_driver_reads_the_same_locator() {
        check!(LOCATORS, |input| {
            let text = input.text();
            let Some(target) = target::<Redis>(&text) else { return };
            // The driver has no TLS of its own, and refuses the scheme.
            let (_, rest) = text.split_once(':').unwrap_or_default();
            let rest = rest.split('?').next().unwrap_or_default();
            let theirs = format!("redis:{rest}").into_connection_info();
            let theirs = theirs.unwrap_or_else(|error| panic!("{text}: {error}"));
            let ConnectionAddr::Tcp(host, port) = theirs.addr() else { panic!("{text}") };
            let locator = target.locator();
            assert!(is_same_host(locator.host().unwrap(), host), "{text}: {host}");
            assert_eq!(*port, locator.port(), "{text}");
            let theirs = theirs.redis_settings();
            assert_eq!(theirs.username(), locator.user(), "{text}");
            let password = target.password().map(|password| password.expose_secret());
            assert_eq!(theirs.password(), password, "{text}");
            assert_eq!(Some(theirs.db()), database(&target), "{text}");
        });
    }
}
