//! Logging in: the startup message, the authentication, and the beginning of the session.
//!
//! Both services log in here, for every connection. Their drivers only see the result: see
//! [`Session::greeting`].
//!
//! Protocol: PostgreSQL documentation, 54.2.1, 54.3 and 54.7; SCRAM: RFC 5802 and RFC 7677.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use backing_services_rules::rule::WEAK_AUTHENTICATION;
use backing_services_runtime::posture::TlsPosture;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Refusal, Stream, Target};
use backing_services_runtime::{Failure, Finding};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::spawn_blocking;

use super::binding;
use super::messages::check_setting;
use super::{AuthRequest, database, dial, server_error, unknown_authentication, user};

/// Protocol 3.0.
pub(crate) const PROTOCOL: u32 = 196_608;

/// The longest message of the login, in bytes. The list of SASL mechanisms has some 40, an error
/// some 200.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// The longest login, in bytes. PostgreSQL sends some 500.
const LONGEST_LOGIN: usize = 1024 * 1024;

/// The fewest iterations of SCRAM: PostgreSQL's own default, and the minimum of RFC 7677, 4. With
/// fewer, an attacker can guess the password from the proof more cheaply.
const FEWEST_ITERATIONS: u64 = 4096;

/// The most iterations: the limit of `postgres-protocol`, and of the JDBC driver (CVE-2026-42198).
const MOST_ITERATIONS: u64 = 100_000;

/// The shortest salt, in bytes: the minimum of RFC 8018, 4.1. PostgreSQL's has 16.
const SHORTEST_SALT: usize = 8;

/// The longest salt, in bytes. PostgreSQL's has 16.
const LONGEST_SALT: usize = 1024;

/// The authentication that is demanded of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    least: Proven,
    /// The rule is waived: less than the least is reported, and not refused.
    is_waived: bool,
}

/// The proof of an authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proven {
    /// SCRAM, bound to the TLS connection.
    Binding,
    /// SCRAM. It is bound to the TLS connection if the server can do that.
    Scram,
    /// No more than the TLS connection, in whose handshake the client's certificate was sent.
    Certificate,
}

impl Demand {
    /// The demand of a target. If `binds`, the login has to be bound to TLS.
    pub(crate) fn of(target: &Target, binds: bool) -> Self {
        let least = if target.password().is_none() && target.client_certificate().is_some() {
            Proven::Certificate
        } else if target.is_plaintext() || !binds {
            Proven::Scram
        } else {
            Proven::Binding
        };
        Self { least, is_waived: target.waives(&WEAK_AUTHENTICATION) }
    }

    /// True if the method that the server asks for is enough. `binds` is true if its certificate
    /// defines a binding.
    fn is_met(self, asked: AuthRequest, binds: bool) -> bool {
        match self.least {
            Proven::Binding => asked == AuthRequest::Scram { bound: true } && binds,
            Proven::Scram => matches!(asked, AuthRequest::Scram { .. }),
            Proven::Certificate => asked == AuthRequest::Nothing,
        }
    }
}

/// A connection that is logged in, and has sent no query of an application yet.
pub(crate) struct Session {
    /// Its one host.
    pub(crate) target: Target,
    pub(crate) stream: Stream,
    pub(crate) tls: Option<TlsPosture>,
    pub(crate) proof: Proof,
    /// The server's `ParameterStatus` messages.
    parameters: Vec<u8>,
    /// The body of its `BackendKeyData`: what a request to cancel has to name.
    pub(crate) key: Vec<u8>,
    /// The major version of the server.
    #[cfg_attr(
        not(feature = "tokio-postgres"),
        allow(dead_code, reason = "the other service uses it")
    )]
    pub(crate) release: Option<u32>,
    /// The findings of the hosts that were passed over.
    pub(crate) skipped: Vec<Finding>,
    /// The number of parameters of the session that a pooler refused.
    pub(crate) dropped: usize,
}

/// The proof of a login.
#[derive(Clone)]
pub(crate) struct Proof {
    pub(crate) name: &'static str,
    /// The weakness that a waiver allows.
    pub(crate) finding: Option<Finding>,
}

/// The name of the strongest proof.
pub(crate) const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

