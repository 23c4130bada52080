//! A mail relay, through [`SmtpClient`]: a pool of verified connections that implements lettre's
//! [`AsyncTransport`].
//!
//! # Locator
//! `smtps://user:password@host`, with TLS from the first byte (RFC 8314). The port is 465 unless
//! the locator sets another one. Parameters:
//!
//! - `ehlo`: the client's host name in `EHLO`. The default is `[127.0.0.1]`, which reveals nothing.
//! - `connect_timeout`: the limit for connecting in seconds, 1 to 300. The default is 10.
//! - `response_timeout`: the limit for a whole login, and for sending a whole message, in
//!   milliseconds, 1 to 3 600 000. The default is 60 000. RFC 5321, 4.5.3.2, requires minutes for
//!   delivery across the Internet; this is the organisation's own relay.
//! - `max_connections`: the size of the pool, 1 to 100. The default is 10, as in lettre.
//!
//! STARTTLS is not supported: a client that keeps data that it received before the switch to TLS is
//! not protected by TLS, and lettre does so. So port 587, where STARTTLS is usual, is the finding
//! `starttls`. If it is waived, the port is used, with TLS from the first byte all the same.
//!
//! # How it is attached
//! 1. **TLS**, by our own configuration: the resource's `_CA` alone, its `_PIN`, or the public
//!    roots. lettre gets the verified stream, and never connects by itself. So every connection of
//!    the pool is verified, and only goes to addresses that pass the address rules.
//! 2. **`EHLO`**, and **logging in** by `AUTH PLAIN` or `AUTH LOGIN`. A server that offers neither
//!    is refused: mail without a login is not sent. The password goes to the verified server alone.
//!    A user without a password logs in by the client certificate, if the server requests it in
//!    each handshake.
//! 3. **`NOOP`.** The connection becomes the pool's first one.
//!
//! SMTP reports neither the account's privileges nor the server's product.
//!
//! # What a server may send
//! An answer of 8 KiB, and lettre's own limit of 1000 bytes per line; ten challenges during a
//! login. An answer that takes longer than `response_timeout` ends the connection. If an answer
//! repeats our password, it is redacted, also in the [`Response`] that [`AsyncTransport::send`]
//! returns. If the caller does not wait for an answer, the connection is closed, so that another
//! message cannot receive that answer.
//!
//! # What lettre leaves open
//! lettre's own pool has no limit for the time of an answer or the length of a line, and verifies
//! by a TLS configuration of its own: it is not used. [`SmtpClient`] keeps its connections in
//! deadpool. With lettre's feature `tracing`, which another crate of the program may enable, lettre
//! logs each line at `debug`. No line contains the password: our stream writes it, and redacts it
//! in the server's answers.

use std::pin::Pin;
use std::time::Duration;
use std::{fmt, io};

use backing_services_rules::Scheme;
use backing_services_rules::rule::{MALFORMED_LOCATOR, STARTTLS, WEAK_AUTHENTICATION};
use backing_services_runtime::posture::{ServerPosture, TlsPosture, printable};
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::resource::ClientGuard;
use backing_services_runtime::service::connections::{Connections, CountedConnection};
use backing_services_runtime::service::time::{run_until_cancelled, with_timeout};
use backing_services_runtime::service::{
    Attachment, Attempt, Login, Parameter, Refusal, Stream, Target,
};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use lettre::{AsyncTransport, Message};

use self::wire::Wire;

pub use lettre;

mod wire;

/// A mail relay. [The module](self) documents its locator, and how it is attached.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Smtp;

/// The default `response_timeout`: 60 s.
const RESPONSE_TIMEOUT: u64 = 60_000;

/// The default `max_connections`.
const MAX_CONNECTIONS: u64 = 10;

/// A connection that was idle for longer is not used again: servers close theirs after five minutes
/// (RFC 5321, 4.5.3.2.7).
const IDLE: Duration = Duration::from_secs(60);

/// The mechanisms that lettre supports and current servers offer.
const MECHANISMS: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];

/// The port of submission with STARTTLS (RFC 6409).
const SUBMISSION: u16 = 587;

