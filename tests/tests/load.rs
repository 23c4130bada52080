//! Loading and checking, without a connection. Every kind of wrong value gives one finding, with
//! its field and its variable.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot do what it should has to stop, there and loudly"
)]

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use backing_services::secrecy::{ExposeSecret as _, SecretBox, SecretString};
use backing_services::source::{Notice, Source, Unreadable, Value};
use backing_services::{
    AttachError, BackingServices, Environment, Postgres, Redis, Resource, Sqlite,
};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::pki;

#[derive(BackingServices, Debug)]
#[services(prefix = "SHOP")]
#[allow(dead_code, reason = "it is never attached")]
struct Shop {
    #[service(env = "DATABASE_URL")]
    orders: Resource<Postgres>,
    #[service(hosts = "*.cache.example, 10.0.0.1")]
    sessions: Option<Resource<Redis>>,
    stripe_key: SecretString,
    raw_key: Option<SecretBox<Vec<u8>>>,
    #[setting(default = 8080)]
    port: u16,
    #[setting]
    pause: Option<Duration>,
    mail: Mail,
}

#[derive(BackingServices, Debug)]
#[allow(dead_code, reason = "it is never attached")]
struct Mail {
    archive: Option<Resource<Sqlite>>,
    #[setting(default = "ada@example.com")]
    from: String,
}

const ORDERS: &str = "postgres://shop@db.example/shop";

/// A shop that passes, with some variables changed. A variable with an empty value is removed.
fn with(changes: &[(&str, &str)]) -> Environment {
    let good =
        [("DATABASE_URL", ORDERS), ("DATABASE_PASSWORD", PASSWORD), ("SHOP_STRIPE_KEY", PASSWORD)];
    let kept =
        good.into_iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes.iter().copied()).collect()
}

fn refusal<T: BackingServices>(environment: &Environment) -> AttachError {
    let error = T::check(environment).expect_err("it is to be refused");
    canary::assert_error_silent(&error);
    canary::assert_debug_silent(environment);
    error
}

/// The denied findings: field, variable and rule of each.
fn denied(changes: &[(&str, &str)]) -> Vec<(String, String, &'static str)> {
    let error = refusal::<Shop>(&with(changes));
    assert_eq!(error.failures().count(), 0);
    error
        .findings()
        .filter(|finding| finding.is_denied())
        .map(|finding| {
            (
                finding.field().to_owned(),
                finding.variable().unwrap_or_default().to_owned(),
                finding.rule().name,
            )
        })
        .collect()
}

#[track_caller]
fn assert_denied(changes: &[(&str, &str)], field: &str, variable: &str, rule: &str) {
    assert_eq!(
        denied(changes),
        [(field.to_owned(), variable.to_owned(), rules(rule))],
        "{changes:?}"
    );
}

fn rules(name: &str) -> &'static str {
    backing_services::rules::rule::look_up(name).expect("a rule").name
}

#[test]
fn a_valid_environment_passes() {
    Shop::check(&with(&[])).expect("it is right");
    let everything = [
        ("SHOP_SESSIONS_URL", "rediss://shop@a.cache.example/3"),
        ("SHOP_SESSIONS_PASSWORD", PASSWORD),
        ("SHOP_RAW_KEY", "raw"),
        ("SHOP_PORT", " 9090 "),
        ("SHOP_PAUSE", "250ms"),
        ("SHOP_MAIL_ARCHIVE_URL", "sqlite:///var/lib/archive.db"),
        ("SHOP_MAIL_FROM", "grace@example.com"),
    ];
    Shop::check(&with(&everything)).expect("it is right");
}

