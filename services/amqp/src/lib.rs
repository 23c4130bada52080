//! RabbitMQ and other AMQP 0-9-1 brokers, through [`AmqpClient`]: one [`lapin::Connection`], which
//! reconnects by itself.
//!
//! # Locator
//! `amqps://user:password@host:port/virtual-host`. The port is 5671, and the virtual host is `/`
//! unless the locator says otherwise (`/%2F` is `/` too). A client certificate can stand in for
//! user and password: without a password, the certificate identifies the account (`EXTERNAL`), and
//! the locator then has no user. `guest` is refused, whatever its password. Parameters:
//!
//! | parameter | meaning | default |
//! |---|---|---|
//! | `connect_timeout` | seconds until connecting has failed, 1 to 300 | 10 |
//! | `heartbeat` | seconds between two heartbeats, 5 to 3600 (note 1) | 60, as RabbitMQ |
//! | `channel_max` | channels of the connection, 1 to 65 535 | 2047, as RabbitMQ |
//! | `frame_max` | bytes of the largest frame, 4096 to 1 048 576 (note 2) | 131 072, as RabbitMQ |
//! | `max_message` | bytes of the largest message, 1024 to 536 870 912 (note 3) | 134 217 728 |
//!
//! 1. The value is agreed with the server. A dead connection is noticed within twice that time.
//! 2. The driver takes 64 times as much memory for each connection: 8 MiB by default.
//! 3. The upper limit is the most that RabbitMQ can be configured to accept.
//!
//! # Attaching
//! 1. **TLS**, from the first byte on, by our own configuration: the resource's `_CA` and nothing
//!    else, or the public roots. The driver gets the verified stream, and never dials.
//! 2. **The server's greeting**, read by us: product, version, and the login mechanisms. If the
//!    server does not offer `PLAIN`, or `EXTERNAL` for a certificate, attaching ends here, before
//!    any credentials are sent. A certificate is the login only if the server asked for it in that
//!    handshake and got it. Without a password, a handshake without the certificate ends attaching.
//! 3. **The login**, with `PLAIN`: AMQP has no login in which the server proves that it knows the
//!    password. The server gets the password, under TLS; a client certificate is better. The driver
//!    never has the password, as it logs at `trace` what it sends: our own stream writes it into
//!    the driver's answer.
//! 4. **The probe**, which is described below. Login and probe together have `connect_timeout`.
//!
//! # The account's privileges
//! A field's `needs` are written with RabbitMQ's three permissions, on a queue (`QUEUE` may be left
//! out), on an exchange, or on all names with a prefix:
//!
//! ```text
//! needs = "CONFIGURE, READ ON stock; READ ON PREFIX shop.; WRITE ON EXCHANGE amq.default"
//! ```
//!
//! Names are plain names, not regular expressions.
//! [`Manifest::grants`](backing_services_runtime::Manifest::grants) writes the anchored
//! expressions, as lines for a shell with `rabbitmqctl`. The account that they create has no
//! password, and RabbitMQ refuses every login with an empty one: `rabbitmqctl change_password` sets
//! one. If the lines are run again, `add_user` fails and changes nothing. The default exchange is
//! called `amq.default`.
//!
//! AMQP has no method that reports the account or its permissions. So they are tried: each question
//! has a channel of its own, and 24 run at once, in two round trips. The questions change nothing,
//! whatever the answer. They are frames of our own, sent after the login and before the driver
//! knows that it is connected: RabbitMQ answers "no" by closing a channel, and the driver would log
//! each of these at `error`.
//!
//! **Only RabbitMQ is tried**: only of RabbitMQ is it known that these calls change nothing. If a
//! broker's greeting names another product (`product` in its `server-properties`), or none, it is
//! asked nothing: the posture's remarks report that the account's privileges are not seen. With
//! `needs`, such a broker is refused as `missing_privileges`: privileges that cannot be compared do
//! not pass.
//!
//! - **On the random name of a queue that does not exist** (`probe.…`): to delete it, to get from
//!   it, and to bind it. An account that may do one of these may do it with every name of the
//!   virtual host: it is a `superuser_account`.
//! - **On each name that is needed**: to declare a queue with a time to live that is not a number,
//!   to consume with a priority that is not a number, and to bind the queue to an exchange that
//!   does not exist. A needed permission that is refused is `missing_privileges`; a granted
//!   permission that is not needed is `excess_privileges`.
//! - **On names near to those**, which a pattern without `^` or `$` matches too:
//!   `excess_privileges`.
//!
//! Not seen: the account's tags (`administrator`, `management`), other virtual hosts, topic
//! permissions, and a pattern for names that are not near to the needed ones. The server logs each
//! refusal as a channel error. An account with a prefix of its own passes without `needs`:
//!
//! ```text
//! rabbitmqctl set_permissions -p / shop '^shop\.' '^shop\.' '^shop\.'
//! ```
//!
//! # Limits for what a server sends
//! A frame may have `frame_max` bytes, a message `max_message`, its headers 16 levels of tables;
//! the greeting 16 KiB. If a header promises more, the connection ends before anything is allocated
//! for it. The connection also ends on a method that only clients send, and on a reason that holds
//! a password of ours, in any encoding. The server's `Connection.Tune` can lower the limits of
//! frames and channels, never raise them. The protocol has no redirects that the driver would
//! follow.
//!
//! # Reconnecting
//! [`AmqpClient::create_channel`] reconnects if the connection broke, with all of the above but the
//! probe. An attempt has `connect_timeout`, and goes on if the call that began it stops waiting.
//! Attempts that fail are followed by a pause: 100 ms at first and 10 s at last, with jitter. Calls
//! in between fail at once. Once the server rejects the credentials, there are no more attempts
//! until the resource is attached again. The channels of a broken connection are gone, with their
//! consumers: create them again. The driver's own recovery is off: it would go on asking after the
//! server has rejected the credentials, and it cannot be stopped while it waits.
//!
//! # Limits of the driver
//! - Each connection has a thread of its own.
//! - It logs why a server closes a connection or a channel, in the server's words, at `error`. The
//!   probe's channels are not the driver's.
//! - A `basic_get` whose connection breaks in the middle of its message is never answered: put a
//!   timeout around it.
//! - It does not limit how many messages wait for a consumer in this process: set `basic_qos` on
//!   the channel.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex as Lock, PoisonError};

