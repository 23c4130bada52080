//! Tests of a visit, with a server that sends the text of the test.

use std::sync::LazyLock;

use backing_services_fuzz::{now, target};

use super::*;
use crate::Nats;

const PASSWORD: &str = "camellia-bulb-88";

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    target::<Nats>(&format!("tls://shop:{PASSWORD}@nats.example.com")).expect("it is accepted")
});

const DENIED_INFO: &str = "-ERR 'Permissions Violation for Publish to \"$SYS.REQ.USER.INFO\"'\r\n";

fn shop() -> Credentials {
    Credentials::Password("shop".to_owned(), PASSWORD.into())
}

fn kind(refusal: Refusal) -> FailureKind {
    match refusal {
        Refusal::Failure(failure) => failure.kind(),
        Refusal::Finding(finding) => panic!("{finding}"),
    }
}

fn connection(said: &[u8]) -> ProbeConnection<tokio::io::Join<&[u8], Vec<u8>>> {
    let io = BufReader::new(tokio::io::join(said, Vec::new()));
    ProbeConnection { io, tls: None, version: None, finding: None }
}

/// Probes a server that reads up to `PING`, sends the next of its answers, and closes after the
/// last. An answer may be made from the question.
fn probe(answers: &[&dyn Fn(&str) -> String]) -> Result<Account, Refusal> {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let io = BufReader::new(near);
    let connection = ProbeConnection { io, tls: None, version: None, finding: None };
    let credentials = shop();
    let ours = connection.probe(&TARGET, &credentials, "_INBOX");
    let theirs = async {
        for answer in answers {
            let mut question = Vec::new();
            while !question.ends_with(b"PING\r\n") {
                question.push(far.read_u8().await.unwrap());
            }
            let question = String::from_utf8(question).unwrap();
            far.write_all(answer(&question).as_bytes()).await.unwrap();
        }
        drop(far);
    };
    now(async { tokio::join!(ours, theirs).0 })
}

#[test]
fn each_message_has_its_bounds() {
    let read = |said: &str| {
        let mut connection = connection(said.as_bytes());
        let message = now(connection.next(&TARGET)).ok();
        (
            message.map(|message| match message {
                ServerMessage::Pong => "pong".to_owned(),
                ServerMessage::Other => "other".to_owned(),
                ServerMessage::Error(text) => format!("error {text}"),
                ServerMessage::Message { nobody_answers, payload } => {
                    format!("message {nobody_answers} {}", payload.len())
                }
            }),
            String::from_utf8(connection.io.into_inner().into_inner().1).unwrap(),
        )
    };
    let body = |length: usize| format!("MSG a 1 {length}\r\n{}\r\n", "x".repeat(length));
    let line = |length: usize| format!("+OK {}\n", "x".repeat(length - 5));
    for (said, expected, heard) in [
        ("PONG\r\n", Some("pong"), ""),
        ("PING\r\n", Some("other"), "PONG\r\n"),
        ("+OK\r\n", Some("other"), ""),
        ("INFO {}\r\n", Some("other"), ""),
        ("-ERR 'Authorization Violation'\r\n", Some("error 'authorization violation'"), ""),
        ("MSG a 1 5\r\nhello\r\n", Some("message false 5"), ""),
        ("HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", Some("message false 2"), ""),
        ("HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", Some("message true 0"), ""),
        ("HMSG a 1 17 16\r\nNATS/1.0 503\r\n\r\nhello\r\n", None, ""),
        (&body(1024 * 1024), Some("message false 1048576"), ""),
        (&body(1024 * 1024 + 1), None, ""),
        (&line(64 * 1024), Some("other"), ""),
        (&line(64 * 1024 + 1), None, ""),
        ("MSG a 1 x\r\n", None, ""),
        ("MSG\r\n", None, ""),
        ("HELLO\r\n", None, ""),
        ("PONG", None, ""),
        ("", None, ""),
    ] {
        let found = read(said);
        assert_eq!((found.0.as_deref(), &*found.1), (expected, heard), "{:.40}", said);
    }
    // What stands behind a line stays for the next one.
    let mut two = &b"+OK\nPONG \r\nrest"[..];
    assert_eq!(line_of(&mut two).as_deref(), Some(&b"+OK"[..]));
    assert_eq!(line_of(&mut two).as_deref(), Some(&b"PONG"[..]));
    assert_eq!(two, b"rest");
}

