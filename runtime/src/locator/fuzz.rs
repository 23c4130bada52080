//! Any text as a locator; and what `url` reads in one that is accepted.

use backing_services_fuzz::{Input, check};
use secrecy::ExposeSecret as _;

use super::tests::{HTTPS, POSTGRES, REDIS, SQLITE};
use super::*;

/// A service with every kind of scheme, and with plaintext waived.
const ANY: Dialect = Dialect {
    schemes: &[
        Scheme::tls("ftps"),
        Scheme::tls("wss"),
        Scheme::tls("ws+own"),
        Scheme::tls("amqps"),
    ],
    login: Login::Optional,
    plaintext_waiver: Some("the mesh"),
    ..POSTGRES
};

const LOCAL: Dialect = Dialect { plaintext_loopback: true, path: Some("the path"), ..HTTPS };

const DIALECTS: &[Dialect] = &[POSTGRES, REDIS, HTTPS, SQLITE, ANY, LOCAL];

const EXAMPLES: &[&str] = &[
    "postgres://ada:p%40ss%2Fword@DB.Example.com.:6432/shop?sslmode=require&max_connections=7",
    "postgresql://ada@[2001:DB8::1]/shop?application_name=shop&connect_timeout=5&mode=ro",
    "postgres://ada:secret@2130706433:1/d",
    "postgres://ada@[::ffff:127.0.0.1]/a%20b/c",
    "PostgreSQL://a!$&'()*+,;=~._-b:p@0x7f.1",
    "rediss://:secret@cache/0",
    "rediss://user:secret@xn--bcher-kva.example:6380/0",
    "https://api.example.com",
    "http://127.0.0.1:8080/v2/%C3%BC",
    "ws+own://u@h/../a/./b?mode=rw",
    "wss://h_1-2.example:1/a:b;c=d",
    "amqp://u:p@h/%2F",
    "sqlite:///var/lib/a%20b.db?mode=ro",
    "sqlite:/a.db",
    "sqlite:///a/%2e%2E/b",
    "ftps://256.1.1.1/",
    "postgres://ada@1.2.3/d?sslmode=disable",
    "postgres://ada@b\u{fc}cher.example/d\u{e4}",
];

/// No panic, and no part of the text in a finding. An accepted locator is within the grammar, and
/// `url` reads the same in it.
#[test]
fn any_text_is_read_or_refused() {
    check!(EXAMPLES, |input| {
        let text = input.text();
        for dialect in DIALECTS {
            match parse(&text, dialect) {
                Ok(parsed) => {
                    within_the_grammar(&parsed, dialect);
                    same_as_url(&text, &parsed, dialect);
                }
                Err(findings) => assert!(findings.iter().any(Finding::is_denied), "{text:?}"),
            }
        }
        // The parser does not ask `url` about such a name.
        if is_plain_name(&text) {
            assert_eq!(url::Host::parse(&text), Ok(url::Host::Domain(text.into_owned())));
        }
    });
}

fn within_the_grammar(parsed: &Parsed, dialect: &Dialect) {
    let Parsed { locator, password, warnings } = parsed;
    let is_printable = |text: &str| !text.chars().any(|c| c.is_control() || is_invisible(c));
    assert!(dialect.schemes.iter().any(|scheme| scheme.name() == locator.scheme()));
    assert!(locator.user().is_none_or(|user| !user.is_empty() && is_printable(user)));
    let password = password.as_ref().map(|password| password.expose_secret());
    assert!(password.is_none_or(|password| !password.is_empty() && is_printable(password)));
    assert!(is_printable(locator.path()));
    assert!(dialect.path.is_some() || locator.path().is_empty() || locator.host().is_none());
    if dialect.login == Login::None {
        assert_eq!((locator.user(), password), (None, None));
    }
    for (index, (name, value)) in locator.parameters.iter().enumerate() {
        assert!(dialect.parameters().any(|parameter| parameter.name == *name));
        assert!(!value.is_empty() && is_printable(value), "{name}");
        assert!(locator.parameters[..index].iter().all(|(earlier, _)| earlier != name));
    }
    let is_local = locator.host().is_some_and(Host::is_loopback) && dialect.plaintext_loopback;
    if locator.transport() == Transport::Plaintext {
        assert!(!warnings.is_empty() && (dialect.plaintext_waiver.is_some() || is_local));
    }
    let Some(host) = locator.host() else {
        assert_eq!((locator.transport(), locator.port()), (Transport::Embedded, 0));
        return;
    };
    assert_ne!(locator.port(), 0);
    let written = host.to_string();
    assert!(!written.is_empty() && written.is_ascii());
    // Written again, it is the same host.
    let login = if dialect.login == Login::None { "" } else { "u:p@" };
    let text = format!("{}://{login}{written}:{}", locator.scheme(), locator.port());
    let again = parse(&text, dialect).unwrap_or_else(|findings| panic!("{text}: {findings:?}"));
    assert_eq!(
        (again.locator.host(), again.locator.port()),
        (locator.host(), locator.port()),
        "{text}"
    );
}

