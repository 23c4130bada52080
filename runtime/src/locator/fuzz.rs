//! Any text as a locator; and what `url` reads in one that is accepted.

use backing_services_fuzz::{Input, check};
use secrecy::ExposeSecret as _;

use super::hosts::MOST_HOSTS;
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

const SEVERAL: Dialect = Dialect { several_hosts: true, ..POSTGRES };

/// Every kind of scheme, an embedded one too.
const SEVERAL_OF_ANY: Dialect = Dialect {
    schemes: &[Scheme::tls("wss"), Scheme::embedded("sqlite"), Scheme::upgraded("postgres")],
    login: Login::Optional,
    plaintext_loopback: true,
    ..SEVERAL
};

const DIALECTS: &[Dialect] = &[POSTGRES, REDIS, HTTPS, SQLITE, ANY, LOCAL, SEVERAL, SEVERAL_OF_ANY];

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
    "postgres://ada:p,w@A.example,[2001:DB8::1]:5433,10.1.2.3/shop?mode=ro",
    "postgres://ada:p%2Cw@127.0.0.1,[::1],localhost:1/d?sslmode=disable",
    "wss://a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8",
    "sqlite:/x://a,b",
    "postgres://a,b@c,,d:5433,d:5433,",
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
    let is_local = locator.is_local() && dialect.plaintext_loopback;
    if locator.transport() == Transport::Plaintext {
        assert!(!warnings.is_empty() && (dialect.plaintext_waiver.is_some() || is_local));
    }
    let hosts: Vec<_> = locator.hosts().collect();
    assert_eq!(hosts.first().map(|(host, _)| *host), locator.host());
    assert_eq!(hosts.first().map_or(0, |(_, port)| *port), locator.port());
    assert!(hosts.len() <= if dialect.several_hosts { MOST_HOSTS } else { 1 });
    assert!(hosts.iter().enumerate().all(|(index, host)| !hosts[..index].contains(host)));
    let local = hosts.iter().filter(|(host, _)| host.is_loopback()).count();
    assert!(local == 0 || local == hosts.len());
    if hosts.is_empty() {
        assert_eq!(locator.transport(), Transport::Embedded);
        return;
    }
    let written: Vec<_> = hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
    let is_ascii = |(host, port): &(&Host, u16)| {
        let written = host.to_string();
        !written.is_empty() && written.is_ascii() && *port != 0
    };
    assert!(hosts.iter().all(is_ascii), "{written:?}");
    assert!(locator.to_string().starts_with(&format!(
        "{}://{}/",
        locator.scheme(),
        written.join(",")
    )));
    // Written again, they are the same hosts.
    let login = if dialect.login == Login::None { "" } else { "u:p@" };
    let text = format!("{}://{login}{}", locator.scheme(), written.join(","));
    let again = parse(&text, dialect).unwrap_or_else(|findings| panic!("{text}: {findings:?}"));
    assert_eq!(again.locator.hosts().collect::<Vec<_>>(), hosts, "{text}");
}

/// `url` finds the same parts, as every driver that parses with it would.
fn same_as_url(text: &str, parsed: &Parsed, dialect: &Dialect) {
    let Parsed { locator, password, .. } = parsed;
    if locator.hosts().count() > 1 {
        return each_same_as_url(text, parsed, dialect);
    }
    let findings = &mut Vec::new();
    assert!(Parser::new(text, dialect, findings).agrees(&locator.host), "{text:?}");
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

/// Each host of a list is the one that a locator with that host alone has; and so is the rest.
fn each_same_as_url(text: &str, parsed: &Parsed, dialect: &Dialect) {
    let Parsed { locator, password, .. } = parsed;
    // Behind the scheme and the only `@`, and before the path.
    let (before, rest) =
        text.split_at(text.find('@').or(text.find("//").map(|at| at + 1)).unwrap() + 1);
    let (hosts, behind) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    assert_eq!(hosts.split(',').count(), locator.hosts().count(), "{text:?}");
    for (written, (host, port)) in hosts.split(',').zip(locator.hosts()) {
        let alone = format!("{before}{written}{behind}");
        let parsed = parse(&alone, &Dialect { several_hosts: false, ..*dialect });
        let parsed = parsed.unwrap_or_else(|findings| panic!("{alone:?}: {findings:?}"));
        same_as_url(&alone, &parsed, dialect);
        assert_eq!(parsed.locator, locator.with_host(host, port), "{text:?}");
        assert_eq!(
            parsed.password.as_ref().map(|password| password.expose_secret()),
            password.as_ref().map(|password| password.expose_secret())
        );
    }
}

/// A list is accepted only if each of its hosts is accepted alone.
#[test]
fn a_list_is_refused_if_one_of_its_hosts_is() {
    const HOSTS: &[&str] = &[
        "a.example", "A.example.:5433", "[2001:DB8::1]:1", "10.1.2.3,b", "localhost,[::1]:5",
        "a,,b", "a:0,b\u{e4}", "%61,b", "u@a,b", "a/b,c",
    ];
    check!(HOSTS, |input: &Input| {
        let hosts = input.text();
        let text = format!("postgres://ada:secret@{hosts}/d");
        let alone = |host: &str| parse(&format!("postgres://ada:secret@{host}/d"), &POSTGRES).ok();
        let parsed: Vec<_> = hosts.split(',').map(alone).collect();
        match parse(&text, &SEVERAL) {
            Ok(list) if list.locator.hosts().count() > 1 => {
                for (alone, (host, port)) in parsed.iter().zip(list.locator.hosts()) {
                    let locator = &alone.as_ref().unwrap_or_else(|| panic!("{text:?}")).locator;
                    assert_eq!((locator.host(), locator.port()), (Some(host), port), "{text:?}");
                }
            }
            Ok(one) => {
                assert_eq!(parse(&text, &POSTGRES).ok().unwrap().locator, one.locator, "{text:?}");
            }
            Err(findings) => {
                // With one of these, a part of the text is no host.
                let is_list = !hosts.contains(['/', '?', '#', '@', '\\']);
                let hosts: Vec<_> = parsed.iter().flatten().map(|one| &one.locator).collect();
                let is_good = is_list
                    && hosts.len() == parsed.len()
                    && hosts.len() <= MOST_HOSTS
                    && hosts.iter().enumerate().all(|(at, host)| !hosts[..at].contains(host))
                    && hosts.iter().all(|host| host.is_local() == hosts[0].is_local());
                assert!(!is_good || text.len() > MAX_LENGTH, "{text:?}: {findings:?}");
            }
        }
    });
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
    for dialect in [&POSTGRES, &REDIS, &SEVERAL] {
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
