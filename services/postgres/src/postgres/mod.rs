//! PostgreSQL, through [`sqlx::PgPool`].
//!
//! # Locator
//! `postgres://user:password@host:port/database`, or `postgresql://`. By default, the port is 5432
//! and the database is the user's name. There may be up to 8 hosts: `a.example,b.example:5433`.
//! Parameters:
//!
//! | parameter | meaning | default |
//! |---|---|---|
//! | `sslmode` | accepted if it asks for TLS; no effect: verification is always full | |
//! | `channel_binding` | `prefer`, or `require`, as some platforms write it | `prefer` |
//! | `application_name` | shown in `pg_stat_activity`, at most 63 characters | `backing-services` |
//! | `connect_timeout` | seconds until connecting has failed, 1 to 300 | 10 |
//! | `statement_timeout` | milliseconds per statement, on the server, 1 to 86 400 000 | 30 000 |
//! | `max_connections` | size of the pool, 1 to 1000 | 10, sqlx's own |
//! | `target_session_attrs` | the server that a connection needs, if there are several | `any` |
//! | `max_message` | bytes of the server's largest message, 65 536 to 1 073 741 823 | 67 108 864 |
//!
//! The default of `statement_timeout` is longer than a request may take. A message is a row, for
//! example; the maximum of `max_message` is PostgreSQL's own longest field.
//!
//! # How each connection is made
//! The driver connects to a [relay](backing_services_runtime::service::relay) inside of this
//! process. The relay does the following for each connection, the first and every later one:
//! 1. **TLS** is requested by the protocol's `SSLRequest`, and refused TLS ends the attempt. The
//!    handshake is ours: it trusts the resource's `_CA` and nothing else, or the `_PIN`, or the
//!    public roots. Every address has been checked against the rules.
//! 2. **Logging in** is by SCRAM. It is bound to this TLS connection (`SCRAM-SHA-256-PLUS`) if the
//!    server's certificate defines a binding and the server offers it; if not, the posture's
//!    remarks report that. With `channel_binding=require`, an unbound login is the finding
//!    `weak_authentication`. What the first connection proved is demanded of every later one. A
//!    server that asks for the password in cleartext or as MD5, or asks for nothing at all, is the
//!    finding `weak_authentication`; only the names of user and database have been sent to it. With
//!    a client certificate and without a password, the certificate logs in: a server that does not
//!    ask for it in the handshake, or asks for a password, is refused.
//! 3. **The statement's time** is bounded by a parameter of the session.
//!
//! The first connection of the pool runs the probe, one statement: it reads the account, the roles
//! that the account can become, their privileges, and `pg_stat_ssl` for the connection.
//!
//! The driver holds no password, no certificate, and no address of the server: its options have the
//! relay's socket and a random name that no other process can use.
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
//! # Poolers
//! A pooler that ends TLS is the server for this service: its certificate is verified, and it
//! cannot bind the login to TLS, which is a remark. `statement_timeout` and `extra_float_digits`
//! are sent in the startup message, and never as a `SET`: in transaction mode, that would stay on a
//! session that other clients get. If the pooler refuses them (08P01), the connection is made again
//! without `extra_float_digits`, and then without both. If no time limit is in force then, that is
//! a remark: `ALTER ROLE … SET statement_timeout` gives one.
//!
//! A pooler gives its clients keys that are not the server's, which shows that there is one. Then
//! attaching compares two connections. If each transaction gets another session of the server, that
//! is a remark. If a prepared statement is gone in the next transaction, as with PgBouncer before
//! 1.21, the resource is refused: sqlx sends a statement and its values in two transactions, also
//! with `statement_cache_capacity(0)`, so that its queries would fail now and then. The pooler's
//! session mode works, and so does PgBouncer with `max_prepared_statements`.
//!
//! # Limits on messages
//! Until login and probe are complete: messages of 16 KiB, and 1 MiB in all. After that: messages
//! of `max_message` bytes, and 1000 notices, errors and changed settings, or 1 MiB of them, between
//! two queries. A setting or a notification has at most 16 KiB, and notifications while a statement
//! runs `max_message` bytes in all; the driver gets only the settings that PostgreSQL documents
//! (54.2.7). A header that announces more ends the connection, before memory is allocated for it.
//! So does an answer that was not asked for, and a row whose lengths do not fit, or whose number of
//! values is another one than was just described. (A prepared statement is described once: if a
//! hostile server sends it fewer values later, sqlx panics in the calling task.)
//! SCRAM's iterations are 4096 at least (RFC 7677, 4) and 100 000 at most, and nonce and signature
//! are checked. Errors and notices become printable on the way to the driver, and a password of
//! ours in one is replaced. A server that never stops sending holds no thread.
//!
//! # How it reconnects
//! The pool opens connections as it needs them. If an opening fails, the next one waits: at first
//! 100 ms and at most 10 s, with jitter. When the server rejects the credentials, the pool does not
//! try again until the resource is attached again or its credentials are renewed. With several
//! hosts, it makes one attempt in 10 s: only one of the hosts may be wrong.
//!
//! **Fetched credentials** are renewed in place: open connections stay open, and the next ones log
//! in with the new password.
//!
//! **Detaching** ends every connection, also one that a caller holds. A clone of the pool opens
//! none afterwards.
#![doc = include_str!("../postgresql/account.md")]

