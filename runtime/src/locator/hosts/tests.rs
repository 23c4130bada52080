use backing_services_rules::rule::PLAINTEXT_SCHEME;
use backing_services_rules::scheme::{Scheme, Transport};

use super::super::tests::{HTTPS, POSTGRES, REDIS, accepted, refused};
use super::super::{Login, parse};
use super::*;

const SEVERAL: Dialect = Dialect { several_hosts: true, ..POSTGRES };

/// The messages and the helps of a list that is refused.
fn findings(text: &str) -> Vec<Finding> {
    parse(text, &SEVERAL).err().unwrap_or_else(|| panic!("{text} is accepted"))
}

fn hosts(locator: &Locator) -> Vec<String> {
    locator.hosts().map(|(host, port)| format!("{host}:{port}")).collect()
}

#[test]
fn each_host_of_a_list_has_its_own_port() {
    let parsed = parse(
        "postgres://ada:p,%40w@A.example,b.example.:5433,[2001:DB8::1]:1,10.1.2.3/shop?mode=ro",
        &SEVERAL,
    );
    let parsed = parsed.unwrap_or_else(|findings| panic!("{findings:?}"));
    assert!(parsed.warnings.is_empty());
    assert_eq!(parsed.password.unwrap().expose_secret(), "p,@w");
    let locator = parsed.locator;
    let all = ["a.example:5432", "b.example:5433", "[2001:db8::1]:1", "10.1.2.3:5432"];
    assert_eq!(hosts(&locator), all);
    assert_eq!(locator.host(), Some(&Host::Name("a.example".to_owned())));
    assert_eq!(locator.port(), 5432);
    assert_eq!(locator.only_host(), None);
    assert_eq!((locator.user(), locator.path()), (Some("ada"), "shop"));
    assert_eq!(locator.parameter("mode"), Some("ro"));
    let shown = format!("postgres://{}/shop", all.join(","));
    assert_eq!(locator.to_string(), shown);
    assert_eq!(format!("{locator:?}"), format!("Locator({shown})"));
    assert_eq!(hosts(&accepted("postgres://ada@a,b", &SEVERAL)), ["a:5432", "b:5432"]);
    assert_eq!(hosts(&accepted("postgres://a,b?mode=ro", &SEVERAL)), ["a:5432", "b:5432"]);
}

#[test]
fn one_host_is_read_as_before() {
    for text in [
        "postgres://ada@db/d",
        "postgres://a,d,a:p,w@db:5433/d,e?application_name=a,b",
        "postgres://ada@[::1]/d",
    ] {
        let locator = accepted(text, &SEVERAL);
        assert_eq!(locator, accepted(text, &POSTGRES), "{text}");
        assert_eq!(locator.only_host(), locator.host(), "{text}");
        assert_eq!(locator.hosts().count(), 1, "{text}");
    }
}

#[test]
fn only_a_service_that_asks_for_it_gets_a_list() {
    for (text, dialect) in [
        ("postgres://ada@a,b/d", &POSTGRES),
        ("rediss://:p@a,b", &REDIS),
        ("https://a,b", &HTTPS),
        ("https://a,b", &SEVERAL.endpoint()),
    ] {
        let findings = parse(text, dialect).err().unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].rule(), &MALFORMED_LOCATOR);
        assert_eq!(findings[0].message(), "it lists several hosts");
        assert!(findings[0].help().starts_with("this service takes one: write the one host"));
    }
    assert_eq!(refused("rediss://:p@a:1,b:2", &REDIS), ["malformed_locator"]);
}

#[test]
fn at_most_eight_hosts_are_listed() {
    let list = |count: usize| {
        let hosts: Vec<_> = (1..=count).map(|port| format!("db:{port}")).collect();
        format!("postgres://ada@{}/d", hosts.join(","))
    };
    assert_eq!(accepted(&list(8), &SEVERAL).hosts().count(), 8);
    let findings = findings(&list(9));
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].message(), "it lists more than 8 hosts");
    let longest = format!("postgres://ada@{}", ",".repeat(8177));
    assert_eq!(refused(&longest, &SEVERAL), ["malformed_locator"]);
    assert_eq!(refused(&format!("{longest},"), &SEVERAL), ["malformed_locator"]);
    // The length is the whole text's, although each host is read alone.
    let long = format!("postgres://ada@a,b/{}", "d".repeat(MAX_LENGTH - 19));
    assert_eq!(accepted(&long, &SEVERAL).hosts().count(), 2);
    assert_eq!(refused(&format!("{long}d"), &SEVERAL), ["malformed_locator"]);
}