#[test]
fn missing_and_empty_values_are_named_all_at_once() {
    let error = refusal::<Shop>(&Environment::from_iter([("SHOP_STRIPE_KEY", "")]));
    let missing: Vec<_> = error
        .findings()
        .map(|finding| (finding.field(), finding.variable().unwrap(), finding.rule().name))
        .collect();
    assert_eq!(
        missing,
        [
            ("orders", "DATABASE_URL", "missing_value"),
            ("stripe_key", "SHOP_STRIPE_KEY", "missing_value")
        ]
    );
    assert_eq!(
        error.to_string(),
        "`Shop` was not attached: 2 problems in 2 of 8 fields\n\
         \n\
         orders (DATABASE_URL)\n  \
           error[missing_value]: `DATABASE_URL` is not set, or empty, in the environment\n    \
             help: set `DATABASE_URL`, or `DATABASE_URL_FILE` to the path of a file that holds it\n\
         \n\
         stripe_key (SHOP_STRIPE_KEY)\n  \
           error[missing_value]: `SHOP_STRIPE_KEY` is not set, or empty, in the environment\n    \
             help: set `SHOP_STRIPE_KEY`, or `SHOP_STRIPE_KEY_FILE` to the path of a file that \
             holds it"
    );
    assert_eq!(
        error.to_string(),
        format!("{error:?}")
            .replace("\u{1b}[1m", "")
            .replace("\u{1b}[0m", "")
            .replace("\u{1b}[1;31m", "")
    );
}

#[test]
fn half_of_an_optional_resource_is_an_error() {
    assert_denied(
        &[("SHOP_SESSIONS_PASSWORD", PASSWORD)],
        "sessions",
        "SHOP_SESSIONS_URL",
        "missing_value",
    );
}

#[test]
fn a_refused_setting_states_the_expected_value() {
    assert_denied(&[("SHOP_PORT", "eighty")], "port", "SHOP_PORT", "malformed_value");
    assert_denied(&[("SHOP_PAUSE", "5 minutes")], "pause", "SHOP_PAUSE", "malformed_value");
    let error = refusal::<Shop>(&with(&[("SHOP_PORT", PASSWORD)]));
    assert!(
        error.to_string().contains("`SHOP_PORT` is not a whole number from 0 to 65535"),
        "{error}"
    );
}

#[test]
fn values_that_are_not_text_are_refused() {
    let not_unicode = OsString::from_vec([b"kanarie-7f3a".as_slice(), &[0xff, 0xfe]].concat());
    let variables = [
        ("DATABASE_URL", ORDERS.into()),
        ("DATABASE_PASSWORD", PASSWORD.into()),
        ("SHOP_STRIPE_KEY", not_unicode),
    ];
    let error = refusal::<Shop>(&Environment::from_iter(variables));
    assert!(error.to_string().contains("`SHOP_STRIPE_KEY` is not Unicode"), "{error}");

    let twice = with(&[("SHOP_PORT", "1"), ("SHOP_PORT", "2")]);
    assert!(refusal::<Shop>(&twice).to_string().contains("`SHOP_PORT` is given twice"));

    let long = "x".repeat(1024 * 1024 + 1);
    assert_denied(
        &[("SHOP_STRIPE_KEY", &long)],
        "stripe_key",
        "SHOP_STRIPE_KEY",
        "malformed_value",
    );
    assert_denied(
        &[("DATABASE_URL", &long[..9000])],
        "orders",
        "DATABASE_URL",
        "malformed_locator",
    );
}

