//! MySQL and MariaDB, through [`sqlx::MySqlPool`].
//!
//! # Locator
//! `mysql://user:password@host:port/database`, or `mariadb://`. The default port is 3306. Without a
//! path, no database is selected. The parameters:
//!
//! | parameter | meaning | default |
//! |---|---|---|
//! | `connect_timeout` | seconds until connecting fails, 1 to 300 | 10 |
//! | `statement_timeout` | milliseconds, 1 to 86 400 000 | 30 000 |
//! | `max_connections` | size of the pool, 1 to 1000 | 10, sqlx's own |
//! | `max_message` | bytes of the server's largest message, 65 536 to 1 073 741 824 | 67 108 864 |
//!
//! The server enforces `statement_timeout`: by `max_statement_time` on MariaDB, and by
//! `max_execution_time` on MySQL, which bounds only `SELECT`. The default is longer than a request
//! should take. A message is a row, for example; it may take several packets. The default of
//! `max_message` is MySQL's own `max_allowed_packet`, and its maximum is the maximum of that.
//!
//! `ssl-mode`, `sslmode`, `ssl`, `tls`, `require_ssl`, `verify_ca` and `verify_identity` are
//! accepted if they ask for TLS, and have no effect: verification is always full.
//!
//! # How each connection is made
//! The driver connects to a [relay](backing_services_runtime::service::relay) inside of this
//! process. The relay does the following for each connection, the first and every later one:
//! 1. **TLS.** The server speaks first. If its greeting offers no TLS, the attempt ends and nothing
//!    was sent. The protocol's request for TLS contains no user name. The handshake is ours: it
//!    trusts the resource's `_CA` and nothing else, or the `_PIN`, or the public roots. Every
//!    address has been checked against the rules.
//! 2. **Logging in**, within TLS, by one of the plugins below. What the first connection proved is
//!    the least that every later one proves. A client certificate replaces a missing password only
//!    if the server requested and received it in that handshake; otherwise no user name is sent.
//!    The creator of the account has to demand the certificate (`REQUIRE X509`): the server does
//!    not report whether it does.
//! 3. **The statement's time** is bounded by the connection's first statement.
//!
//! The first connection of the pool runs **the probe**, in one round trip. It fixes the settings
//! that could change the meaning of its statements, reads the account, `Ssl_cipher` of the
//! connection and the grants, and sets the statement timeout. If the account can activate roles, a
//! second round trip reads their grants. See below for how they are judged.
//!
//! The driver holds no password, no certificate, and no address of the server: its options have the
//! relay's socket and a random name that no other process can use.
//!
//! # Authentication plugins
//! - `parsec` (MariaDB 11.6) and `client_ed25519` (MariaDB): accepted. The client signs the
//!   server's nonce. At most 524,288 iterations derive the key of `parsec`.
//! - `caching_sha2_password`: accepted. The client sends a salted proof; at the first login after
//!   the server started, the password itself, within verified TLS. The server's RSA key is never
//!   asked for.
//! - `mysql_native_password` on MariaDB: a warning. The proof uses SHA-1, and an attacker with the
//!   server's account table can log in with it. Verified TLS keeps the proof from third parties.
//!   MariaDB has the two above. Or use a generated password, or `REQUIRE X509`.
//! - `mysql_native_password` on MySQL, or no proof at all: `weak_authentication`, which can be
//!   waived.
//! - `sha256_password`, `mysql_clear_password` and PAM's `dialog`: `weak_authentication`. They ask
//!   for the password in cleartext, though within verified TLS. `mysql_old_password`: the same; its
//!   hash is from before 2004. None of them is spoken, waived or not.
//! - Any other: refused.
//!
//! On MySQL the relay begins with `caching_sha2_password`, without a further round trip if the
//! account has it. On MariaDB the first connection asks for the account's plugin, with one further
//! round trip. A server may name another plugin once.
//!
//! # Limits on the server's messages
//! Until login and probe are complete: messages of 16 KiB, and 1 MiB in all. After that: messages
//! of `max_message` bytes, and 4096 columns. A header that announces more ends the connection,
//! before memory is allocated for it. So does a request for a local file (`LOCAL INFILE`) and
//! another authentication. Rows are not read, only their lengths. Errors become printable on the
//! way to the driver, and a password of ours in one is replaced. A server that never stops sending
//! holds no thread.
//!
//! # How it reconnects
//! The pool opens connections as it needs them. A port that refuses them is dialled again for
//! `connect_timeout`. If an opening fails, the next one waits: at first 100 ms and at most 10 s,
//! with jitter. When the server rejects the credentials, the pool does not try again until the
//! resource is attached again or its credentials are renewed.
//!
//! **Fetched credentials** are renewed in place: open connections stay open, and new ones log in
//! with the new password.
//!
//! **Detaching** ends every connection, also one that a caller holds. A clone of the pool opens
//! none afterwards.
//!
//! # Limitations of sqlx
//! - It panics at a malformed row. A verified server that turns hostile can end the calling task.
//! - It allows several statements in one (`CLIENT_MULTI_STATEMENTS`): bind values, and never paste
//!   them into a statement.
//! - It misreads a row in the text protocol (`sqlx::raw_sql`) whose first value has 16 MiB or more.
//!   The relay ends the connection at such a row. Prepared statements (`sqlx::query`) have no such
//!   limit.
//!
//! It reads no environment variable of the process.
#![doc = include_str!("account.md")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use backing_services_rules::Scheme;
use backing_services_rules::rule::{MALFORMED_LOCATOR, SUPERUSER_ACCOUNT};
use backing_services_runtime::needs::Grantable;
use backing_services_runtime::posture::{ServerPosture, printable};
use backing_services_runtime::service::relay::{Address, Relay};
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Attachment, Attempt, Login, Parameter, Refusal, Target};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use backing_services_sqlx as driver;
use backing_services_sqlx::Unproven;
use sqlx::mysql::{
    MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode,
};
use sqlx::{AssertSqlSafe, MySqlPool, Row as _};