#[diagnostic::do_not_recommend]
impl Service for Smtp {
    type Client = SmtpClient;
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "SMTP";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("smtps")];
    const LOGIN: Login = Login::UserAndPassword;
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::text("ehlo", 253),
        Parameter::number("response_timeout", 1, 3_600_000),
        Parameter::number("max_connections", 1, 100),
        Parameter::tls("tls"),
        Parameter::refused(
            "starttls",
            "remove it: TLS begins with the connection; the port is 465",
        ),
        Parameter::refused(
            "auth",
            "remove it: it is `AUTH PLAIN` or `AUTH LOGIN`, under verified TLS",
        ),
    ];

    fn check(target: &Target) -> Vec<Finding> {
        let mut findings = Vec::new();
        if target.locator().port() == SUBMISSION && !target.is_plaintext() {
            findings.push(
                Finding::new(
                    &STARTTLS,
                    "port 587 is where SMTP begins in plaintext and asks for TLS later",
                )
                .with_help(
                    "write port 465, or none; if the server does speak TLS from the first byte on \
                     there, waive the rule and say so",
                ),
            );
        }
        if target.locator().parameter("ehlo").is_some_and(|name| !is_name(name)) {
            let finding = Finding::new(
                &MALFORMED_LOCATOR,
                "the value of the parameter `ehlo` is no host's name",
            );
            findings.push(
                finding.with_help("write the name of the machine that sends: `shop.example.com`"),
            );
        }
        findings
    }

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<SmtpClient>, Refusal> {
        let client = SmtpClient::new(target)?;
        let mut connection = client.connection().await?;
        let mut posture = Posture::of::<Self>(target);
        posture.server = Some(ServerPosture::new(connection.smtp.server_info().name(), ""));
        posture.account = target.user().map(printable);
        posture.tls = connection.tls.take();
        posture.authentication = match connection.mechanism {
            Some(mechanism) => Some(format!("AUTH {mechanism}")),
            None => target
                .is_login_by_certificate(posture.tls.as_ref())
                .then(|| "client certificate".to_owned()),
        };
        drop(connection);
        Ok(Attachment::new(client, posture))
    }

    async fn health(client: &SmtpClient) -> Result<(), Refusal> {
        // An idle connection has answered a `NOOP` before the pool returns it; a new one has logged
        // in.
        client.connection().await.map(drop)
    }

    async fn close(client: &SmtpClient) {
        client.close().await;
    }
}

/// Returns true if the name may follow `EHLO`: it cannot end the line or begin another word.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        && !text.starts_with(['-', '.'])
}

fn response_timeout(target: &Target) -> Duration {
    Duration::from_millis(target.locator().number("response_timeout").unwrap_or(RESPONSE_TIMEOUT))
}

/// Sends mail. Clones share its connections.
///
/// ```no_run
/// # use backing_services::services::smtp::{Smtp, SmtpError};
/// # use backing_services::Resource;
/// # async fn example(mail: Resource<Smtp>, message: lettre::Message) -> Result<(), SmtpError> {
/// use lettre::AsyncTransport as _;
///
/// mail.client().send(message).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SmtpClient {
    pool: Pool<Manager>,
    target: Target,
}

impl SmtpClient {
    fn new(target: &Target) -> Result<Self, Refusal> {
        let most = target.locator().number("max_connections").unwrap_or(MAX_CONNECTIONS);
        let pool =
            Pool::builder(Manager { target: target.clone(), connections: Connections::new() })
                .max_size(usize::try_from(most).unwrap_or(usize::MAX))
                .wait_timeout(Some(response_timeout(target)))
                .runtime(deadpool::Runtime::Tokio1)
                .build()
                .map_err(|_| {
                    Failure::new(
                        FailureKind::Protocol,
                        "the pool cannot be built",
                        "check deadpool's version",
                    )
                })?;
        Ok(Self { pool, target: target.clone() })
    }

    async fn connection(&self) -> Result<Object<Manager>, Refusal> {
        match self.pool.get().await {
            Ok(connection) => Ok(connection),
            Err(PoolError::Backend(refusal)) => Err(refusal),
            Err(PoolError::Timeout(_)) => Err(Failure::new(
                FailureKind::TimedOut,
                "no connection of the pool became free in time",
                "check `max_connections` in the locator, and the server's load",
            )
            .into()),
            Err(_) => Err(Failure::detached().into()),
        }
    }

