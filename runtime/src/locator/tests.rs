use secrecy::ExposeSecret as _;

use super::*;
use crate::locator::dialect::CONNECT_TIMEOUT;

const PARAMETERS: &[Parameter] = &[
    Parameter::tls("sslmode"),
    Parameter::text("application_name", 8),
    Parameter::number("max_connections", 1, 100),
    Parameter::choice("mode", &["ro", "rw"]),
    Parameter::refused("options", "remove it"),
];

pub(super) const POSTGRES: Dialect = Dialect {
    schemes: &[Scheme::upgraded("postgres"), Scheme::upgraded("postgresql")],
    parameters: PARAMETERS,
    added: &[CONNECT_TIMEOUT],
    login: Login::UserAndPassword,
    path: Some("the database"),
    several_hosts: false,
    secret_path: false,
    plaintext_waiver: None,
    plaintext_loopback: false,
};

pub(super) const REDIS: Dialect = Dialect {
    schemes: &[Scheme::tls("rediss")],
    parameters: &[],
    login: Login::Password,
    ..POSTGRES
};
pub(super) const HTTPS: Dialect = Dialect {
    schemes: &[Scheme::tls("https")],
    parameters: &[],
    login: Login::None,
    path: None,
    ..POSTGRES
};
pub(super) const SQLITE: Dialect =
    Dialect { schemes: &[Scheme::embedded("sqlite")], login: Login::None, ..POSTGRES };

pub(super) fn accepted(text: &str, dialect: &Dialect) -> Locator {
    match parse(text, dialect) {
        Ok(parsed) => parsed.locator,
        Err(findings) => panic!("{text} is refused: {findings:?}"),
    }
}

/// The rules that refuse a text, each listed once.
pub(super) fn refused(text: &str, dialect: &Dialect) -> Vec<&'static str> {
    match parse(text, dialect) {
        Ok(parsed) => panic!("{text} is accepted: {:?}", parsed.locator),
        Err(findings) => {
            assert!(findings.iter().any(Finding::is_denied), "{text}");
            findings.iter().map(|finding| finding.rule().name).collect()
        }
    }
}

#[test]
fn every_part_is_read() {
    let parsed = parse(
        "postgres://ada:p%40ss%2Fword@DB.Example.com.:6432/shop?sslmode=require\
         &max_connections=7&application_name=shop",
        &POSTGRES,
    );
    let Parsed { locator, password, warnings } =
        parsed.unwrap_or_else(|findings| panic!("{findings:?}"));
    assert_eq!(locator.scheme(), "postgres");
    assert_eq!(locator.transport(), Transport::Upgraded);
    assert_eq!(locator.user(), Some("ada"));
    assert_eq!(password.unwrap().expose_secret(), "p@ss/word");
    assert_eq!(locator.host(), Some(&Host::Name("db.example.com".to_owned())));
    assert_eq!(locator.port(), 6432);
    assert_eq!(locator.path(), "shop");
    assert_eq!(locator.number("max_connections"), Some(7));
    assert_eq!(locator.parameter("application_name"), Some("shop"));
    assert_eq!(locator.parameter("sslmode"), None, "it has no effect");
    assert_eq!(
        accepted("postgres://ada@db?application_name=my%20shop", &POSTGRES)
            .parameter("application_name"),
        Some("my shop")
    );
    assert!(warnings.is_empty());
    assert_eq!(locator.to_string(), "postgres://db.example.com:6432/shop");
    assert_eq!(format!("{locator:?}"), "Locator(postgres://db.example.com:6432/shop)");
}

