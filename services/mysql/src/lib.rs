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
//!
//! The server enforces `statement_timeout`: by `max_statement_time` on MariaDB, and by
//! `max_execution_time` on MySQL, which bounds only `SELECT`. The default is longer than a request
//! should take.
//!
//! `ssl-mode`, `sslmode`, `ssl`, `tls`, `require_ssl`, `verify_ca` and `verify_identity` are
//! accepted if they ask for TLS, and have no effect: verification is always full.
//!
//! # How it is attached
//! 1. **A preflight connection** on our own TLS. The server speaks first. If its greeting offers no
//!    TLS, the attempt ends and nothing was sent. The protocol's request for TLS contains no user
//!    name. The handshake trusts only the resource's `_CA`, or the public roots. Within TLS, the
//!    user is named together with an authentication plugin that no account has, so the server
//!    answers with the account's plugin. No password, and no proof of one, is sent. The connection
//!    is closed. A client certificate replaces a missing password only if the server requested and
//!    received it in that handshake; otherwise no user name is sent. The creator of the account has
//!    to demand the certificate (`REQUIRE X509`): the server does not report whether it does.
//! 2. **The pool.** Its options are set by setters, with `VERIFY_IDENTITY`. Its first connection is
//!    opened.
//! 3. **The probe**, in two round trips. The first fixes the settings that could change the meaning
//!    of its statements, and reads the account, `Ssl_cipher` of the connection, and the grants. The
//!    second sets the statement timeout, and reads the grants of the roles that the account can
//!    activate. See below for how they are judged.
//!
//! **Fetched credentials** are renewed in place: open connections stay open, and new ones log in
//! with the new password.
//!
//! # Authentication plugins
//! - `caching_sha2_password`: accepted. The client sends a salted proof; at the first login after
//!   the server started, the password itself, within verified TLS.
//! - `mysql_native_password` on MariaDB: a warning. The proof uses SHA-1, and an attacker with the
//!   server's account table can log in with it. sqlx supports neither `ed25519` nor `parsec`, so
//!   nothing better is available. Verified TLS keeps the proof from third parties. Use a generated
//!   password, or `REQUIRE X509`.
//! - `mysql_native_password` on MySQL: `weak_authentication`. The proof is the same, and a better
//!   plugin is available.
//! - `sha256_password`, `mysql_clear_password`, PAM's `dialog`, or none at all:
//!   `weak_authentication`. The password is sent in cleartext, though within verified TLS, or
//!   nothing is proved.
//! - `mysql_old_password`: refused. The hash is from before 2004.
//! - Any other: refused. sqlx does not support it.
//!
//! If `weak_authentication` is waived, those that sqlx supports are accepted.
//!
//! # Limits on the server's messages
//! On the preflight connection, a packet has at most 4 KiB. For sqlx's own connections, see below.
//!
//! # Limitations of sqlx
//! The most important are in the posture's remarks too.
//! - sqlx gives no way to end an opening, nor a connection that a caller holds. Detaching waits for
//!   them. An opening that lasts longer may still log in: no caller gets the connection, and the
//!   server is asked to end it. A connection that a caller holds answers until the caller returns
//!   it, even if the report says that the resource was cut.
//! - It trusts the public roots in addition to the resource's `_CA`. The preflight connection does
//!   not, but only sqlx's connections carry data. The posture's trust is
//!   [`PrivateCaAndPublicRoots`][trust].
//! - It would trust every certificate in `_CA` as an authority. A certificate that is not one
//!   (`CA:FALSE`) is therefore refused in `_CA`.
//! - It does not report whether the server requested the client certificate on a later connection.
//! - It accepts any authentication that the server names, on every connection of the pool. If a
//!   verified server turns hostile and names `mysql_clear_password` in its greeting, it gets the
//!   password. No other server does: `VERIFY_IDENTITY` comes first. If plaintext is waived, nothing
//!   comes first, and any attacker on the path gets the password.
//! - If the server stops accepting the credentials, each call tries to log in again. An account
//!   that is locked after some failures will be locked.
//! - It does not bound a response, and panics at some malformed packets (`caching_sha2_password`'s
//!   second message may be empty). A verified server that turns hostile can waste this process's
//!   time and memory, and end the calling task.
//! - It does not yield its thread while the server keeps sending. A verified server that turns
//!   hostile can block a thread, and with it the deadline of attaching, without limit.
//! - It allows several statements in one (`CLIENT_MULTI_STATEMENTS`): bind values, and never paste
//!   them into a statement.
//! - It resolves the host again for each connection, and does not check the addresses against the
//!   rules. The certificate still has to match the host.
//! - A waiver of `plaintext_scheme` that ends while the program runs covers its connections until
//!   the resource is attached or attached again.
//! - It accepts no verifier of ours: `_PIN` is refused.
//! - Its public roots are bundled, unless another crate of the program enables its feature
//!   `tls-rustls-ring-native-roots` or `tls-native-tls`. Then they are the system's, which
//!   `SSL_CERT_FILE` and `SSL_CERT_DIR` override. A service cannot see the enabled features, so
//!   these two variables are always refused (`ambient_override`). Distroless images and Nix set
//!   them. Unset them for the process, or set them to nothing if a container cannot unset the
//!   variables of its image. Set this resource's authority by `_CA`. The variables are checked when
//!   the resource is attached or attached again, not later. sqlx reads no other variable for MySQL.
//!
//! It never sends a file that a server asks for (`LOCAL INFILE`): it has no code for that. It reads
//! no other environment variable of the process.
//!
//! [trust]: backing_services_runtime::posture::TrustPosture::PrivateCaAndPublicRoots
#![doc = include_str!("account.md")]

