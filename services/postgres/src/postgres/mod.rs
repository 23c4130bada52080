//! PostgreSQL, through [`sqlx::PgPool`].
//!
//! # Locator
//! `postgres://user:password@host:port/database`, or `postgresql://`. By default, the port is 5432
//! and the database is the user's name. Parameters:
//!
//! | parameter | meaning | default |
//! |---|---|---|
//! | `sslmode` | accepted if it asks for TLS; no effect: verification is always full | |
//! | `application_name` | shown in `pg_stat_activity`, at most 63 characters | `backing-services` |
//! | `connect_timeout` | seconds until connecting has failed, 1 to 300 | 10 |
//! | `statement_timeout` | milliseconds per statement, on the server, 1 to 86 400 000 | 30 000 |
//! | `max_connections` | size of the pool, 1 to 1000 | 10, sqlx's own |
//!
//! The default of `statement_timeout` is longer than a request may take.
//!
//! # How it is attached
//! 1. **A first connection of our own.** TLS is requested by the protocol's `SSLRequest`, and
//!    refused TLS ends the attempt. The handshake is ours: it trusts the resource's `_CA` and
//!    nothing else, or the public roots. Then the user and the database are sent, and the server
//!    answers with an authentication request. A server that asks for the password in cleartext or
//!    as MD5, or asks for nothing at all, is the finding `weak_authentication`: the password has
//!    not been sent to it. The connection is closed. A client certificate replaces a missing
//!    password, if the server asked for it in that handshake and got it; if not, no user name is
//!    sent.
//! 2. **The pool**, whose options are made by setters, with `VerifyFull`. Its first connection is
//!    opened.
//! 3. **The probe**, one statement: it reads the account, the roles that the account can become,
//!    their privileges, and `pg_stat_ssl` for the connection.
//!
//! **Fetched credentials** are renewed in place: open connections stay open, and the next ones log
//! in with the new password.
//!
//! # Known gaps of sqlx
//! The service `TokioPostgres` (feature `tokio-postgres`) has none of these gaps. The posture's
//! remarks report the points about trust, authentication, name resolution and message length.
//! - sqlx trusts the public roots beside the resource's `_CA`. Our own connection does not, but
//!   only sqlx's connections carry data. The posture's trust is
//!   [`PrivateCaAndPublicRoots`][trust].
//! - sqlx would treat every certificate in `_CA` as an authority. A certificate that is not one
//!   (`CA:FALSE`) is refused there.
//! - sqlx does not report whether a later connection asked for the client certificate.
//! - sqlx accepts any authentication method that the server asks for, on every connection of the
//!   pool. Our own connection has checked the method once.
//! - sqlx does not bound the iterations of SCRAM nor check the server's nonce (it does check the
//!   server's signature), and trusts the length of a message up to 4 GiB: a verified server that
//!   turns hostile can waste this process' time and memory.
//! - sqlx does not yield its thread as long as the server keeps sending: a verified server that
//!   turns hostile can hold a thread, and with it the deadline of attaching, for as long as it
//!   likes.
//! - sqlx logs a server's notices unchanged (target `sqlx::postgres::notice`): the log's writer has
//!   to escape them.
//! - A waiver of `plaintext_scheme` that ends while the program runs covers sqlx's connections
//!   until the resource is attached or attached again.
//! - sqlx resolves the host again for each connection, and checks no address against the rules. The
//!   certificate still has to match the host.
//! - sqlx gives no way to end an opening, nor a connection that a caller holds. Detaching waits for
//!   them. An opening that lasts longer may still log in: no caller gets the connection, and the
//!   server is asked to end it. A connection that a caller holds answers until the caller returns
//!   it, even if the report says that the resource was cut.
//! - sqlx's public roots are bundled, unless another crate of the program enables one of its
//!   features. With `tls-rustls-ring-native-roots` they are the system's. With `tls-native-tls`
//!   they are the system's, and OpenSSL does the handshakes of the pool. Our own first connection
//!   does not change, so the posture's TLS version and cipher suite are then not those of the pool.
//! - `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the system's roots. So these two are refused
//!   (`ambient_override`), whichever features are enabled: a service cannot detect that. Distroless
//!   images and Nix set them. Unset them for the process. If a container cannot unset what its
//!   image sets, set them to the empty string. Give this resource its authority by `_CA`. If
//!   another part of the program needs the variable, use `TokioPostgres`, whose trust no variable
//!   changes. The variables are checked when the resource is attached or attached again, not later.
//! - The other variables that sqlx reads are overwritten by setters (`PGHOST`, `PGHOSTADDR`,
//!   `PGPORT`, `PGUSER`, `PGDATABASE`, `PGSSLMODE`, `PGAPPNAME`), refused (`PGOPTIONS`,
//!   `PGPASSWORD`, `PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`), or not read (`PGPASSFILE`,
//!   `~/.pgpass`).
//!
//! [trust]: backing_services_runtime::posture::TrustPosture::PrivateCaAndPublicRoots
#![doc = include_str!("../postgresql/account.md")]

use std::sync::{Arc, OnceLock};

use backing_services_rules::Scheme;
use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::Grantable;
use backing_services_runtime::posture::{ServerPosture, printable};
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Attachment, Attempt, Login, Parameter, Refusal, Target};
use backing_services_runtime::{Finding, Posture, Service};
use backing_services_sqlx as driver;
use backing_services_sqlx::Unproven;
use secrecy::ExposeSecret as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use crate::postgresql;
use crate::postgresql::{Account, COLUMNS, Row, database, no_answer, parameters, user};