#[test]
fn a_path_that_may_be_a_secret_is_not_shown() {
    let webhooks = Dialect { path: Some("the webhook"), secret_path: true, ..HTTPS };
    let locator = accepted(
        "https://hooks.example.com/services/T024BE7LD/B7/crocusbulbcrocusbulb24",
        &webhooks,
    );
    assert_eq!(locator.path(), "services/T024BE7LD/B7/crocusbulbcrocusbulb24");
    assert_eq!(locator.to_string(), "https://hooks.example.com:443/");
    assert_eq!(format!("{locator:?}"), "Locator(https://hooks.example.com:443/)");
    let secret: Vec<_> = locator.secret_paths().collect();
    assert_eq!(secret, ["services/T024BE7LD/B7/crocusbulbcrocusbulb24", "crocusbulbcrocusbulb24"]);
    let locator = accepted("https://hooks.example.com/crocusbulbcrocusbulb24", &webhooks);
    assert_eq!(locator.secret_paths().collect::<Vec<_>>(), ["crocusbulbcrocusbulb24"]);
    assert_eq!(
        accepted("https://example.com/v2/shop", &webhooks).secret_paths().count(),
        0,
        "it is no token"
    );
    assert_eq!(
        accepted("postgres://ada@db/a-database-with-a-long-name", &POSTGRES).secret_paths().count(),
        0
    );
    assert_eq!(
        accepted(
            "https://example.com/a/b",
            &Dialect { schemes: POSTGRES.schemes, ..webhooks }.endpoint()
        )
        .to_string(),
        "https://example.com:443/"
    );
}

#[test]
fn omitted_parts_have_their_defaults() {
    let locator = accepted("PostgreSQL://ada@db", &POSTGRES);
    assert_eq!((locator.scheme(), locator.port(), locator.path()), ("postgresql", 5432, ""));
    let locator = accepted("rediss://:secret@db/", &REDIS);
    assert_eq!((locator.user(), locator.port(), locator.path()), (None, 6379, ""));
    assert_eq!(accepted("https://example.com:443", &HTTPS).port(), 443);
    assert_eq!(accepted("sqlite:///var/lib/a%20b.db?mode=ro", &SQLITE).path(), "/var/lib/a b.db");
    assert_eq!(accepted("sqlite:/var/lib/a.db", &SQLITE).host(), None);
    const PORTLESS: Dialect = Dialect { schemes: &[Scheme::tls("own")], ..REDIS };
    assert_eq!(accepted("own://:secret@db:1", &PORTLESS).port(), 1);
    assert_eq!(refused("own://:secret@db", &PORTLESS), ["malformed_locator"]);
}

#[test]
fn every_spelling_of_an_address_is_that_address() {
    for text in [
        "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0x7f000001", "127.0.0.1.",
        "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]",
    ] {
        let locator = accepted(&format!("postgres://ada@{text}:1/d"), &POSTGRES);
        assert_eq!(locator.host(), Some(&Host::Address("127.0.0.1".parse().unwrap())), "{text}");
    }
    // A browser's zero. The resolver of this machine has no such number.
    for text in ["0x", "2.0X", "127.0x.1", "0X."] {
        let refused = refused(&format!("postgres://ada@{text}:1/d"), &POSTGRES);
        assert_eq!(refused, ["malformed_locator"], "{text}");
    }
    let locator = accepted("postgres://ada@[2001:DB8::1]:6432/d", &POSTGRES);
    assert_eq!(locator.host(), Some(&Host::Address("2001:db8::1".parse().unwrap())));
    assert_eq!(locator.to_string(), "postgres://[2001:db8::1]:6432/d");
    assert_eq!(accepted("postgres://ada@[::1]", &POSTGRES).port(), 5432);
    assert_eq!(
        accepted("postgres://ada@xn--bcher-kva.example", &POSTGRES).host(),
        Some(&Host::Name("xn--bcher-kva.example".to_owned()))
    );
}

