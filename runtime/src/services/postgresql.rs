//! What the services for PostgreSQL share: how TLS is asked for, what the server answers, and who it says that we are.
//!
//! Protocol: PostgreSQL documentation, 54.2 and 54.7.

use backing_services_rules::rule::{MALFORMED_LOCATOR, OPPORTUNISTIC_TLS, SUPERUSER_ACCOUNT, UNVERIFIED_TLS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::attach::within;
use crate::dial::Dialled;
use crate::finding::{Failure, FailureKind, Finding};
use crate::needs::{Grantable, Names};
use crate::posture::printable;
use crate::service::Refusal;
use crate::target::Target;

/// `SSLRequest`: a length of 8 and the code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// How long a statement may take unless the locator says otherwise: 30 s.
const STATEMENT_TIMEOUT: u64 = 30_000;

/// How many connections a pool has unless the locator says otherwise.
const MAX_CONNECTIONS: u64 = 10;

/// What an account can be granted (PostgreSQL documentation, 5.8).
pub(super) const PRIVILEGES: &[Grantable] = &[
    Grantable::new(
        "TABLE",
        &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"],
        Names::Identifiers(2),
    )
    .of_columns(&["SELECT", "INSERT", "UPDATE", "REFERENCES"]),
    Grantable::new("SEQUENCE", &["USAGE", "SELECT", "UPDATE"], Names::Identifiers(2)),
    Grantable::new("FUNCTION", &["EXECUTE"], Names::Routines(2)),
    Grantable::new("PROCEDURE", &["EXECUTE"], Names::Routines(2)),
    Grantable::new("SCHEMA", &["USAGE", "CREATE"], Names::Identifiers(1)),
];

pub(super) fn user(target: &Target) -> &str {
    // `MISSING_CREDENTIALS` can be waived; PostgreSQL has no login without a name all the same.
    target.user().unwrap_or("postgres")
}

/// PostgreSQL's own default is the user's name. It is written out: a driver would ask the environment first.
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

/// What bounds the statements of a connection.
pub(super) fn bound(target: &Target) -> String {
    format!("SET statement_timeout = {}", statement_timeout(target))
}

pub(super) fn max_connections(target: &Target) -> u32 {
    let most = target.locator().number("max_connections").unwrap_or(MAX_CONNECTIONS);
    u32::try_from(most).unwrap_or(u32::MAX)
}

pub(super) fn check(target: &Target) -> Vec<Finding> {
    if target.locator().path().contains('/') {
        let finding = Finding::new(&MALFORMED_LOCATOR, "its path has more than one part");
        return vec![finding.help("write one database's name")];
    }
    Vec::new()
}

/// Connects, asks for TLS, and speaks it. Nobody has been named yet.
pub(super) async fn dial(target: &Target) -> Result<Dialled, Refusal> {
    let connection = target.dial_tcp().await?;
    let connection = within(target.connect_timeout(), ask_for_tls(target, connection)).await.map_err(|_| silent())??;
    target.encrypt(connection).await
}

/// Asks for TLS, in the one message that may precede it.
async fn ask_for_tls(target: &Target, mut connection: TcpStream) -> Result<TcpStream, Refusal> {
    if target.is_plaintext() {
        return Ok(connection);
    }
    connection.write_all(&SSL_REQUEST).await.map_err(|_| broken())?;
    let answer = connection.read_u8().await.map_err(|_| broken())?;
    match answer {
        b'S' => {}
        b'N' => {
            return Err(Finding::new(&OPPORTUNISTIC_TLS, "the server refuses TLS, and nothing more is said to it")
                .help("switch TLS on in the server (`ssl = on`, with a certificate), or write the host of one that has it")
                .into());
        }
        _ => {
            return Err(Failure::new(
                FailureKind::Protocol,
                "what answers on the port is no PostgreSQL server",
                "look at the host and the port",
            )
            .into());
        }
    }
    // What stands in the buffer now was said in the clear, and would be read as if it had been said under TLS (CVE-2021-23222).
    let mut early = [0];
    match connection.try_read(&mut early) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(connection),
        Ok(0) | Err(_) => Err(broken()),
        Ok(_) => Err(Finding::new(
            &OPPORTUNISTIC_TLS,
            "something was slipped in before TLS began: somebody is on the path, or it is no PostgreSQL server",
        )
        .help("look at what is between here and the server")
        .into()),
    }
}