pub use backing_services_sqlx::PoolGuard;
pub use sqlx;

mod preflight;

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
    const PRIVILEGES: &'static [Grantable] = postgresql::PRIVILEGES;
    const PARAMETERS: &'static [Parameter] = parameters![Parameter::refused(
        "channel_binding",
        "remove it: this driver cannot bind the channel, and the connection is verified TLS \
             anyway",
    ),];
    // The variables that no setter can overwrite, and those of the driver's TLS. The others have no
    // effect, as every option is set.
    const CONFLICTING_ENV: &'static [&'static str] = &[
        "PGOPTIONS",
        "PGSSLROOTCERT",
        "PGSSLCERT",
        "PGSSLKEY",
        "PGPASSWORD",
        driver::CONFLICTING_ENV[0],
        driver::CONFLICTING_ENV[1],
    ];
    const LOGIN: Login = Login::UserAndPassword;
    const SUPPORTS_PINNING: bool = false;

    fn check(target: &Target) -> Vec<Finding> {
        postgresql::check(target)
    }

    fn grants(grants: &Grants) -> Option<String> {
        Some(postgresql::grants(grants))
    }

    async fn connect(target: &Target, attempt: Attempt) -> Result<Attachment<PgPool>, Refusal> {
        let mut posture = Posture::of::<Self>(target);
        let seen = preflight::run(target, user(target), database(target)).await?;
        posture.authentication = Some(seen.authentication.to_owned());
        posture.tls = seen.tls.map(driver::as_trusted);
        if let Some(tls) = &posture.tls {
            posture.remarks.extend(REMARKS);
            posture.remarks.push(driver::remark_on_trust(tls.trust));
        }

        // The probe's own statement limits the first connection.
        let bound = Arc::new(OnceLock::from(postgresql::bound(target)));
        let most = postgresql::max_connections(target);
        let pool = driver::pool(target, options(target)?, most, bound, GOODBYE);
        let mut connection = Unproven::acquire(&pool, target, attempt, refusal).await?;
        let probing = probe(connection.get().ok_or_else(no_answer)?, target);
        let account = with_timeout(attempt.time_left(), probing).await??;
        connection.keep();

        let mut findings = seen.findings;
        findings.extend(account.findings(target));
        posture.server = Some(ServerPosture::new("PostgreSQL", &account.version));
        posture.account = Some(printable(&account.user));
        posture.privileges = account.privileges();
        posture.remarks.extend(account.remark(target));
        Ok(Attachment::new(pool, posture).with_findings(findings))
    }

    async fn renew(pool: &PgPool, target: &Target) -> Result<bool, Refusal> {
        driver::renew(pool, options(target)?, nowhere());
        Ok(true)
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
        driver::close(pool, nowhere()).await;
    }
}

/// Remarks that apply to every connection of the pool.
const REMARKS: [&str; 2] = [
    "sqlx accepts any way of authenticating that the server asks for; the way above is what the \
     server asked for when it was attached",
    "sqlx resolves the host again for each connection, and believes the length of a server's \
     message up to 4 GiB",
];

/// The options of each connection of a pool.
fn options(target: &Target) -> Result<PgConnectOptions, Refusal> {
    let locator = target.locator();
    let host = driver::host(target)?;
    // Every option that the constructor takes from the environment is set here, or was refused when
    // it was loaded.
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&host)
        .port(locator.port())
        .username(user(target))
        .database(database(target))
        .application_name(postgresql::application_name(target))
        .ssl_mode(if target.is_plaintext() { PgSslMode::Disable } else { PgSslMode::VerifyFull });
    if let Some(password) = target.password() {
        options = options.password(password.expose_secret());
    }
    if let Some(ca) = target.private_ca() {
        options = options.ssl_root_cert_from_pem(ca.expose_secret().as_bytes().to_vec());
    }
    if let Some((cert, key)) = target.client_certificate() {
        options = options
            .ssl_client_cert_from_pem(cert.expose_secret())
            .ssl_client_key_from_pem(key.expose_secret());
    }
    Ok(options)
}

/// Ends the connection that sends it. Every role may end its own.
const GOODBYE: &str = "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())";

/// The options of a closed pool.
fn nowhere() -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass().socket(driver::NOWHERE)
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

    /// If we accept a locator, the driver reads it with the same host, port, user and database. It
    /// gets the same from us.
    #[test]
    fn the_driver_reads_the_same_locator() {
        check!(LOCATORS, |input| {
            let text = input.text();
            let Some(target) = target::<Postgres>(&text) else { return };
            let plain = text.split('?').next().unwrap_or_default();
            let theirs = plain.parse::<PgConnectOptions>();
            let theirs = theirs.unwrap_or_else(|error| panic!("{text}: {error}"));
            let ours = options(&target).unwrap();
            let locator = target.locator();
            for options in [&theirs, &ours] {
                let host = options.get_host();
                assert!(is_same_host(locator.host().unwrap(), host), "{text}: {host}");
                assert_eq!(options.get_port(), locator.port(), "{text}");
                assert_eq!(Some(options.get_username()), locator.user(), "{text}");
                assert_eq!(options.get_socket(), None, "{text}");
            }
            assert_eq!(theirs.get_database().unwrap_or_default(), locator.path(), "{text}");
            assert_eq!(ours.get_database(), Some(database(&target)), "{text}");
        });
    }
}
