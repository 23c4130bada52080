//! The connection before the pool's: who the server is, under our own TLS, and how it wants to authenticate. No secret is sent.
//!
//! Protocol: PostgreSQL documentation, 54.2.1 and 54.7.

use backing_services_rules::rule::{OPPORTUNISTIC_TLS, WEAK_AUTHENTICATION};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::attach::within;
use crate::dial::Stream;
use crate::finding::{Failure, FailureKind, Finding};
use crate::posture::TlsPosture;
use crate::service::Refusal;
use crate::target::Target;

/// `SSLRequest`: a length of 8 and the code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Protocol 3.0.
const PROTOCOL: i32 = 196_608;

/// The longest message that is read, in bytes. The list of SASL mechanisms has some 40, an error some 200.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// What the first connection taught.
pub(super) struct Seen {
    pub(super) tls: Option<TlsPosture>,
    pub(super) authentication: &'static str,
    pub(super) findings: Vec<Finding>,
}

pub(super) async fn run(target: &Target, user: &str, database: &str) -> Result<Seen, Refusal> {
    let connection = target.dial_tcp().await?;
    let connection = within(target.connect_timeout(), ask_for_tls(target, connection)).await.map_err(|_| silent())??;
    let dialled = target.encrypt(connection).await?;
    let mut stream = dialled.stream;
    let asked = within(target.connect_timeout(), authentication(&mut stream, user, database)).await.map_err(|_| silent())??;
    // The server expects the end of a connection at this point: a client that prompts for the password closes here too (backend, auth.c).
    let _ = within(target.connect_timeout(), stream.shutdown()).await;

    let (authentication, weakness) = match asked {
        Asked::Sasl => ("SCRAM-SHA-256", None),
        Asked::Nothing if target.client_certificate().is_some() => ("client certificate", None),
        Asked::Nothing => ("nothing", Some("the server lets the user in without any proof")),
        Asked::Cleartext => ("cleartext password", Some("the server wants the password in cleartext")),
        Asked::Md5 => ("MD5", Some("the server wants the password as an MD5 hash")),
    };
    let mut findings = Vec::new();
    if let Some(weakness) = weakness {
        let finding = Finding::new(&WEAK_AUTHENTICATION, weakness);
        // Unless that is waived, nobody logs in.
        if !target.waives(&WEAK_AUTHENTICATION) {
            return Err(finding.into());
        }
        findings.push(finding);
    }
    Ok(Seen { tls: dialled.tls, authentication, findings })
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
        _ => Err(Finding::new(
            &OPPORTUNISTIC_TLS,
            "something was slipped in before TLS began: somebody is on the path, or it is no PostgreSQL server",
        )
        .help("look at what is between here and the server")
        .into()),
    }
}

/// How the server wants to authenticate.
enum Asked {
    Nothing,
    Cleartext,
    Md5,
    Sasl,
}

/// Names the user and the database, and reads what the server asks for.
async fn authentication(stream: &mut Stream, user: &str, database: &str) -> Result<Asked, Refusal> {
    stream.write_all(&startup(user, database)).await.map_err(|_| broken())?;
    stream.flush().await.map_err(|_| broken())?;
    let kind = stream.read_u8().await.map_err(|_| broken())?;
    let length = stream.read_u32().await.map_err(|_| broken())? as usize;
    let Some(length) = length.checked_sub(4).filter(|length| *length <= LONGEST_MESSAGE) else { return Err(foreign()) };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(|_| broken())?;
    match kind {
        b'R' => asked(&body),
        b'E' => Err(server_error(&sqlstate(&body)).into()),
        _ => Err(foreign()),
    }
}

/// `StartupMessage`: the protocol, then keys and values that end with a NUL each, then a NUL.
fn startup(user: &str, database: &str) -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for text in ["user", user, "database", database] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    // A locator is at most 8 KiB long, so its length fits.
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &body].concat()
}

fn asked(body: &[u8]) -> Result<Asked, Refusal> {
    let Some((code, rest)) = body.split_first_chunk() else { return Err(foreign()) };
    match u32::from_be_bytes(*code) {
        0 => Ok(Asked::Nothing),
        3 => Ok(Asked::Cleartext),
        5 => Ok(Asked::Md5),
        10 if rest.split(|byte| *byte == 0).any(|mechanism| mechanism == b"SCRAM-SHA-256") => Ok(Asked::Sasl),
        _ => Err(Failure::new(
            FailureKind::NotAdmitted,
            "the server wants an authentication that this driver does not have",
            "let the user in by `scram-sha-256` in pg_hba.conf",
        )
        .into()),
    }
}

/// The SQLSTATE of an `ErrorResponse`; nothing else of it is believed.
fn sqlstate(body: &[u8]) -> String {
    let code = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C")).unwrap_or_default();
    String::from_utf8_lossy(code).into_owned()
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

fn broken() -> Refusal {
    Failure::new(
        FailureKind::Unreachable,
        "the server closed the connection before it said how to log in",
        "look at the port and at the server's log",
    )
    .into()
}

fn foreign() -> Refusal {
    Failure::new(
        FailureKind::Protocol,
        "what the server sent is not its protocol, or longer than it may be",
        "look at what answers on the port",
    )
    .into()
}

fn silent() -> Refusal {
    Failure::new(
        FailureKind::TimedOut,
        "the server accepted the connection, and did not answer in time",
        "look at the port: what listens there may wait for another protocol; and at the server's load",
    )
    .into()
}
