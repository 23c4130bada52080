//! NATS with or without JetStream, through [`async_nats::Client`]: one connection, which reconnects
//! by itself.
//!
//! # Locator
//! `tls://user:password@host:port`. The port is 4222 unless the locator says otherwise, and there
//! is no path. `nats://` is refused: with it, TLS is optional, and the server, or an attacker on
//! the network path, can do without. The login:
//!
//! | locator | login |
//! |---|---|
//! | a user and a password | both |
//! | a password alone (`tls://:…@host`, or `_PASSWORD`) | a token |
//! | a password that is the seed of a user's nkey | the nkey |
//! | `_CLIENT_CERT` and `_CLIENT_KEY`, and no password | the certificate (`verify_and_map`) |
//!
//! A seed of an nkey has 58 characters, begins with `SU`, and has a good checksum. The server gets
//! a signature of its nonce, and never the seed. The locator has no user, or the public key as the
//! user. The seed of an account or an operator is refused. An nkey is the best of these: what the
//! server gets is of no use to anything else. Parameters:
//!
//! | parameter | meaning | default |
//! |---|---|---|
//! | `tls_first` | `true`: TLS from the first byte on (note 1) | `false` |
//! | `inbox_prefix` | the prefix of the subjects of replies (note 2) | `_INBOX` |
//! | `connect_timeout` | seconds until connecting has failed, 1 to 300 | 10 |
//! | `request_timeout` | milliseconds until a request has failed, 1 to 3 600 000 | 10 000 |
//!
//! 1. For a server with `handshake_first` (2.10.4 and newer). Then nothing is sent or read before
//!    TLS.
//! 2. For an account that may not subscribe to `_INBOX.>`.
//!
//! # Attaching
//! 1. **A visit**: a short conversation of our own, over a connection that is then closed. The
//!    server's greeting has to offer TLS, and nothing may follow it before TLS. Then TLS, by our
//!    own configuration: the resource's `_CA` and nothing else, or the public roots. A server that
//!    asks for no login is the finding `weak_authentication`; `tls_verify` counts as asking if the
//!    certificate is the login, and was asked for in that handshake. Then the visit logs in.
//! 2. **The probe**, in the same conversation, in one round trip. It is described below.
//! 3. **The driver** connects at the same time as the probe, with the same TLS configuration, with
//!    TLS required, to this host only: other servers that the server announces are ignored.
//!
//! # The account's privileges
//! A field's `needs` are written with subjects, which may have wildcards:
//!
//! ```text
//! needs = "PUBLISH ON orders.*.new, audit; SUBSCRIBE ON orders.>"
//! ```
//!
//! The permission to subscribe to `_INBOX.>`, where replies arrive, is always granted with them.
//! [`Manifest::grants`](backing_services_runtime::Manifest::grants) writes the block
//! `authorization` with that user. The block does not contain the password: the server takes it
//! from a variable of its own environment, and does not start without it. With `inbox_prefix` in
//! the locator, write that prefix there instead.
//!
//! - `$SYS.REQ.USER.INFO` reports the user, the account and its permissions, since NATS 2.10. An
//!   answer that makes no sense is a refusal. If nothing answers, or the account may not ask, the
//!   probe tries to subscribe and to publish to a subject with a random name (`_probe.…`, an empty
//!   message). An account that may do either on every subject, or that is the system's account, is
//!   a `superuser_account`. So the account needs no permission for the probe.
//! - An account that may publish to `$SYS.>` or to `$JS.API.>` as a whole, and does not need it, is
//!   a `superuser_account` too: an application uses named parts of JetStream
//!   (`$JS.API.CONSUMER.>`).
//! - With `needs`, each subject is tried, and the wider one (of `orders.new`, `orders.>`), both to
//!   publish and to subscribe: `missing_privileges` and `excess_privileges`.
//!
//! Trying a subject delivers no message: the message asks for a reply to `_R_.…`, which only
//! servers may use, so the server refuses it after it has checked the permission. A subscription is
//! ended at once. Not seen: a permission for any other subject than those above. The server logs
//! each refusal.
//!
//! # Reconnecting
//! The driver reconnects by itself, behind a gate: pauses of 100 ms at first and 10 s at last, with
//! jitter. Before each attempt, the host's addresses are checked against the rules, and a visit
//! checks that the server is there, is verified, and accepts the login. Once the server rejects the
//! credentials, they are not sent again, and the client ends: attach the resource again. The client
//! also ends after 8 attempts in a row that fail right after a good visit. The driver subscribes
//! again by itself. Messages that are published meanwhile wait, up to 2048 commands. A dead
//! connection is noticed within a minute (a `PING` each 20 s). Detaching ends a visit at once. It
//! waits for an attempt of the driver, which has `connect_timeout`, and gets no credentials.
//!
//! # Detaching
//! It waits until the server has answered a `PING` that follows the messages: anything that the
//! server sends counts as the answer. If that does not come in time, the resource was cut, and the
//! messages before may be lost or arrive later. A message that is published after the end is not
//! sent: the call fails, or waits until the driver has ended. A driver that cannot write ends after
//! two `PING`s, within a minute. Messages that wait while the connection is away are lost.
//!
//! # Limits for what a server sends
//! In a visit: lines of 64 KiB, messages of 1 MiB, 64 of them before an answer and one more for
//! each question of the probe, and `connect_timeout` for each step. `connect_urls` are ignored.
//!
//! # Limits of the driver
//! - It gives no access to its connection. What it reads before TLS (the greeting) is bounded by
//!   `connect_timeout` alone, and a message after it only by memory. A length that overflows makes
//!   the driver's task panic: the client then fails each command, and the resource has to be
//!   attached again. With `tls_first`, only the verified server can cause either.
//! - A subscription holds up to 65 536 messages that the application has not read.
//! - While the connection is away, a request has `request_timeout`. `flush`, and messages beyond
//!   the 2048 commands that wait, have no limit: they wait until the connection is back. Give these
//!   calls a timeout of their own.
//! - It resolves the host's name itself, a moment after we did.
//! - It reads the system's certificates each time it connects, although it trusts none of them. It
//!   does not connect if they cannot be read.
//! - It logs the text of a server's error, as it is, at `error`, `info`, `debug` and `trace`
//!   (target `async_nats`). It has no option for that, and its event callback is called after it
//!   has logged. So a server that has turned hostile can write the password or the token that it
//!   was sent into the log. An nkey is never sent.
//! - It does not report the cipher of its own connection: the posture has the visit's, if the
//!   certificate and the TLS version are the same.

