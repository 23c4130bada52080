//! A visit: a short conversation of our own with the server, before the driver's, over a connection
//! that is then closed. Here all data from the server are bounded, and problems are reported in our
//! own words.

use backing_services_rules::rule::{
    OPPORTUNISTIC_TLS, PLAINTEXT_SCHEME, SUPERUSER_ACCOUNT, UNVERIFIED_TLS, WEAK_AUTHENTICATION,
};
use backing_services_runtime::posture::{TlsPosture, printable};
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::random_name::random_name;
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Dialled, Refusal, Stream, Target};
use backing_services_runtime::{Failure, Finding};
use serde_json::Value;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite,
    AsyncWriteExt as _, BufReader,
};

use crate::account::Questions;
use crate::credentials::Credentials;

/// The longest line: 64 KiB. The longest of a server is the greeting: about 1 KiB, plus 30 bytes
/// for each server of a cluster.
const LONGEST_LINE: usize = 64 * 1024;

/// The longest message: 1 MiB, which is also what a NATS server accepts by default.
const LONGEST_MESSAGE: usize = 1024 * 1024;

/// The limit of lines and messages that a server may send before an answer.
const MOST_LINES: usize = 64;

/// A connection that the server has accepted the login on.
pub(super) struct ProbeConnection<S = Stream> {
    io: BufReader<S>,
    pub(super) tls: Option<TlsPosture>,
    /// `2.9.10`, as in the greeting.
    pub(super) version: Option<String>,
    /// A finding that is waived.
    pub(super) finding: Option<Finding>,
}

/// The parts of the greeting that matter here.
struct Greeting {
    version: Option<String>,
    nonce: String,
    asks_for_login: bool,
    asks_for_certificate: bool,
    offers_tls: bool,
    requires_tls: bool,
}

impl Greeting {
    /// A client certificate is a login too, if it is the only one here, and was asked for in this
    /// very handshake: `by_certificate`. If there is a password, the server has to ask for that
    /// too.
    const fn asks_who_we_are(&self, by_certificate: bool) -> bool {
        self.asks_for_login || self.asks_for_certificate && by_certificate
    }
}

/// Dials, checks that the server has TLS and requires a login, and logs in. If a check fails, the
/// login is not sent.
pub(super) async fn visit(
    target: &Target,
    credentials: &Credentials,
) -> Result<ProbeConnection, Refusal> {
    let limit = target.connect_timeout();
    let (greeting, stream, tls) = if crate::tls_first(target) {
        let Dialled { stream, tls, .. } = target.dial().await?;
        let mut io = BufReader::new(stream);
        let greeting = with_timeout(limit, line(&mut io, target)).await.map_err(silent)??;
        // Data behind the greeting came under TLS, and are dropped: a server has nothing to send
        // yet.
        (read_greeting(&greeting)?, io.into_inner(), tls)
    } else {
        let mut io = BufReader::new(target.dial_tcp().await?);
        let greeting =
            read_greeting(&with_timeout(limit, line(&mut io, target)).await.map_err(silent)??)?;
        if !target.is_plaintext() && !greeting.offers_tls {
            return Err(Finding::new(&OPPORTUNISTIC_TLS, "the server offers no TLS")
                .with_help(target.help_without_tls(
                    "give the server a certificate (`tls { cert_file, key_file }`)",
                    "`nats://`",
                ))
                .into());
        }
        if target.is_plaintext() && greeting.requires_tls {
            return Err(Finding::new(
                &PLAINTEXT_SCHEME,
                "the server asks for TLS, and the locator for plaintext",
            )
            .with_help("write `tls://`")
            .into());
        }
        if !io.buffer().is_empty() {
            return Err(Finding::new(
                &UNVERIFIED_TLS,
                "something stands behind the server's greeting, before TLS",
            )
            .with_help("check who is on the way: a server says nothing more before it is spoken to")
            .into());
        }
        let Dialled { stream, tls, .. } = target.encrypt(io.into_inner()).await?;
        (greeting, stream, tls)
    };
    let is_asked = greeting.asks_who_we_are(target.is_login_by_certificate(tls.as_ref()));
    let finding = (!is_asked).then(|| {
        Finding::new(&WEAK_AUTHENTICATION, "the server admits every client: it asks for no login")
            .with_help("give the server its users (`authorization { users = […] }`, or accounts)")
    });
    if let Some(finding) = &finding
        && !target.waives(&WEAK_AUTHENTICATION)
    {
        return Err(finding.clone().into());
    }
    let version = greeting.version.filter(|version| !credentials.is_in(version));
    let mut visit = ProbeConnection { io: BufReader::new(stream), tls, version, finding };
    with_timeout(limit, visit.log_in(target, credentials, greeting.nonce.as_bytes())).await??;
    Ok(visit)
}