use backing_services_rules::Scheme;
use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::Grantable;
use backing_services_runtime::posture::{ServerPosture, printable};
use backing_services_runtime::service::relay::{Address, Relay};
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Attachment, Attempt, Login, Parameter, Refusal, Target};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use backing_services_sqlx as driver;
use backing_services_sqlx::Unproven;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use self::pooling::Pooling;
use self::relay::PostgresProtocol;
use crate::postgresql;
use crate::postgresql::{Account, COLUMNS, Row, no_answer, parameters};

pub use backing_services_sqlx::PoolGuard;
pub use sqlx;

mod pooling;
mod relay;

/// PostgreSQL. [The module](self) documents its locator and how it is attached.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Postgres;

#[diagnostic::do_not_recommend]
impl Service for Postgres {
    type Client = PgPool;
    type Guard = PoolGuard<Self>;

    const NAME: &'static str = "PostgreSQL";
    const SCHEMES: &'static [Scheme] =
        &[Scheme::upgraded("postgres"), Scheme::upgraded("postgresql")];
    const PATH: Option<&'static str> = Some("the database's name");
    const SEVERAL_HOSTS: bool = true;
    const PRIVILEGES: &'static [Grantable] = postgresql::PRIVILEGES;
    const PARAMETERS: &'static [Parameter] =
        parameters![Parameter::choice("channel_binding", &["prefer", "require"]),];
    const LOGIN: Login = Login::UserAndPassword;

    fn check(target: &Target) -> Vec<Finding> {
        postgresql::check(target)
    }

    fn grants(grants: &Grants) -> Option<String> {
        Some(postgresql::grants(grants))
    }

    async fn connect(target: &Target, attempt: Attempt) -> Result<Attachment<PgPool>, Refusal> {
        let protocol = PostgresProtocol::new();
        let relay = Relay::start(Self::NAME, protocol.clone(), target, SOCKET)?;
        let options = options(target, &relay);
        let pool = driver::pool_options(target, postgresql::max_connections(target))
            .connect_lazy_with(options.clone());
        let closing = pool.clone();
        let relay = relay.closing(move || drop(closing.close()));
        let explain = |refusal| relay.refusal().unwrap_or(refusal);
        let acquired = Unproven::acquire(&pool, refusal).await;
        let mut connection = acquired.map_err(explain)?;
        let connected = connection.get().ok_or_else(no_answer)?;
        let probing = with_timeout(attempt.time_left(), probe(connected, target));
        let account = probing.await?.map_err(explain)?;
        let first = protocol.first().ok_or_else(Failure::protocol)?;
        // A pooler gives its clients keys of its own.
        let pooling = if first.process.is_some_and(|process| process != account.process) {
            pooling::observe(connected, &options, attempt.time_left() / 2).await
        } else {
            Pooling::Session
        };
        pooling::check(pooling)?;
        connection.keep();
        relay.settle();

        let mut posture = Posture::of::<Self>(target);
        posture.endpoint.clone_from(&first.endpoint);
        posture.tls.clone_from(&first.tls);
        posture.authentication = Some(first.proof.name.to_owned());
        posture.server = Some(ServerPosture::new("PostgreSQL", &account.version));
        posture.account = Some(printable(&account.user));
        posture.privileges = account.privileges();
        posture.remarks.extend(account.remark(target));
        posture.remarks.extend(unbound(first));
        posture.remarks.extend((!account.is_bounded).then_some(postgresql::UNBOUNDED));
        posture.remarks.extend(pooling.remark());
        let proof = first.proof.finding.clone();
        let findings = first.skipped.iter().cloned().chain(proof).chain(account.findings(target));
        Ok(Attachment::new(pool, posture).with_findings(findings).with_relay(relay))
    }

