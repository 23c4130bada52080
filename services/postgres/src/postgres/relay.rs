//! The relay's side of the protocol: it reads the driver's startup message, logs in to the server,
//! and answers the driver. It forwards requests to cancel a statement.
//!
//! Protocol: PostgreSQL documentation, 54.2.1, 54.2.9 and 54.7.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use backing_services_runtime::posture::TlsPosture;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::metered::{Checked, FrameCheck, Metered};
use backing_services_runtime::service::relay::{DriverStream, Opening, Protocol};
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Refusal, Stream, Target, random_name};
use backing_services_runtime::{Failure, Finding};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::postgresql;
use crate::postgresql::Parameters;
use crate::postgresql::hosts::log_in;
use crate::postgresql::login::{self, Demand, Proof, SCRAM_PLUS};
use crate::postgresql::messages::ServerMessages;

/// The longest startup message of the driver, in bytes: PostgreSQL's own limit.
const LONGEST_STARTUP: usize = 10_000;

/// `CancelRequest`.
const CANCEL: u32 = 80_877_102;

/// The parameters of a session that a driver may set, and that every pooler knows.
const KNOWN: [&str; 4] = ["application_name", "client_encoding", "DateStyle", "TimeZone"];

/// Those that only the server knows.
const EXTRA: [&str; 1] = ["extra_float_digits"];

/// The login of each connection of a pool.
#[derive(Clone)]
pub(super) struct PostgresProtocol(Arc<State>);

struct State {
    first: OnceLock<FirstSession>,
    /// The hosts that have bound a login to TLS.
    bound: Mutex<BTreeSet<String>>,
    keys: Keys,
    /// True until a session has no time limit.
    was_bounded: AtomicBool,
    /// The driver's `options`, which it takes from the environment.
    options: Option<String>,
}

impl State {
    fn new(options: Option<String>) -> Self {
        Self {
            first: OnceLock::new(),
            bound: Mutex::default(),
            keys: Keys::default(),
            was_bounded: AtomicBool::new(true),
            options,
        }
    }

