//! The connection before the pool's. It verifies the server under our own TLS, and reads the
//! authentication method that the server asks for. No secret is sent.
//!
//! Protocol: PostgreSQL documentation, 54.2.1 and 54.7.

use backing_services_rules::rule::WEAK_AUTHENTICATION;
use backing_services_runtime::posture::TlsPosture;
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Refusal, Stream, Target};
use backing_services_runtime::{Failure, Finding};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::postgresql;
use crate::postgresql::{AuthRequest, server_error, unknown_authentication};

/// Protocol 3.0.
const PROTOCOL: i32 = 196_608;

/// The longest message that is read, in bytes. The list of SASL mechanisms has some 40, an error
/// some 200.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// The observations of the first connection.
pub(super) struct PreflightResult {
    pub(super) tls: Option<TlsPosture>,
    pub(super) authentication: &'static str,
    pub(super) findings: Vec<Finding>,
}

pub(super) async fn run(
    target: &Target,
    user: &str,
    database: &str,
) -> Result<PreflightResult, Refusal> {
    let dialled = postgresql::dial(target).await?;
    let mut stream = dialled.stream;
    let asked = with_timeout(target.connect_timeout(), authentication(&mut stream, user, database))
        .await
        .map_err(|_| Failure::no_greeting())??;
    // The server expects the connection to close at this point: a client that prompts for the
    // password closes here too (backend, auth.c).
    let _ = with_timeout(target.connect_timeout(), stream.shutdown()).await;

    let by_certificate = target.is_login_by_certificate(dialled.tls.as_ref());
    let authentication = match asked {
        AuthRequest::Scram { .. } => "SCRAM-SHA-256",
        AuthRequest::Nothing if by_certificate => "client certificate",
        AuthRequest::Nothing => "nothing",
        AuthRequest::Cleartext => "cleartext password",
        AuthRequest::Md5 => "MD5",
        AuthRequest::Unknown => return Err(unknown_authentication()),
    };
    let mut findings = Vec::new();
    if let Some(weakness) =
        asked.weakness().filter(|_| !(asked == AuthRequest::Nothing && by_certificate))
    {
        let finding = Finding::new(&WEAK_AUTHENTICATION, weakness);
        // Unless the rule is waived, there is no login.
        if !target.waives(&WEAK_AUTHENTICATION) {
            return Err(finding.into());
        }
        findings.push(finding);
    }
    Ok(PreflightResult { tls: dialled.tls, authentication, findings })
}

/// Sends the user and the database, and reads the authentication request of the server.
async fn authentication(
    stream: &mut Stream,
    user: &str,
    database: &str,
) -> Result<AuthRequest, Refusal> {
    stream.write_all(&startup(user, database)).await.map_err(|_| Failure::closed_before_login())?;
    stream.flush().await.map_err(|_| Failure::closed_before_login())?;
    let kind = stream.read_u8().await.map_err(|_| Failure::closed_before_login())?;
    let length = stream.read_u32().await.map_err(|_| Failure::closed_before_login())? as usize;
    let Some(length) = length.checked_sub(4).filter(|length| *length <= LONGEST_MESSAGE) else {
        return Err(Failure::protocol().into());
    };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(|_| Failure::closed_before_login())?;
    match kind {
        b'R' => AuthRequest::read(&body).ok_or_else(|| Failure::protocol().into()),
        b'E' => Err(server_error(&sqlstate(&body)).into()),
        _ => Err(Failure::protocol().into()),
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

/// The SQLSTATE of an `ErrorResponse`. Its other fields are ignored.
fn sqlstate(body: &[u8]) -> String {
    let code = body
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(b"C"))
        .unwrap_or_default();
    String::from_utf8_lossy(code).into_owned()
}