fn read_greeting(line: &[u8]) -> Result<Greeting, Refusal> {
    let json = line.strip_prefix(b"INFO ").ok_or_else(Failure::protocol)?;
    let info: Value = serde_json::from_slice(json).map_err(|_| Failure::protocol())?;
    let info = info.as_object().ok_or_else(Failure::protocol)?;
    let flag = |name: &str| info.get(name).and_then(Value::as_bool).unwrap_or_default();
    let text = |name: &str| info.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Greeting {
        version: text("version"),
        nonce: text("nonce").unwrap_or_default(),
        asks_for_login: flag("auth_required"),
        asks_for_certificate: flag("tls_verify"),
        offers_tls: flag("tls_required") || flag("tls_available"),
        requires_tls: flag("tls_required"),
    })
}

/// A line or a message of the server.
enum ServerMessage {
    Pong,
    Error(String),
    Message {
        nobody_answers: bool,
        payload: Vec<u8>,
    },
    /// Everything that does not matter here.
    Other,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ProbeConnection<S> {
    async fn log_in(
        &mut self,
        target: &Target,
        credentials: &Credentials,
        nonce: &[u8],
    ) -> Result<(), Refusal> {
        let info = credentials.connect(nonce, !target.is_plaintext()).map_err(|_| {
            Failure::new(
                FailureKind::AuthenticationFailed,
                "the server gives nothing to sign, so that it takes no nkeys",
                "give the server the nkey's user (`users = [ { nkey: U… } ]`)",
            )
        })?;
        let mut request = b"CONNECT ".to_vec();
        serde_json::to_writer(&mut request, &info).map_err(|_| Failure::protocol())?;
        request.extend_from_slice(b"\r\nPING\r\n");
        self.send(target, &request).await?;
        for _ in 0..MOST_LINES {
            match self.next(target).await? {
                ServerMessage::Pong => return Ok(()),
                ServerMessage::Error(text) => return Err(refusal(&text).into()),
                ServerMessage::Message { .. } => break,
                ServerMessage::Other => {}
            }
        }
        Err(Failure::protocol().into())
    }

    async fn send(&mut self, target: &Target, bytes: &[u8]) -> Result<(), Refusal> {
        let sent = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        match sent.await {
            Ok(()) => Ok(()),
            // The reason for the close may be readable.
            Err(error) => Err(broken(&self.io.read_u8().await.err().unwrap_or(error), target)),
        }
    }

    async fn next(&mut self, target: &Target) -> Result<ServerMessage, Refusal> {
        let line = line(&mut self.io, target).await?;
        let line = str::from_utf8(&line).map_err(|_| Failure::protocol())?;
        let (operation, rest) = line.split_once(' ').unwrap_or((line, ""));
        match operation {
            "PONG" => Ok(ServerMessage::Pong),
            "PING" => {
                self.send(target, b"PONG\r\n").await?;
                Ok(ServerMessage::Other)
            }
            "+OK" | "INFO" => Ok(ServerMessage::Other),
            "-ERR" => Ok(ServerMessage::Error(rest.to_lowercase())),
            "MSG" | "HMSG" => {
                let mut words = rest.split_ascii_whitespace().rev();
                let mut number = || {
                    words
                        .next()
                        .and_then(|word| word.parse::<usize>().ok())
                        .ok_or_else(Failure::protocol)
                };
                let total = number()?;
                let header = if operation == "HMSG" { number()? } else { 0 };
                if total > LONGEST_MESSAGE || header > total {
                    return Err(Failure::protocol().into());
                }
                let mut message = vec![0; total + 2];
                self.io.read_exact(&mut message).await.map_err(|error| broken(&error, target))?;
                message.truncate(total);
                let payload = message.split_off(header);
                Ok(ServerMessage::Message {
                    nobody_answers: message.starts_with(b"NATS/1.0 503"),
                    payload,
                })
            }
            _ => Err(Failure::protocol().into()),
        }
    }

    /// Asks the server for the account and its permissions. If the server does not report them,
    /// tries an administrator's permissions.
    pub(super) async fn probe(
        mut self,
        target: &Target,
        credentials: &Credentials,
        inbox_prefix: &str,
    ) -> Result<Account, Refusal> {
        let random_name = random_name()?;
        let inbox = format!("{inbox_prefix}.{random_name}");
        // A subject with a random name: an account that may subscribe to it may subscribe to every
        // subject.
        let nowhere = format!("_probe.{random_name}");
        let questions = Questions::new(target.needs(), &random_name);
        let question = format!(
            "SUB {inbox} 1\r\nPUB $SYS.REQ.USER.INFO {inbox} 0\r\n\r\n\
             SUB {nowhere} 2\r\nUNSUB 2\r\n{}PING\r\n",
            questions.lines()
        );
        let ServerObservations { denied, mut answer } =
            self.ask(target, &question, questions.len()).await?;
        if answer.is_none()
            && !is_denied(&denied, "publish", "$sys.req.user.info")
            && !is_denied(&denied, "subscription", &inbox)
        {
            answer = Some(self.late_answer(target).await?);
        }
        let mut account = match answer {
            Some((false, json)) => parse_account(&json, credentials)?,
            // A server before 2.10 does not answer this; or the account may not ask.
            _ => self.try_nowhere(target, credentials, &nowhere, &denied).await?,
        };
        account.compare(&questions, target, credentials, &denied);
        Ok(account)
    }

    /// Waits for the answer about the account, which may come after the `PONG`.
    async fn late_answer(&mut self, target: &Target) -> Result<(bool, Vec<u8>), Refusal> {
        for _ in 0..MOST_LINES {
            match self.next(target).await? {
                ServerMessage::Message { nobody_answers, payload } => {
                    return Ok((nobody_answers, payload));
                }
                ServerMessage::Error(text) if !text.contains("permissions violation") => {
                    return Err(refusal(&text).into());
                }
                _ => {}
            }
        }
        Err(Failure::protocol().into())
    }

    /// Reads the account from what it may do with a subject of a random name.
    async fn try_nowhere(
        &mut self,
        target: &Target,
        credentials: &Credentials,
        nowhere: &str,
        denied: &[String],
    ) -> Result<Account, Refusal> {
        let publishes = self.ask(target, &format!("PUB {nowhere} 0\r\n\r\nPING\r\n"), 0).await?;
        let mut powers = Vec::new();
        if !is_denied(&publishes.denied, "publish", nowhere) {
            powers.push(PUBLISHES);
        }
        if !is_denied(denied, "subscription", nowhere) {
            powers.push(SUBSCRIBES);
        }
        Ok(Account {
            name: credentials.user().map(str::to_owned),
            privileges: Vec::new(),
            findings: superuser(&powers).into_iter().collect(),
        })
    }

    /// Sends a question that ends with `PING`, and returns what arrives until the `PONG`.
    async fn ask(
        &mut self,
        target: &Target,
        question: &str,
        questions: usize,
    ) -> Result<ServerObservations, Refusal> {
        self.send(target, question.as_bytes()).await?;
        let mut observed = ServerObservations { denied: Vec::new(), answer: None };
        for _ in 0..MOST_LINES + questions {
            match self.next(target).await? {
                ServerMessage::Pong => return Ok(observed),
                ServerMessage::Error(text) if text.contains("permissions violation") => {
                    observed.denied.push(text)
                }
                ServerMessage::Error(text) => return Err(refusal(&text).into()),
                ServerMessage::Message { nobody_answers, payload } => {
                    observed.answer = Some((nobody_answers, payload))
                }
                ServerMessage::Other => {}
            }
        }
        Err(Failure::protocol().into())
    }
}

/// Returns true if the server denied this on the subject. Its texts come in lower case.
fn is_denied(denied: &[String], what: &str, subject: &str) -> bool {
    denied.iter().any(|text| text.contains(what) && text.contains(&subject.to_lowercase()))
}

/// The server's data until the `PONG`.
struct ServerObservations {
    /// The permissions that were refused, in lower case.
    denied: Vec<String>,
    answer: Option<(bool, Vec<u8>)>,
}

/// The account, as far as the server reports it.
pub(super) struct Account {
    pub(super) name: Option<String>,
    pub(super) privileges: Vec<String>,
    pub(super) findings: Vec<Finding>,
}

impl Account {
    /// Adds the administrator's permissions that the account has. If there are none, compares the
    /// account with the field's needs.
    fn compare(
        &mut self,
        questions: &Questions,
        target: &Target,
        credentials: &Credentials,
        denied: &[String],
    ) {
        if !self.findings.is_empty() {
            return;
        }
        let powers = questions.powers(target.needs(), denied);
        self.findings.extend(superuser(&powers.iter().map(String::as_str).collect::<Vec<_>>()));
        if let (Some(needs), true) = (target.needs(), self.findings.is_empty()) {
            (self.privileges, self.findings) = questions.compare(needs, credentials.user(), denied);
        }
    }
}

const PUBLISHES: &str = "publish to every subject";
const SUBSCRIBES: &str = "subscribe to every subject";

fn superuser(powers: &[&str]) -> Option<Finding> {
    (!powers.is_empty()).then(|| {
        let message = format!("the account is an administrator's: it may {}", powers.join(" and "));
        Finding::new(&SUPERUSER_ACCOUNT, message).with_help(
            "give the user its `permissions { publish: [\"orders.>\"], subscribe: [\"_INBOX.>\"] \
             }`, both: if one is left out, everything is permitted",
        )
    })
}

/// Reads the answer to `$SYS.REQ.USER.INFO`. A malformed answer is a refusal.
fn parse_account(json: &[u8], credentials: &Credentials) -> Result<Account, Refusal> {
    let answer: Value = serde_json::from_slice(json).map_err(|_| Failure::protocol())?;
    let data = answer.get("data").and_then(Value::as_object).ok_or_else(Failure::protocol)?;
    let text = |name: &str| {
        data.get(name)
            .and_then(Value::as_str)
            .filter(|text| !credentials.is_in(text))
            .ok_or_else(Failure::protocol)
    };
    let account = text("account")?;
    let user = match credentials {
        // Some servers answer with the token itself.
        Credentials::Token(_) => None,
        Credentials::Certificate => Some(text("user")?),
        Credentials::Password(user, _) | Credentials::Nkey { public: user, .. } => {
            if text("user")? != user {
                return Err(Finding::new(
                    &WEAK_AUTHENTICATION,
                    "the server logged this connection in as another account",
                )
                .with_help("check what answers on the port")
                .into());
            }
            Some(user.as_str())
        }
    };
    let mut powers = Vec::new();
    if account == "$SYS" {
        powers.push("do what the system's account may");
    }
    match data.get("permissions") {
        None | Some(Value::Null) => powers.extend([PUBLISHES, SUBSCRIBES]),
        Some(Value::Object(permissions)) => {
            for (side, power) in [("publish", PUBLISHES), ("subscribe", SUBSCRIBES)] {
                if is_everything(permissions.get(side))? {
                    powers.push(power);
                }
            }
        }
        Some(_) => return Err(Failure::protocol().into()),
    }
    let account = printable(account);
    let name = user.map_or_else(
        || format!("a user of the account {account}"),
        |user| format!("{} of the account {account}", printable(user)),
    );
    Ok(Account {
        name: Some(name),
        privileges: Vec::new(),
        findings: superuser(&powers).into_iter().collect(),
    })
}

/// True if one side of an account's permissions allows everything, apart from single denied
/// subjects.
fn is_everything(side: Option<&Value>) -> Result<bool, Refusal> {
    let side = match side {
        None | Some(Value::Null) => return Ok(true),
        Some(side) => side.as_object().ok_or_else(Failure::protocol)?,
    };
    let subjects = |name: &str| match side.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(list) => {
            let list = list.as_array().ok_or_else(Failure::protocol)?;
            list.iter()
                .map(|subject| subject.as_str().ok_or_else(Failure::protocol))
                .collect::<Result<Vec<_>, _>>()
        }
    };
    let (allowed, denied) = (subjects("allow")?, subjects("deny")?);
    let all = |subjects: &[&str]| {
        subjects.iter().any(|subject| {
            subject.split('.').all(|token| matches!(token, "*" | ">")) && subject.ends_with('>')
        })
    };
    Ok((allowed.is_empty() || all(&allowed)) && !all(&denied))
}