impl Session {
    /// The findings of the hosts that were passed over, as warnings.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = Finding> {
        self.skipped.iter().cloned().map(Finding::into_warning)
    }

    /// Logs the weakness of a connection that no one attaches with: of the hosts that were passed
    /// over, and of the session itself. `was_bounded` is true until the first session without the
    /// time limit.
    pub(crate) fn log(&self, extras: &[(String, String)], was_bounded: &AtomicBool) {
        let endpoint = self.target.locator();
        for finding in &self.skipped {
            tracing::warn!(%endpoint, "a host was passed over: {finding}");
        }
        if self.dropped == extras.len() && was_bounded.swap(false, Ordering::Relaxed) {
            tracing::warn!(%endpoint, "{}", super::UNBOUNDED);
        }
    }

    /// The server's messages after the authentication, for the driver. The driver may know another
    /// key than the server's.
    pub(crate) fn greeting(&self, key: &[u8]) -> Vec<u8> {
        let mut greeting = message(b'R', &0_u32.to_be_bytes());
        greeting.extend_from_slice(&self.parameters);
        if !key.is_empty() {
            greeting.extend(message(b'K', key));
        }
        greeting.extend(message(b'Z', b"I"));
        greeting
    }

    /// The process that the server's key names: a backend, or a number of a pooler's own.
    #[cfg_attr(not(feature = "sqlx"), allow(dead_code, reason = "the other service uses it"))]
    pub(crate) fn process(&self) -> Option<i32> {
        self.key.first_chunk().map(|process| i32::from_be_bytes(*process))
    }

    /// Runs a statement that returns one row, and returns its columns as text.
    pub(crate) async fn ask(&mut self, statement: &str) -> Result<Vec<Option<Vec<u8>>>, Refusal> {
        let mut left = LONGEST_LOGIN;
        let question = message(b'Q', &[statement.as_bytes(), b"\0"].concat());
        write(&mut self.stream, &question).await.map_err(|_| Failure::broken())?;
        let mut row = None;
        loop {
            let answer = read(&mut self.stream, &mut left).await;
            match answer.map_err(|error| broken(&error))? {
                (b'D', body) if row.is_none() => row = Some(columns(&body)),
                (b'E', body) => return Err(server_error(&sqlstate(&body)).into()),
                (b'Z', _) => return row.flatten().ok_or_else(|| Failure::protocol().into()),
                (b'T' | b'C' | b'N' | b'S', _) => {}
                _ => return Err(Failure::protocol().into()),
            }
        }
    }
}

/// Dials the one host of a target and logs in. `parameters` are those of the session, but for user
/// and database. If a pooler does not know one of `extras`, the connection is made again without
/// the first of them, and then without the next one, too.
///
/// # Errors
/// [`Refusal`], in this crate's own words.
pub(crate) async fn log_in(
    target: &Target,
    demand: Demand,
    parameters: &[(String, String)],
    extras: &[(String, String)],
) -> Result<Session, Refusal> {
    let mut dropped = 0;
    loop {
        match once(target, demand, &[parameters, &extras[dropped..]].concat()).await {
            Err(Rejection::Server(code)) if code == UNKNOWN_PARAMETER && dropped < extras.len() => {
                dropped += 1;
            }
            done => return Ok(Session { dropped, ..done? }),
        }
    }
}

/// The reason why there is no session.
enum Rejection {
    /// The server's own error: its SQLSTATE.
    Server(String),
    Refused(Refusal),
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Finding> for Rejection {
    fn from(finding: Finding) -> Self {
        Self::Refused(finding.into())
    }
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure.into())
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Server(code) => server_error(&code).into(),
            Rejection::Refused(refusal) => refusal,
        }
    }
}

/// `protocol_violation`: a pooler's answer to a startup parameter that it does not know.
const UNKNOWN_PARAMETER: &str = "08P01";

