//! PostgreSQL, through a [`deadpool`] pool of [`tokio_postgres`] clients: the stricter of the two
//! services for it, which demands a login that is bound to TLS.
//!
//! # Locator
//! `postgres://user:password@host:port/database`, or `postgresql://`. By default, the port is 5432
//! and the database is the user's name. There may be up to 8 hosts: `a.example,b.example:5433`.
//! Parameters:
//!
//! | parameter | meaning | default |
//! |---|---|---|
//! | `sslmode` | accepted if it asks for TLS; no effect: verification is always full | |
//! | `channel_binding` | `require`, as some platforms write it: it is always on | `require` |
//! | `application_name` | shown in `pg_stat_activity`, at most 63 characters | `backing-services` |
//! | `connect_timeout` | seconds until connecting has failed, 1 to 300 | 10 |
//! | `statement_timeout` | milliseconds per statement, on the server, 1 to 86 400 000 | 30 000 |
//! | `max_connections` | size of the pool, 1 to 1000 | 10, as in `Postgres` |
//! | `target_session_attrs` | the server that a connection needs, if there are several | `any` |
//! | `max_message` | bytes of the server's largest message, 65 536 to 1 073 741 823 | 67 108 864 |
//!
//! `connect_timeout` also limits the wait for a free connection of the pool. The default of
//! `statement_timeout` is longer than a request may take. A message is a row, for example; the
//! maximum of `max_message` is PostgreSQL's own longest field.
//!
//! # How each connection is made
//! The first and every later one, in the same way:
//! 1. **TLS** is requested by the protocol's `SSLRequest`, and refused TLS ends the attempt. The
//!    handshake is ours: it trusts the resource's `_CA` and nothing else, or the `_PIN`, or the
//!    public roots. Every address has been checked against the rules. The driver gets the verified
//!    stream, and never dials.
//! 2. **Logging in** is by SCRAM, bound to this TLS connection (`channel_binding=require`). A
//!    machine in between that ends TLS with another certificate of the same host, even a verified
//!    one, cannot forward the login. A server that asks for the password in cleartext or as MD5, or
//!    asks for nothing at all, or cannot bind, is the finding `weak_authentication`; only the names
//!    of user and database have been sent to it. So is a certificate that defines no binding: one
//!    that is signed with Ed25519 or RSA-PSS (RFC 5929, 4.1). If that is waived, the login is bound
//!    if possible, and otherwise uses the method that the server asks for. With a client
//!    certificate and without a password, the certificate logs in: a server that does not ask for
//!    it in the handshake, or asks for a password, is refused.
//! 3. **The statement's time** is bounded by a parameter of the session.
//!
//! The first connection runs the probe, one statement: it reads the account, the roles that the
//! account can become, their privileges, and `pg_stat_ssl` for the connection. It is then the
//! pool's first connection.
//!
//! # Several hosts
//! Each connection tries the hosts in the order in which they are written, and stays with the first
//! one that fits `target_session_attrs`: `any`, `read-write`, `read-only`, `primary`, `standby` or
//! `prefer-standby`, as in libpq (PostgreSQL documentation, 34.1.2). So the next connections follow
//! a failover. Each host passes the address rules and the field's `hosts` alone, and its
//! certificate has to be valid for its own name. A host that violates a rule is passed
//! over, and its finding is a warning. A host that rejects the credentials ends the search. The
//! posture's endpoint is the host of the first connection. `connect_timeout` is for each host.
//!
//! # Limits on messages
//! Until login and probe are complete: messages of 16 KiB, and 1 MiB in all. After that: messages
//! of `max_message` bytes, and 1000 notices, errors and changed settings, or 1 MiB of them, between
//! two queries. A setting or a notification has at most 16 KiB, and notifications while a statement
//! runs `max_message` bytes; the driver gets only the settings that PostgreSQL documents (54.2.7).
//! A header that announces more ends the connection, before memory is allocated for it. So does an
//! answer that was not asked for, and a row whose counts or lengths do not fit.
//! SCRAM's iterations are 4096 at least (RFC 7677, 4) and 100 000 at most, and nonce and signature
//! are checked. Notices and notifications are dropped, so that no text of the server is logged. An
//! error may have 256 KiB. It becomes printable on the way to the driver, and a password of ours in
//! it, in any encoding, is replaced.
//!
//! # How it reconnects
//! A connection that broke, does not answer within 5 s, or is 30 minutes old is not handed out
//! again, and the pool opens another one. If that fails, the next attempt waits: at first 100 ms
//! and at most 10 s, with jitter. Calls in between fail at once. When the server rejects the
//! credentials, the pool does not try again until the resource is attached again or its credentials
//! are renewed. With several hosts, it makes one attempt in 10 s: only one of them may be wrong.
//!
//! **Fetched credentials** are renewed in place: open connections stay open, and the next ones log
//! in with the new password.
//!
//! # Known limits of the driver
//! - If a server stops answering in the middle of a statement, the call waits (the posture's
//!   remarks report it): give calls a timeout of their own. `health()` has one.
//! - Cancelling a statement takes a new connection, which the driver cannot make without our
//!   stream: `cancel_query` of a `CancelToken` fails, and `cancel_query_raw` takes a stream from
//!   the caller.
//! - At the level `debug` the driver logs statements, though not through this crate.
#![doc = include_str!("../postgresql/account.md")]