    fn bound(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The observations of the first connection.
#[derive(Clone)]
pub(super) struct FirstSession {
    /// The one host that took the session.
    pub(super) endpoint: String,
    pub(super) tls: Option<TlsPosture>,
    pub(super) proof: Proof,
    /// The process that the server's key names.
    pub(super) process: Option<i32>,
    /// The findings of the hosts that were passed over.
    pub(super) skipped: Vec<Finding>,
}

impl PostgresProtocol {
    /// Before the driver's options are made: both read `PGOPTIONS`.
    pub(super) fn new() -> Self {
        Self(Arc::new(State::new(std::env::var("PGOPTIONS").ok())))
    }

    /// The observations of the first connection; `None` before it.
    pub(super) fn first(&self) -> Option<&FirstSession> {
        self.0.first.get()
    }

    /// The demand on the next connection to a host: the proof that the host has given before.
    fn demand(&self, host: &Target) -> Demand {
        let is_demanded = host.locator().parameter("channel_binding") == Some("require");
        let was_bound = self.0.bound().contains(&host.locator().to_string());
        Demand::of(host, is_demanded || was_bound)
    }
}

/// The driver's parameters of the session.
pub(super) struct Startup {
    known: Parameters,
    extra: Parameters,
    /// It wants another database than the locator's, or options that no session gets. The relay
    /// would ignore both silently.
    is_other: bool,
}

impl Protocol for PostgresProtocol {
    type Hello = Startup;
    type Check = Relayed;

    async fn greet(&self, opening: &mut Opening<'_>) -> Result<Option<Startup>, Refusal> {
        let body = read_startup(opening.driver).await.map_err(|_| Failure::closed())?;
        match split_code(&body) {
            Some((login::PROTOCOL, parameters)) => {
                let is_own = |name: &str, value: &[u8]| match name {
                    "user" => opening.token.is(value),
                    "database" => value == postgresql::database(opening.target).as_bytes(),
                    _ => self.0.options.as_deref().is_some_and(|own| own.as_bytes() == value),
                };
                let startup =
                    read_parameters(parameters, is_own).ok_or_else(|| opening.refuse_stranger())?;
                if startup.is_other { Err(other_session().into()) } else { Ok(Some(startup)) }
            }
            Some((CANCEL, key)) => {
                if let Some(real) = self.0.keys.real(key) {
                    cancel(&real.host, &real.key).await?;
                }
                Ok(None)
            }
            _ => Err(Failure::protocol().into()),
        }
    }

    async fn open(
        &self,
        startup: Startup,
        opening: &mut Opening<'_>,
    ) -> Result<Metered<Stream, Relayed>, Refusal> {
        let target = opening.target;
        let (_, bound) = postgresql::session(target);
        let extra = [startup.extra, bound].concat();
        let session = log_in(target, |host| self.demand(host), &startup.known, &extra).await?;
        if session.proof.name == SCRAM_PLUS {
            self.0.bound().insert(session.target.locator().to_string());
        }
        let _ = self.0.first.set(FirstSession {
            endpoint: session.target.locator().to_string(),
            tls: session.tls.clone(),
            proof: session.proof.clone(),
            process: session.process(),
            skipped: session.warnings().collect(),
        });
        if opening.settled.get() {
            session.log(&extra, &self.0.was_bounded);
        } else if session.dropped == extra.len() {
            // Attaching reports it.
            self.0.was_bounded.store(false, Ordering::Relaxed);
        }
        let key = SessionKey { key: session.key.clone(), host: session.target.clone() };
        let alias = Alias::to(&self.0, key)?;
        let greeting = session.greeting(&alias.key);
        let driver = &mut *opening.driver;
        driver.write_all(&greeting).await.map_err(|_| Failure::closed())?;
        let largest = postgresql::max_message(target);
        let messages = ServerMessages::new(largest, opening.settled.clone());
        Ok(Metered::new(session.stream, Relayed { messages, _alias: alias }))
    }

    async fn refuse(&self, opening: &mut Opening<'_>, refusal: &Refusal) -> io::Result<()> {
        let mut body = Vec::new();
        let text = refusal.to_string();
        for (kind, text) in [
            (b'S', "FATAL"),
            (b'V', "FATAL"),
            (b'C', sqlstate(refusal, opening.settled.get())),
            (b'M', &text),
        ] {
            body.push(kind);
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        opening.driver.write_all(&login::message(b'E', &body)).await?;
        opening.driver.shutdown().await
    }
}

/// The SQLSTATE for the driver (PostgreSQL documentation, appendix A). It repeats an attempt that
/// ends with `cannot_connect_now`, as long as its caller waits for the connection. So only a state
/// that passes by itself has that code. Attaching does not wait for a server that cannot be
/// connected to.
fn sqlstate(refusal: &Refusal, is_settled: bool) -> &'static str {
    match refusal {
        Refusal::Failure(failure) => match failure.kind() {
            _ if is_settled && failure.is_passing() => "57P03",
            FailureKind::AuthenticationFailed => "28000",
            _ => "08001",
        },
        Refusal::Finding(_) => "08004",
    }
}

fn other_session() -> Failure {
    Failure::new(
        FailureKind::Protocol,
        "the driver wants another database than the locator's, or sets `options`",
        "use the options of the resource's client as they are: another database needs a resource \
         of its own, and `ALTER ROLE … SET …` sets what `options` would",
    )
}

/// Reads a startup message: a length that counts itself, and the rest.
async fn read_startup(driver: &mut DriverStream) -> io::Result<Vec<u8>> {
    let length = driver.read_u32().await? as usize;
    let length = length.checked_sub(4).filter(|length| *length <= LONGEST_STARTUP);
    let mut body = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    driver.read_exact(&mut body).await?;
    Ok(body)
}

fn split_code(body: &[u8]) -> Option<(u32, &[u8])> {
    let (code, rest) = body.split_first_chunk()?;
    Some((u32::from_be_bytes(*code), rest))
}

/// Reads the names and values, each with a NUL at its end, and the NUL at the end of all. `None` if
/// they are not the driver's own: it sends the token as its user. It also sends the locator's
/// database, and `PGOPTIONS` of the environment, which sets nothing.
fn read_parameters(mut rest: &[u8], is_own: impl Fn(&str, &[u8]) -> bool) -> Option<Startup> {
    let mut text = || {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let text = &rest[..end];
        rest = &rest[end + 1..];
        Some(text)
    };
    let mut startup = Startup { known: Vec::new(), extra: Vec::new(), is_other: false };
    let mut is_ours = false;
    loop {
        let name = str::from_utf8(text()?).ok()?;
        if name.is_empty() {
            return is_ours.then_some(startup);
        }
        let value = text()?;
        match name {
            "user" => is_ours = is_own(name, value),
            "database" | "options" => startup.is_other |= !is_own(name, value),
            name => {
                let value = str::from_utf8(value).ok()?.to_owned();
                let is = |known: &&str| known.eq_ignore_ascii_case(name);
                let parameters = if KNOWN.iter().any(is) {
                    &mut startup.known
                } else if EXTRA.iter().any(is) {
                    &mut startup.extra
                } else {
                    return None;
                };
                parameters.push((name.to_owned(), value));
            }
        }
    }
}

/// The keys of the sessions. The driver knows another one than the server, so that the server's
/// does not leave the relay.
#[derive(Default)]
struct Keys(Mutex<HashMap<Vec<u8>, SessionKey>>);

/// The server's key of a session, and its host.
#[derive(Clone)]
struct SessionKey {
    key: Vec<u8>,
    host: Target,
}

impl Keys {
    fn real(&self, alias: &[u8]) -> Option<SessionKey> {
        self.locked().get(alias).cloned()
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Vec<u8>, SessionKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver's key of one session, until that ends.
struct Alias {
    key: Vec<u8>,
    state: Arc<State>,
}

impl Alias {
    /// Another key, random, for the server's.
    fn to(state: &Arc<State>, real: SessionKey) -> Result<Self, Refusal> {
        // Of 32 hexadecimal digits, eight bytes.
        let name = random_name::random_name()?;
        let number = u64::from_str_radix(&name[..16], 16).unwrap_or_default();
        let key = number.to_be_bytes().to_vec();
        state.keys.locked().insert(key.clone(), real);
        Ok(Self { key, state: Arc::clone(state) })
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        self.state.keys.locked().remove(&self.key);
    }
}

/// The check of a connection, which holds its key.
pub(super) struct Relayed {
    messages: ServerMessages,
    _alias: Alias,
}

impl FrameCheck for Relayed {
    fn check(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
        self.messages.check(bytes)
    }

    fn written(&mut self, bytes: &[u8]) {
        self.messages.written(bytes);
    }
}

/// Asks the server to cancel the statement of a session, on a verified connection of its own. The
/// server closes it without an answer.
async fn cancel(target: &Target, key: &[u8]) -> Result<(), Refusal> {
    let mut stream = postgresql::dial(target).await?.stream;
    let request = [&16_u32.to_be_bytes()[..], &CANCEL.to_be_bytes(), key].concat();
    let asking = async {
        stream.write_all(&request).await?;
        stream.flush().await?;
        stream.read(&mut [0]).await
    };
    let _ = with_timeout(target.connect_timeout(), asking).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use backing_services_fuzz::target;

    use super::*;
    use crate::postgres::Postgres;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    pub(super) fn read(parameters: &[u8]) -> Option<Startup> {
        read_parameters(parameters, |name, value| {
            value
                == match name {
                    "user" => TOKEN.as_bytes(),
                    "database" => b"shop",
                    _ => b"-c role=admin",
                }
        })
    }

    fn written(parameters: &[(&str, &str)]) -> Vec<u8> {
        let pairs = parameters.iter().map(|(name, value)| format!("{name}\0{value}\0"));
        let mut body: Vec<u8> = pairs.collect::<String>().into_bytes();
        body.push(0);
        body
    }

    fn names(parameters: &Parameters) -> Vec<(&str, &str)> {
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn the_parameters_of_the_driver_are_sorted() {
        let sent = written(&[
            ("user", TOKEN),
            ("database", "shop"),
            ("application_name", "shop"),
            ("DateStyle", "ISO, MDY"),
            ("client_encoding", "UTF8"),
            ("TimeZone", "UTC"),
            ("extra_float_digits", "2"),
            ("options", "-c role=admin"),
        ]);
        let startup = read(&sent).unwrap();
        assert_eq!(
            names(&startup.known),
            [
                ("application_name", "shop"),
                ("DateStyle", "ISO, MDY"),
                ("client_encoding", "UTF8"),
                ("TimeZone", "UTC"),
            ]
        );
        assert_eq!(names(&startup.extra), [("extra_float_digits", "2")]);
    }

    #[test]
    fn nothing_but_the_token_is_let_in() {
        let longer = format!("{TOKEN}0");
        for user in [
            "",
            "postgres",
            "shopkeeper",
            &TOKEN[..31],
            &longer,
            &TOKEN.to_uppercase(),
            "00000000000000000000000000000000",
        ] {
            assert!(read(&written(&[("user", user)])).is_none(), "{user}");
        }
        assert!(read(&written(&[])).is_none());
        assert!(read(&written(&[("database", TOKEN)])).is_none());
        assert!(read(&written(&[("USER", TOKEN)])).is_none());
        assert!(read(&written(&[("user", TOKEN), ("user", "postgres")])).is_none());
        assert!(read(&written(&[("user", TOKEN)])).is_some());
    }

    #[test]
    fn another_database_and_other_options_are_refused() {
        for (name, value, is_read) in [
            ("database", "shop", true),
            ("database", "elsewhere", false),
            ("database", "", false),
            ("options", "-c role=admin", true),
            ("options", "-c statement_timeout=0", false),
            ("options", "", false),
        ] {
            for sent in [[("user", TOKEN), (name, value)], [(name, value), ("user", TOKEN)]] {
                assert_eq!(read(&written(&sent)).unwrap().is_other, !is_read, "{name} {value}");
            }
        }
    }

    #[test]
    fn only_a_state_that_passes_makes_the_driver_try_again() {
        for (code, expected) in [
            ("57P03", "57P03"),
            ("53300", "57P03"),
            ("53400", "08001"),
            ("3D000", "08001"),
            ("42601", "08001"),
            ("08P01", "08001"),
            ("XX000", "08001"),
            ("28P01", "28000"),
        ] {
            let failure = postgresql::server_error(code);
            assert_eq!(sqlstate(&failure.clone().into(), true), expected, "{code}");
            assert_ne!(sqlstate(&failure.into(), false), "57P03", "{code}");
        }
        for failure in [Failure::closed(), Failure::no_greeting(), Failure::broken()] {
            assert_eq!(sqlstate(&failure.into(), true), "57P03");
        }
        assert_eq!(sqlstate(&Failure::protocol().into(), true), "08001");
    }

    #[test]
    fn no_other_parameter_is_set() {
        for name in [
            "search_path", "role", "session_authorization", "statement_timeout", "replication",
            "_pq_.command_tag", "password", "application_name ",
        ] {
            assert!(read(&written(&[("user", TOKEN), (name, "x")])).is_none(), "{name}");
        }
        let name = read(&written(&[("user", TOKEN), ("APPLICATION_NAME", "x")])).unwrap();
        assert_eq!(names(&name.known), [("APPLICATION_NAME", "x")]);
    }

    #[test]
    fn an_incomplete_startup_message_is_none() {
        let sent = written(&[("user", TOKEN), ("application_name", "shop")]);
        for cut in 0..sent.len() {
            assert!(read(&sent[..cut]).is_none(), "{cut}");
        }
        assert!(read(b"user\0\xff\0\0").is_none());
        let not_text = [&written(&[("user", TOKEN)])[..38], b"TimeZone\0\xff\0\0"].concat();
        assert!(read(&not_text).is_none());
    }

    #[test]
    fn a_startup_message_begins_with_its_code() {
        for short in [&b""[..], b"\0\x03\0"] {
            assert_eq!(split_code(short), None);
        }
        assert_eq!(split_code(b"\0\x03\0\0rest"), Some((login::PROTOCOL, &b"rest"[..])));
        assert_eq!(split_code(b"\x04\xd2\x16\x2ekey"), Some((CANCEL, &b"key"[..])));
    }

    #[test]
    fn a_key_is_known_as_long_as_its_session() {
        let state = Arc::new(State::new(None));
        let host = target::<Postgres>("postgres://me:narcissus-bulb-79@db.example/it").unwrap();
        let alias = |real: &[u8]| {
            Alias::to(&state, SessionKey { key: real.to_vec(), host: host.clone() }).unwrap()
        };
        let real = |alias: &[u8]| state.keys.real(alias).map(|real| real.key);
        let (one, two) = (alias(b"\0\0\0\x01real"), alias(b"\0\0\0\x02real"));
        assert_ne!(one.key, two.key);
        assert_eq!(one.key.len(), 8);
        assert_eq!(real(&one.key).as_deref(), Some(&b"\0\0\0\x01real"[..]));
        for unknown in [&b"\0\0\0\x01real"[..], b"", &one.key[..7]] {
            assert_eq!(real(unknown), None);
        }
        let gone = one.key.clone();
        drop(one);
        assert_eq!(real(&gone), None);
        assert!(real(&two.key).is_some());
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{Input, check};

    use super::*;

    const STARTUPS: &[&[u8]] = &[
        b"\0\x03\0\0user\x000123456789abcdef0123456789abcdef\0database\0shop\0DateStyle\0ISO, MDY\0\
          client_encoding\0UTF8\0TimeZone\0UTC\0extra_float_digits\x002\0application_name\0me\0\0",
        b"\0\x03\0\0user\x000123456789abcdef0123456789abcdef\0options\0-c role=admin\0\0",
        b"\0\x03\0\0user\0postgres\0search_path\0evil\0\0",
        b"\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
        b"\x04\xd2\x16\x2f",
    ];

    /// Any bytes are a startup message or not. If they are, they hold the token, and no parameter
    /// but those that are known.
    #[test]
    fn any_startup_message_is_read_or_refused() {
        check!(STARTUPS, |input: &Input| {
            let Some((_, parameters)) = split_code(input.bytes()) else {
                assert!(input.bytes().len() < 4);
                return;
            };
            let Some(startup) = tests::read(parameters) else { return };
            let text = String::from_utf8_lossy(parameters);
            assert!(text.contains("user\x000123456789abcdef0123456789abcdef\0"), "{text}");
            let own = [(&startup.known, &KNOWN[..]), (&startup.extra, &EXTRA[..])];
            let mut length = 0;
            for (parameters, known) in own {
                for (name, value) in parameters {
                    assert!(known.iter().any(|known| known.eq_ignore_ascii_case(name)), "{name}");
                    assert!(!value.contains('\0'));
                    length += name.len() + value.len() + 2;
                }
            }
            assert!(length < parameters.len());
        });
    }
}