use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use backing_services_rules::Scheme;
use backing_services_rules::rule::{
    AMBIGUOUS_LOCATOR, DEFAULT_CREDENTIALS, MALFORMED_LOCATOR, MISSING_CREDENTIALS,
};
use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::Grantable;
use backing_services_runtime::posture::{ServerPosture, TlsPosture, printable};
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::resource::ClientGuard;
use backing_services_runtime::service::reconnect::{self, Reconnector};
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Attachment, Attempt, Login, Parameter, Refusal, Target};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use lapin::uri::{
    AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism,
};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Error, ErrorKind};
use tokio::runtime::Handle;

use self::account::Trial;
use self::frames::Greeting;
use self::wire::{AbortOnDrop, CloseReason, Greeted, Limits, NoDialling, Reason, greet};

pub use lapin;

mod account;
mod asking;
mod frames;
mod wire;

/// RabbitMQ and other AMQP 0-9-1 brokers. See [the module](self) for the locator, and for how it is
/// attached.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Amqp;

/// The default of `heartbeat`, in seconds.
const HEARTBEAT: u64 = 60;

/// The default of `channel_max`.
const CHANNEL_MAX: u64 = 2047;

/// The default of `frame_max`, in bytes.
const FRAME_MAX: u64 = 128 * 1024;

/// The default of `max_message`, in bytes: the default of RabbitMQ since 3.8.
const MAX_MESSAGE: u64 = 128 * 1024 * 1024;