use std::convert::Infallible;
use std::error::Error as _;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use std::{fmt, io};

use backing_services_rules::Scheme;
use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::Grantable;
use backing_services_runtime::posture::{ServerPosture, TlsPosture, printable};
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::resource::ClientGuard;
use backing_services_runtime::service::connections::{Connections, CountedConnection};
use backing_services_runtime::service::metered::Metered;
use backing_services_runtime::service::reconnect::ReconnectAttempts;
use backing_services_runtime::service::relay::Settled;
use backing_services_runtime::service::tasks::Tasks;
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{
    Attachment, Attempt, Login, Parameter, Refusal, Stream, Target, tasks,
};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage, SimpleQueryRow};

use self::greeted::Greeted;
use crate::postgresql;
use crate::postgresql::hosts::log_in;
use crate::postgresql::login::{Demand, Proof};
use crate::postgresql::messages::{Refused, ServerMessages};
use crate::postgresql::{Account, COLUMNS, Row, no_answer, parameters, server_error};

mod greeted;
mod pool;

pub use ::tokio_postgres as driver;
pub use pool::{PoolStatus, PooledConnection, TokioPostgresPool};

/// PostgreSQL, with channel binding on every connection. [The module](self) documents its locator
/// and how it is attached.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TokioPostgres;

/// The maximum age of a connection: 30 minutes, as in `Postgres`. A newer one uses rotated
/// certificates and credentials.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

/// The time limit for the server's answer before a connection is handed out again. A connection
/// without an answer is dropped.
const RECYCLING: Duration = Duration::from_secs(5);

/// The time limit for closing a connection that has no client any more.
const GOODBYE: Duration = Duration::from_secs(1);

/// A remark that applies to every connection.
const REMARK: &str = "a server that falls silent in the middle of a statement is waited for, \
    unless the call has a timeout of its own";

#[diagnostic::do_not_recommend]
impl Service for TokioPostgres {
    type Client = TokioPostgresPool;
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "PostgreSQL";
    const SCHEMES: &'static [Scheme] =
        &[Scheme::upgraded("postgres"), Scheme::upgraded("postgresql")];
    const PATH: Option<&'static str> = Some("the database's name");
    const SEVERAL_HOSTS: bool = true;
    const PRIVILEGES: &'static [Grantable] = postgresql::PRIVILEGES;
    const PARAMETERS: &'static [Parameter] =
        parameters![Parameter::choice("channel_binding", &["require"]),];
    const LOGIN: Login = Login::UserAndPassword;

    fn check(target: &Target) -> Vec<Finding> {
        postgresql::check(target)
    }

    fn grants(grants: &Grants) -> Option<String> {
        Some(postgresql::grants(grants))
    }