#[test]
fn a_host_beyond_ascii_is_refused_with_its_ascii_form() {
    for (host, help) in [
        ("bücher.example", "write it as `xn--bcher-kva.example`"),
        ("BÜCHER.example.", "write it as `xn--bcher-kva.example`"),
        ("db。example", "write it as `db.example`"),
        ("ｄｂ.example", "write it as `db.example`"),
        ("１２７.0.0.1", "write it as `127.0.0.1`"),
        ("１６９.254.169.254:6432", "write it as `169.254.169.254`"),
        ("metadata.google.internaⅼ", "write it as `metadata.google.internal`"),
        ("faß.example", "write it as `xn--fa-hia.example`"),
        ("例え.テスト", "write it as `xn--r8jz45g.xn--zckzah`"),
        ("a\u{301}.\u{301}", "write the name in its ASCII form, whose labels begin with `xn--`"),
        ("xn--ü", "write the name in its ASCII form, whose labels begin with `xn--`"),
    ] {
        // The URL standard treats `https` specially, unlike the other schemes.
        for (scheme, dialect) in
            [("postgres://ada@", &POSTGRES), ("rediss://:p@", &REDIS), ("https://", &HTTPS)]
        {
            let text = format!("{scheme}{host}");
            let findings =
                parse(&text, dialect).err().unwrap_or_else(|| panic!("{text} is accepted"));
            assert_eq!(findings.len(), 1, "{text}: {findings:?}");
            assert_eq!(findings[0].rule(), &MALFORMED_LOCATOR, "{text}");
            assert_eq!(findings[0].help(), help, "{text}");
        }
    }
}

#[test]
fn a_secret_in_the_place_of_a_host_is_not_repeated_in_ascii() {
    for text in ["rediss://pässwort-71", "rediss://pässwort-71:6379/0", "postgres://pässwort-71:"]
    {
        let findings = parse(text, if text.starts_with('r') { &REDIS } else { &POSTGRES });
        let shown = format!("{:?}", findings.err().unwrap());
        assert!(shown.contains("whose labels begin with") && !shown.contains("71"), "{shown}");
    }
}

#[test]
fn ambiguous_locators_are_refused() {
    for text in [
        "postgres://ada:pass@word@db/d",
        "postgres://ada:pa/ss@db/d",
        "postgres://ada:pa?ss@db/d",
        "postgres://ada:pa#ss@db/d",
        "postgres://ada@db/d#",
        "postgres://ada@db\\@evil/d",
        "postgres:\\\\ada@db/d",
        "postgres://ada:a:b@db/d",
        "postgres://ada@db/d?sslmode=require&sslmode=disable",
        "postgres://ada@db/d?sslmode=require&SSLMODE=require",
        "postgres://ada@db/d?ssl%6dode=disable",
        "postgres://ada@db/d?=x",
        "postgres://ada@db/d\n",
        "postgres://ada@db/d\u{0}",
        "postgres://ada@db/d%00",
        "postgres://ada@db/d%0a",
        "postgres://ada@d\u{202e}b/d",
        "\u{feff}postgres://ada@db/d",
        "postgres://ada@\tdb/d",
    ] {
        assert!(
            refused(text, &POSTGRES).contains(&"ambiguous_locator"),
            "{text:?}: {:?}",
            refused(text, &POSTGRES)
        );
    }
}