use self::account::Account;
use self::grants::{Grants, Naming, Product};
use self::relay::{FirstLogin, MySqlProtocol};

pub use backing_services_sqlx::PoolGuard;
pub use sqlx;

mod account;
mod failure;
mod grants;
mod relay;
mod vocabulary;

/// MySQL and MariaDB. See [the module](self) for the locator and the steps of attaching.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MySql;

/// The default statement timeout in milliseconds: 30 s.
const STATEMENT_TIMEOUT: u64 = 30_000;

/// The default size of the pool.
const MAX_CONNECTIONS: u64 = 10;

/// The default of `max_message`, in bytes: 64 MiB, the default of MySQL's `max_allowed_packet`.
/// MariaDB's is 16 MiB.
const MAX_MESSAGE: u64 = 64 * 1024 * 1024;

#[diagnostic::do_not_recommend]
impl Service for MySql {
    type Client = MySqlPool;
    type Guard = PoolGuard<Self>;

    const NAME: &'static str = "MySQL";
    const SCHEMES: &'static [Scheme] = &[Scheme::upgraded("mysql"), Scheme::upgraded("mariadb")];
    const PATH: Option<&'static str> = Some("the database's name");
    const PRIVILEGES: &'static [Grantable] = vocabulary::PRIVILEGES;
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::tls("ssl-mode"),
        Parameter::tls("sslmode"),
        Parameter::tls("ssl"),
        Parameter::tls("tls"),
        Parameter::tls("require_ssl"),
        Parameter::tls("verify_ca"),
        Parameter::tls("verify_identity"),
        Parameter::number("statement_timeout", 1, 86_400_000),
        Parameter::number("max_connections", 1, 1000),
        Parameter::number("max_message", 64 * 1024, 1024 * 1024 * 1024),
        Parameter::refused("socket", "remove it: the server is reached by its host, under TLS"),
        Parameter::refused(
            "prefer_socket",
            "remove it: the server is reached by its host, under TLS",
        ),
        Parameter::refused(
            "ssl-ca",
            "remove it; the authority's certificate goes into the resource's `_CA` variable",
        ),
        Parameter::refused(
            "ssl-cert",
            "remove it; the client's certificate goes into the resource's `_CLIENT_CERT` variable",
        ),
        Parameter::refused(
            "ssl-key",
            "remove it; the client's key goes into the resource's `_CLIENT_KEY` variable",
        ),
        Parameter::refused(
            "built_in_roots",
            "remove it; an authority in the resource's `_CA` variable replaces the public ones",
        ),
        Parameter::refused(
            "enable_cleartext_plugin",
            "remove it: the password is not sent in cleartext",
        ),
        Parameter::refused(
            "secure_auth",
            "remove it: there is no authentication from before MySQL 4.1",
        ),
        Parameter::refused("compression", "remove it: the driver has none"),
        Parameter::refused(
            "local-infile",
            "remove it: the driver sends no file that a server asks for",
        ),
        Parameter::refused(
            "max_allowed_packet",
            "remove it; `max_message` bounds what a server sends",
        ),
    ];
    const LOGIN: Login = Login::UserAndPassword;

    fn check(target: &Target) -> Vec<Finding> {
        if target.locator().path().contains('/') {
            let finding = Finding::new(&MALFORMED_LOCATOR, "its path has more than one part");
            return vec![finding.with_help("write one database's name, or none")];
        }
        if target.locator().path().is_empty()
            && target.needs().is_some_and(vocabulary::needs_a_database)
        {
            let finding = Finding::new(
                &MALFORMED_LOCATOR,
                "it names no database, and `needs` names something without one",
            );
            return vec![finding.with_help(
                "write the database's name behind the host, or before a dot in `needs`",
            )];
        }
        Vec::new()
    }

    fn grants(grants: &backing_services_runtime::grants::Grants) -> Option<String> {
        Some(vocabulary::grants(grants))
    }

    async fn connect(target: &Target, attempt: Attempt) -> Result<Attachment<MySqlPool>, Refusal> {
        let first = Arc::new(OnceLock::new());
        let largest = target.locator().number("max_message").unwrap_or(MAX_MESSAGE);
        let protocol = MySqlProtocol {
            largest,
            first: Arc::clone(&first),
            distrusts_nonce: AtomicBool::new(false),
        };
        let relay = Relay::start(Self::NAME, protocol, target, "mysqld.sock")?;
        let pool = pool(target, options(&relay));
        let closing = pool.clone();
        let relay = relay.closing(move || drop(closing.close()));
        let explain = |refusal| relay.refusal().unwrap_or(refusal);
        let acquired = Unproven::acquire(&pool, refusal).await;
        let mut connection = acquired.map_err(explain)?;
        let probing = probe(connection.get().ok_or_else(no_answer)?, target);
        let account = with_timeout(attempt.time_left(), probing).await?.map_err(explain)?;
        // A connection that activated roles has other privileges than a new one: it is not reused.
        if !account.took_roles {
            connection.keep();
        }
        relay.settle();

        let FirstLogin { tls, plugin, .. } = first.get().ok_or_else(Failure::protocol)?;
        let mut posture = Posture::of::<Self>(target);
        posture.remarks.push(SEVERAL);
        posture.tls.clone_from(tls);
        let by_certificate = target.is_login_by_certificate(tls.as_ref());
        posture.authentication =
            Some(if by_certificate { "client certificate" } else { plugin.name() }.to_owned());
        let findings = account.findings(target, *plugin, tls.as_ref().map(|tls| tls.version));
        let product = if account.product.is_mariadb { "MariaDB" } else { "MySQL" };
        posture.server = Some(ServerPosture::new(product, &account.version));
        posture.account = Some(printable(&account.user));
        if account.is_renamed(user(target)) {
            posture.remarks.push(RENAMED);
        }
        posture.privileges = account.privileges();
        Ok(Attachment::new(pool, posture).with_findings(findings).with_relay(relay))
    }

    async fn make_ready(pool: &MySqlPool, former: &MySqlPool) {
        driver::make_ready(pool, former).await;
    }

    async fn health(pool: &MySqlPool) -> Result<(), Refusal> {
        match sqlx::raw_sql("SELECT 1").execute(pool).await {
            Ok(_) => Ok(()),
            Err(error) => Err(refusal(&error)),
        }
    }

    async fn close(pool: &MySqlPool) {
        pool.close().await;
    }
}