/// The longest name of a virtual host, in bytes: it is a short string.
const LONGEST_HOST: usize = 255;

/// The name of a connection in the server's log.
const NAME: &str = "backing-services";

/// The product whose answers are known, as its greeting names it.
const RABBITMQ: &str = "RabbitMQ";

const SEEN: &[&str] = &[
    "AMQP does not tell the account's tags, nor what it may do in other virtual hosts: only this \
     one was tried",
    "a permission for names that neither are needed nor are near to such is not seen, unless it is \
     for every name",
];

const UNSEEN: &str = "the broker is not RabbitMQ: nothing was tried on it, and the account's \
                      privileges are not seen";

const REMARK: &str = "the driver logs why a server closes a connection or a channel, in the \
                      server's words, at `error`";

#[diagnostic::do_not_recommend]
impl Service for Amqp {
    type Client = AmqpClient;
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "AMQP";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("amqps")];
    const PATH: Option<&'static str> = Some("the virtual host's name");
    const PRIVILEGES: &'static [Grantable] = account::PRIVILEGES;
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::number("heartbeat", 5, 3600),
        Parameter::number("channel_max", 1, 65_535),
        Parameter::number("frame_max", 4096, 1024 * 1024),
        Parameter::number("max_message", 1024, 512 * 1024 * 1024),
        Parameter::refused(
            "auth_mechanism",
            "remove it: it is PLAIN with a password, and EXTERNAL with a client certificate alone",
        ),
        Parameter::refused("connection_timeout", "write `connect_timeout`, in seconds"),
        Parameter::refused("cacertfile", "give the authority in the `_CA` variable"),
        Parameter::refused(
            "certfile",
            "give the client's certificate in the `_CLIENT_CERT` variable",
        ),
        Parameter::refused("keyfile", "give the client's key in the `_CLIENT_KEY` variable"),
    ];
    const LOGIN: Login = Login::Password;

    fn grants(grants: &Grants) -> Option<String> {
        Some(account::grants(grants))
    }

    fn check(target: &Target) -> Vec<Finding> {
        let mut findings = Vec::new();
        match (target.user(), target.password().is_some(), target.client_certificate().is_some()) {
            (Some(user), ..) if user.eq_ignore_ascii_case("guest") => findings.push(
                Finding::new(
                    &DEFAULT_CREDENTIALS,
                    "its user is `guest`, with which the product ships, and who is an \
                     administrator",
                )
                .with_help(
                    "`rabbitmqctl add_user <user>`, `rabbitmqctl set_permissions`, and log in as \
                     that user",
                ),
            ),
            (None, true, _) => {
                findings.push(
                    Finding::new(&MISSING_CREDENTIALS, "it has a password and names no user")
                        .with_help("write the user too"),
                );
            }
            (Some(_), false, true) => findings.push(
                Finding::new(
                    &AMBIGUOUS_LOCATOR,
                    "it names a user without a password, and a client certificate says who it is",
                )
                .with_help(
                    "remove the user: the server takes it from the certificate; or give the \
                     password too",
                ),
            ),
            _ => {}
        }
        if target.locator().path().len() > LONGEST_HOST {
            findings.push(
                Finding::new(
                    &MALFORMED_LOCATOR,
                    "its virtual host's name is longer than 255 bytes",
                )
                .with_help("check the path"),
            );
        }
        findings
    }

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<AmqpClient>, Refusal> {
        let trial = Trial::new(target)?;
        let Opened { link, tls, greeting, answers } = open(target, Some(&trial)).await?;
        let account = match &answers {
            Some(answers) => trial.evaluate(answers, target)?,
            None => account::unseen(target),
        };

        let mut posture = Posture::of::<Self>(target);
        posture.tls = tls;
        posture.server = greeting
            .product
            .zip(greeting.version)
            .map(|(product, version)| ServerPosture::new(&product, &version));
        posture.account = target.user().map(printable);
        posture.authentication = Some(authentication(target, posture.tls.as_ref()).to_owned());
        posture.privileges = account.privileges;
        posture.remarks = if answers.is_some() { SEEN.to_vec() } else { vec![UNSEEN] };
        posture.remarks.push(REMARK);
        Ok(Attachment::new(AmqpClient(Reconnector::new(target, link)), posture)
            .with_findings(account.findings))
    }

    async fn health(client: &AmqpClient) -> Result<(), Refusal> {
        let link = client.0.get().await?;
        let refusal = |error| refusal(&error, &link.why);
        let channel = link.connection.create_channel().await.map_err(refusal)?;
        channel.close(200, "OK".into()).await.map_err(refusal)
    }

    async fn close(client: &AmqpClient) {
        client.close().await;
    }
}