#[test]
fn credentials_answer_to_their_rules() {
    for (password, rule) in [
        ("changeme", "placeholder_value"),
        ("vault://secret/data/shop", "placeholder_value"),
        ("shop", "weak_password"),
        ("kanarie7f3a", "weak_password"),
        ("passwordpassword", "weak_password"),
    ] {
        assert_denied(&[("DATABASE_PASSWORD", password)], "orders", "DATABASE_PASSWORD", rule);
    }
    let shipped = [
        ("DATABASE_URL", "postgres://postgres@db.example/shop"),
        ("DATABASE_PASSWORD", "postgres"),
    ];
    assert_denied(&shipped, "orders", "DATABASE_PASSWORD", "default_credentials");
    assert_denied(&[("DATABASE_PASSWORD", "")], "orders", "DATABASE_URL", "missing_credentials");
    assert_denied(
        &[("DATABASE_URL", "postgres://db.example/shop")],
        "orders",
        "DATABASE_URL",
        "missing_credentials",
    );
    assert_denied(
        &[("DATABASE_URL", "${DATABASE_URL}")],
        "orders",
        "DATABASE_URL",
        "placeholder_value",
    );
    assert_denied(
        &[
            ("DATABASE_URL", "postgres://db.example/shop"),
            ("DATABASE_USER", "__USER__"),
            ("DATABASE_PASSWORD", "kX3-vR9_wQ1z"),
        ],
        "orders",
        "DATABASE_USER",
        "placeholder_value",
    );
    assert_denied(
        &[("SHOP_STRIPE_KEY", "__GENERATE__")],
        "stripe_key",
        "SHOP_STRIPE_KEY",
        "placeholder_value",
    );
    Shop::check(&with(&[
        ("DATABASE_URL", "postgres://db.example/shop"),
        ("DATABASE_USER", "shop"),
    ]))
    .expect("the user may come apart");
}

#[test]
fn duplicate_values_are_refused() {
    let both = format!("postgres://shop:{PASSWORD}@db.example/shop");
    assert_denied(&[("DATABASE_URL", &both)], "orders", "DATABASE_URL", "ambiguous_locator");
    assert_denied(&[("DATABASE_USER", "shop")], "orders", "DATABASE_URL", "ambiguous_locator");
    assert_denied(
        &[("DATABASE_HOST", "db.example")],
        "orders",
        "DATABASE_URL",
        "ambiguous_locator",
    );
    assert_denied(&[("DATABASE_PORT", "5432")], "orders", "DATABASE_PORT", "ambiguous_locator");
    assert_denied(
        &[("DATABASE_USER", "sh\u{0}op"), ("DATABASE_URL", "postgres://db.example/shop")],
        "orders",
        "DATABASE_USER",
        "malformed_value",
    );
}

#[test]
fn a_locator_may_come_in_parts() {
    let parts = [
        ("DATABASE_URL", ""),
        ("DATABASE_HOST", "db.example"),
        ("DATABASE_PORT", "6432"),
        ("DATABASE_DATABASE", "sh/op?x"),
        ("DATABASE_USER", "shop"),
    ];
    // The name of the database is percent-encoded, so it cannot add a parameter. PostgreSQL refuses
    // it because it has two parts.
    assert_denied(&parts, "orders", "DATABASE_HOST", "malformed_locator");
    let good = [
        ("DATABASE_URL", ""),
        ("DATABASE_HOST", "::1"),
        ("DATABASE_DATABASE", "shop?sslmode=disable"),
        ("DATABASE_USER", "shop"),
    ];
    Shop::check(&with(&good)).expect("parts make a locator");
    for host in
        ["evil@db.example", "db.example/x?y", "db.example:1", "169.254.169.254", "db.example#"]
    {
        let parts = [
            ("DATABASE_URL", ""),
            ("DATABASE_HOST", host),
            ("DATABASE_PORT", "6432"),
            ("DATABASE_USER", "shop"),
        ];
        assert_eq!(denied(&parts).len(), 1, "{host}");
    }
}