fn line_of(io: &mut &[u8]) -> Option<Vec<u8>> {
    now(line(io, &TARGET)).ok()
}

#[test]
fn a_greeting_says_what_the_server_asks_for() {
    let flags = |line: &str| {
        let greeting = read_greeting(line.as_bytes()).ok()?;
        Some((
            (greeting.version, greeting.nonce),
            [greeting.asks_for_login, greeting.asks_for_certificate],
            [greeting.offers_tls, greeting.requires_tls],
        ))
    };
    let none = || (None, String::new());
    for (line, expected) in [
        ("INFO {}", Some((none(), [false, false], [false, false]))),
        (
            r#"INFO {"version":"2.10.9","nonce":"PX","auth_required":true,"tls_verify":false}"#,
            Some(((Some("2.10.9".to_owned()), "PX".to_owned()), [true, false], [false, false])),
        ),
        (r#"INFO {"tls_verify":true}"#, Some((none(), [false, true], [false, false]))),
        (r#"INFO {"tls_available":true}"#, Some((none(), [false, false], [true, false]))),
        (r#"INFO {"tls_required":true}"#, Some((none(), [false, false], [true, true]))),
        ("INFO []", None),
        ("INFO {", None),
        ("+OK {}", None),
    ] {
        assert_eq!(flags(line), expected, "{line}");
    }
}

/// A server that asks for a certificate alone would not check a password.
#[test]
fn a_password_has_to_be_asked_for() {
    for (greeting, with_password, by_certificate) in [
        ("INFO {}", false, false),
        (r#"INFO {"tls_verify":true}"#, false, true),
        (r#"INFO {"auth_required":true}"#, true, true),
        (r#"INFO {"auth_required":true,"tls_verify":true}"#, true, true),
    ] {
        let greeted = read_greeting(greeting.as_bytes()).unwrap();
        assert_eq!(greeted.asks_who_we_are(false), with_password, "{greeting}");
        assert_eq!(greeted.asks_who_we_are(true), by_certificate, "{greeting}");
    }
}

#[test]
fn a_login_ends_with_the_servers_word() {
    let log_in = |said: &str| {
        let mut connection = connection(said.as_bytes());
        let result = now(connection.log_in(&TARGET, &shop(), b"a nonce"));
        let heard = String::from_utf8(connection.io.into_inner().into_inner().1).unwrap();
        assert!(heard.starts_with("CONNECT {") && heard.ends_with("}\r\nPING\r\n"), "{heard}");
        for part in [r#""tls_required":true"#, r#""user":"shop""#, PASSWORD] {
            assert!(heard.contains(part), "{part}");
        }
        result.map_err(kind)
    };
    assert_eq!(log_in("PONG\r\n"), Ok(()));
    assert_eq!(log_in(&format!("{}PONG\r\n", "+OK\r\n".repeat(MOST_LINES - 1))), Ok(()));
    for (said, expected) in [
        ("-ERR 'Authorization Violation'\r\n", FailureKind::AuthenticationFailed),
        ("-ERR 'User Authentication Expired'\r\n", FailureKind::AuthenticationFailed),
        ("-ERR 'User Authentication Revoked'\r\n", FailureKind::AuthenticationFailed),
        ("-ERR 'maximum connections exceeded'\r\n", FailureKind::Unavailable),
        ("MSG a 1 0\r\n\r\nPONG\r\n", FailureKind::Protocol),
        (&*format!("{}PONG\r\n", "+OK\r\n".repeat(MOST_LINES)), FailureKind::Protocol),
    ] {
        assert_eq!(log_in(said), Err(expected), "{said}");
    }
    let other = log_in("-ERR 'Stale Connection'\r\n").unwrap_err();
    assert_eq!(other, Failure::server_error().kind());
}

/// The answer about the account `shop`, with these permissions.
fn info(permissions: &str) -> String {
    let json =
        format!(r#"{{"data":{{"user":"shop","account":"$G","permissions":{permissions}}}}}"#);
    format!("MSG _INBOX.a 1 {}\r\n{json}\r\n", json.len())
}

const LIMITED: &str = r#"{"publish":{"allow":["a"]},"subscribe":{"allow":["b"]}}"#;

#[test]
fn the_account_is_what_the_server_reports() {
    let probed = |answer: &str| {
        let answer = |_: &str| answer.to_owned();
        probe(&[&answer]).map(|account| (account.name.unwrap_or_default(), account.findings.len()))
    };
    let limited = ("shop of the account $G".to_owned(), 0);
    let many = |count| format!("{}{}PONG\r\n", info(LIMITED), "+OK\r\n".repeat(count));
    for said in [
        format!("{}PONG\r\n", info(LIMITED)),
        // The answer may come late, and beside refusals.
        format!("PONG\r\n{}", info(LIMITED)),
        format!("PONG\r\n-ERR 'Permissions Violation for Publish to \"x\"'\r\n{}", info(LIMITED)),
        // The message, the `PONG`, and one line for each question.
        many(MOST_LINES + 2),
    ] {
        assert_eq!(probed(&said).unwrap(), limited, "{said:.80}");
    }
    let everything = probed(&format!("{}PONG\r\n", info("null"))).unwrap();
    assert_eq!(everything.1, 1);
    for (said, expected) in [
        (many(MOST_LINES + 3), FailureKind::Protocol),
        (format!("PONG\r\n{}", "+OK\r\n".repeat(MOST_LINES + 1)), FailureKind::Protocol),
        ("-ERR 'maximum payload exceeded'\r\n".to_owned(), FailureKind::Unavailable),
        ("PONG\r\n-ERR 'maximum payload exceeded'\r\n".to_owned(), FailureKind::Unavailable),
        ("MSG a 1 2\r\n{}\r\nPONG\r\n".to_owned(), FailureKind::Protocol),
    ] {
        assert_eq!(kind(probed(&said).unwrap_err()), expected, "{said:.80}");
    }
}

/// A server before 2.10 does not answer, or the account may not ask.
#[test]
fn an_account_that_may_not_ask_is_tried_on_a_random_subject() {
    let subject = |question: &str, before: &str| {
        let from = question.find(before).unwrap() + before.len();
        question[from..].split_ascii_whitespace().next().unwrap().to_owned()
    };
    let probed = |denies: bool, first: &dyn Fn(&str) -> String| {
        let first = |question: &str| {
            let nowhere = subject(question, "SUB _probe");
            let denied =
                format!("-ERR 'Permissions Violation for Subscription to \"_probe{nowhere}\"'\r\n");
            format!("{}{}PONG\r\n", first(question), if denies { &denied } else { "" })
        };
        let second = |question: &str| {
            let nowhere = subject(question, "PUB ");
            assert!(nowhere.starts_with("_probe."), "{question}");
            let denied = format!("-ERR 'Permissions Violation for Publish to \"{nowhere}\"'\r\n");
            format!("{}PONG\r\n", if denies { &denied } else { "" })
        };
        let account = probe(&[&first, &second]).unwrap();
        assert_eq!(account.name.as_deref(), Some("shop"));
        account.findings.iter().map(|finding| finding.message().to_owned()).collect::<Vec<_>>()
    };
    let not_asked = |_: &str| DENIED_INFO.to_owned();
    let not_heard = |question: &str| {
        let inbox = subject(question, "SUB ");
        format!("-ERR 'Permissions Violation for Subscription to \"{inbox}\"'\r\n")
    };
    let absent = |_: &str| "HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n".to_owned();
    for first in [&not_asked as &dyn Fn(&str) -> String, &not_heard, &absent] {
        assert_eq!(
            probed(false, first),
            ["the account is an administrator's: it may publish to every subject and subscribe \
                 to every subject"]
        );
        assert_eq!(probed(true, first), [""; 0]);
    }
    // The server refused the reply alone: the account may publish to the system's subjects.
    let replies = |question: &str| {
        let reply = format!("_R_.{}", subject(question, "_R_."));
        format!(
            "{}-ERR 'Permissions Violation for Publish with Reply of \"{reply}\"'\r\n",
            info(LIMITED)
        )
    };
    let first = |question: &str| format!("{}PONG\r\n", replies(question));
    let findings = probe(&[&first]).unwrap().findings;
    assert_eq!(
        findings[0].message(),
        "the account is an administrator's: it may publish to `$SYS.>`"
    );
}

#[test]
fn the_permissions_of_an_account_are_read_or_refused() {
    let read = |data: &str, credentials: &Credentials| {
        let account = parse_account(format!(r#"{{"data":{data}}}"#).as_bytes(), credentials)?;
        let findings = account.findings.iter().map(|finding| finding.message().to_owned());
        let powers: Vec<_> = findings
            .map(|message| message.replace("the account is an administrator's: it may ", ""))
            .collect();
        Ok::<_, Refusal>((account.name.unwrap(), powers.join(", ")))
    };
    let permissions = |permissions: &str| {
        let data = format!(r#"{{"user":"shop","account":"$G","permissions":{permissions}}}"#);
        read(&data, &shop()).map(|(_, powers)| powers).map_err(kind)
    };
    let publish = |allow: &str, deny: &str| {
        permissions(&format!(
            r#"{{"publish":{{"allow":{allow},"deny":{deny}}},"subscribe":{{"allow":["b"]}}}}"#
        ))
    };
    const BOTH: &str = "publish to every subject and subscribe to every subject";
    assert_eq!(permissions("null").as_deref(), Ok(BOTH));
    assert_eq!(permissions("{}").as_deref(), Ok(BOTH));
    assert_eq!(permissions(LIMITED).as_deref(), Ok(""));
    for (allow, deny, is_everything) in [
        (r#"["a.>"]"#, "null", false),
        (r#"["*.*"]"#, "null", false),
        (r#"[">"]"#, "null", true),
        (r#"["a", "*.>"]"#, "[]", true),
        (r#"[">"]"#, r#"["x"]"#, true),
        (r#"[">"]"#, r#"[">"]"#, false),
        ("null", "null", true),
        ("[]", r#"["x.>"]"#, true),
        ("[]", r#"[">"]"#, false),
    ] {
        let expected = if is_everything { "publish to every subject" } else { "" };
        assert_eq!(publish(allow, deny).as_deref(), Ok(expected), "{allow} {deny}");
    }
    for (allow, deny) in [("5", "null"), ("[5]", "null"), ("[]", "{}")] {
        assert_eq!(publish(allow, deny), Err(FailureKind::Protocol), "{allow} {deny}");
    }
    assert_eq!(permissions("5"), Err(FailureKind::Protocol));
    assert_eq!(permissions(r#"{"publish":5}"#), Err(FailureKind::Protocol));

    let data = |user: &str, account: &str| {
        format!(r#"{{"user":"{user}","account":"{account}","permissions":{LIMITED}}}"#)
    };
    let named = |data: &str, credentials: &Credentials| read(data, credentials).unwrap();
    assert_eq!(
        named(&data("shop", "$SYS"), &shop()),
        ("shop of the account $SYS".to_owned(), "do what the system's account may".to_owned())
    );
    let token = Credentials::Token(PASSWORD.into());
    assert_eq!(named(&data("?", "A"), &token).0, "a user of the account A");
    assert_eq!(named(&data("CN", "A"), &Credentials::Certificate).0, "CN of the account A");
    let Err(Refusal::Finding(finding)) = read(&data("other", "A"), &shop()) else {
        panic!("it is another account")
    };
    assert_eq!(finding.rule(), &WEAK_AUTHENTICATION);
    for data in [data(PASSWORD, "A"), data("shop", PASSWORD), "5".to_owned(), "{}".to_owned()] {
        assert_eq!(kind(read(&data, &shop()).unwrap_err()), FailureKind::Protocol, "{data}");
    }
}

#[test]
fn a_denial_is_about_its_own_permission_and_subject() {
    let denied = ["'permissions violation for publish to \"orders.eu\"'".to_owned()];
    assert!(is_denied(&denied, "publish", "Orders.EU"));
    assert!(!is_denied(&denied, "subscription", "orders.eu"));
    assert!(!is_denied(&denied, "publish", "orders.us"));
    assert!(!is_denied(&[], "publish", "orders.eu"));
}