/// The remark on every connection.
const SEVERAL: &str =
    "sqlx lets one statement be several: values have to be bound, never pasted in";

/// The remark if the server reports another account than the requested one.
const RENAMED: &str = "the server reports another account than the one that was asked for: a proxy \
    in between, or the server itself (`PROXY`, an account without a name), renames it; the \
    privileges are those of the reported account";

fn user(target: &Target) -> &str {
    // `MISSING_CREDENTIALS` can be waived.
    target.user().unwrap_or_default()
}

/// The options of the pool's connections, which lead to the relay. The relay adds the user, the
/// password and the database.
fn options(relay: &Relay) -> MySqlConnectOptions {
    let options = MySqlConnectOptions::new()
        .username(relay.token().as_str())
        .ssl_mode(MySqlSslMode::Disabled);
    match relay.address() {
        Address::Unix { file, .. } => options.socket(file),
        Address::Tcp(address) => options.host(&address.ip().to_string()).port(address.port()),
        _ => options,
    }
}

/// A pool without connections. The probe limits the statements of the first connection itself.
fn pool(target: &Target, options: MySqlConnectOptions) -> MySqlPool {
    let (first, bound) = (AtomicBool::new(true), bound(target));
    let most = target.locator().number("max_connections").unwrap_or(MAX_CONNECTIONS);
    driver::pool_options::<sqlx::MySql>(target, u32::try_from(most).unwrap_or(u32::MAX))
        .after_connect(move |connection, _| {
            let is_first = first.swap(false, Ordering::Relaxed);
            let bound = sqlx::raw_sql(AssertSqlSafe(bound.clone()));
            Box::pin(async move {
                if is_first {
                    return Ok(());
                }
                // The pool logs this error, so it must not contain the server's text.
                let unbounded =
                    |_| sqlx::Error::Protocol("the statement's time could not be bounded".into());
                bound.execute(connection).await.map(drop).map_err(unbounded)
            })
        })
        .connect_lazy_with(options)
}