#[test]
fn a_host_beyond_ascii_is_refused_wherever_it_stands() {
    let help = |variables: &[(&str, &str)]| {
        refusal::<Shop>(&with(variables))
            .findings()
            .map(|finding| finding.help().to_owned())
            .collect::<Vec<_>>()
    };
    let locator = [("DATABASE_URL", "postgres://shop@bücher.example/shop")];
    assert_denied(&locator, "orders", "DATABASE_URL", "malformed_locator");
    assert_eq!(help(&locator), ["write it as `xn--bcher-kva.example`"]);
    let parts =
        [("DATABASE_URL", ""), ("DATABASE_HOST", "bücher.example"), ("DATABASE_USER", "shop")];
    assert_denied(&parts, "orders", "DATABASE_HOST", "malformed_locator");
    // Without an `@` before it, it could be a password in the wrong place: it is not repeated.
    assert_eq!(help(&parts), ["write the name in its ASCII form, whose labels begin with `xn--`"]);
    Shop::check(&with(&[("DATABASE_URL", "postgres://shop@xn--bcher-kva.example/shop")]))
        .expect("its A-label is a name");
}

#[test]
fn addresses_answer_to_their_rules() {
    for host in [
        "169.254.169.254", "0xA9FEA9FE", "[::ffff:169.254.169.254]", "metadata.google.internal",
        "0", "[fe80::1]", "[fec0::1]", "[fd00:ec2::254]", "[fd00:ec2::23]",
        "[64:ff9b:1:a9fe:a9:fe00::]", "[64:ff9b:1::a9fe:a9fe]", "240.0.0.1", "4026531841",
    ] {
        assert_denied(
            &[("DATABASE_URL", &format!("postgres://shop@{host}/shop"))],
            "orders",
            "DATABASE_URL",
            "forbidden_address",
        );
    }
    let sessions = |host: &str| {
        [
            ("SHOP_SESSIONS_URL", format!("rediss://shop@{host}")),
            ("SHOP_SESSIONS_PASSWORD", PASSWORD.to_owned()),
        ]
    };
    for host in ["a.cache.example", "10.0.0.1", "167772161"] {
        let variables = sessions(host);
        Shop::check(&with(&variables.each_ref().map(|(name, value)| (*name, value.as_str()))))
            .expect(host);
    }
    for host in ["cache.example", "evil.example", "a.cache.example.evil.example", "10.0.0.2"] {
        let variables = sessions(host);
        assert_denied(
            &variables.each_ref().map(|(name, value)| (*name, value.as_str())),
            "sessions",
            "SHOP_SESSIONS_URL",
            "unlisted_host",
        );
    }
}