    async fn connect(
        target: &Target,
        attempt: Attempt,
    ) -> Result<Attachment<TokioPostgresPool>, Refusal> {
        let connections = Connections::new();
        let opened = connections.open(|counted| open(target, counted, None)).await?;
        let probed = with_timeout(attempt.time_left(), probe(&opened, target)).await?;
        let account = probed.map_err(|refusal| opened.explain(refusal))?;
        opened.settled.set();

        let mut posture = Posture::of::<Self>(target);
        posture.endpoint = opened.endpoint;
        posture.tls = opened.tls;
        posture.authentication = Some(opened.proof.name.to_owned());
        posture.server = Some(ServerPosture::new("PostgreSQL", &account.version));
        posture.account = Some(printable(&account.user));
        posture.privileges = account.privileges();
        posture.remarks.extend(account.remark(target));
        posture.remarks.push(REMARK);
        posture.remarks.extend((!account.is_bounded).then_some(postgresql::UNBOUNDED));
        let proof = opened.proof.finding;
        let findings = opened.skipped.into_iter().chain(proof).chain(account.findings(target));
        let pool = pool(target, connections, opened.client, account.is_bounded)?;
        // Move the first connection into the pool.
        drop(pool.get().await?);
        Ok(Attachment::new(pool, posture).with_findings(findings))
    }

    async fn renew(pool: &TokioPostgresPool, target: &Target) -> Result<bool, Refusal> {
        pool.0.manager().attempts.renew(target);
        Ok(true)
    }

    async fn make_ready(pool: &TokioPostgresPool, former: &TokioPostgresPool) {
        let mut opening = Tasks::new();
        for _ in 0..former.status().size.min(pool.status().max_size) {
            let pool = pool.clone();
            opening.spawn(async move { pool.get().await.ok() });
        }
        // Held until all are open, so that each is a different one.
        let mut opened = Vec::new();
        while let Some(connection) = opening.join_next().await {
            opened.extend(connection.ok().flatten());
        }
    }

    async fn health(pool: &TokioPostgresPool) -> Result<(), Refusal> {
        let client = pool.get().await?;
        client.batch_execute("SELECT 1").await.map_err(|error| refusal(&error))
    }

    async fn close(pool: &TokioPostgresPool) {
        let manager = pool.0.manager();
        let closed = manager.connections.close();
        pool.0.close();
        drop(manager.take_first());
        // Each connection is closed when its user returns it, or when this future is dropped.
        closed.await;
    }
}

fn pool(
    target: &Target,
    connections: Connections,
    first: Connection,
    is_bounded: bool,
) -> Result<TokioPostgresPool, Refusal> {
    let manager = Manager {
        attempts: ReconnectAttempts::new(TokioPostgres::NAME, target),
        connections,
        first: Mutex::new(Some(first)),
        was_bounded: AtomicBool::new(is_bounded),
    };
    managed::Pool::builder(manager)
        .max_size(postgresql::max_connections(target) as usize)
        .wait_timeout(Some(target.connect_timeout()))
        .recycle_timeout(Some(RECYCLING))
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .map(TokioPostgresPool)
        .map_err(|_| {
            Failure::new(
                FailureKind::Unavailable,
                "the pool could not be made",
                "attach within a tokio runtime that has time",
            )
            .into()
        })
}

/// Opens the pool's connections.
pub(crate) struct Manager {
    attempts: ReconnectAttempts,
    connections: Connections,
    /// The connection that the resource was attached with, until the pool takes it.
    first: Mutex<Option<Connection>>,
    /// True until a session has no time limit.
    was_bounded: AtomicBool,
}

impl Manager {
    fn take_first(&self) -> Option<Connection> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn open(
        &self,
        target: &Target,
        counted: CountedConnection,
    ) -> Result<Connection, Refusal> {
        let opened = open(target, counted, Some(&self.was_bounded)).await?;
        opened.settled.set();
        Ok(opened.client)
    }