/// How the server wants to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Cleartext,
    Md5,
    /// SCRAM-SHA-256; and whether the server can bind it to the TLS channel.
    Scram {
        bound: bool,
    },
    /// One that no driver here has.
    Unknown,
}

impl Asked {
    /// Reads the body of an `Authentication…` message; `None` where it is none.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (code, rest) = body.split_first_chunk()?;
        let offers = |mechanism: &[u8]| rest.split(|byte| *byte == 0).any(|offered| offered == mechanism);
        Some(match u32::from_be_bytes(*code) {
            0 => Self::Nothing,
            3 => Self::Cleartext,
            5 => Self::Md5,
            10 if offers(b"SCRAM-SHA-256-PLUS") => Self::Scram { bound: true },
            10 if offers(b"SCRAM-SHA-256") => Self::Scram { bound: false },
            _ => Self::Unknown,
        })
    }

    /// What is wrong with it; `None` where the server has to prove that it knows the password.
    pub(super) const fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Nothing => Some("the server lets the user in without any proof"),
            Self::Cleartext => Some("the server wants the password in cleartext"),
            Self::Md5 => Some("the server wants the password as an MD5 hash"),
            Self::Scram { .. } | Self::Unknown => None,
        }
    }
}

/// Who we are, as the server has it.
pub(super) struct Account {
    pub(super) user: String,
    pub(super) version: String,
    /// The attributes and memberships that make an administrator of it.
    powers: Vec<String>,
    /// Whether the server says that this connection is TLS.
    is_tls: bool,
}

/// Memberships that are as good as being a superuser, or read and write past every grant: PostgreSQL's own (its documentation, 21.5), and those that the
/// managed services give to their master user instead of `SUPERUSER`.
const POWERFUL_ROLES: &[&str] = &[
    "pg_execute_server_program", "pg_read_server_files", "pg_write_server_files", "pg_read_all_data", "pg_write_all_data",
    "rds_superuser", "cloudsqlsuperuser", "alloydbsuperuser", "azure_pg_admin", "neon_superuser",
];

impl Account {
    /// One statement that asks one row, and bounds the time of the connection's statements along the way. Every name is qualified: the `search_path` may
    /// be somebody else's choice. Text only, so that one round trip without preparing is enough.
    pub(super) fn question(target: &Target) -> String {
        let powerful: Vec<_> = POWERFUL_ROLES.iter().map(|role| format!("'{role}'")).collect();
        format!(
            "SELECT
            pg_catalog.set_config('statement_timeout', '{timeout}', false) AS bounded,
            CURRENT_USER::pg_catalog.text AS account,
            pg_catalog.current_setting('server_version') AS version,
            (SELECT pg_catalog.string_agg(DISTINCT power, ',' ORDER BY power) FROM (
                SELECT pg_catalog.unnest(ARRAY[
                    CASE WHEN rolsuper THEN 'SUPERUSER' END,
                    CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
                    CASE WHEN rolcreatedb THEN 'CREATEDB' END,
                    CASE WHEN rolreplication THEN 'REPLICATION' END,
                    CASE WHEN rolbypassrls THEN 'BYPASSRLS' END
                ]) AS power
                FROM pg_catalog.pg_roles
                WHERE rolname = CURRENT_USER OR pg_catalog.pg_has_role(SESSION_USER, oid, 'MEMBER')
                UNION ALL
                SELECT rolname::pg_catalog.text FROM pg_catalog.pg_roles
                WHERE rolname IN ({powerful}) AND pg_catalog.pg_has_role(SESSION_USER, oid, 'MEMBER')
            ) AS powers WHERE power IS NOT NULL) AS powers,
            (SELECT pg_catalog.count(*) FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)::pg_catalog.text AS known,
            (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid())::pg_catalog.text AS ssl",
            timeout = statement_timeout(target),
            powerful = powerful.join(", "),
        )
    }