/// The statement that sets a connection's statement timeout: in seconds for MariaDB, and in
/// milliseconds for MySQL. Each product ignores the other one's comment (MariaDB documentation,
/// "Comment Syntax"), so that the product need not be known.
fn bound(target: &Target) -> String {
    let milliseconds = target.locator().number("statement_timeout").unwrap_or(STATEMENT_TIMEOUT);
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    format!(
        "SET SESSION /*M!100101 max_statement_time = {seconds}.{rest:03} */\
         /*!50708 max_execution_time = {milliseconds} */"
    )
}

/// The limit of roles whose grants are read.
const MOST_ROLES: usize = 32;

/// The limit of lines of grants that are accepted.
const MOST_GRANTS: usize = 10_000;

/// The session settings that can silently change the meaning of the probe's statements or the
/// content of their results, each with its value during the probe. `account.md` has the reasons.
const FIXED: [(&str, &str); 3] = [
    ("sql_mode", "''"),
    ("sql_select_limit", "18446744073709551615"),
    ("sql_quote_show_create", "1"),
];

/// The probe's first statement: it saves the settings and fixes them.
fn fixing() -> String {
    let fixed = FIXED.map(|(name, value)| {
        format!("@backing_services_{name} = @@SESSION.{name}, SESSION {name} = {value}")
    });
    format!("SET {}", fixed.join(", "))
}

/// Restores the settings, because all connections of the pool have to be alike. The text continues
/// the assignments of another `SET`.
fn restoring() -> String {
    let restored = FIXED.map(|(name, _)| {
        format!(", SESSION {name} = @backing_services_{name}, @backing_services_{name} = NULL")
    });
    restored.concat()
}

/// Reads the account, the comparison of names, and the grants. The results differ in their number
/// of columns, which identifies their rows. Without `FOR`, `SHOW GRANTS` also lists the grants to
/// MariaDB's `PUBLIC` and to MySQL's mandatory roles.
const QUESTION: &str = "SELECT VERSION(), CURRENT_USER(), USER(), @@GLOBAL.lower_case_table_names; \
    SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_cipher', 'Ssl_version'); \
    SHOW GLOBAL VARIABLES LIKE 'partial_revokes'; \
    SELECT SCHEMA_NAME, 0, 0, 0, 0 FROM information_schema.SCHEMATA LIMIT 1000; SHOW GRANTS";