    /// The first connection, or a new one.
    async fn connect(&self, counted: CountedConnection) -> Result<Connection, Refusal> {
        if let Some(first) = self.take_first() {
            return Ok(first);
        }
        let target = self.attempts.admit()?;
        // Each step has its own limit. The sum has the same limit, because a caller waits for all
        // of them.
        let opening = with_timeout(target.opening_timeout(), self.open(&target, counted));
        let opened = opening.await.unwrap_or_else(|timed_out| Err(timed_out.into()));
        match &opened {
            // A pool that grows does not reconnect.
            Ok(_) if !self.attempts.have_failed() => {}
            Ok(_) => self.attempts.succeeded(&target),
            Err(refusal) => {
                self.attempts.failed(&target, refusal);
            }
        }
        opened
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manager({})", self.attempts.target().locator())
    }
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Refusal;

    async fn create(&self) -> Result<Connection, Refusal> {
        self.connections.open(|counted| self.connect(counted)).await
    }

    /// Pings the server: the previous user of the connection may have left a request unanswered.
    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<Refusal> {
        if connection.is_closed() || metrics.age() > LONGEST_LIFE {
            return Err(RecycleError::message("the connection is closed, or old"));
        }
        let checking =
            async { connection.check_connection().await.map_err(|error| refusal(&error)) };
        self.connections.run(checking).await.map_err(RecycleError::Backend)
    }
}