/// Reads a line, without its end. Bytes behind it stay in the buffer.
async fn line<R: AsyncBufRead + Unpin>(io: &mut R, target: &Target) -> Result<Vec<u8>, Refusal> {
    let mut line = Vec::new();
    loop {
        let bytes = io.fill_buf().await.map_err(|error| broken(&error, target))?;
        if bytes.is_empty() {
            return Err(Failure::closed().into());
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end + 1);
        if line.len() + taken > LONGEST_LINE {
            return Err(Failure::protocol().into());
        }
        line.extend_from_slice(&bytes[..taken]);
        io.consume(taken);
        if end.is_some() {
            let trimmed = line.trim_ascii_end().len();
            line.truncate(trimmed);
            return Ok(line);
        }
    }
}

/// Maps a server's error text to a failure. The text only selects the failure; it is never
/// repeated.
fn refusal(text: &str) -> Failure {
    if text.contains("authorization violation")
        || text.contains("authentication expired")
        || text.contains("authentication revoked")
    {
        return Failure::new(
            FailureKind::AuthenticationFailed,
            "the server does not accept the credentials",
            "check the user and the password, the token or the nkey; they may have been rotated",
        );
    }
    if text.contains("maximum") {
        return Failure::new(
            FailureKind::Unavailable,
            "the server, or the account, has as many connections as it may",
            "check `max_connections`",
        );
    }
    Failure::server_error()
}