/// The proof of identity that the login was made with.
fn authentication(target: &Target, tls: Option<&TlsPosture>) -> &'static str {
    match target.password() {
        Some(_) => "password",
        None if target.is_login_by_certificate(tls) => "client certificate",
        None => "nothing",
    }
}

/// One connection.
struct Link {
    connection: Connection,
    abort_on_drop: Lock<Option<AbortOnDrop>>,
    why: CloseReason,
}

impl reconnect::Link for Link {
    const SERVICE: &'static str = Amqp::NAME;

    fn is_alive(&self) -> bool {
        self.connection.status().connected()
    }

    async fn open(target: &Target) -> Result<Self, Refusal> {
        Ok(open(target, None).await?.link)
    }
}

struct Opened {
    link: Link,
    tls: Option<TlsPosture>,
    greeting: Greeting,
    /// The server's answers to the trial; `None` if it was not asked.
    answers: Option<Vec<bool>>,
}

/// Dials, reads the greeting, logs in, and tries the account's permissions if this is RabbitMQ.
async fn open(target: &Target, trial: Option<&Trial>) -> Result<Opened, Refusal> {
    let limit = target.connect_timeout();
    let limits = Limits {
        frame: usize::try_from(number(target, "frame_max", FRAME_MAX)).unwrap_or(usize::MAX),
        message: number(target, "max_message", MAX_MESSAGE),
    };
    let dialled = target.dial().await?;
    let Greeted { mut wire, abort_on_drop, why, greeting } =
        with_timeout(limit, greet(dialled.stream, target, limits)).await??;

    let mechanism = mechanism(target, &greeting)?;
    let channels = u16::try_from(number(target, "channel_max", CHANNEL_MAX)).unwrap_or(u16::MAX);
    let uri = uri(target, &limits, channels, mechanism);
    let tokio = Tokio::default().with_handle(Handle::current());
    let runtime = Runtime::new(RuntimeParts::new(tokio.clone(), NoDialling(tokio)));
    let is_known = greeting.product.as_deref() == Some(RABBITMQ);
    let answers = trial.filter(|_| is_known).map(|trial| wire.probe(trial.asking(channels)));
    let slot = Lock::new(Some(wire));
    // There is one connection, which was checked. A second one would not have been.
    let connect = async move |_, _| match slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    {
        Some(wire) => Ok(AsyncTcpStream::Plain(wire)),
        None => Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into()),
    };
    let properties = ConnectionProperties::default().with_connection_name(NAME.into());
    // If the caller stops waiting, the fuse is dropped, and the driver's thread ends with it.
    let connected =
        with_timeout(limit, Connection::connector(uri, runtime, connect, properties)).await?;
    // The probe knows better than the driver why the connection has ended.
    let answers = match answers.map(|mut answers| answers.try_recv()) {
        None => None,
        Some(Ok(answers)) => Some(answers?),
        Some(Err(_)) => match connected {
            Err(error) => return Err(refusal(&error, &why)),
            Ok(_) => return Err(Failure::protocol().into()),
        },
    };
    let connection = connected.map_err(|error| refusal(&error, &why))?;
    Ok(Opened {
        link: Link { connection, abort_on_drop: Lock::new(Some(abort_on_drop)), why },
        tls: dialled.tls,
        greeting,
        answers,
    })
}