#[test]
fn a_finding_names_the_host_by_its_place() {
    for (list, messages) in [
        ("a,,b", &["its list of hosts has an empty entry; this is about host 2 of 3"][..]),
        (
            ",a,",
            &[
                "its list of hosts has an empty entry; this is about host 1 of 3",
                "its list of hosts has an empty entry; this is about host 3 of 3",
            ],
        ),
        ("a,b:0", &["its port is not a number from 1 to 65535; this is about host 2 of 2"]),
        (
            "a:x,b:y",
            &[
                "its port is not a number from 1 to 65535; this is about host 1 of 2",
                "its port is not a number from 1 to 65535; this is about host 2 of 2",
            ],
        ),
        ("a,:5432", &["it has no host; this is about host 2 of 2"]),
        ("a,-b", &["its host is neither a name nor an address; this is about host 2 of 2"]),
        ("%61,b", &["its host is percent-encoded; this is about host 1 of 2"]),
        (
            "a,b%zz",
            &["it holds a `%` without two hexadecimal digits behind it; this is about host 2 of 2"],
        ),
        ("a, b", &["it holds a blank; this is about host 2 of 2"]),
        (
            "b\u{fc}cher.example,a",
            &["its host holds a character that is not ASCII; this is about host 1 of 2"],
        ),
        ("a,b:5433,A.", &["it lists a host and its port twice; this is about host 3 of 3"]),
        ("a,b:5432,b", &["it lists a host and its port twice; this is about host 3 of 3"]),
        (
            "10.0.0.1,167772161,[::ffff:10.0.0.1]",
            &["it lists a host and its port twice; this is about host 2 of 3"],
        ),
        ("localhost,db", &["some of its hosts are this machine, and others are not"]),
        ("db,127.0.0.1,[::1]", &["some of its hosts are this machine, and others are not"]),
    ] {
        let text = format!("postgres://ada@{list}/d");
        let findings = findings(&text);
        let found: Vec<_> = findings.iter().map(Finding::message).collect();
        assert_eq!(found, messages, "{text}");
        assert!(findings.iter().all(|finding| finding.rule() == &MALFORMED_LOCATOR), "{text}");
    }
    assert_eq!(hosts(&accepted("postgres://a,a:5433", &SEVERAL)), ["a:5432", "a:5433"]);
    assert_eq!(accepted("postgres://localhost,127.0.0.1,[::1]", &SEVERAL).hosts().count(), 3);
}

#[test]
fn what_is_not_about_a_host_is_reported_once() {
    for (text, rules) in [
        ("postgres://ada:a:b@a,b,c/d", &["ambiguous_locator"][..]),
        (
            "postgres://ada@a,b/d?mode=rwx&sslmode=prefer",
            &["malformed_locator", "opportunistic_tls"],
        ),
        ("postgres://ada@a,b/../d", &["malformed_locator"]),
        ("postgres://ada@x@a,b/d", &["ambiguous_locator"]),
        ("postgres://ada:p/x@a,b/d", &["ambiguous_locator"]),
        ("postgres://ada@a,b/d#", &["ambiguous_locator"]),
        ("postgres://ada@a\\b,c/d", &["ambiguous_locator"]),
        ("gopher://ada@a,b/d", &["unknown_scheme"]),
        ("postgres:ada@a,b/d", &["malformed_locator"]),
        ("postgres:x://a,b/d", &["malformed_locator"]),
        ("postgres:/://a,b/d", &["malformed_locator"]),
        ("postgres://ada@a,b:0/d?mode=rwx", &["malformed_locator", "malformed_locator"]),
    ] {
        assert_eq!(refused(text, &SEVERAL), rules, "{text}");
    }
}

#[test]
fn a_list_is_plaintext_for_all_of_its_hosts_or_for_none() {
    let development = Dialect { plaintext_loopback: true, ..SEVERAL };
    let waived = Dialect { plaintext_waiver: Some("the mesh"), ..SEVERAL };
    for (dialect, list) in
        [(&development, "localhost:1,127.0.0.1,[::1]"), (&waived, "a,b,10.0.0.1")]
    {
        let parsed = parse(&format!("postgres://ada@{list}/d?sslmode=disable"), dialect);
        let parsed = parsed.unwrap_or_else(|findings| panic!("{findings:?}"));
        assert_eq!(parsed.locator.transport(), Transport::Plaintext);
        assert_eq!(parsed.warnings.len(), 1, "{:?}", parsed.warnings);
        assert_eq!(parsed.warnings[0].rule(), &PLAINTEXT_SCHEME);
    }
    for list in ["localhost,db", "db,localhost", "a,b"] {
        let text = format!("postgres://ada@{list}/d?sslmode=disable");
        assert!(refused(&text, &development).contains(&"plaintext_scheme"), "{text}");
    }
}

#[test]
fn an_embedded_locator_with_a_comma_is_no_list() {
    const SCHEMES: &[Scheme] = &[Scheme::embedded("sqlite"), Scheme::upgraded("postgres")];
    let either = Dialect { schemes: SCHEMES, login: Login::Optional, ..SEVERAL };
    assert_eq!(accepted("sqlite:/x://a,b", &either).path(), "/x://a,b");
    assert_eq!(accepted("sqlite:///a,b", &either).path(), "/a,b");
    assert_eq!(refused("sqlite://a,b/x", &either), ["malformed_locator"]);
    assert_eq!(accepted("postgres://a,b", &either).hosts().count(), 2);
}