    /// Sends a message unchanged, with the envelope's sender and recipients.
    async fn deliver(&self, envelope: &Envelope, email: &[u8]) -> Result<Response, SmtpError> {
        let mut connection = self.connection().await.map_err(SmtpError::of)?;
        // True until the answer has come. If the caller gives up before, the connection is not used
        // again: its next answer would be the one to this message.
        connection.busy = true;
        let cut = connection.counted.cut();
        let sending =
            with_timeout(response_timeout(&self.target), connection.smtp.send(envelope, email));
        let Some(sent) = run_until_cancelled(cut, sending).await else {
            return Err(SmtpError::of(Failure::detached().into()));
        };
        match sent {
            Ok(Ok(response)) => {
                connection.busy = false;
                Ok(response)
            }
            Ok(Err(error)) => {
                Err(SmtpError { code: error.status().map(u16::from), refusal: refusal(&error) })
            }
            Err(_) => Err(SmtpError::of(Failure::no_answer().into())),
        }
    }

    /// Refuses new messages, ends logins, waits for the answers to the messages in flight, and
    /// sends `QUIT` on idle connections. If it is dropped, the messages in flight are cut.
    async fn close(&self) {
        let closed = self.pool.manager().connections.close();
        let idle = self.pool.retain(|_, _| false).removed;
        self.pool.close();
        for mut connection in idle {
            // `QUIT` is a courtesy: a server that does not answer is left all the same.
            let _ = with_timeout(Duration::from_secs(1), connection.smtp.quit()).await;
        }
        closed.await;
    }
}

impl fmt::Debug for SmtpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpClient({})", self.target.locator())
    }
}

/// The type that `#[async_trait]` makes of an `async fn` of [`AsyncTransport`].
type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AsyncTransport for SmtpClient {
    type Ok = Response;
    type Error = SmtpError;

    fn send<'a, 'b>(&'a self, message: Message) -> Answer<'b, Result<Response, SmtpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move { self.deliver(message.envelope(), &message.formatted()).await })
    }

    fn send_raw<'a, 'c, 'd, 'b>(
        &'a self,
        envelope: &'c Envelope,
        email: &'d [u8],
    ) -> Answer<'b, Result<Response, SmtpError>>
    where
        'a: 'b,
        'c: 'b,
        'd: 'b,
        Self: 'b,
    {
        Box::pin(self.deliver(envelope, email))
    }
}

/// The reason why a message was not sent. It contains no text of the server, only its code.
#[derive(Clone, Debug)]
pub struct SmtpError {
    refusal: Refusal,
    code: Option<u16>,
}

impl SmtpError {
    const fn of(refusal: Refusal) -> Self {
        Self { refusal, code: None }
    }

    /// The server's code, if it answered: 450, 550 (RFC 5321, 4.2).
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        self.code
    }

    /// Returns true if the server accepts the same message later (4xx).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code.is_some_and(|code| (400..500).contains(&code))
    }

    /// The reason, as attaching would return it.
    #[must_use]
    pub const fn refusal(&self) -> &Refusal {
        &self.refusal
    }
}

impl fmt::Display for SmtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.refusal, f)
    }
}

impl std::error::Error for SmtpError {}

/// A connection that has logged in.
struct Connection {
    smtp: AsyncSmtpConnection,
    tls: Option<TlsPosture>,
    mechanism: Option<Mechanism>,
    /// True while an answer is pending.
    busy: bool,
    counted: CountedConnection,
}

struct Manager {
    target: Target,
    connections: Connections,
}

impl Manager {
    async fn open(&self, counted: CountedConnection) -> Result<Connection, Refusal> {
        let dialled = self.target.dial().await?;
        let logging_in = log_in(&self.target, dialled.stream);
        let (smtp, mechanism) = with_timeout(response_timeout(&self.target), logging_in)
            .await
            .map_err(|_| Failure::no_answer())??;
        Ok(Connection { smtp, tls: dialled.tls, mechanism, busy: false, counted })
    }

