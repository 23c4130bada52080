//! Code that the services for PostgreSQL share: the request for TLS, the server's answers and
//! errors, the account and its privileges.
//!
//! Protocol: PostgreSQL documentation, 54.2 and 54.7.

use backing_services_rules::rule::{MALFORMED_LOCATOR, OPPORTUNISTIC_TLS};
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::tls::FirstShare;
use backing_services_runtime::service::{Dialled, Refusal, Target};
use backing_services_runtime::{Failure, Finding};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(super) use self::account::{Account, COLUMNS, Row, no_answer, question};
pub(super) use self::vocabulary::{PRIVILEGES, grants};

mod account;
mod binding;
pub(crate) mod hosts;
pub(crate) mod login;
pub(crate) mod messages;
mod vocabulary;

/// The parameters of both services, after those of one driver alone.
macro_rules! parameters {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            Parameter::tls("sslmode"),
            Parameter::tls("ssl"),
            Parameter::text("application_name", 63),
            Parameter::number("statement_timeout", 1, 86_400_000),
            Parameter::number("max_connections", 1, 1000),
            Parameter::number("max_message", 64 * 1024, 0x3fff_ffff),
            Parameter::refused(
                "options",
                "remove it; set what it sets with `ALTER ROLE … SET …` on the server",
            ),
            Parameter::refused("host", "write the host where it belongs: behind the `@`"),
            Parameter::refused("hostaddr", "write the host where it belongs: behind the `@`"),
            Parameter::refused("port", "write the port where it belongs: behind the host"),
            Parameter::refused("user", "write the user where it belongs: before the `@`"),
            Parameter::refused(
                "dbname",
                "write the database where it belongs: behind the host and a `/`",
            ),
            Parameter::refused(
                "sslrootcert",
                "remove it; the authority's certificate goes into the resource's `_CA` variable",
            ),
            Parameter::refused(
                "sslcert",
                "remove it; the client's certificate goes into the resource's `_CLIENT_CERT` \
                 variable",
            ),
            Parameter::refused(
                "sslkey",
                "remove it; the client's key goes into the resource's `_CLIENT_KEY` variable",
            ),
            Parameter::refused(
                "sslnegotiation",
                "remove it: TLS is asked for in the protocol's own way",
            ),
            Parameter::choice(
                "target_session_attrs",
                &["any", "read-write", "read-only", "primary", "standby", "prefer-standby"],
            ),
            Parameter::refused(
                "load_balance_hosts",
                "remove it: the hosts are tried in the order in which they are written",
            ),
        ]
    };
}
pub(super) use parameters;

/// `SSLRequest`: a length of 8 and the code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The time limit of a statement unless the locator sets one: 30 s.
const STATEMENT_TIMEOUT: u64 = 30_000;

/// The size limit of one message of the server, in bytes, unless the locator sets one: 64 MiB.
const MAX_MESSAGE: u64 = 64 * 1024 * 1024;

/// The size of a pool unless the locator sets one.
const MAX_CONNECTIONS: u64 = 10;

pub(super) fn user(target: &Target) -> &str {
    // `MISSING_CREDENTIALS` can be waived, but PostgreSQL has no login without a user name.
    target.user().unwrap_or("postgres")
}

/// The database's name. PostgreSQL's own default is the user's name. It is set explicitly: a driver
/// would read the environment first.
pub(super) fn database(target: &Target) -> &str {
    Some(target.locator().path()).filter(|path| !path.is_empty()).unwrap_or_else(|| user(target))
}

pub(super) fn application_name(target: &Target) -> &str {
    target.locator().parameter("application_name").unwrap_or("backing-services")
}

/// In milliseconds.
pub(super) fn statement_timeout(target: &Target) -> u64 {
    target.locator().number("statement_timeout").unwrap_or(STATEMENT_TIMEOUT)
}