pub mod kv;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};
use backing_services_rules::Scheme;
use backing_services_rules::rule::MALFORMED_LOCATOR;
use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::Grantable;
use backing_services_runtime::posture::{ServerPosture, TlsPosture};
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::resource::ClientGuard;
use backing_services_runtime::service::time::{
    HEALTH_DEADLINE, try_join_prefer_first, with_timeout,
};
use backing_services_runtime::service::{
    Attachment, Attempt, Login, Parameter, Refusal, Target, tasks,
};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use tokio::runtime::Handle;

use self::credentials::Credentials;
use self::gate::{MOST_ATTEMPTS, NOWHERE, ReconnectGate, ShutOnDrop};

pub use async_nats;

mod account;
mod credentials;
mod gate;
mod visit;

/// NATS. See [the module](self) for the locator, and for how it is attached.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Nats;

/// The default of `request_timeout`, in milliseconds: the driver's own default.
const REQUEST_TIMEOUT: u64 = 10_000;

/// The interval of the driver's pings. The connection is dead after two that are not answered.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// The driver's prefix for inboxes.
const INBOX_PREFIX: &str = "_INBOX";

/// The name of the connections in the server's monitoring.
const NAME: &str = "backing-services";

const REMARKS: &[&str] = &[
    "a permission for subjects that neither are needed nor are around such is not seen, unless it \
     is for every subject, `$SYS.>` or `$JS.API.>`",
    "the driver bounds neither the server's greeting before TLS nor a message after it: \
     `tls_first=true` keeps the first for the verified server alone",
    "the driver resolves the host's name again, a moment after its addresses were checked against \
     the rules",
    "the driver logs what a server says in an error, as it is, from `info` up: a hostile server \
     can say the password there, but not an nkey",
];