async fn once(
    target: &Target,
    demand: Demand,
    parameters: &[(String, String)],
) -> Result<Session, Rejection> {
    let dialled = dial(target).await?;
    let mut login = Login {
        target,
        demand,
        binding: dialled.stream.certificate().and_then(binding::end_point),
        by_certificate: target.is_login_by_certificate(dialled.tls.as_ref()),
        stream: dialled.stream,
        left: LONGEST_LOGIN,
    };
    let logging_in = async {
        login.write(&startup(user(target), database(target), parameters)).await?;
        let proof = login.authenticate().await?;
        let begun = login.begin().await?;
        Ok::<_, Rejection>((proof, begun))
    };
    let limited = with_timeout(target.connect_timeout(), logging_in).await;
    let (proof, begun) = limited.map_err(|_| Failure::no_greeting())??;
    Ok(Session {
        target: target.clone(),
        stream: login.stream,
        tls: dialled.tls,
        proof,
        parameters: begun.parameters,
        key: begun.key,
        release: begun.release,
        skipped: Vec::new(),
        dropped: 0,
    })
}

/// A login that is under way.
struct Login<'a> {
    target: &'a Target,
    demand: Demand,
    /// `tls-server-end-point`, if the server's certificate defines one.
    binding: Option<Vec<u8>>,
    by_certificate: bool,
    stream: Stream,
    /// The bytes that the server may still send.
    left: usize,
}

/// The beginning of a session.
#[derive(Default)]
struct Begun {
    parameters: Vec<u8>,
    key: Vec<u8>,
    release: Option<u32>,
}