/// One connection of a pool.
pub(crate) struct Connection {
    client: Client,
    /// Dropped with the client, which the connection's task notices.
    _held: oneshot::Sender<Infallible>,
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

struct Opened {
    client: Connection,
    /// The one host that took the session.
    endpoint: String,
    tls: Option<TlsPosture>,
    proof: Proof,
    /// The major version of the server.
    release: Option<u32>,
    /// The findings of the hosts that were passed over.
    skipped: Vec<Finding>,
    settled: Settled,
    refused: Refused,
}

impl Opened {
    /// Replaces the driver's error "connection closed" if this crate closed the connection because
    /// of a message of the server.
    fn explain(&self, refusal: Refusal) -> Refusal {
        if self.refused.get() { Failure::protocol().into() } else { refusal }
    }
}

/// Opens one connection: dialled, verified, logged in, and driven by its own task for as long as
/// its client lives.
/// `was_bounded` is that of the pool: the session's weakness is logged if there is one.
async fn open(
    target: &Target,
    counted: CountedConnection,
    was_bounded: Option<&AtomicBool>,
) -> Result<Opened, Refusal> {
    let (parameters, bound) = postgresql::session(target);
    let session = log_in(target, |host| Demand::of(host, true), &parameters, &bound).await?;
    if let Some(was_bounded) = was_bounded {
        session.log(&bound, was_bounded);
    }
    let skipped = session.warnings().collect();
    let (greeting, settled) = (session.greeting(&session.key), Settled::new());
    let check = ServerMessages::new(postgresql::max_message(target), settled.clone());
    let refused = check.refused();
    let stream = Greeted::new(Metered::new(session.stream, check), greeting);
    let config = config();
    let beginning = with_timeout(target.connect_timeout(), config.connect_raw(stream, NoTls));
    let begun = beginning.await.map_err(|_| Failure::no_greeting())?;
    let (client, connection) = begun.map_err(|error| refusal(&error))?;

    let (held, released) = oneshot::channel();
    tasks::spawn(&Handle::current(), drive(connection, released, counted));
    Ok(Opened {
        client: Connection { client, _held: held },
        endpoint: session.target.locator().to_string(),
        tls: session.tls,
        proof: session.proof,
        release: session.release,
        skipped,
        settled,
        refused,
    })
}

/// Drives the connection until it ends, until it is cut, or until [`GOODBYE`] after its client was
/// dropped: the driver waits for every answer, even if no caller does.
async fn drive(
    mut connection: Driver,
    released: oneshot::Receiver<Infallible>,
    counted: CountedConnection,
) {
    // `poll_message` returns notices and notifications. They are dropped here; the driver's own
    // loop would log them.
    let mut driving = pin!(async {
        while let Some(Ok(_)) = poll_fn(|context| connection.poll_message(context)).await {}
    });
    let mut leaving = pin!(async {
        let _ = released.await;
        tokio::time::sleep(GOODBYE).await;
    });
    let mut cut = pin!(counted.cut());
    poll_fn(|context| {
        let is_over = cut.as_mut().poll(context).is_ready()
            || driving.as_mut().poll(context).is_ready()
            || leaving.as_mut().poll(context).is_ready();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

type Driver = tokio_postgres::Connection<Greeted<Metered<Stream, ServerMessages>>, NoTlsStream>;

/// The driver's options. It is logged in already: it sends a user name because it has to, and
/// [`Greeted`] takes it.
fn config() -> Config {
    let mut config = Config::new();
    config.user("postgres").ssl_mode(SslMode::Disable);
    config
}

/// Reads the account. Fails closed: an unexpected answer is refused.
async fn probe(opened: &Opened, target: &Target) -> Result<Account, Refusal> {
    let question = postgresql::question(target, opened.release);
    let answer = opened.client.simple_query(&question).await.map_err(|error| refusal(&error))?;
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(found) => Some(row(found)),
        _ => None,
    });
    Account::read(rows.collect::<Result<Vec<_>, _>>()?, target)
}

fn row(row: &SimpleQueryRow) -> Result<Row, Refusal> {
    let mut values = Row::default();
    for (value, column) in values.iter_mut().zip(COLUMNS) {
        *value = row.try_get(column).map_err(|_| no_answer())?.map(str::to_owned);
    }
    Ok(values)
}

/// Converts an error of the driver.
fn refusal(error: &Error) -> Refusal {
    if let Some(code) = error.code() {
        return server_error(code.code()).into();
    }
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            Failure::protocol().into()
        }
        Some(_) => Failure::broken().into(),
        None if error.is_closed() => Failure::closed().into(),
        None => Failure::protocol().into(),
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{check, is_same_host, target};
    use secrecy::ExposeSecret as _;
    use tokio_postgres::config::Host;

    use super::*;

    const LOCATORS: &[&str] = &[
        "postgres://shop:narcissus%2Dbulb-79@DB.example.com.:6432/orders?max_connections=7",
        "postgresql://sh%40p:narcissus-bulb%2F%3A79@[2001:db8::1]/a%20b%C3%BC",
        "postgres://s!$&'()*+,;=h:narcissus-bulb-79@10.1.2.3/a/b",
        "PostgreSQL://a:narcissus-bulb-79@[::ffff:10.1.2.3]:1",
        "postgres://a:narcissus-bulb-79@167837955/?sslmode=require&application_name=a%26b",
        "postgres://a.b:narcissus-bulb-79@xn--bcher-kva.example/template%25",
        "postgres://a:narcissus-bulb-79@A.example,[2001:DB8::1]:5433,10.1.2.3:5432/b",
    ];

    /// If we accept a locator, the driver reads it with the same host, port, login and database.
    #[test]
    fn the_driver_reads_the_same_locator() {
        check!(LOCATORS, |input| {
            let text = input.text();
            let Some(target) = target::<TokioPostgres>(&text) else { return };
            let locator = target.locator();
            // It knows the schemes in lower case only.
            let (_, rest) = text.split('?').next().and_then(|text| text.split_once(':')).unwrap();
            let theirs = format!("{}:{rest}", locator.scheme()).parse::<Config>();
            let theirs = theirs.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(theirs.get_hosts().len(), locator.hosts().count(), "{text}");
            for (index, (ours, port)) in locator.hosts().enumerate() {
                let Host::Tcp(host) = &theirs.get_hosts()[index] else { panic!("{text}") };
                assert!(is_same_host(ours, host), "{text}: {host}");
                assert_eq!(theirs.get_ports().get(index).unwrap_or(&5432), &port, "{text}");
            }
            assert_eq!(theirs.get_user(), locator.user(), "{text}");
            let password = target.password().map(|password| password.expose_secret().as_bytes());
            assert_eq!(theirs.get_password(), password, "{text}");
            assert_eq!(theirs.get_dbname().unwrap_or_default(), locator.path(), "{text}");
        });
    }
}