#[test]
fn trust_that_cannot_be_used_is_refused() {
    let ca = pki::Authority::new("loading");
    let pki::Leaf { certificate: cert, key } = ca.client("shop");
    let pki::Leaf { key: other_key, .. } = ca.client("other");
    for (variables, variable) in [
        (vec![("DATABASE_CA", "not PEM")], "DATABASE_CA"),
        (
            vec![("DATABASE_CA", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")],
            "DATABASE_CA",
        ),
        (vec![("DATABASE_CLIENT_CERT", cert.as_str())], "DATABASE_CLIENT_CERT"),
        (vec![("DATABASE_CLIENT_KEY", key.as_str())], "DATABASE_CLIENT_KEY"),
        (
            vec![("DATABASE_CLIENT_CERT", "x"), ("DATABASE_CLIENT_KEY", &key)],
            "DATABASE_CLIENT_CERT",
        ),
        (
            vec![("DATABASE_CLIENT_CERT", cert.as_str()), ("DATABASE_CLIENT_KEY", "x")],
            "DATABASE_CLIENT_KEY",
        ),
        (
            vec![("DATABASE_CLIENT_CERT", cert.as_str()), ("DATABASE_CLIENT_KEY", &other_key)],
            "DATABASE_CLIENT_KEY",
        ),
        (vec![("DATABASE_PIN", "sha256//AAECAwQFBgcICQoLDA0ODw==")], "DATABASE_PIN"),
    ] {
        assert_denied(&variables, "orders", variable, "malformed_value");
    }
    let good = [
        ("DATABASE_CLIENT_CERT", cert.as_str()),
        ("DATABASE_CLIENT_KEY", &key),
        ("DATABASE_CA", &ca.pem()),
        ("DATABASE_PASSWORD", ""),
    ];
    Shop::check(&with(&good)).expect("a client certificate stands in for a password");
    let pin = [("DATABASE_PIN", "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")];
    Shop::check(&with(&pin)).expect("a pin has the 32 bytes of a digest");
    let embedded =
        [("SHOP_MAIL_ARCHIVE_URL", "sqlite:///a.db"), ("SHOP_MAIL_ARCHIVE_CA", &ca.pem())];
    assert_denied(&embedded, "mail.archive", "SHOP_MAIL_ARCHIVE_CA", "malformed_value");
}

#[test]
fn a_value_may_be_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8], mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
    let secret = |path: &str, also: Option<&str>| {
        let mut variables = vec![("SHOP_STRIPE_KEY", ""), ("SHOP_STRIPE_KEY_FILE", path)];
        variables.extend(also.map(|value| ("SHOP_STRIPE_KEY", value)));
        // Otherwise the empty one would be a duplicate.
        variables.retain(|(name, value)| {
            also.is_none() || *name != "SHOP_STRIPE_KEY" || !value.is_empty()
        });
        with(&variables)
    };

    let good = write("good", format!("{PASSWORD}\n").as_bytes(), 0o600);
    Shop::check(&secret(&good, None)).expect("it is in a file");
    // Kubernetes' default mode. It gives a warning, and passes.
    Shop::check(&secret(&write("readable", PASSWORD.as_bytes(), 0o644), None)).expect("it warns");

    let rules = |environment: &Environment| {
        refusal::<Shop>(environment)
            .findings()
            .filter(|finding| finding.is_denied())
            .map(|finding| finding.rule().name)
            .collect::<Vec<_>>()
    };
    assert_eq!(rules(&secret(&good, Some(PASSWORD))), ["duplicate_variable"]);
    assert_eq!(
        rules(&secret(&write("writable", PASSWORD.as_bytes(), 0o666), None)),
        ["readable_secret_file"]
    );
    assert_eq!(rules(&secret(&write("empty", b"", 0o600), None)), ["missing_value"]);
    assert_eq!(rules(&secret(&write("newline", b"\r\n", 0o600), None)), ["missing_value"]);
    for path in [
        "/does/not/exist".to_owned(),
        "relative".to_owned(),
        folder.path().to_str().expect("a path in UTF-8").to_owned(),
        write("latin1", b"kanarie-7f3a-\xff", 0o600),
        write("large", &vec![b'x'; 1024 * 1024 + 1], 0o600),
        "/dev/zero".to_owned(),
    ] {
        assert_eq!(rules(&secret(&path, None)), ["malformed_value"], "{path}");
    }
    let open = folder.path().join("open");
    fs::create_dir(&open).expect("a folder");
    fs::write(open.join("key"), PASSWORD).expect("a file");
    fs::set_permissions(open.join("key"), fs::Permissions::from_mode(0o600)).expect("its mode");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("its mode");
    assert_eq!(
        rules(&secret(open.join("key").to_str().expect("a path in UTF-8"), None)),
        ["readable_secret_file"]
    );
    std::os::unix::fs::symlink(open.join("key"), folder.path().join("link")).expect("a link");
    assert_eq!(
        rules(&secret(folder.path().join("link").to_str().expect("a path in UTF-8"), None)),
        ["readable_secret_file"]
    );
}