/// Separates the results of several roles.
const MARK: &str = "SELECT 0, 0, 0, 0";

/// One round trip, and another one if there are roles to read. It fails closed: a missing row, an
/// extra row, a NULL, a value that is not text, or a grant that cannot be parsed is not an answer.
async fn probe(connection: &mut MySqlConnection, target: &Target) -> Result<Account, Refusal> {
    let question = format!("{}; {QUESTION}; {}{}", fixing(), bound(target), restoring());
    let mut account = read(&rows(connection, &question).await?)?;

    let mut roles = account.grants.roles();
    if account.product.is_mariadb {
        // The active roles were listed already.
        roles.retain(|role| !account.grants.tells_of(role));
    }
    if roles.len() > MOST_ROLES {
        return Err(no_answer());
    }
    account.took_roles = !roles.is_empty();
    if account.took_roles {
        // A connection that activates roles is closed, so its settings stay fixed until then.
        let mut statements = vec![fixing()];
        statements.extend(listing(account.product.is_mariadb, &roles));
        let answers = rows(connection, &statements.join("; ")).await?;
        read_roles(&mut account, roles, &answers)?;
    }
    Ok(account)
}

/// The statements that list the grants of each role.
fn listing(is_mariadb: bool, roles: &[String]) -> Vec<String> {
    if is_mariadb {
        let list = |role| format!("{MARK}; SET ROLE {role}; SHOW GRANTS FOR CURRENT_ROLE()");
        return roles.iter().map(list).collect();
    }
    if roles.is_empty() {
        return Vec::new();
    }
    let own = "SET ROLE NONE; SHOW GRANTS FOR CURRENT_USER()".to_owned();
    let with = |role| format!("{MARK}; SHOW GRANTS FOR CURRENT_USER() USING {role}");
    std::iter::once(own).chain(roles.iter().map(with)).collect()
}

/// Reads the answers to [`listing`], and adds the roles' grants to the account's.
fn read_roles(
    account: &mut Account,
    roles: Vec<String>,
    answers: &[MySqlRow],
) -> Result<(), Refusal> {
    let mut answers = answers.split(|row| row.len() == MARK_COLUMNS);
    let first = answers.next().unwrap_or_default();
    let answers: Vec<_> = answers.collect();
    // Without roles to read, there is no mark.
    if answers.len() != roles.len() || account.product.is_mariadb && !first.is_empty() {
        return Err(no_answer());
    }
    if account.product.is_mariadb {
        for (role, answer) in roles.iter().zip(answers) {
            read_grants(&mut account.grants, answer, false)?;
            if !account.grants.tells_of(role) {
                return Err(no_answer());
            }
        }
    } else if !roles.is_empty() {
        let told = |answer: &[MySqlRow]| {
            let mut grants = Grants::new(&account.user);
            read_grants(&mut grants, answer, false).map(|()| grants)
        };
        let mut own = told(first)?;
        own.list.values_mut().for_each(|is_active| *is_active = true);
        let with: Vec<_> = roles
            .into_iter()
            .zip(answers)
            .map(|(role, answer)| Ok((role, told(answer)?)))
            .collect::<Result<_, Refusal>>()?;
        account.grants.attribute(own, with);
    }
    Ok(())
}

/// The number of columns of [`MARK`].
const MARK_COLUMNS: usize = 4;