/// The parameters of each session: those that every pooler knows, and those that only the server
/// knows. A pooler refuses the latter, or ignores them if its configuration says so.
pub(super) fn session(target: &Target) -> (Parameters, Parameters) {
    let own = |name: &str, value: String| (name.to_owned(), value);
    let known = vec![
        own("application_name", application_name(target).to_owned()),
        own("client_encoding", "UTF8".to_owned()),
    ];
    (known, vec![own("statement_timeout", statement_timeout(target).to_string())])
}

/// Names and values of a session's parameters.
pub(super) type Parameters = Vec<(String, String)>;

/// The remark on a pooler that refuses or drops the parameter `statement_timeout`.
pub(super) const UNBOUNDED: &str = "a pooler does not pass on the startup parameter \
    `statement_timeout`, so statements have no time limit: `ALTER ROLE … SET statement_timeout` \
    gives them one";

/// In bytes: the limit of one message of the server.
pub(super) fn max_message(target: &Target) -> u64 {
    target.locator().number("max_message").unwrap_or(MAX_MESSAGE)
}

pub(super) fn max_connections(target: &Target) -> u32 {
    let most = target.locator().number("max_connections").unwrap_or(MAX_CONNECTIONS);
    u32::try_from(most).unwrap_or(u32::MAX)
}

pub(super) fn check(target: &Target) -> Vec<Finding> {
    if target.locator().path().contains('/') {
        let finding = Finding::new(&MALFORMED_LOCATOR, "its path has more than one part");
        return vec![finding.with_help("write one database's name")];
    }
    Vec::new()
}

/// Connects, asks for TLS, and does the handshake. No user name has been sent yet.
pub(super) async fn dial(target: &Target) -> Result<Dialled, Refusal> {
    let connection = target.dial_tcp().await?;
    let connection = with_timeout(target.connect_timeout(), ask_for_tls(target, connection))
        .await
        .map_err(|_| Failure::no_greeting())??;
    // The server's `ssl_ecdh_curve` is `prime256v1`, and nothing else, unless it was changed or the
    // server is PostgreSQL 18.
    target.encrypt_beginning_with(FirstShare::P256, connection).await
}

/// Sends the `SSLRequest`, the only message that may precede TLS, and reads the answer.
async fn ask_for_tls(target: &Target, mut connection: TcpStream) -> Result<TcpStream, Refusal> {
    if target.is_plaintext() {
        return Ok(connection);
    }
    connection.write_all(&SSL_REQUEST).await.map_err(|_| Failure::closed_before_login())?;
    let answer = connection.read_u8().await.map_err(|_| Failure::closed_before_login())?;
    match answer {
        b'S' => {}
        b'N' => {
            return Err(Finding::new(
                &OPPORTUNISTIC_TLS,
                "the server refuses TLS: the connection was closed before a password was sent",
            )
            .with_help(target.help_without_tls(
                "switch TLS on in the server (`ssl = on`, with a certificate), or write the host \
                 of one that has it",
                "`sslmode=disable`",
            ))
            .into());
        }
        _ => {
            return Err(Failure::new(
                FailureKind::Protocol,
                "what answers on the port is not a PostgreSQL server",
                "check the host and the port",
            )
            .into());
        }
    }
    // Bytes in the buffer now were sent in cleartext, and would be read as if they had arrived
    // under TLS (CVE-2021-23222).
    let mut early = [0];
    match connection.try_read(&mut early) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(connection),
        Ok(0) | Err(_) => Err(Failure::closed_before_login().into()),
        Ok(_) => Err(Finding::new(
            &OPPORTUNISTIC_TLS,
            "data arrived before TLS began: an attacker is on the path, or it is not a \
             PostgreSQL server",
        )
        .with_help("check what is between here and the server")
        .into()),
    }
}

/// The authentication method that the server asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthRequest {
    Nothing,
    Cleartext,
    Md5,
    /// SCRAM-SHA-256. `bound` is true if the server can bind it to the TLS channel.
    Scram {
        bound: bool,
    },
    /// A method that no driver here supports.
    Unknown,
}