/// Each finding names the source of the value. A source's own report becomes a finding. A source
/// that fails as a whole gives one finding per field.
#[test]
fn findings_name_their_source() {
    struct Shelf;
    impl Source for Shelf {
        fn name(&self) -> Cow<'_, str> {
            "the shelf".into()
        }
        fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
            let value = |text: &str| Value::new(text, format!("the drawer of `{variable}`"));
            Ok(Some(match variable {
                "DATABASE_URL" => value(ORDERS),
                "DATABASE_PASSWORD" => {
                    value("changeme").with_notices([Notice::OthersRead, Notice::NeverUpdated])
                }
                "SHOP_STRIPE_KEY" => value(PASSWORD).with_notices([Notice::OthersWrite]),
                "SHOP_SESSIONS_URL" | "SHOP_SESSIONS_PASSWORD" => {
                    return Err(Unreadable::whole("the shelf is locked"));
                }
                _ => return Ok(None),
            }))
        }
    }
    let error = Shop::check(&Shelf).expect_err("it is to be refused");
    let found: Vec<_> = error
        .findings()
        .map(|finding| {
            let (variable, origin) =
                (finding.variable().unwrap_or_default(), finding.origin().unwrap_or("nowhere"));
            format!("{} {variable} {origin}: {}", finding.rule().name, finding.is_denied())
        })
        .collect();
    assert_eq!(
        found,
        [
            "readable_secret_file DATABASE_PASSWORD the drawer of `DATABASE_PASSWORD`: false",
            "static_mount DATABASE_PASSWORD the drawer of `DATABASE_PASSWORD`: false",
            "placeholder_value DATABASE_PASSWORD the drawer of `DATABASE_PASSWORD`: true",
            "malformed_value SHOP_SESSIONS_URL nowhere: true",
            "readable_secret_file SHOP_STRIPE_KEY the drawer of `SHOP_STRIPE_KEY`: true",
        ]
    );
    let report = error.to_string();
    assert!(
        report.contains("orders (DATABASE_PASSWORD, from the drawer of `DATABASE_PASSWORD`)\n"),
        "{report}"
    );
    assert!(
        report.contains(
            "sessions (SHOP_SESSIONS_URL)\n  error[malformed_value]: the shelf is locked\n"
        ),
        "{report}"
    );

    let error = refusal::<Shop>(&with(&[("SHOP_PORT", "eighty")]));
    assert!(error.to_string().contains("port (SHOP_PORT, from the environment)\n"), "{error}");
    let debug = format!("{:?}", Value::new(PASSWORD, "the shelf"));
    assert!(debug.contains("the shelf") && !debug.contains(PASSWORD), "{debug}");
}

/// One line end is removed. Everything else stays.
#[test]
fn one_line_end_does_not_belong_to_the_value() {
    #[derive(BackingServices)]
    struct One {
        key: SecretString,
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    let path = path.to_str().expect("a path in UTF-8");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (written, read) in
        [("a b\n", "a b"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("a\r", "a\r")]
    {
        fs::write(path, written).expect("a file");
        let one = runtime
            .block_on(One::attach_from(&Environment::from_iter([("KEY_FILE", path)])))
            .expect("it attaches");
        assert_eq!(one.key.expose_secret(), read, "{written:?}");
    }
}

#[test]
fn two_fields_of_nested_structs_do_not_read_one_variable() {
    #[derive(BackingServices)]
    #[services(prefix = "SHOP")]
    #[allow(dead_code, reason = "it is never attached")]
    struct Outer {
        #[setting]
        mail_from: String,
        mail: Mail,
    }
    let error = refusal::<Outer>(&Environment::from_iter([("SHOP_MAIL_FROM", "ada@example.com")]));
    assert!(
        error.to_string().contains(
            "mail.from (SHOP_MAIL_FROM, from the environment)\n  error[duplicate_variable]: \
             `mail_from` reads this variable too"
        ),
        "{error}"
    );

    #[derive(BackingServices)]
    #[allow(dead_code, reason = "it is never attached")]
    struct Companion {
        mail: Keys,
        #[service(env = "MAIL_URL")]
        relay: Option<Resource<Redis>>,
    }
    #[derive(BackingServices)]
    #[allow(dead_code, reason = "it is never attached")]
    struct Keys {
        password: Option<SecretString>,
    }
    let error = refusal::<Companion>(&Environment::from_iter::<[(&str, &str); 0]>([]));
    assert!(
        error.to_string().contains(
            "relay (MAIL_PASSWORD)\n  error[duplicate_variable]: \
             `mail.password` reads this variable too"
        ),
        "{error}"
    );
}

#[test]
fn a_waiver_permits_its_rule_and_nothing_else() {
    #[derive(BackingServices)]
    #[allow(dead_code, reason = "it is never attached")]
    struct Legacy {
        #[service(
            allow(
                weak_password,
                missing_credentials,
                reason = "the vendor's appliance has no more"
            ),
            allow(default_credentials, reason = "it ended", until = "2020-01-01")
        )]
        legacy: Resource<Redis>,
    }
    let check = |url: &str| Legacy::check(&Environment::from_iter([("LEGACY_URL", url)]));
    check("rediss://app:short@cache.example").expect("it is waived");
    check("rediss://cache.example").expect("it is waived");
    let error = check("rediss://app:changeme@cache.example").expect_err("that is another rule");
    assert!(
        error
            .findings()
            .any(|finding| finding.is_denied() && finding.rule().name == "placeholder_value")
    );
    let error =
        check("rediss://default:foobared@cache.example").expect_err("that waiver has ended");
    assert!(error.to_string().contains("error[default_credentials]"), "{error}");
    assert!(
        error.to_string().contains(
            "warning[expired_waiver]: the waiver of `default_credentials` ended on 2020-01-01"
        ),
        "{error}"
    );
    let error = check("redis://app:short@cache.example").expect_err("plaintext is not waived");
    assert!(error.to_string().contains("error[plaintext_scheme]"), "{error}");
}