#[test]
fn malformed_locators_are_refused() {
    for text in [
        "",
        "postgres",
        "//ada@db/d",
        "postgres:ada@db/d",
        "postgres:/ada@db/d",
        "postgres:///d",
        "postgres://ada@/d",
        "postgres://ada@:5432/d",
        "postgres://@db/d",
        "postgres://:password@db/d",
        "postgres://ada:@db/d",
        "postgres://ada@db:0/d",
        "postgres://ada@db:65536/d",
        "postgres://ada@db:+1/d",
        "postgres://ada@db:/d",
        "postgres://ada@db:5432x/d",
        "postgres://ada@db1,db2/d",
        "postgres://ada@%2Fvar%2Frun/d",
        "postgres://ada@/var/run/d",
        "postgres://ada@[::1/d",
        "postgres://ada@[::1]5432/d",
        "postgres://ada@::1/d",
        "postgres://ada@[fe80::1%25eth0]/d",
        "postgres://ada@-db/d",
        "postgres://ada@d..b/d",
        "postgres://ada@256.0.0.1/d",
        "postgres://ada@10.1.2../d",
        "postgres://ada@127.0.0.1../d",
        "postgres://ada@db../d",
        "postgres://ada@d b/d",
        " postgres://ada@db/d",
        "postgres://ada@db/d ",
        "postgres://ada@db/a/../b",
        "postgres://ada@db/.",
        "postgres://ada@db/%2e%2E",
        "postgres://ada@db/a%2F..%2Fb",
        "postgres://ada:%zz@db/d",
        "postgres://ada:%ff@db/d",
        "postgres://ada:50%@db/d",
        "postgres://ada:a%C2%85b@db/d",
        "postgres://ada@db/a%E2%80%8Bb",
        "postgres://ada@db/d?flag",
        "postgres://ada@db/d?max_connections=0",
        "postgres://ada@db/d?max_connections=+1",
        "postgres://ada@db/d?max_connections=101",
        "postgres://ada@db/d?application_name=",
        "postgres://ada@db/d?application_name=ninechars",
        "postgres://ada@db/d?application_name=caf%C3%A9",
        "postgres://ada@db/d?mode=rwx",
    ] {
        let rules = refused(text, &POSTGRES);
        assert!(
            rules.iter().all(|rule| ["malformed_locator", "ambiguous_locator"].contains(rule)),
            "{text:?}: {rules:?}"
        );
        assert!(rules.contains(&"malformed_locator"), "{text:?}: {rules:?}");
    }
    let of_length = |length: usize| format!("postgres://ada@db/{}", "d".repeat(length - 18));
    assert_eq!(accepted(&of_length(8192), &POSTGRES).path().len(), 8192 - 18);
    assert_eq!(refused(&of_length(8193), &POSTGRES), ["malformed_locator"]);
    assert_eq!(refused("https://ada@example.com", &HTTPS), ["malformed_locator"]);
    assert_eq!(refused("https://example.com/path", &HTTPS), ["malformed_locator"]);
    for text in [
        "sqlite://data/app.db", "sqlite:data/app.db", "sqlite:", "sqlite://", "sqlite:%2e/app.db",
        "sqlite:/var/../app.db", "sqlite:///var/%2E%2e/app.db", "sqlite:/var/lib/.",
    ] {
        assert_eq!(refused(text, &SQLITE), ["malformed_locator"], "{text}");
    }
}

#[test]
fn schemes_and_parameters_violate_their_rules() {
    for (text, dialect, rule) in [
        ("redis://db", &REDIS, "plaintext_scheme"),
        ("REDIS://127.0.0.1", &REDIS, "plaintext_scheme"),
        ("http://example.com", &HTTPS, "plaintext_scheme"),
        ("telnet://example.com", &HTTPS, "plaintext_scheme"),
        ("postgres://ada@db", &REDIS, "unknown_scheme"),
        ("gopher://db", &REDIS, "unknown_scheme"),
        ("postgres://ada@db/d?sslmode=disable", &POSTGRES, "plaintext_scheme"),
        ("postgres://ada@db/d?sslmode=prefer", &POSTGRES, "opportunistic_tls"),
        ("postgres://ada@db/d?sslmode=verify-fulll", &POSTGRES, "opportunistic_tls"),
        ("postgres://ada@db/d?tlsInsecure=true", &POSTGRES, "unverified_tls"),
        ("rediss://:p@db/#insecure", &REDIS, "unverified_tls"),
        ("postgres://ada@db/d?password=x", &POSTGRES, "secret_in_parameter"),
        ("postgres://ada@db/d?max_conections=7", &POSTGRES, "unknown_parameter"),
        ("postgres://ada@db/d?options=-c%20role=x", &POSTGRES, "unknown_parameter"),
        ("rediss://:p@db?sslmode=require", &REDIS, "unknown_parameter"),
        ("rediss://:p@db?sslmode=disable", &REDIS, "plaintext_scheme"),
    ] {
        assert_eq!(refused(text, dialect), [rule], "{text}");
    }
    for (key, meant) in [
        ("max_conections", Some("max_connections")),
        ("node", Some("mode")),
        ("mod", Some("mode")),
        ("xmode", Some("mode")),
        ("ode", Some("mode")),
        ("mdoe", Some("mode")),
        ("edom", None),
        ("moding", None),
    ] {
        let text = format!("postgres://ada@db/d?{key}=7");
        let findings = parse(&text, &POSTGRES).err().unwrap();
        let message = findings[0].message();
        match meant {
            Some(meant) => assert!(message.contains(&format!("is `{meant}` meant?")), "{message}"),
            None => assert!(!message.contains("meant?"), "{key}: {message}"),
        }
    }
}