    /// Returns true if the server still answers.
    async fn answers(&self, connection: &mut Connection) -> Result<bool, Refusal> {
        let answer =
            with_timeout(self.target.connect_timeout(), connection.smtp.test_connected()).await;
        Ok(answer.unwrap_or_default())
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manager({})", self.target.locator())
    }
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Refusal;

    async fn create(&self) -> Result<Connection, Refusal> {
        self.connections.open(|counted| self.open(counted)).await
    }

    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<Refusal> {
        let is_stale = metrics.last_used() > IDLE;
        if connection.busy || connection.smtp.has_broken() || is_stale {
            return Err(RecycleError::message("not to be used again"));
        }
        connection.busy = true;
        match self.connections.run(self.answers(connection)).await {
            Ok(true) => {
                connection.busy = false;
                Ok(())
            }
            _ => Err(RecycleError::message("it does not answer any more")),
        }
    }
}

/// Reads the greeting, sends `EHLO`, and logs in.
async fn log_in(
    target: &Target,
    stream: Stream,
) -> Result<(AsyncSmtpConnection, Option<Mechanism>), Refusal> {
    let name = match target.locator().parameter("ehlo") {
        Some(name) => ClientId::Domain(name.to_owned()),
        None => ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST),
    };
    let account = target.user().zip(target.password());
    let login = wire::Login::new(account);
    let wire = Box::new(Wire::new(stream, login.clone()));
    let mut smtp = AsyncSmtpConnection::connect_with_transport(wire, &name)
        .await
        .map_err(|error| refusal(&error))?;
    let mechanism = match account {
        Some(_) => {
            let mechanism = smtp.server_info().get_auth_mechanism(MECHANISMS).ok_or_else(|| {
                Finding::new(
                    &WEAK_AUTHENTICATION,
                    "the server offers no way of logging in that this driver has: neither `AUTH \
                     PLAIN` nor `AUTH LOGIN`",
                )
                .with_help(
                    "let the server offer one of them under TLS; without a login, anybody could \
                     send through it",
                )
            })?;
            let admitted = smtp.auth(&[mechanism], &wire::credentials()).await;
            login.done();
            admitted.map_err(|error| login_refusal(&error))?;
            Some(mechanism)
        }
        // `missing_credentials` is waived, or a client certificate replaces the password.
        None => None,
    };
    if !smtp.test_connected().await {
        return Err(Failure::protocol().into());
    }
    Ok((smtp, mechanism))
}

fn login_refusal(error: &lettre::transport::smtp::Error) -> Refusal {
    if error.is_permanent() {
        return Failure::new(
            FailureKind::AuthenticationFailed,
            "the server does not accept the user and the password",
            "check both; they may have been rotated",
        )
        .into();
    }
    refusal(error)
}

/// Converts an error of lettre. Its own text contains the server's, and is not used.
fn refusal(error: &lettre::transport::smtp::Error) -> Refusal {
    if let Some(code) = error.status().map(u16::from) {
        let failure = match code {
            530 | 534 | 535 | 538 => Failure::new(
                FailureKind::AuthenticationFailed,
                "the server wants another login",
                "check the user and the password",
            ),
            400..=499 => Failure::new(
                FailureKind::Unavailable,
                format!("the server does not take it now, with the code {code}"),
                "read the server's log; the same may pass later",
            ),
            _ => Failure::new(
                FailureKind::Unavailable,
                format!("the server refuses with the code {code}"),
                "read the server's log, and check the addresses, the size, and what the account \
                 may send",
            ),
        };
        return failure.into();
    }
    if error.is_timeout() {
        return Failure::no_answer().into();
    }
    if error.is_client() {
        return Failure::new(
            FailureKind::Unavailable,
            "the message needs something that the server does not offer",
            "look for characters beyond ASCII in addresses (SMTPUTF8) or in the body (8BITMIME)",
        )
        .into();
    }
    if error.is_response() {
        return Failure::protocol().into();
    }
    let mut source = std::error::Error::source(error);
    for _ in 0..16 {
        let Some(current) = source else { break };
        if current
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
        {
            return Failure::protocol().into();
        }
        source = current.source();
    }
    Failure::closed().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_one_word() {
        for good in ["shop.example.com", "a", "relay-7"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["a b", "-a", ".a", "a\r\nQUIT", "a/b", "[127.0.0.1]"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