#[diagnostic::do_not_recommend]
impl Service for Nats {
    type Client = Client;
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "NATS";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("tls")];
    const PRIVILEGES: &'static [Grantable] = account::PRIVILEGES;
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::number("request_timeout", 1, 3_600_000),
        Parameter::choice("tls_first", &["true", "false"]),
        Parameter::text("inbox_prefix", 64),
    ];
    const LOGIN: Login = Login::Password;

    fn grants(grants: &Grants) -> Option<String> {
        Some(account::grants(grants))
    }

    fn check(target: &Target) -> Vec<Finding> {
        let mut findings = Vec::new();
        // Without any credentials, there is a finding already.
        if (target.password().is_some() || target.client_certificate().is_some())
            && let Err(finding) = Credentials::of(target)
        {
            findings.push(finding);
        }
        let is_token = |token: &str| {
            !token.is_empty()
                && token.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'*' | b'>'))
        };
        if target
            .locator()
            .parameter("inbox_prefix")
            .is_some_and(|prefix| !prefix.split('.').all(is_token))
        {
            findings.push(
                Finding::new(
                    &MALFORMED_LOCATOR,
                    "the value of the parameter `inbox_prefix` is no subject",
                )
                .with_help("write a subject without wildcards, such as `_INBOX_shop`"),
            );
        }
        findings
    }

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<Client>, Refusal> {
        let credentials = Credentials::of(target).map_err(Refusal::Finding)?;
        let mut visit = visit::visit(target, &credentials).await?;
        let (visited, finding) = (visit.tls.take(), visit.finding.take());
        let version = visit.version.take();
        let probe = visit.probe(target, &credentials, inbox_prefix(target));
        // The visit has shown that the server has TLS and requires a login. The driver logs in
        // under the same TLS, and returns when the server has answered its `PING`. So it can
        // connect while the probe still runs.
        let probe = async { with_timeout(target.connect_timeout(), probe).await? };
        let (account, (client, tls, opened)) =
            try_join_prefer_first(probe, drive(target, &credentials)).await?;

        let mut posture = Posture::of::<Self>(target);
        posture.tls = tls.map(|tls| match visited {
            Some(visited)
                if visited.certificate == tls.certificate && visited.version == tls.version =>
            {
                visited
            }
            _ => tls,
        });
        posture.server = version.map(|version| ServerPosture::new("nats-server", &version));
        posture.account = account.name;
        posture.privileges = account.privileges;
        posture.authentication = Some(match credentials {
            Credentials::Certificate if !target.is_login_by_certificate(posture.tls.as_ref()) => {
                "nothing".to_owned()
            }
            _ => credentials.name().to_owned(),
        });
        posture.remarks = REMARKS.to_vec();
        opened.keep_open();
        Ok(Attachment::new(client, posture)
            .with_findings(finding.into_iter().chain(account.findings)))
    }

    async fn health(client: &Client) -> Result<(), Refusal> {
        answers(client).await
    }

    async fn close(client: &Client) {
        gate::shut(client);
        // Also if this future is dropped.
        let _sealing = SealOnDrop(Arc::new(client.clone()));
        // Draining does not wait for an answer, so the messages may still be on their way. If the
        // connection breaks meanwhile, they may be lost: closing is then not finished.
        if client.connection_state() == State::Connected && answers(client).await.is_err() {
            std::future::pending::<()>().await;
        }
        if client.drain().await.is_err() {
            return;
        }
        // Draining has only begun. Once the driver's task has ended, it takes no more commands.
        // A flush without an answer in time is not the end: the driver may still be connecting.
        while !matches!(with_timeout(HEALTH_DEADLINE, client.flush()).await, Ok(Err(_))) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The commands that wait for the driver at most: the driver's default. A call that has one more
/// waits for its turn.
const QUEUE: usize = 2048;

/// Drains the client when it is dropped, and takes every turn that comes after. So no message that
/// is published later is sent, even if the driver has to wait until it can write again.
struct SealOnDrop(Arc<Client>);

type Command = Pin<Box<dyn Future<Output = bool> + Send>>;

impl SealOnDrop {
    fn drain(&self) -> Command {
        let client = Arc::clone(&self.0);
        Box::pin(async move { client.drain().await.is_ok() })
    }

    fn flush(&self) -> Command {
        let client = Arc::clone(&self.0);
        Box::pin(async move { client.flush().await.is_ok() })
    }
}

impl Drop for SealOnDrop {
    fn drop(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut drain = self.drain();
        let drained = drain.as_mut().poll(&mut context);
        if drained == Poll::Ready(false) {
            return;
        }
        let mut flush = self.flush();
        let mut turns = Vec::new();
        if flush.as_mut().poll(&mut context).is_pending() {
            // Some fill the queue. The others get the turns of the commands that leave it: they
            // are never polled again, and so keep them.
            turns.extend((0..2 * QUEUE).map(|_| self.flush()));
            turns.retain_mut(|turn| turn.as_mut().poll(&mut context).is_pending());
        }
        if let Ok(runtime) = Handle::try_current() {
            tasks::spawn(&runtime, async move {
                if drained.is_pending() {
                    drain.await;
                }
                // Then the driver has ended, or it ends before it takes another command.
                flush.await;
                drop(turns);
            });
        }
    }
}

fn inbox_prefix(target: &Target) -> &str {
    target.locator().parameter("inbox_prefix").unwrap_or(INBOX_PREFIX)
}

fn tls_first(target: &Target) -> bool {
    !target.is_plaintext() && target.locator().parameter("tls_first") == Some("true")
}

/// Opens the driver's own connection. Returns it with its TLS, and with the guard that keeps the
/// driver from connecting again if attaching ends before the client is handed out.
async fn drive(
    target: &Target,
    credentials: &Credentials,
) -> Result<(Client, Option<TlsPosture>, ShutOnDrop), Refusal> {
    let locator = target.locator();
    let host = locator.host().ok_or_else(Failure::protocol)?;
    let scheme = if target.is_plaintext() { "nats" } else { "tls" };
    let address: ServerAddr =
        format!("{scheme}://{host}:{}", locator.port()).parse().map_err(|_| {
            Failure::new(
                FailureKind::Unresolved,
                "the driver does not take the host's name",
                "check the host",
            )
        })?;
    let nowhere: ServerAddr =
        format!("{scheme}://{NOWHERE}").parse().map_err(|_| Failure::protocol())?;
    let servers = vec![address.clone(), nowhere.clone()];
    let gate = ReconnectGate::new(target.clone(), credentials.clone(), address, nowhere);
    let opened = ShutOnDrop::new(Arc::clone(&gate));

    let (signing, passing) = (Arc::clone(&gate), Arc::clone(&gate));
    let request_timeout =
        Duration::from_millis(locator.number("request_timeout").unwrap_or(REQUEST_TIMEOUT));
    let mut options =
        ConnectOptions::with_auth_callback(move |nonce| std::future::ready(signing.auth(&nonce)))
            .name(NAME)
            .ignore_discovered_servers()
            .connection_timeout(target.connect_timeout())
            .request_timeout(Some(request_timeout))
            .ping_interval(PING_INTERVAL)
            .custom_inbox_prefix(inbox_prefix(target))
            .client_capacity(QUEUE)
            .max_reconnects(MOST_ATTEMPTS)
            .reconnect_to_server_callback(move |servers, _| {
                let has_failed = servers.iter().any(|server| server.failed_attempts > 0);
                // A task of its own, as the driver requires a future that is `Sync`.
                let passing =
                    tasks::spawn(&Handle::current(), Arc::clone(&passing).pass(has_failed));
                async move { passing.join().await.flatten() }
            });
    let mut witness = None;
    if !target.is_plaintext() {
        let (config, seen) = target.tls_config()?;
        options = options.require_tls(true).tls_client_config(Arc::unwrap_or_clone(config));
        if tls_first(target) {
            options = options.tls_first();
        }
        witness = Some(seen);
    }
    let client = options.connect(servers).await.map_err(|error| refusal(&error, target))?;
    gate::remember(&client, &gate);
    let tls = witness.map(|witness| witness.posture_of_connected()).transpose()?;
    Ok((client, tls, opened))
}

/// Has the driver send a `PING`, as ending a subscription does, and waits until the server sends
/// anything.
async fn answers(client: &Client) -> Result<(), Refusal> {
    let gone = || {
        Failure::new(
            FailureKind::Unreachable,
            "the connection to the server is gone, and not back yet",
            "check the network and the server's log; if the server does not accept the \
             credentials any more, attach the resource again",
        )
    };
    let statistics = client.statistics();
    let before = statistics.in_bytes.load(Ordering::Relaxed);
    if client.connection_state() != State::Connected {
        return Err(gone().into());
    }
    let mut subscription = client.subscribe(client.new_inbox()).await.map_err(|_| gone())?;
    subscription.drain().await.map_err(|_| gone())?;
    while statistics.in_bytes.load(Ordering::Relaxed) == before {
        tokio::time::sleep(Duration::from_millis(2)).await;
        if client.connection_state() != State::Connected {
            return Err(gone().into());
        }
    }
    Ok(())
}

/// Maps the driver's error to a refusal. Few errors are left, as a visit has just succeeded.
fn refusal(error: &ConnectError, target: &Target) -> Refusal {
    if let Some(refusal) = target.tls_refusal(error) {
        return refusal;
    }
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => Failure::new(
            FailureKind::AuthenticationFailed,
            "the server does not accept the credentials",
            "check the user and the password, the token or the nkey; they may have been rotated",
        ),
        ConnectErrorKind::Dns => Failure::new(
            FailureKind::Unresolved,
            "its host's name has no address",
            "check the name, and this machine's name servers",
        ),
        ConnectErrorKind::TimedOut => Failure::new(
            FailureKind::TimedOut,
            "the server did not answer in time",
            "check its load and the network",
        ),
        ConnectErrorKind::Tls => Failure::new(
            FailureKind::Unavailable,
            "the system's certificates cannot be read, without which the driver does not connect, \
             although it trusts none of them",
            "check `SSL_CERT_FILE` and `SSL_CERT_DIR`, and the system's certificates",
        ),
        _ => Failure::new(
            FailureKind::Unreachable,
            "the server let a first connection in, and closed the second",
            "read its log",
        ),
    }
    .into()
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{check, is_same_host, target};

    use super::*;

    const LOCATORS: &[&str] = &[
        "tls://shop:camellia%2Dbulb-89@NATS.example.com.:4223?inbox_prefix=_INBOX_shop",
        "tls://sh%40p:camellia-bulb%2F%3A89@[2001:db8::1]",
        "tls://s!$&'()*+,;=h:camellia-bulb-89@10.1.2.3",
        "tls://:camellia-bulb-89@[::ffff:10.1.2.3]:1?tls_first=true",
        "TLS://a:camellia-bulb-89@167837955",
    ];

    /// If we accept a locator, the driver reads it with the same host and port, and gets the same
    /// from us.
    #[test]
    fn the_driver_reads_the_same_locator() {
        check!(LOCATORS, |input| {
            let text = input.text();
            let Some(target) = target::<Nats>(&text) else { return };
            let locator = target.locator();
            let host = locator.host().unwrap();
            let ours = format!("tls://{host}:{}", locator.port());
            for text in [text.as_ref(), &ours] {
                let theirs: ServerAddr =
                    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
                assert!(is_same_host(host, theirs.host()), "{text}: {}", theirs.host());
                assert_eq!(theirs.port(), locator.port(), "{text}");
            }
        });
    }
}