use std::sync::{Arc, OnceLock};

use backing_services_rules::Scheme;
use backing_services_rules::rule::{MALFORMED_LOCATOR, SUPERUSER_ACCOUNT, WEAK_AUTHENTICATION};
use backing_services_runtime::needs::Grantable;
use backing_services_runtime::posture::{ServerPosture, printable};
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Attachment, Attempt, Login, Parameter, Refusal, Target};
use backing_services_runtime::{Finding, Posture, Service};
use backing_services_sqlx as driver;
use backing_services_sqlx::Unproven;
use secrecy::ExposeSecret as _;
use sqlx::mysql::{
    MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode,
};
use sqlx::{AssertSqlSafe, MySqlPool, Row as _};

use self::account::Account;
use self::grants::{Grants, Naming, Product};

pub use backing_services_sqlx::PoolGuard;
pub use sqlx;

mod account;
mod grants;
mod preflight;
mod vocabulary;

/// MySQL and MariaDB. See [the module](self) for the locator and the steps of attaching.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MySql;

/// The default statement timeout in milliseconds: 30 s.
const STATEMENT_TIMEOUT: u64 = 30_000;

/// The default size of the pool.
const MAX_CONNECTIONS: u64 = 10;

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
            "remove it: the driver cannot bound what a server sends",
        ),
    ];
    const CONFLICTING_ENV: &'static [&'static str] = &driver::CONFLICTING_ENV;
    const LOGIN: Login = Login::UserAndPassword;
    const SUPPORTS_PINNING: bool = false;

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
        let mut posture = Posture::of::<Self>(target);
        let seen = preflight::run(target, user(target)).await?;
        let by_certificate = target.is_login_by_certificate(seen.tls.as_ref());
        posture.authentication =
            Some(if by_certificate { "client certificate" } else { seen.plugin.name() }.to_owned());
        posture.tls = seen.tls.map(driver::as_trusted);
        if let Some(tls) = &posture.tls {
            posture.remarks.extend(REMARKS);
            posture.remarks.push(driver::remark_on_trust(tls.trust));
        }

        // The probe determines the statement, which depends on the product.
        let bound = Arc::new(OnceLock::new());
        let most = target.locator().number("max_connections").unwrap_or(MAX_CONNECTIONS);
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let pool = driver::pool(target, options(target)?, most, Arc::clone(&bound), GOODBYE);
        let mut connection = Unproven::acquire(&pool, target, attempt, refusal).await?;
        let probing = probe(connection.get().ok_or_else(no_answer)?, target, &bound);
        let account = with_timeout(attempt.time_left(), probing).await??;
        // A connection that activated roles has other privileges than a new one: it is not reused.
        if !account.took_roles {
            connection.keep();
        }

        let findings =
            account.findings(target, seen.plugin, posture.tls.as_ref().map(|tls| tls.version));
        let product = if account.product.is_mariadb { "MariaDB" } else { "MySQL" };
        posture.server = Some(ServerPosture::new(product, &account.version));
        posture.account = Some(printable(&account.user));
        if account.is_renamed(user(target)) {
            posture.remarks.push(RENAMED);
        }
        posture.privileges = account.privileges();
        Ok(Attachment::new(pool, posture).with_findings(findings))
    }

    async fn renew(pool: &MySqlPool, target: &Target) -> Result<bool, Refusal> {
        driver::renew(pool, options(target)?, nowhere());
        Ok(true)
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
        driver::close(pool, nowhere()).await;
    }
}