impl Login<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        write(&mut self.stream, bytes).await.map_err(|error| self.ended(&error))
    }

    /// Why the connection ended. A server refuses a client certificate only after the handshake,
    /// when the client reads.
    fn ended(&self, error: &io::Error) -> Refusal {
        self.target.tls_refusal(error).unwrap_or_else(|| match error.kind() {
            io::ErrorKind::InvalidData => Failure::protocol().into(),
            _ => Failure::closed_before_login().into(),
        })
    }

    /// The next message that is neither a notice nor an error.
    async fn next(&mut self) -> Result<(u8, Vec<u8>), Rejection> {
        loop {
            let next = read(&mut self.stream, &mut self.left).await;
            let (kind, body) = next.map_err(|error| self.ended(&error))?;
            match kind {
                b'N' => {}
                b'E' => return Err(Rejection::Server(sqlstate(&body))),
                _ => return Ok((kind, body)),
            }
        }
    }

    /// The next `Authentication…` message.
    async fn next_request(&mut self) -> Result<Vec<u8>, Rejection> {
        match self.next().await? {
            (b'R', body) => Ok(body),
            _ => Err(Failure::protocol().into()),
        }
    }

    async fn authenticate(&mut self) -> Result<Proof, Rejection> {
        let request = self.next_request().await?;
        let asked = AuthRequest::read(&request).ok_or_else(Failure::protocol)?;
        let binds = self.binding.is_some();
        let is_met = self.demand.is_met(asked, binds);
        if asked == AuthRequest::Unknown || !is_met && !self.demand.is_waived {
            return Err(self.weak(asked).unwrap_or_else(unknown_authentication).into());
        }
        // A certificate logs in even if a waiver allows less.
        let is_met = is_met || asked == AuthRequest::Nothing && self.by_certificate;
        let finding = if is_met { None } else { self.weakness(asked) };
        let name = match asked {
            AuthRequest::Nothing if self.by_certificate => "client certificate",
            AuthRequest::Nothing => "nothing",
            AuthRequest::Scram { bound } => self.scram(bound && binds).await?,
            AuthRequest::Cleartext => {
                let password = self.password()?.as_bytes().to_vec();
                self.send_password(&password).await?;
                "cleartext password"
            }
            AuthRequest::Md5 => {
                let salt = request.get(4..8).and_then(|salt| salt.try_into().ok());
                let salt = salt.ok_or_else(Failure::protocol)?;
                let name = user(self.target).as_bytes();
                let hash = md5_hash(name, self.password()?.as_bytes(), salt);
                self.send_password(hash.as_bytes()).await?;
                "MD5"
            }
            AuthRequest::Unknown => return Err(unknown_authentication().into()),
        };
        Ok(Proof { name, finding })
    }

    fn password(&self) -> Result<&str, Refusal> {
        let password = self.target.password().map(|password| password.expose_secret());
        password.ok_or_else(|| {
            Failure::new(
                FailureKind::AuthenticationFailed,
                "the server asks for a password, and there is none",
                "set the resource's `_PASSWORD`",
            )
            .into()
        })
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), Rejection> {
        self.write(&message(b'p', &[password, b"\0"].concat())).await?;
        self.expect_ok().await
    }

    async fn expect_ok(&mut self) -> Result<(), Rejection> {
        let done = self.next_request().await?;
        if done == 0_u32.to_be_bytes() { Ok(()) } else { Err(Failure::protocol().into()) }
    }

    /// SCRAM. The server has to prove that it knows the password, too.
    async fn scram(&mut self, plus: bool) -> Result<&'static str, Rejection> {
        match self.exchange(plus).await {
            // `invalid_authorization_specification`; a wrong password has another code.
            Err(Rejection::Server(code)) if code == "28000" => Err(unbound().into()),
            exchanged => exchanged,
        }
    }

    async fn exchange(&mut self, plus: bool) -> Result<&'static str, Rejection> {
        let channel = match self.binding.take() {
            Some(binding) if plus => ChannelBinding::tls_server_end_point(binding),
            // A server that can bind detects that its offer was removed on the way (RFC 5802, 6).
            Some(_) => ChannelBinding::unrequested(),
            None => ChannelBinding::unsupported(),
        };
        let name = if plus { SCRAM_PLUS } else { "SCRAM-SHA-256" };
        let mut scram = ScramSha256::new(self.password()?.as_bytes(), channel);
        let first = scram.message();
        // It ends with our nonce: `…,r=NONCE`, which has no comma.
        let nonce = first.rsplit(|byte| *byte == b',').next().and_then(|r| r.strip_prefix(b"r="));
        let nonce = nonce.ok_or_else(Failure::protocol)?.to_vec();
        let length = u32::try_from(first.len()).map_err(|_| Failure::protocol())?;
        let body = [name.as_bytes(), b"\0", &length.to_be_bytes(), first].concat();
        self.write(&message(b'p', &body)).await?;

        let request = self.next_request().await?;
        let challenge = request.strip_prefix(&11_u32.to_be_bytes()).ok_or_else(unproven)?.to_vec();
        check_challenge(&challenge, &nonce, self.demand.is_waived)?;
        // Thousands of hashes: other tasks of this thread would wait for them.
        let derived = spawn_blocking(move || scram.update(&challenge).map(|()| scram)).await;
        let mut scram = derived.map_err(|_| Failure::protocol())?.map_err(|_| unproven())?;
        self.write(&message(b'p', scram.message())).await?;

        let request = self.next_request().await?;
        let proof = request.strip_prefix(&12_u32.to_be_bytes()).ok_or_else(unproven)?;
        scram.finish(proof).map_err(|_| unproven())?;
        self.expect_ok().await?;
        Ok(name)
    }

    /// Reads what precedes the first query.
    async fn begin(&mut self) -> Result<Begun, Rejection> {
        let mut begun = Begun::default();
        loop {
            let (kind, body) = self.next().await?;
            match kind {
                b'S' => {
                    let is_kept = check_setting(&body).map_err(|_| Failure::protocol())?;
                    if let Some(version) = body.strip_prefix(b"server_version\0") {
                        begun.release = release(version);
                    }
                    if is_kept {
                        begun.parameters.extend(message(kind, &body));
                    }
                }
                b'K' if begun.key.is_empty() && body.len() == 8 => begun.key = body,
                b'Z' if body == b"I" => return Ok(begun),
                _ => return Err(Failure::protocol().into()),
            }
        }
    }

    /// The weakness of the authentication method that the server asks for. `None` if the method is
    /// unknown.
    fn weakness(&self, asked: AuthRequest) -> Option<Finding> {
        let finding = |message| Finding::new(&WEAK_AUTHENTICATION, message);
        Some(match asked {
            AuthRequest::Unknown => return None,
            AuthRequest::Scram { bound: false } => {
                finding("the server does not bind the login to the TLS connection").with_help(
                    "connect to the server itself: a pooler in between that ends TLS cannot bind; \
                     PostgreSQL 11 and newer can, if it has TLS itself",
                )
            }
            AuthRequest::Scram { bound: true }
                if self.binding.is_none() && !self.target.is_plaintext() =>
            {
                finding(
                    "the server's certificate defines no channel binding: it is signed with \
                     Ed25519 or RSA-PSS",
                )
                .with_help("issue it with an ECDSA or an RSA (PKCS #1) signature")
            }
            AuthRequest::Scram { .. } => finding("the login is not bound to a TLS connection"),
            asked => finding(asked.weakness().unwrap_or(
                "the server asks for a password where a client certificate is to log in",
            )),
        })
    }

    fn weak(&self, asked: AuthRequest) -> Option<Refusal> {
        if self.demand.least == Proven::Certificate && asked != AuthRequest::Unknown {
            let failure = Failure::new(
                FailureKind::AuthenticationFailed,
                "the server asks for a password, and there is only a client certificate",
                "let the user in by `cert` in pg_hba.conf, or set the resource's `_PASSWORD`",
            );
            return Some(failure.into());
        }
        self.weakness(asked).map(Refusal::from)
    }
}