    /// Reads the row, by the columns' names. It fails closed: a NULL or another type is no answer.
    pub(super) fn read(column: impl Fn(&str) -> Option<Option<String>>) -> Result<Self, Refusal> {
        let optional = |name| column(name).ok_or_else(no_answer);
        let text = |name| optional(name)?.ok_or_else(no_answer);
        if text("known")? != "1" {
            return Err(no_answer());
        }
        Ok(Self {
            user: text("account")?,
            version: text("version")?,
            powers: optional("powers")?.map(|powers| powers.split(',').map(printable).collect()).unwrap_or_default(),
            is_tls: text("ssl")? == "true",
        })
    }

    pub(super) fn findings(&self, target: &Target) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.is_tls && !target.is_plaintext() {
            // Our end of the connection is verified TLS: what ends it is a proxy or a pooler, and the way behind that is its operator's.
            findings.push(
                Finding::new(
                    &UNVERIFIED_TLS,
                    "the server says that the connection reached it without TLS: something in between ends it",
                )
                .help("ask who runs the proxy or the pooler how the way from it to the server is protected")
                .warning(),
            );
        }
        if !self.powers.is_empty() {
            findings.push(
                Finding::new(&SUPERUSER_ACCOUNT, format!("the account is an administrator's: it has {}", self.powers.join(", ")))
                    .help("`CREATE ROLE … LOGIN`, `GRANT` it what the application does, and log in as that role"),
            );
        }
        findings
    }
}

pub(super) fn no_answer() -> Refusal {
    Finding::new(&SUPERUSER_ACCOUNT, "the server does not say what the account may do")
        .help("look at what answers: a PostgreSQL server tells every role who it is")
        .into()
}

/// What a SQLSTATE means to somebody who attaches (PostgreSQL documentation, appendix A).
pub(super) fn server_error(code: &str) -> Failure {
    use FailureKind::{NotAdmitted, Protocol, Unavailable};
    match code {
        "28P01" => Failure::new(
            NotAdmitted,
            "the server does not accept the password",
            "look at the user and the password; both may have been rotated",
        ),
        "28000" => Failure::new(
            NotAdmitted,
            "the server does not let this user in from here, or not without a client certificate",
            "look at pg_hba.conf: it wants a `hostssl` line for this user, database and address",
        ),
        "3D000" => {
            Failure::new(Unavailable, "the server has no such database", "look at the name behind the host in the locator")
        }
        "53300" | "53400" => Failure::new(
            Unavailable,
            "the server has no connection left",
            "look at `max_connections` of the server, and of the locators that lead to it",
        ),
        "57P03" => Failure::new(Unavailable, "the server is starting up or shutting down", "wait, and look at its log"),
        "57014" => {
            Failure::new(FailureKind::TimedOut, "the server ended the statement: it took too long", "look at the server's load")
        }
        "42501" => Failure::new(NotAdmitted, "the account may not do what attaching takes", "grant it `CONNECT` on the database"),
        _ if code.starts_with("08") => {
            Failure::new(Protocol, "the server says that the protocol was not kept", "look at what answers on the port")
        }
        _ => Failure::new(Unavailable, "the server refuses to serve this connection", "look at the server's log"),
    }
}

pub(super) fn unknown_authentication() -> Refusal {
    Failure::new(
        FailureKind::NotAdmitted,
        "the server wants an authentication that this driver does not have",
        "let the user in by `scram-sha-256` in pg_hba.conf",
    )
    .into()
}

pub(super) fn broken() -> Refusal {
    Failure::new(
        FailureKind::Unreachable,
        "the server closed the connection before it said how to log in",
        "look at the port and at the server's log",
    )
    .into()
}

pub(super) fn foreign() -> Refusal {
    Failure::new(
        FailureKind::Protocol,
        "what the server sent is not its protocol, or longer than it may be",
        "look at what answers on the port",
    )
    .into()
}

pub(super) fn silent() -> Refusal {
    Failure::new(
        FailureKind::TimedOut,
        "the server accepted the connection, and did not answer in time",
        "look at the port: what listens there may wait for another protocol; and at the server's load",
    )
    .into()
}