#[test]
fn a_foreign_scheme_is_refused_with_its_replacement() {
    for (text, instead) in [
        ("memcached://cache:11211", "use a service that is reached by `rediss`"),
        ("memcache+udp://cache", "use a service that is reached by `rediss`"),
        ("redis+unix:///run/redis.sock", "use a service that is reached by `rediss`"),
        ("mqtt://broker", "`mqtts` is what `mqtt` becomes with TLS"),
        ("ldap://directory", "`ldaps` is what"),
        ("LDAPI://%2fvar%2frun", "use a service that is reached by `ldaps`"),
        ("ftp://files", "use a service that is reached by `https`"),
        ("telnet://host", "use a service that speaks TLS"),
        ("smtp://relay", "`smtps` is what"),
        ("nats://broker", "`tls` is what"),
        ("amqp://broker", "`amqps` is what"),
    ] {
        let findings = parse(text, &REDIS).err().unwrap();
        assert_eq!(findings[0].rule().name, "plaintext_scheme", "{text}");
        assert!(findings[0].help().contains(instead), "{text}: {}", findings[0].help());
    }
    // A waiver of plaintext does not waive the protocol.
    let waived = Dialect { plaintext_waiver: Some("the mesh"), ..REDIS };
    for text in
        ["memcached://cache", "redis-cluster://cache", "redis-sentinel://cache", "http://cache"]
    {
        assert_eq!(refused(text, &waived), ["plaintext_scheme"], "{text}");
    }
}

#[test]
fn plaintext_is_accepted_by_waiver_and_on_loopback_only() {
    let waived = Dialect { plaintext_waiver: Some("the mesh"), ..REDIS };
    let parsed =
        parse("redis://:p@db.internal", &waived).unwrap_or_else(|findings| panic!("{findings:?}"));
    assert_eq!(parsed.locator.transport(), Transport::Plaintext);
    assert_eq!(parsed.locator.port(), 6379);
    assert_eq!(parsed.warnings[0].waived_because(), Some("the mesh"));

    let development = Dialect { plaintext_loopback: true, ..POSTGRES };
    for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST.", "2130706433"] {
        let parsed = parse(&format!("postgres://ada@{host}/d?sslmode=disable"), &development)
            .unwrap_or_else(|findings| panic!("{findings:?}"));
        assert_eq!(parsed.locator.transport(), Transport::Plaintext);
        assert_eq!(parsed.warnings.len(), 1, "it warns each time");
    }
    for host in ["db", "10.0.0.1", "localhost.evil.example", "[::2]"] {
        assert_eq!(
            refused(&format!("postgres://ada@{host}/d?sslmode=disable"), &development),
            ["plaintext_scheme"]
        );
    }
    assert_eq!(
        refused("postgres://ada@localhost/d?sslmode=prefer", &development),
        ["opportunistic_tls"]
    );
}

/// `url` reads every accepted locator as this parser does, as the fuzz target shows. If it did not,
/// the locator would be refused.
#[test]
fn another_host_than_the_one_that_url_reads_is_refused() {
    for (text, host, dialect) in [
        ("postgres://ada:p%20w@db/d", Some("evil"), &POSTGRES),
        ("postgres://ada@DB./d%20", Some("d"), &POSTGRES),
        ("https://example.com", None, &HTTPS),
        ("sqlite:///a%20b", Some("a"), &SQLITE),
        ("not a locator", Some("not"), &POSTGRES),
    ] {
        let mut findings = Vec::new();
        let mut parser = Parser::new(text, dialect, &mut findings);
        let host = host.map(|host| Host::Name(host.to_owned()));
        assert_eq!(parser.cross_check(&host), None, "{text}");
        assert_eq!(findings.len(), 1, "{text}");
        assert_eq!(findings[0].rule(), &AMBIGUOUS_LOCATOR, "{text}");
    }
}