    async fn make_ready(pool: &PgPool, former: &PgPool) {
        driver::make_ready(pool, former).await;
    }

    async fn health(pool: &PgPool) -> Result<(), Refusal> {
        match sqlx::raw_sql("SELECT 1").execute(pool).await {
            Ok(_) => Ok(()),
            Err(error) => Err(refusal(&error)),
        }
    }

    async fn close(pool: &PgPool) {
        pool.close().await;
    }
}

/// The name of the socket, which the driver adds to its folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// The options of the pool's connections to the relay. The relay replaces the user's name, and
/// takes the database from the locator.
fn options(target: &Target, relay: &Relay) -> PgConnectOptions {
    // Every option that the constructor takes from the environment is set here, but for the
    // certificates, which the driver has no use for, and `PGOPTIONS`, which the relay drops.
    let options = PgConnectOptions::new_without_pgpass()
        .port(5432)
        .username(relay.token().as_str())
        .password("")
        .database(postgresql::database(target))
        .application_name(postgresql::application_name(target))
        .ssl_mode(PgSslMode::Disable);
    match relay.address() {
        Address::Unix { folder, .. } => options.socket(folder),
        Address::Tcp(address) => options.host(&address.ip().to_string()).port(address.port()),
        _ => options,
    }
}

/// The remark on a login that is not bound to TLS.
fn unbound(first: &relay::FirstSession) -> Option<&'static str> {
    (first.tls.is_some() && first.proof.name == "SCRAM-SHA-256").then_some(
        "the login is not bound to the TLS connection: the server does not offer it, or its \
         certificate defines no binding",
    )
}

/// Reads the account. Fails closed: an unexpected answer is refused.
async fn probe(connection: &mut PgConnection, target: &Target) -> Result<Account, Refusal> {
    let release = connection.server_version_num().map(|version| version / 10_000);
    let question = sqlx::raw_sql(AssertSqlSafe(postgresql::question(target, release)));
    let rows = question.fetch_all(connection).await.map_err(|error| refusal(&error))?;
    Account::read(rows.iter().map(row).collect::<Result<Vec<_>, _>>()?, target)
}

fn row(row: &PgRow) -> Result<Row, Refusal> {
    let mut values = Row::default();
    for (value, column) in values.iter_mut().zip(COLUMNS) {
        *value = row.try_get(column).map_err(|_| no_answer())?;
    }
    Ok(values)
}

/// Converts an error of the driver. Only the server's SQLSTATE is used; its text is never repeated.
fn refusal(error: &sqlx::Error) -> Refusal {
    let sqlx::Error::Database(database) = error else { return driver::failure(error).into() };
    let code = database.code().unwrap_or_default();
    postgresql::server_error(&code).into()
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{check, is_same_host, target};

    use super::*;

    const LOCATORS: &[&str] = &[
        "postgres://shop:narcissus%2Dbulb-79@DB.example.com.:6432/orders?max_connections=7",
        "postgresql://sh%40p:narcissus-bulb%2F%3A79@[2001:db8::1]/a%20b%C3%BC",
        "postgres://s!$&'()*+,;=h:narcissus-bulb-79@10.1.2.3/a/b",
        "PostgreSQL://a:narcissus-bulb-79@[::ffff:10.1.2.3]:1",
        "postgres://a:narcissus-bulb-79@167837955/?sslmode=require&application_name=a%26b",
        "postgres://a.b:narcissus-bulb-79@xn--bcher-kva.example/template%25",
    ];

    /// If we accept a locator, the driver would read it with the same host, port, user and
    /// database.
    #[test]
    fn the_driver_reads_the_same_locator() {
        check!(LOCATORS, |input| {
            let text = input.text();
            let Some(target) = target::<Postgres>(&text) else { return };
            let locator = target.locator();
            // sqlx reads one host.
            if locator.hosts().count() > 1 {
                return;
            }
            let plain = text.split('?').next().unwrap_or_default();
            let theirs = plain.parse::<PgConnectOptions>();
            let theirs = theirs.unwrap_or_else(|error| panic!("{text}: {error}"));
            let host = theirs.get_host();
            assert!(is_same_host(locator.host().unwrap(), host), "{text}: {host}");
            assert_eq!(theirs.get_port(), locator.port(), "{text}");
            assert_eq!(Some(theirs.get_username()), locator.user(), "{text}");
            assert_eq!(theirs.get_socket(), None, "{text}");
            assert_eq!(theirs.get_database().unwrap_or_default(), locator.path(), "{text}");
        });
    }
}