/// A number of the locator.
fn number(target: &Target, name: &str, default: u64) -> u64 {
    target.locator().number(name).unwrap_or(default)
}

/// The login mechanism. Fails if the server does not offer it.
fn mechanism(target: &Target, greeting: &Greeting) -> Result<SASLMechanism, Refusal> {
    let mechanism =
        if target.password().is_some() { SASLMechanism::Plain } else { SASLMechanism::External };
    if greeting.mechanisms.iter().any(|offered| offered == mechanism.name()) {
        return Ok(mechanism);
    }
    let help = match mechanism {
        SASLMechanism::External => {
            "enable the server's plugin `rabbitmq_auth_mechanism_ssl`, and `EXTERNAL` in its \
             `auth_mechanisms`"
        }
        _ => {
            "check `auth_mechanisms` in the server's configuration; or log in with a client \
             certificate"
        }
    };
    let message = format!("the server does not let anybody log in with {}", mechanism.name());
    Err(Failure::new(FailureKind::AuthenticationFailed, message, help).into())
}

/// The part of the locator that the driver gets.
fn uri(target: &Target, limits: &Limits, channels: u16, mechanism: SASLMechanism) -> AMQPUri {
    let locator = target.locator();
    AMQPUri {
        scheme: AMQPScheme::AMQPS,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: target.user().unwrap_or_default().to_owned(),
                // Our own stream writes the password: the driver logs what it sends.
                password: String::new(),
            },
            host: String::new(),
            port: locator.port(),
        },
        vhost: if locator.path().is_empty() { "/".to_owned() } else { locator.path().to_owned() },
        query: AMQPQueryString {
            frame_max: u32::try_from(limits.frame).ok(),
            channel_max: Some(channels),
            heartbeat: u16::try_from(number(target, "heartbeat", HEARTBEAT)).ok(),
            connection_timeout: None,
            auth_mechanism: Some(mechanism),
        },
    }
}

const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// A client of one AMQP server. Clones share one connection.
///
/// ```no_run
/// # async fn example(
/// #     queue: backing_services::Resource<backing_services::Amqp>,
/// # ) -> lapin::Result<()> {
/// let channel = queue.client().create_channel().await?;
/// channel.queue_declare("shop.orders".into(), Default::default(), Default::default()).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AmqpClient(Reconnector<Link>);

/// A shared reference to the current [`lapin::Connection`].
pub struct AmqpConnection(Arc<Link>);

impl Deref for AmqpConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0.connection
    }
}

impl fmt::Debug for AmqpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AmqpConnection")
    }
}

impl AmqpClient {
    /// A new channel; on a new connection if the current one broke.
    ///
    /// # Errors
    /// The driver's errors. If there is no connection, an error whose text gives the reason in this
    /// crate's words.
    pub async fn create_channel(&self) -> lapin::Result<Channel> {
        self.connection().await?.create_channel().await
    }

    /// The connection, or a new one if it broke.
    ///
    /// # Errors
    /// If there is no connection, an error whose text gives the reason in this crate's words.
    pub async fn connection(&self) -> lapin::Result<AmqpConnection> {
        self.0.get().await.map(AmqpConnection).map_err(|refusal| {
            std::io::Error::new(std::io::ErrorKind::NotConnected, refusal.to_string()).into()
        })
    }

    /// Flushes what was sent, and closes the connection with a good-bye from the server. The
    /// driver's thread ends with it, even if the connection is still referenced elsewhere.
    async fn close(&self) {
        let Some(link) = self.0.close().await else { return };
        let abort_on_drop =
            link.abort_on_drop.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = link.connection.close(200, "OK".into()).await;
        drop(abort_on_drop);
    }
}

impl fmt::Debug for AmqpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AmqpClient({})", self.0.target().locator())
    }
}

/// The refusal for a connection that ended without an error from the driver.
fn ended(why: &CloseReason) -> Refusal {
    refusal(&ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed).into(), why)
}