#[test]
fn a_field_may_ask_for_one_scheme() {
    #[derive(BackingServices)]
    #[allow(dead_code, reason = "it is never attached")]
    struct One {
        #[service(scheme = "valkeys", default = "valkeys://cache.example")]
        cache: Resource<Redis>,
    }
    One::check(&Environment::from_iter([("CACHE_PASSWORD", PASSWORD), ("CACHE_USER", "shop")]))
        .expect("its default has the scheme");
    let error = refusal::<One>(&Environment::from_iter([
        ("CACHE_URL", "rediss://shop@cache.example"),
        ("CACHE_PASSWORD", PASSWORD),
    ]));
    assert!(error.findings().any(|finding| finding.rule().name == "unknown_scheme"));
}

#[test]
fn nothing_prints_a_value() {
    let manifest = format!("{:?}", Shop::MANIFEST);
    assert!(
        manifest.contains("stripe_key") && manifest.contains("ada@example.com"),
        "a default is public: {manifest}"
    );
    canary::assert_debug_silent(&with(&[]));
}

/// The help of a scheme without TLS names the one with it. A field that asks for the former accepts
/// the latter, so that the help leads out once the waiver has ended.
#[test]
fn a_field_whose_plaintext_waiver_has_ended_accepts_the_scheme_with_tls() {
    #[derive(BackingServices)]
    #[services(prefix = "SHOP")]
    #[allow(dead_code, reason = "it is never attached")]
    struct Meshed {
        #[service(
            scheme = "redis",
            allow(plaintext_scheme, reason = "the mesh", until = "2020-01-01")
        )]
        sessions: Resource<Redis>,
    }
    let checked = |scheme: &str| {
        let locator = format!("{scheme}://shop@cache.example");
        Meshed::check(&Environment::from_iter([
            ("SHOP_SESSIONS_URL", locator.as_str()),
            ("SHOP_SESSIONS_PASSWORD", PASSWORD),
        ]))
    };
    let error = checked("redis").unwrap_err();
    assert!(error.to_string().contains("write `rediss://`"), "{error}");
    checked("rediss").unwrap_or_else(|error| panic!("{error}"));
    let error = checked("valkeys").unwrap_err();
    assert!(error.to_string().contains("[unknown_scheme]"), "{error}");
}