/// Checks what the server wants the client to compute (RFC 5802, 5.1: `r=…,s=…,i=…`). `nonce` is
/// ours. A waiver allows a proof that is cheap to guess from, and none that is too expensive.
fn check_challenge(challenge: &[u8], nonce: &[u8], is_waived: bool) -> Result<(), Refusal> {
    let field = |name: &[u8]| {
        challenge.split(|byte| *byte == b',').find_map(|field| field.strip_prefix(name))
    };
    let of_server = field(b"r=").and_then(|both| both.strip_prefix(nonce));
    let has_nonces = of_server.is_some_and(|own| !own.is_empty());
    // Base64 has four characters for three bytes.
    let salt = field(b"s=").unwrap_or_default();
    let salt = salt.iter().filter(|byte| **byte != b'=').count() * 3 / 4;
    if !has_nonces || salt < SHORTEST_SALT {
        return Err(Finding::new(
            &WEAK_AUTHENTICATION,
            "the server adds nothing of its own to the proof: no nonce, or a salt of fewer than 8 \
             bytes",
        )
        .with_help("check what answers: a peer that replays a login or guesses passwords does so")
        .into());
    }
    let iterations = field(b"i=").and_then(|number| str::from_utf8(number).ok()?.parse().ok());
    let iterations: u64 = iterations.ok_or_else(unproven)?;
    if iterations < FEWEST_ITERATIONS && !is_waived {
        return Err(Finding::new(
            &WEAK_AUTHENTICATION,
            "the server wants a proof of fewer than 4096 iterations, which is cheap to guess from",
        )
        .with_help("set the password again, with `scram_iterations` at 4096 or more")
        .into());
    }
    if iterations > MOST_ITERATIONS || salt > LONGEST_SALT {
        return Err(Finding::new(
            &WEAK_AUTHENTICATION,
            "the server wants a proof of more than 100 000 iterations, or with an endless salt",
        )
        .with_help("set the password again, with `scram_iterations` at 100000 or less")
        .into());
    }
    Ok(())
}

/// The server broke SCRAM, or does not know the password.
fn unproven() -> Refusal {
    Finding::new(&WEAK_AUTHENTICATION, "the server does not prove that it knows the password")
        .with_help(
            "check what answers: a peer that does not know the password is not the server, or \
             stands before it",
        )
        .into()
}

/// The server's view of the TLS connection is not ours.
fn unbound() -> Refusal {
    Finding::new(
        &WEAK_AUTHENTICATION,
        "the server does not accept how the login is bound to the TLS connection",
    )
    .with_help(
        "check what ends TLS in between: a pooler or a proxy with a certificate of its own has to \
         offer `SCRAM-SHA-256` alone, and an attacker's looks the same",
    )
    .into()
}

/// An error on a connection that is logged in.
fn broken(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::protocol().into(),
        _ => Failure::broken().into(),
    }
}

/// `StartupMessage`: the protocol, then keys and values that end with a NUL each, then a NUL.
fn startup(user: &str, database: &str, parameters: &[(String, String)]) -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    let own = [("user", user), ("database", database)];
    let others = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.into_iter().chain(others) {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    // A locator is at most 8 KiB long, and so is a driver's startup message: the length fits.
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &body].concat()
}

/// A message: its type, its length, its body.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Reads one message, of [`LONGEST_MESSAGE`] bytes at most and within what is left.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    left: &mut usize,
) -> io::Result<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await?;
    let length = stream.read_u32().await? as usize;
    let body = length.checked_sub(4).filter(|body| *body <= LONGEST_MESSAGE);
    let rest = left.checked_sub(length.saturating_add(1));
    let (Some(length), Some(rest)) = (body, rest) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    *left = rest;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((kind, body))
}