/// Maps an error of the driver, and the reason from the wire, to a refusal. Of the server's words
/// only the code counts; its text is never repeated.
fn refusal(error: &Error, why: &CloseReason) -> Refusal {
    let new = Failure::new;
    match (why.reason(), error.kind()) {
        (Some(Reason::Code(ACCESS_REFUSED)), _) => new(
            FailureKind::AuthenticationFailed,
            "the server does not accept the user and the password, or the client certificate",
            "check both; they may have been rotated",
        ),
        (Some(Reason::Code(NOT_ALLOWED)), _) => new(
            FailureKind::Unavailable,
            "there is no such virtual host, or the account may not use it",
            "check the path; `rabbitmqctl add_vhost`, and `rabbitmqctl set_permissions -p <host> \
             <user> …`",
        ),
        (Some(Reason::Foreign), _) => Failure::protocol(),
        (Some(Reason::Code(_)), _) | (None, ErrorKind::ProtocolError(_)) => Failure::server_error(),
        (
            None,
            ErrorKind::ParsingError(_)
            | ErrorKind::InvalidProtocolVersion(_)
            | ErrorKind::AuthProviderError(_),
        ) => Failure::protocol(),
        (None, ErrorKind::MissingHeartbeatError) => new(
            FailureKind::TimedOut,
            "the server gave no sign of life in time",
            "check its load and the network",
        ),
        (None, ErrorKind::ChannelsLimitReached) => new(
            FailureKind::Unavailable,
            "the connection has as many channels as it may",
            "close channels, or raise `channel_max`",
        ),
        (None, _) => Failure::closed(),
    }
    .into()
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{check, is_same_host, target};
    use secrecy::ExposeSecret as _;

    use super::*;

    const LOCATORS: &[&str] = &[
        "amqps://shop:crocosmia%2Dbulb-101@MQ.example.com.:5673/orders?heartbeat=20",
        "amqps://sh%40p:crocosmia-bulb%2F%3A101@10.1.2.3/%2F",
        "amqps://s!$&'()*+,;=h:crocosmia-bulb-101@xn--bcher-kva.example/a%20b%C3%BC",
        "AMQPS://a:crocosmia-bulb-101@167837955:1",
    ];

    /// If we accept a locator, the driver reads it with the same host, port, login and virtual
    /// host. It gets the same from us, without the password.
    #[test]
    fn the_driver_reads_the_same_locator() {
        check!(LOCATORS, |input| {
            let text = input.text();
            let Some(target) = target::<Amqp>(&text) else { return };
            let locator = target.locator();
            let plain = text.split('?').next().unwrap_or_default();
            let theirs: AMQPUri = plain.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            let host = locator.host().unwrap();
            // The driver reads `localhost` for an IPv6 address: one more reason to dial ourselves.
            let is_v6 = plain.contains('[');
            assert!(is_v6 || is_same_host(host, &theirs.authority.host), "{text}: {theirs:?}");
            assert_eq!(theirs.authority.port, locator.port(), "{text}");
            let limits = Limits { frame: 4096, message: 4096 };
            let ours = uri(&target, &limits, 7, SASLMechanism::Plain);
            for uri in [&theirs, &ours] {
                let user = &uri.authority.userinfo.username;
                // Without a user, theirs is `guest`, and ours is empty.
                assert_eq!(locator.user().unwrap_or(user), user, "{text}");
                // A lone `/` behind the host names no virtual host: theirs is the empty one.
                let vhost = if uri.vhost.is_empty() { "/" } else { &uri.vhost };
                let path = if locator.path().is_empty() { "/" } else { locator.path() };
                assert_eq!(vhost, path, "{text}");
            }
            let password = target.password().map_or("guest", |password| password.expose_secret());
            assert_eq!(theirs.authority.userinfo.password, password, "{text}");
            assert_eq!(ours.authority.userinfo.password, "");
        });
    }
}