fn broken(error: &std::io::Error, target: &Target) -> Refusal {
    // In TLS 1.3, the client learns only after the handshake that its certificate is refused.
    target.tls_refusal(error).unwrap_or_else(|| Failure::closed().into())
}

fn silent(_: Failure) -> Failure {
    Failure::new(
        FailureKind::TimedOut,
        "the server accepted the connection, and did not greet in time",
        "check the port and the server's load; if the server has `handshake_first`, write \
         `tls_first=true` into the locator",
    )
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod fuzz {
    use std::sync::LazyLock;

    use backing_services_fuzz::{Input, Peer, check, now, target};

    use super::*;
    use crate::Nats;

    static TARGET: LazyLock<Target> =
        LazyLock::new(|| target::<Nats>("tls://shop:camellia-bulb-89@nats.example.com").unwrap());

    const LINES: &[&str] = &[
        "INFO {\"version\":\"2.10.9\",\"nonce\":\"PXoWU7zWAMt75FY\",\"auth_required\":true,\
            \"tls_required\":true,\"tls_verify\":false,\"tls_available\":true}\r\n",
        "PING\r\nPONG\r\n+OK\r\n-ERR 'Authorization Violation'\r\n",
        "MSG _INBOX.a 1 5\r\nhello\r\nMSG a b 1 0\r\n\r\nPONG\r\n",
        "HMSG _INBOX.a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nHMSG a 1 4 9999999\r\n",
        "-ERR 'Permissions Violation for Publish to \"$SYS.REQ.USER.INFO\"'\n",
        "{\"data\":{\"user\":\"shop\",\"account\":\"$G\",\"permissions\":{\"publish\":{\"allow\":\
            [\"a.>\",\"*.>\"],\"deny\":[\">\"]},\"subscribe\":null}}}",
        "{\"data\":{\"user\":\"other\",\"account\":\"$SYS\",\"permissions\":null}}",
    ];

    /// The messages until one is out of place, and the number of bytes in them.
    fn read(stream: Peer) -> Vec<(u8, Vec<u8>)> {
        let io = BufReader::new(stream);
        let mut visit = ProbeConnection { io, tls: None, version: None, finding: None };
        let mut messages = Vec::new();
        while let Ok(message) = now(visit.next(&TARGET)) {
            messages.push(match message {
                ServerMessage::Pong => (0, Vec::new()),
                ServerMessage::Other => (1, Vec::new()),
                ServerMessage::Error(text) => (2, text.into_bytes()),
                ServerMessage::Message { nobody_answers, payload } => {
                    assert!(payload.len() <= LONGEST_MESSAGE);
                    (3 + u8::from(nobody_answers), payload)
                }
            });
        }
        messages
    }

    /// A server's bytes are read or refused, however it splits them.
    #[test]
    fn any_line_is_read_or_refused() {
        check!(LINES, |input: &Input| {
            let messages = read(input.stream());
            assert_eq!(messages, read(input.whole_stream()));
            let length: usize = messages.iter().map(|(_, text)| text.len()).sum();
            // A text in lower case may be half as long again.
            assert!(length <= 2 * input.bytes().len(), "{messages:?}");
            let mut io = BufReader::new(input.stream());
            while let Ok(line) = now(line(&mut io, &TARGET)) {
                assert!(line.len() <= LONGEST_LINE && !line.contains(&b'\n'));
                if let Ok(greeting) = read_greeting(&line) {
                    assert!(line.starts_with(b"INFO "));
                    assert!(!greeting.requires_tls || greeting.offers_tls);
                }
            }
            let credentials = Credentials::of(&TARGET).unwrap();
            if let Ok(account) = parse_account(input.bytes(), &credentials) {
                let name = account.name.unwrap();
                assert!(name.starts_with("shop of the account "), "{name:?}");
                assert!(!name.chars().any(char::is_control), "{name:?}");
            }
        });
    }
}