/// The SQLSTATE of an `ErrorResponse`. Its other fields are ignored.
fn sqlstate(body: &[u8]) -> String {
    let code = body
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(b"C"))
        .unwrap_or_default();
    String::from_utf8_lossy(code).into_owned()
}

/// The major version, of `16.4 (Debian …)`.
fn release(version: &[u8]) -> Option<u32> {
    let digits = version.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&version[..digits]).ok()?.parse().ok()
}

/// The columns of a `DataRow`: their number, then a length and so many bytes each. `None` if it is
/// not one.
fn columns(body: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let (count, mut rest) = body.split_first_chunk()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            columns.push(None);
            rest = after;
            continue;
        };
        columns.push(Some(after.get(..length)?.to_vec()));
        rest = &after[length..];
    }
    rest.is_empty().then_some(columns)
}

#[cfg(test)]
mod tests {
    use backing_services_fuzz::now;

    use super::*;

    type Read = io::Result<(u8, Vec<u8>)>;

    /// Reads one message of what a server sent.
    fn read_one(mut sent: &[u8], left: &mut usize) -> Read {
        now(read(&mut sent, left))
    }

    fn refused(sent: &[u8]) -> io::ErrorKind {
        read_one(sent, &mut LONGEST_LOGIN.clone()).unwrap_err().kind()
    }

    #[test]
    fn a_message_of_the_login_is_bounded() {
        let header = |length: u32| [&b"R"[..], &length.to_be_bytes()].concat();
        for length in [0, 1, 3, 16 * 1024 + 5, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            assert_eq!(refused(&header(length)), io::ErrorKind::InvalidData, "{length}");
        }
        for cut in 0..9 {
            let sent = message(b'R', &[0; 4]);
            assert_eq!(refused(&sent[..cut]), io::ErrorKind::UnexpectedEof, "{cut}");
        }
        let longest = message(b'S', &[b'x'; LONGEST_MESSAGE]);
        let mut left = LONGEST_LOGIN;
        let (kind, body) = read_one(&longest, &mut left).unwrap();
        assert_eq!((kind, body.len()), (b'S', LONGEST_MESSAGE));
        assert_eq!(left, LONGEST_LOGIN - longest.len(), "its header counts too");
    }

    #[test]
    fn the_login_is_bounded_as_a_whole() {
        for body in [0, 9, 1019, LONGEST_MESSAGE] {
            let sent = message(b'N', &vec![b'x'; body]);
            let (mut left, mut count) = (LONGEST_LOGIN, 0);
            while read_one(&sent, &mut left).is_ok() {
                count += 1;
            }
            assert_eq!(count, LONGEST_LOGIN / sent.len(), "{body}");
        }
    }