#[test]
fn a_locator_has_other_readings_unless_it_is_plain_and_has_a_host() {
    for (is_plain, scheme, expected) in [
        (true, Scheme::upgraded("postgres"), false),
        (false, Scheme::upgraded("postgres"), true),
        (true, Scheme::embedded("sqlite"), true),
        (true, Scheme::embedded("file"), true),
        (true, Scheme::tls("file"), true),
    ] {
        let mut findings = Vec::new();
        let parser = Parser { is_plain, ..Parser::new("", &POSTGRES, &mut findings) };
        assert_eq!(parser.has_other_readings(scheme), expected, "{is_plain} {scheme:?}");
    }
    const PLAIN: &str = "!$&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_\
                         abcdefghijklmnopqrstuvwxyz~";
    assert!(is_plain(PLAIN));
    for c in ('\0'..='\u{ff}').filter(|c| !PLAIN.contains(*c)) {
        assert!(!is_plain(&format!("a{c}a")), "{c:?}");
    }
}

/// The help is what an operator copies.
#[test]
fn the_help_shows_a_locator_that_the_service_accepts() {
    let optional = Dialect { login: Login::Optional, ..REDIS };
    for (dialect, example) in [
        (&POSTGRES, "write it as `postgres://user:password@host:5432/path`"),
        (&REDIS, "write it as `rediss://user:password@host:6379/path`"),
        (&optional, "write it as `rediss://host:6379/path`"),
        (&HTTPS, "write it as `https://host:443`"),
        (&SQLITE, "write it as `sqlite:///path/to/file`"),
    ] {
        let findings = parse("", dialect).err().unwrap();
        assert_eq!(findings[0].help(), example);
        let text = example.trim_start_matches("write it as `").trim_end_matches('`');
        accepted(text, dialect);
    }
    for (dialect, help) in [
        (&POSTGRES, "this service accepts `postgres` or `postgresql`"),
        (&REDIS, "this service accepts `rediss`"),
    ] {
        assert_eq!(parse("gopher://db", dialect).err().unwrap()[0].help(), help);
    }
    let here = Host::Name("localhost".to_owned());
    let there = Host::Name("db".to_owned());
    assert_eq!(there.help_without_tls("use TLS", "`?tls=0`"), "use TLS");
    assert_eq!(
        here.help_without_tls("use TLS", "`?tls=0`"),
        if cfg!(debug_assertions) {
            "use TLS; for a server on this machine, a debug build also accepts `?tls=0`"
        } else {
            "use TLS"
        }
    );
}

#[test]
fn plain_names_need_no_second_opinion() {
    let longest = "a".repeat(63);
    for name in ["d", "db", "db.example.com", "a-1.b-2.c3", "1.a", "0x7f.x", &longest] {
        assert!(is_plain_name(name), "{name}");
    }
    let too_long = "a".repeat(64);
    for name in [
        "", ".", "db.", ".db", "-db", "db-", "a..b", "a.-b", "a-.b", "a--b", "DB", "a_b", "a b",
        "1", "1.2.3.4", "a.1", "a.0x7f", "127.1", "[::1]", "a:b", "b\u{fc}cher", &too_long,
    ] {
        assert!(!is_plain_name(name), "{name}");
    }
}

#[test]
fn an_endpoint_is_https_alone_without_login_and_parameters() {
    let endpoint = Dialect { schemes: REDIS.schemes, path: None, ..POSTGRES }.endpoint();
    let locator = accepted("https://api.example.com:8443/v2", &endpoint);
    assert_eq!((locator.port(), locator.path()), (8443, "v2"));
    assert_eq!(locator.to_string(), "https://api.example.com:8443/", "its path may be a secret");
    for (text, rule) in [
        ("rediss://api.example.com", "unknown_scheme"),
        ("postgres://api.example.com", "unknown_scheme"),
        ("http://api.example.com", "plaintext_scheme"),
        ("https://ada@api.example.com", "malformed_locator"),
        ("https://api.example.com?max_connections=7", "unknown_parameter"),
        ("https://api.example.com?connect_timeout=7", "unknown_parameter"),
    ] {
        assert_eq!(refused(text, &endpoint), [rule], "{text}");
    }
}