fn read(rows: &[MySqlRow]) -> Result<Account, Refusal> {
    let (mut who, mut tls, mut tls_version, mut is_literal) = (None, None, None, None);
    let (mut schemas, mut lines) = (Vec::new(), Vec::new());
    for row in rows {
        let is_first = match row.len() {
            4 => {
                who.replace((text(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?)).is_none()
            }
            2 => match text(row, 0)?.to_ascii_lowercase().as_str() {
                "ssl_cipher" => tls.replace(!text(row, 1)?.is_empty()).is_none(),
                "ssl_version" => tls_version.replace(text(row, 1)?).is_none(),
                "partial_revokes" => is_literal.replace(text(row, 1)? != "OFF").is_none(),
                _ => false,
            },
            5 => {
                schemas.push(text(row, 0)?);
                true
            }
            1 => {
                lines.push(row);
                true
            }
            _ => false,
        };
        if !is_first {
            return Err(no_answer());
        }
    }
    let ((version, user, login, case), is_tls) =
        (who.ok_or_else(no_answer)?, tls.ok_or_else(no_answer)?);
    let naming = Naming { ignores_case: case != "0", is_literal: is_literal.unwrap_or_default() };
    let (product, mut grants) = (Product::of(&version), Grants::new(&user));
    read_grants(&mut grants, lines, true)?;
    // Every account sees at least one schema (`information_schema`).
    if !grants.tells_of(&grants.account) || schemas.is_empty() {
        return Err(no_answer());
    }
    grants.explain(&schemas, naming).ok_or_else(no_answer)?;
    let tls_version = tls_version.unwrap_or_default();
    Ok(Account {
        user,
        login,
        version,
        product,
        naming,
        grants,
        is_tls,
        tls_version,
        took_roles: false,
    })
}

fn read_grants<'a>(
    grants: &mut Grants,
    lines: impl IntoIterator<Item = &'a MySqlRow>,
    is_active: bool,
) -> Result<(), Refusal> {
    let mut count = 0;
    for line in lines {
        count += 1;
        if line.len() != 1 || count > MOST_GRANTS {
            return Err(no_answer());
        }
        grants.read(&text(line, 0)?, is_active).ok_or_else(no_answer)?;
    }
    if count == 0 { Err(no_answer()) } else { Ok(()) }
}

async fn rows(connection: &mut MySqlConnection, statement: &str) -> Result<Vec<MySqlRow>, Refusal> {
    let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    statement.fetch_all(connection).await.map_err(|error| refusal(&error))
}

/// Reads a column as text. Its exact type differs between the products.
fn text(row: &MySqlRow, column: usize) -> Result<String, Refusal> {
    row.try_get_unchecked(column).map_err(|_| no_answer())
}

fn no_answer() -> Refusal {
    Finding::new(&SUPERUSER_ACCOUNT, "the server does not report the account's privileges")
        .with_help("check what answers: MySQL and MariaDB tell every account what it is granted")
        .into()
}

/// Converts an error of the driver. Of the server's error, only the number counts; its text is not
/// repeated.
fn refusal(error: &sqlx::Error) -> Refusal {
    let sqlx::Error::Database(database) = error else { return driver::failure(error).into() };
    let number =
        database.try_downcast_ref::<MySqlDatabaseError>().map_or(0, MySqlDatabaseError::number);
    failure::server_error(number).into()
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{check, is_same_host, target};

    use super::*;

    const LOCATORS: &[&str] = &[
        "mysql://shop:amaryllis%2Dbulb-83@DB.example.com.:3307/orders?max_connections=7",
        "mysql://sh%40p:amaryllis-bulb%2F%3A83@[2001:db8::1]/a%20b%C3%BC",
        "mariadb://s!$&'()*+,;=h:amaryllis-bulb-83@10.1.2.3/a",
        "MySQL://a:amaryllis-bulb-83@[::ffff:10.1.2.3]:1",
        "mysql://a:amaryllis-bulb-83@167837955/?ssl-mode=REQUIRED",
    ];

    /// If we accept a locator, the driver would read it with the same host, port, user and
    /// database.
    #[test]
    fn the_driver_reads_the_same_locator() {
        check!(LOCATORS, |input| {
            let text = input.text();
            let Some(target) = target::<MySql>(&text) else { return };
            let plain = text.split('?').next().unwrap_or_default();
            let theirs = plain.parse::<MySqlConnectOptions>();
            let theirs = theirs.unwrap_or_else(|error| panic!("{text}: {error}"));
            let locator = target.locator();
            let host = theirs.get_host();
            assert!(is_same_host(locator.host().unwrap(), host), "{text}: {host}");
            assert_eq!(theirs.get_port(), locator.port(), "{text}");
            assert_eq!(Some(theirs.get_username()), locator.user(), "{text}");
            assert_eq!(theirs.get_database().unwrap_or_default(), locator.path(), "{text}");
            assert_eq!(theirs.get_socket(), None, "{text}");
        });
    }
}