impl AuthRequest {
    /// Reads the body of an `Authentication…` message. `None` if it is not one.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (code, rest) = body.split_first_chunk()?;
        let offers =
            |mechanism: &[u8]| rest.split(|byte| *byte == 0).any(|offered| offered == mechanism);
        Some(match u32::from_be_bytes(*code) {
            0 => Self::Nothing,
            3 => Self::Cleartext,
            5 => Self::Md5,
            10 if offers(b"SCRAM-SHA-256-PLUS") => Self::Scram { bound: true },
            10 if offers(b"SCRAM-SHA-256") => Self::Scram { bound: false },
            _ => Self::Unknown,
        })
    }

    /// The method's weakness. `None` if the server has to prove that it knows the password.
    pub(super) const fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Nothing => Some("the server lets the user in without any proof"),
            Self::Cleartext => Some("the server wants the password in cleartext"),
            Self::Md5 => Some("the server wants the password as an MD5 hash"),
            Self::Scram { .. } | Self::Unknown => None,
        }
    }
}

fn no_connection_left() -> Failure {
    Failure::new(
        FailureKind::Unavailable,
        "the server has no connection left",
        "check `max_connections` of the server, and of the locators that lead to it",
    )
}

/// Converts a SQLSTATE that ends an attempt to attach (PostgreSQL documentation, appendix A).
pub(super) fn server_error(code: &str) -> Failure {
    use FailureKind::{AuthenticationFailed, Protocol, Unavailable};
    match code {
        "28P01" => Failure::new(
            AuthenticationFailed,
            "the server does not accept the password",
            "check the user and the password; both may have been rotated",
        ),
        "28000" => Failure::new(
            AuthenticationFailed,
            "the server does not let this user in from here, or not without a client certificate",
            "check pg_hba.conf: it wants a `hostssl` line for this user, database and address",
        ),
        "3D000" => Failure::new(
            Unavailable,
            "the server has no such database",
            "check the name in the locator, or in `_DATABASE`; without one it is the user's name",
        ),
        "53300" => no_connection_left().into_passing(),
        "53400" => no_connection_left(),
        "57P03" => Failure::new(
            Unavailable,
            "the server is starting up or shutting down",
            "wait, and read its log",
        )
        .into_passing(),
        "57014" => Failure::new(
            FailureKind::TimedOut,
            "the server ended the statement: it took too long",
            "check the server's load",
        ),
        // The probe reads tables, columns and settings that every supported release has.
        "42P01" | "42703" | "42883" | "42704" => Failure::new(
            Unavailable,
            "the server does not know what it was asked for: it is older than PostgreSQL 11, or \
             something else",
            "check its version, and the types in `needs`",
        ),
        "42601" => Failure::new(
            Unavailable,
            "the server cannot read what it was asked",
            "check the types of the functions in `needs`: write `settle(int)`, types alone",
        ),
        "42501" => Failure::new(
            AuthenticationFailed,
            "the account lacks a privilege that attaching requires",
            "grant it `CONNECT` on the database",
        ),
        "08P01" => Failure::new(
            Protocol,
            "the server, or a pooler in between, refuses how the session begins",
            "check what answers on the port; PgBouncer wants `ignore_startup_parameters = \
             extra_float_digits, statement_timeout`",
        ),
        _ if code.starts_with("08") => Failure::new(
            Protocol,
            "the server says that the protocol was not kept",
            "check what answers on the port",
        ),
        _ => Failure::new(
            Unavailable,
            "the server refuses to serve this connection",
            "read the server's log",
        ),
    }
}

pub(super) fn unknown_authentication() -> Refusal {
    Failure::new(
        FailureKind::AuthenticationFailed,
        "the server wants an authentication that this driver does not have",
        "let the user in by `scram-sha-256` in pg_hba.conf",
    )
    .into()
}