/// Remarks that apply to every connection that sqlx opens.
const REMARKS: [&str; 3] = [
    "sqlx accepts any way of authenticating that the verified server names, the password in \
     cleartext among them; the way above is what the server asked for when it was attached",
    "sqlx resolves the host again for each connection, does not bound what a server's response \
     has, and panics at some malformed ones",
    "sqlx lets one statement be several: values have to be bound, never pasted in",
];

/// The remark if the server reports another account than the requested one.
const RENAMED: &str = "the server reports another account than the one that was asked for: a proxy \
    in between, or the server itself (`PROXY`, an account without a name), renames it; the \
    privileges are those of the reported account";

fn user(target: &Target) -> &str {
    // `MISSING_CREDENTIALS` can be waived. Without an explicit name, sqlx would log in as `root`.
    target.user().unwrap_or_default()
}

/// The connect options of the pool's connections.
fn options(target: &Target) -> Result<MySqlConnectOptions, Refusal> {
    let locator = target.locator();
    let host = driver::host(target)?;
    let mut options = MySqlConnectOptions::new()
        .host(&host)
        .port(locator.port())
        .username(user(target))
        .enable_cleartext_plugin(target.waives(&WEAK_AUTHENTICATION) && !target.is_plaintext())
        .ssl_mode(if target.is_plaintext() {
            MySqlSslMode::Disabled
        } else {
            MySqlSslMode::VerifyIdentity
        });
    if !locator.path().is_empty() {
        options = options.database(locator.path());
    }
    if let Some(password) = target.password() {
        options = options.password(password.expose_secret());
    }
    if let Some(ca) = target.private_ca() {
        options = options.ssl_ca_from_pem(ca.expose_secret().as_bytes().to_vec());
    }
    if let Some((cert, key)) = target.client_certificate() {
        options = options
            .ssl_client_cert_from_pem(cert.expose_secret())
            .ssl_client_key_from_pem(key.expose_secret());
    }
    Ok(options)
}

/// Ends the connection that sends it. Every account may end its own.
const GOODBYE: &str = "KILL CONNECTION_ID()";

/// The options of a closed pool.
fn nowhere() -> MySqlConnectOptions {
    MySqlConnectOptions::new().socket(driver::NOWHERE)
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

/// Two round trips. It fails closed: a missing row, an extra row, a NULL, a value that is not text,
/// or a grant that cannot be parsed is not an answer.
async fn probe(
    connection: &mut MySqlConnection,
    target: &Target,
    bound: &OnceLock<String>,
) -> Result<Account, Refusal> {
    let mut account = read(&rows(connection, &format!("{}; {QUESTION}", fixing())).await?)?;

    let statement =
        account.bound(target.locator().number("statement_timeout").unwrap_or(STATEMENT_TIMEOUT));
    let mut roles = account.grants.roles();
    if account.product.is_mariadb {
        // The active roles were listed already.
        roles.retain(|role| !account.grants.tells_of(role));
    }
    if roles.len() > MOST_ROLES {
        return Err(no_answer());
    }
    account.took_roles = !roles.is_empty();
    // A connection that activates roles is closed, so its settings stay fixed until then.
    let restored = if roles.is_empty() { restoring() } else { String::new() };
    let mut statements = vec![statement.clone() + &restored];
    statements.extend(listing(account.product.is_mariadb, &roles));
    let answers = rows(connection, &statements.join("; ")).await?;
    let _ = bound.set(statement);
    read_roles(&mut account, roles, &answers)?;
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
    preflight::server_error(number).into()
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

    /// If we accept a locator, the driver reads it with the same host, port, user and database. It
    /// gets the same from us.
    #[test]
    fn the_driver_reads_the_same_locator() {
        check!(LOCATORS, |input| {
            let text = input.text();
            let Some(target) = target::<MySql>(&text) else { return };
            let plain = text.split('?').next().unwrap_or_default();
            let theirs = plain.parse::<MySqlConnectOptions>();
            let theirs = theirs.unwrap_or_else(|error| panic!("{text}: {error}"));
            let ours = options(&target).unwrap();
            let locator = target.locator();
            for options in [&theirs, &ours] {
                let host = options.get_host();
                assert!(is_same_host(locator.host().unwrap(), host), "{text}: {host}");
                assert_eq!(options.get_port(), locator.port(), "{text}");
                assert_eq!(Some(options.get_username()), locator.user(), "{text}");
                assert_eq!(options.get_database().unwrap_or_default(), locator.path(), "{text}");
                assert_eq!(options.get_socket(), None, "{text}");
            }
        });
    }
}