/// `url` finds the same parts, as every driver that parses with it would.
fn same_as_url(text: &str, parsed: &Parsed, dialect: &Dialect) {
    let Parsed { locator, password, .. } = parsed;
    let findings = &mut Vec::new();
    let parser = Parser { text, is_plain: false, dialect, findings };
    assert!(parser.agrees(&locator.host), "{text:?}");
    let url = Url::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let decoded = |text: &str| percent_decode(text).unwrap_or_default();
    assert_eq!(decoded(url.username()), locator.user().unwrap_or_default(), "{text:?}");
    let password = password.as_ref().map(|password| password.expose_secret());
    assert_eq!(url.password().map(decoded).as_deref(), password, "{text:?}");
    assert_eq!(url.port().filter(|port| *port != locator.port()), None, "{text:?}");
    let path = decoded(url.path());
    let path =
        if locator.host().is_some() { path.strip_prefix('/').unwrap_or(&path) } else { &path };
    assert_eq!(path, locator.path(), "{text:?}");
    for (name, value) in &locator.parameters {
        let pairs = url.query().unwrap_or_default().split('&');
        let theirs: Vec<_> = pairs.filter_map(|pair| pair.strip_prefix(name)).collect();
        let theirs = theirs.iter().find_map(|rest| rest.strip_prefix('=')).map(decoded);
        assert_eq!(theirs.as_ref(), Some(value), "{text:?}");
    }
}

/// No finding and no locator contains the secret, whatever else is wrong with the text. A password
/// survives being percent-encoded into a locator.
#[test]
fn no_finding_and_no_locator_holds_the_secret() {
    const CANARY: &str = "canarysecret77";
    const AROUND: &[&str] = &["", "a", "@", ":", "/", "?", "#", "% ", "\\", "p\u{e4}%27\u{feff}"];
    check!(AROUND, |input: &Input| {
        let text = input.text();
        let at = text.floor_char_boundary(input.choice() % (text.len() + 1));
        let (before, after) = text.split_at(at);
        let secret = format!("{before}{CANARY}{after}");
        let rest = ["db", "127.0.0.1:1/d", "[::1]/d?mode=rw", "", "db:x?a=b"][input.choice() % 5];
        for scheme in ["postgres", "redis", "rediss", "http", "bogus"] {
            is_not_shown(&format!("{scheme}://ada:{secret}@{rest}"), CANARY);
            is_not_shown(&format!("{scheme}://{secret}:{rest}"), CANARY);
            is_not_shown(&format!("{secret}://{rest}"), CANARY);
            is_not_shown(&format!("{scheme}://ada@db/?{CANARY}={after}"), CANARY);
        }
        survives(&secret);
    });
}

fn is_not_shown(text: &str, secret: &str) {
    for dialect in [&POSTGRES, &REDIS] {
        match parse(text, dialect) {
            Ok(Parsed { locator, password, .. }) => {
                let password = password.as_ref().map_or("", |password| password.expose_secret());
                // If the canary is the host or the user, it is not a secret.
                let is_shown = format!("{locator:?} {locator}").contains(secret);
                assert!(!is_shown || !password.contains(secret), "{text}");
            }
            // A host stands behind the only `@`, and its ASCII form is the help.
            Err(_) if is_in_host(text, secret) => {}
            Err(findings) => {
                let printed: String = findings.iter().map(ToString::to_string).collect();
                assert!(!format!("{findings:?} {printed}").contains(secret), "{text}");
            }
        }
    }
}

fn is_in_host(text: &str, secret: &str) -> bool {
    let Some((_, rest)) = text.split_once('@') else { return false };
    let host = rest.split(['/', '?', '#', '@']).next().unwrap_or_default();
    host.contains(secret) && !rest.contains('@')
}

fn survives(password: &str) {
    if password.chars().any(|c| c.is_control() || is_invisible(c)) {
        return;
    }
    let set = percent_encoding::NON_ALPHANUMERIC;
    let encoded = percent_encoding::utf8_percent_encode(password, set).to_string();
    if let Ok(parsed) = parse(&format!("postgres://ada:{encoded}@db/d"), &POSTGRES) {
        assert_eq!(parsed.password.unwrap().expose_secret(), password);
    } else {
        assert!(encoded.len() > MAX_LENGTH / 2, "{password:?}");
    }
}