    #[test]
    fn the_columns_of_a_row_are_all_or_none() {
        let row = |bytes: &[u8]| columns(bytes);
        assert_eq!(row(b"\0\0"), Some(Vec::new()));
        assert_eq!(
            row(b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0"),
            Some(vec![Some(b"ab".to_vec()), None, Some(Vec::new())])
        );
        for invalid in [
            &b""[..],
            b"\0",
            b"\0\x01",
            b"\0\x01\0\0\0",
            b"\0\x01\0\0\0\x02a",
            b"\0\x01\0\0\0\x02abc",
            b"\0\x01\x7f\xff\xff\xffab",
            b"\0\x02\0\0\0\x02ab",
            b"\xff\xff\0\0\0\x02ab",
        ] {
            assert_eq!(row(invalid), None, "{invalid:?}");
        }
    }

    #[test]
    fn the_code_of_an_error_is_its_field() {
        for (body, code) in [
            (&b"SFATAL\0VFATAL\0C28P01\0Mno\0\0"[..], "28P01"),
            (b"C3D000\0", "3D000"),
            (b"SFATAL\0MC28P01\0\0", ""),
            (b"C\0C28P01\0\0", ""),
            (b"", ""),
            (b"C\xff\0\0", "\u{fffd}"),
        ] {
            assert_eq!(sqlstate(body), code, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn the_release_is_the_first_number() {
        for (version, number) in [
            (&b"16.4 (Debian 16.4-1)\0"[..], Some(16)),
            (b"18beta1\0", Some(18)),
            (b"9.6\0", Some(9)),
            (b"v16\0", None),
            (b"", None),
            (b"99999999999\0", None),
        ] {
            assert_eq!(release(version), number, "{}", version.escape_ascii());
        }
    }

    #[test]
    fn the_startup_message_has_the_names_and_then_the_parameters() {
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let parameters = [own("application_name", "shop"), own("TimeZone", "")];
        let body = b"\0\x03\0\0user\0me\0database\0it\0application_name\0shop\0TimeZone\0\0\0";
        let length = u32::try_from(body.len() + 4).unwrap();
        let expected = [&length.to_be_bytes()[..], body].concat();
        assert_eq!(startup("me", "it", &parameters), expected);
    }

    const fn demand(least: Proven) -> Demand {
        Demand { least, is_waived: false }
    }

    #[test]
    fn each_demand_accepts_its_methods() {
        use Proven::{Binding, Certificate, Scram};
        let asks = |code: u32, rest: &[u8]| [&code.to_be_bytes()[..], rest].concat();
        let (plus, scram) =
            (&b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"[..], &b"SCRAM-SHA-256\0\0"[..]);
        for (asked, met_by) in [
            (asks(0, b""), &[Certificate][..]),
            (asks(3, b""), &[]),
            (asks(5, b"salt"), &[]),
            (asks(10, scram), &[Scram]),
            (asks(10, plus), &[Binding, Scram]),
            (asks(10, b"SCRAM-SHA-256-PLUS-NOT\0\0"), &[]),
            (asks(10, b"OAUTHBEARER\0\0"), &[]),
            (asks(7, b""), &[]),
        ] {
            for least in [Binding, Scram, Certificate] {
                let asked = AuthRequest::read(&asked).unwrap();
                assert_eq!(demand(least).is_met(asked, true), met_by.contains(&least), "{asked:?}");
                // A certificate that defines no binding binds nothing.
                let is_met = least != Binding && met_by.contains(&least);
                assert_eq!(demand(least).is_met(asked, false), is_met, "{asked:?}");
            }
        }
        for invalid in [&b""[..], b"\0\0\0"] {
            assert_eq!(AuthRequest::read(invalid), None);
        }
    }

    #[test]
    fn the_cost_of_a_proof_is_bounded_in_both_directions() {
        let salt = |length: usize| format!("r=ab,s={},i=4096", "A".repeat(length));
        for (challenge, is_accepted, is_accepted_if_waived) in [
            ("r=ab,s=AAAAAAAAAAA=,i=4096", true, true),
            ("r=ab,s=AAAAAAAAAAA=,i=100000", true, true),
            ("r=ab,s=AAAAAAAAAAA=,i=100001", false, false),
            ("r=ab,s=AAAAAAAAAAA=,i=2147483647", false, false),
            ("r=ab,s=AAAAAAAAAAA=,i=4294967295", false, false),
            ("r=ab,s=AAAAAAAAAAA=,i=18446744073709551615", false, false),
            ("r=ab,s=AAAAAAAAAAA=,i=99999999999999999999", false, false),
            ("r=ab,s=AAAAAAAAAAA=,i=4095", false, true),
            ("r=ab,s=AAAAAAAAAAA=,i=1", false, true),
            ("r=ab,s=AAAAAAAAAAA=,i=0", false, true),
            ("r=ab,s=AAAAAAAAAAA=,i=-1", false, false),
            ("r=ab,s=AAAAAAAAAAA=,i=", false, false),
            ("r=ab,s=AAAAAAAAAAA=,i=4096 ", false, false),
            ("r=ab,s=AAAAAAAAAAA=", false, false),
            ("", false, false),
            (&format!("r=ab,s={}==,i=4096", "A".repeat(1366)), true, true),
            (&salt(1367), false, false),
            (&salt(16_000), false, false),
        ] {
            let check = |is_waived| check_challenge(challenge.as_bytes(), b"a", is_waived).is_ok();
            assert_eq!(check(false), is_accepted, "{challenge}");
            assert_eq!(check(true), is_accepted_if_waived, "{challenge}");
        }
        assert!(check_challenge(b"r=ab,s=AAAAAAAAAAA=,i=\xff", b"a", false).is_err());
    }

    #[test]
    fn a_challenge_has_something_of_the_server() {
        for (challenge, is_accepted) in [
            ("r=nonceb,s=AAAAAAAAAAA=,i=4096", true),
            ("r=nonce,s=AAAAAAAAAAA=,i=4096", false),
            ("r=noncf,s=AAAAAAAAAAA=,i=4096", false),
            ("r=,s=AAAAAAAAAAA=,i=4096", false),
            ("s=AAAAAAAAAAA=,i=4096", false),
            ("r=nonceb,s=AAAAAAAAAA==,i=4096", false),
            ("r=nonceb,s====================,i=4096", false),
            ("r=nonceb,s=,i=4096", false),
            ("r=nonceb,i=4096", false),
        ] {
            for is_waived in [false, true] {
                let check = check_challenge(challenge.as_bytes(), b"nonce", is_waived);
                assert_eq!(check.is_ok(), is_accepted, "{challenge}");
            }
        }
    }
}

#[cfg(test)]
mod fuzz {
    use std::sync::LazyLock;

    use backing_services_fuzz::{Input, check, now};

    use super::*;

    static LOGINS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let asks =
            |code: u32, rest: &[u8]| message(b'R', &[&code.to_be_bytes()[..], rest].concat());
        let login = [
            asks(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
            asks(11, b"r=abc,s=AAAAAAAAAAAAAAAAAAAAAA==,i=4096"),
            asks(12, b"v=abc"),
            asks(0, b""),
            message(b'S', b"server_version\x0018.1\0"),
            message(b'K', &[0; 8]),
            message(b'N', b"SNOTICE\0Mno\0\0"),
            message(b'Z', b"I"),
        ];
        vec![
            login.concat(),
            asks(3, b""),
            asks(5, b"salt"),
            asks(11, b"r=abc,s=AAAAAAAAAAAAAAAAAAAAAA==,m=x,i=100000"),
            message(b'D', b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0"),
            message(b'E', b"SFATAL\0VFATAL\0C28P01\0Mno\0\0"),
            message(b'S', b"server_version\x0016.4 (Debian)\0"),
        ]
    });

    /// The messages of a stream, and how it ended.
    fn messages(mut stream: impl AsyncRead + Unpin) -> (Vec<(u8, Vec<u8>)>, io::ErrorKind) {
        let (mut left, mut all) = (LONGEST_LOGIN, Vec::new());
        loop {
            match now(read(&mut stream, &mut left)) {
                Ok(message) => all.push(message),
                Err(error) => return (all, error.kind()),
            }
        }
    }

    /// Any bytes are a login's messages, or are refused, and do not depend on the pieces. What is
    /// accepted is within the limits.
    #[test]
    fn any_login_is_read_or_refused() {
        check!(&LOGINS, |input: &Input| {
            let (all, end) = messages(input.whole_stream());
            assert_eq!(messages(input.stream()), (all.clone(), end));
            assert!(matches!(end, io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof));
            let written: Vec<u8> =
                all.iter().flat_map(|(kind, body)| message(*kind, body)).collect();
            assert!(input.bytes().starts_with(&written));
            for (_, body) in &all {
                assert!(body.len() <= LONGEST_MESSAGE);
                fields(body);
            }
            fields(input.bytes());
        });
    }

    /// Reads a body as each of those that matter.
    fn fields(body: &[u8]) {
        let _ = AuthRequest::read(body);
        let _ = (sqlstate(body), release(body));
        if let Some(columns) = columns(body) {
            let mut row = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
            for value in &columns {
                let length = value.as_ref().map_or(-1, |value| value.len() as i32);
                row.extend(length.to_be_bytes());
                row.extend(value.iter().flatten());
            }
            // Each negative length is the same value.
            assert_eq!(self::columns(&row), Some(columns));
            assert_eq!(row.len(), body.len());
        }
        for is_waived in [false, true] {
            if check_challenge(body, b"a", is_waived).is_ok() {
                let text = String::from_utf8_lossy(body);
                let mut fields = text.split(',');
                let number = fields.find_map(|field| field.strip_prefix("i=")).unwrap();
                let number: u64 = number.parse().unwrap();
                assert!(number <= 100_000 && (is_waived || number >= 4096), "{number}");
            }
        }
    }
}
