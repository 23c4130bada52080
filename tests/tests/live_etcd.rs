//! etcd as a source: real servers, good and bad ones.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use backing_services::credentials::{Credential, Credentials};
use backing_services::secrecy::ExposeSecret as _;
use backing_services::source::{Source as _, Sources, WithCredentials};
use backing_services::stores::Etcd;
use backing_services::{AttachError, BackingServices, Environment, Failure, Https, Resource};
use backing_services_tests::attempt::problems;
use backing_services_tests::canary::{self, ADMIN_PASSWORD, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::etcd::{self as server, Options, PREFIX, USER};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::journal;
use backing_services_tests::pki::Authority;
use backing_services_tests::relay::{Flow, Relay};
use backing_services_tests::variables::{self, Variables};

/// The shared server of the tests that only read.
static SERVER: LazyLock<server::Etcd> = LazyLock::new(server::Etcd::start);

fn variables(server: &server::Etcd) -> Variables {
    variables::of(
        "CONFIG",
        format!("https://{USER}@localhost:{}{PREFIX}", server.port),
        PASSWORD,
        server.authority.pem(),
    )
}

fn with(mut variables: Variables, name: &'static str, value: &str) -> Variables {
    variables.retain(|(kept, _)| *kept != name);
    variables.push((name, value.to_owned()));
    variables
}

async fn connect(variables: Variables) -> Result<Etcd, AttachError> {
    journal::open();
    let result = Etcd::connect(&Environment::from_iter(variables), "CONFIG").await;
    match &result {
        Ok(etcd) => canary::assert_debug_silent(etcd),
        Err(error) => canary::assert_error_silent(error),
    }
    journal::assert_silent();
    result
}

async fn refused(variables: Variables) -> Vec<&'static str> {
    let begin = Instant::now();
    let error = connect(variables).await.expect_err("it is to be refused");
    assert!(begin.elapsed() < Duration::from_secs(15), "it took {:?}", begin.elapsed());
    assert!(error.to_string().contains("CONFIG_"), "{error}");
    problems(&error)
}

fn value(etcd: &Etcd, variable: &str) -> Option<String> {
    etcd.get(variable).unwrap().map(|value| value.text().expose_secret().to_owned())
}

/// Makes a change, waits until it is reported, and returns the variable's new value.
async fn after(etcd: &Etcd, variable: &str, change: impl FnOnce()) -> Option<String> {
    let mut signal = etcd.changes().signals()[0].clone();
    tokio::task::block_in_place(change);
    let told = tokio::time::timeout(Duration::from_secs(30), signal.changed()).await;
    let told = told.unwrap_or_else(|_| panic!("it is not reported:\n{}", journal::text()));
    assert!(told, "the source is there");
    value(etcd, variable)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_is_reported_and_readable() {
    let server = server::Etcd::start();
    server.put("SHOP_KEY", PASSWORD);
    server.put("not-a-variable", "x");
    server.control(&["put", "/other/SHOP_OTHER", "x"]);
    let etcd = connect(variables(&server)).await.unwrap();
    assert_eq!(etcd.name(), "etcd below `/shop/`");
    assert_eq!(etcd.get("SHOP_KEY").unwrap().unwrap().place(), "the key `/shop/SHOP_KEY` in etcd");
    assert_eq!(value(&etcd, "SHOP_KEY").as_deref(), Some(PASSWORD));
    for none in ["SHOP_OTHER", "not-a-variable", "../other/SHOP_OTHER"] {
        assert_eq!(value(&etcd, none), None, "{none}");
    }

    assert_eq!(
        after(&etcd, "SHOP_KEY", || server.put("SHOP_KEY", "two")).await.as_deref(),
        Some("two")
    );
    assert_eq!(
        after(&etcd, "SHOP_NEW", || server.put("SHOP_NEW", "new")).await.as_deref(),
        Some("new")
    );
    let delete = || drop(server.control(&["del", &format!("{PREFIX}SHOP_NEW")]));
    assert_eq!(after(&etcd, "SHOP_NEW", delete).await, None);
    // A change elsewhere, or to the same value, is not a change.
    let signal = etcd.changes().signals()[0].clone();
    server.control(&["put", "/other/SHOP_OTHER", "y"]);
    server.put("SHOP_KEY", "two");
    server.put("also-no-variable", "x");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!signal.has_changed());
    journal::assert_silent();
}

/// The value stays while the server is away. A restart invalidates the tokens, and the watch
/// continues.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_continues_after_a_restart() {
    let mut server = server::Etcd::start();
    server.put("SHOP_KEY", "one");
    let etcd = connect(variables(&server)).await.unwrap();
    server.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(value(&etcd, "SHOP_KEY").as_deref(), Some("one"));
    server.restart();
    assert_eq!(
        after(&etcd, "SHOP_KEY", || server.put("SHOP_KEY", "two")).await.as_deref(),
        Some("two")
    );
    assert!(journal::text().contains("etcd is not watched for now"), "{}", journal::text());
    journal::assert_silent();
}

/// A change during an outage is reported after it, even if the store does not remember the change
/// any more.
#[tokio::test(flavor = "multi_thread")]
async fn changes_during_an_outage_are_reported() {
    let server = server::Etcd::start();
    server.put("SHOP_KEY", "one");
    let relay = Relay::to(server.port);
    let url = format!("https://{USER}@localhost:{}{PREFIX}", relay.port);
    let etcd = connect(with(variables(&server), "CONFIG_URL", &url)).await.unwrap();
    for (compacts, new) in [(false, "two"), (true, "four")] {
        let found = after(&etcd, "SHOP_KEY", || {
            relay.set(Flow::ForcedClose);
            server.put("SHOP_KEY", "three");
            server.put("SHOP_KEY", new);
            if compacts {
                server.control(&["compact", &server.revision().to_string()]);
            }
            relay.set(Flow::Open);
        });
        assert_eq!(found.await.as_deref(), Some(new));
    }
    // Requests end with the source.
    drop(etcd);
    let accepted = relay.accepted();
    relay.set(Flow::ForcedClose);
    relay.set(Flow::Open);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(relay.accepted(), accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_ends_with_the_source() {
    let server = server::Etcd::start();
    let relay = Relay::to(server.port);
    let url = format!("https://{USER}@localhost:{}{PREFIX}", relay.port);
    let etcd = connect(with(variables(&server), "CONFIG_URL", &url)).await.unwrap();
    relay.set(Flow::ForcedClose);
    tokio::time::sleep(Duration::from_millis(300)).await;
    relay.set(Flow::Silent);
    let before = relay.accepted();
    while relay.accepted() == before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(etcd);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let accepted = relay.accepted();
    relay.set(Flow::Open);
    relay.assert_all_closed().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(relay.accepted(), accepted);
}

/// A store that was restored from an older one, or replaced by an empty one, has fewer revisions
/// than the source has seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_store_is_read_again() {
    let authority = Authority::new("the tests' authority");
    // etcd's gateway is a client of etcd, with the server's certificate.
    let leaf = authority.server_and_client();
    let client = authority.client("shop");
    let options =
        Options { leaf: Some(leaf), client_ca: Some(authority.pem()), has_accounts: false };
    let mut server = server::Etcd::with(authority, &options);
    for i in 0..5 {
        server.put("SHOP_KEY", &format!("value {i}"));
    }
    let mutual = vec![
        ("CONFIG_URL", format!("https://localhost:{}{PREFIX}", server.port)),
        ("CONFIG_CA", server.authority.pem()),
        ("CONFIG_CLIENT_CERT", client.certificate),
        ("CONFIG_CLIENT_KEY", client.key),
    ];
    let etcd = connect(mutual).await.unwrap();
    assert_eq!(value(&etcd, "SHOP_KEY").as_deref(), Some("value 4"));
    let mut signal = etcd.changes().signals()[0].clone();
    server.forget();
    server.restart();
    let told = tokio::time::timeout(Duration::from_secs(30), signal.changed()).await;
    assert!(told.expect("it is reported"), "the source is there");
    assert_eq!(value(&etcd, "SHOP_KEY"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused() {
    let good = || variables(&SERVER);
    let other = Authority::new("another authority");
    assert_eq!(refused(with(good(), "CONFIG_CA", &other.pem())).await, ["unverified_tls"]);
    assert_eq!(
        refused(with(good(), "CONFIG_PASSWORD", WRONG_PASSWORD)).await,
        ["authentication_failed"]
    );
    assert_eq!(
        refused(with(good(), "CONFIG_PASSWORD", "")).await,
        ["missing_credentials", "missing_credentials"]
    );
    let url = |scheme: &str, user: &str, path: &str| {
        format!("{scheme}://{user}localhost:{}{path}", SERVER.port)
    };
    assert_eq!(
        refused(with(good(), "CONFIG_URL", &url("https", "winkelier@", ""))).await,
        ["malformed_locator"]
    );
    assert_eq!(
        refused(with(good(), "CONFIG_URL", &url("https", "winkelier@", "/other"))).await,
        ["authentication_failed"]
    );
    assert_eq!(
        refused(with(good(), "CONFIG_URL", &url("rediss", "winkelier@", "/shop"))).await,
        ["unknown_scheme"]
    );
    assert_eq!(
        refused(with(good(), "CONFIG_URL", "https://winkelier@169.254.169.254/shop")).await,
        ["forbidden_address"]
    );
    let unreachable =
        format!("https://winkelier@localhost:{}/shop", backing_services_tests::port::free());
    assert_eq!(refused(with(good(), "CONFIG_URL", &unreachable)).await, ["unreachable"]);
    assert_eq!(refused(with(good(), "CONFIG_URL", "")).await, ["missing_value"]);
    let root = with(
        with(good(), "CONFIG_URL", &url("https", "root@", "/shop")),
        "CONFIG_PASSWORD",
        ADMIN_PASSWORD,
    );
    assert_eq!(refused(root).await, ["superuser_account"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_server_or_another_one_is_refused() {
    let authority = Authority::new("the tests' authority");
    let leaf = authority.server();
    let server = server::Etcd::with(
        authority,
        &Options { leaf: Some(leaf), client_ca: None, has_accounts: false },
    );
    assert_eq!(refused(variables(&server)).await, ["weak_authentication"]);

    // An expired certificate, and one for another host: nothing is sent to their holder.
    let authority = Authority::new("the tests' authority");
    for (leaf, rule) in
        [(authority.expired(), "certificate_expiry"), (authority.other_host(), "unverified_tls")]
    {
        let leaf = Arc::new(leaf);
        let hostile = Hostile::start(move |peer| {
            let leaf = Arc::clone(&leaf);
            async move { Ok(Some(peer.encrypt(&leaf).await?)) }
        });
        let variables = variables::of(
            "CONFIG",
            format!("https://{USER}@localhost:{}{PREFIX}", hostile.port),
            PASSWORD,
            authority.pem(),
        );
        assert_eq!(refused(variables).await, [rule]);
        assert!(hostile.heard().iter().all(|heard| heard.secret.is_empty()));
    }
}

/// A server that answers as etcd would, up to a point.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_hostile_is_bounded() {
    fn answer(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }
    let token = || answer(r#"{"token":"a.1"}"#);
    let account = || answer(r#"{"roles":["shop"]}"#);
    let authority = Authority::new("the tests' authority");
    for (answers, floods, expected) in [
        (vec![answer("<html>")], false, "protocol"),
        (vec![answer("{}")], false, "protocol"),
        (vec![answer(r#"{"token":"a\r\nX-Evil: 1"}"#)], false, "protocol"),
        (vec![answer(&"[".repeat(60_000))], false, "protocol"),
        (
            vec![
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://169.254.169.254/\r\n\
                 content-length: 0\r\n\r\n"
                    .to_owned(),
            ],
            false,
            "protocol",
        ),
        (vec!["HTTP/1.1 200 OK\r\n\r\n".to_owned()], true, "protocol"),
        (
            vec!["HTTP/1.1 400 Bad Request\r\ncontent-length: 10\r\n\r\n{\"code\":3}".to_owned()],
            false,
            "authentication_failed",
        ),
        (vec![token(), answer(r#"{"roles":"root"}"#)], false, "protocol"),
        (vec![token(), answer(r#"{"roles":["root"]}"#)], false, "superuser_account"),
        (
            vec![token(), account(), answer(r#"{"header":{"revision":"1"},"kvs":[{"key":"%"}]}"#)],
            false,
            "protocol",
        ),
        (
            vec![token(), account(), answer(r#"{"header":{"revision":"1"},"more":true}"#)],
            false,
            "protocol",
        ),
        (vec![token(), account(), "HTTP/1.1 200 OK\r\n\r\n".to_owned()], true, "protocol"),
    ] {
        let leaf = authority.server();
        let script = Arc::new((leaf, answers.clone(), floods));
        let hostile = Hostile::start(move |peer| {
            let script = Arc::clone(&script);
            async move {
                let (leaf, answers, floods) = &*script;
                let mut peer = peer.encrypt(leaf).await?;
                for answer in answers {
                    let mut request = Vec::new();
                    // A request's head ends in an empty line, and its body, which is JSON, in a
                    // brace.
                    while !request.ends_with(b"}") {
                        let read = peer.read().await?;
                        if read.is_empty() {
                            return Ok(Some(peer));
                        }
                        request.extend(read);
                    }
                    peer.write(answer).await?;
                }
                if *floods { peer.flood(&[b' '; 4096]).await } else { Ok(Some(peer)) }
            }
        });
        let variables = variables::of(
            "CONFIG",
            format!("https://{USER}@localhost:{}{PREFIX}", hostile.port),
            PASSWORD,
            authority.pem(),
        );
        assert_eq!(refused(variables).await, [expected], "{answers:?}");
        hostile.assert_all_closed().await;
    }
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 10)]
struct Shop {
    #[allow(dead_code, reason = "it is never attached")]
    api: Resource<Https>,
}

struct Tokens;

impl Credentials for Tokens {
    async fn fetch(&self) -> Result<Credential, Failure> {
        Ok(Credential::new(PASSWORD))
    }
}

/// An attacker who writes into the store puts a locator and an authority of theirs there, and the
/// name of a file of this machine. Nothing connects, and no file is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_names_no_file_and_collects_no_credentials() {
    let server = server::Etcd::start();
    let authority = Authority::new("Attacker CA");
    let leaf = authority.server();
    let attacker = Hostile::start(move |peer| {
        let leaf = leaf.clone();
        async move { peer.encrypt(&leaf).await.map(Some) }
    });
    server.put("SHOP_API_URL", &format!("https://localhost:{}/", attacker.port));
    server.put("SHOP_API_CA", &authority.pem());
    let etcd = connect(variables(&server)).await.unwrap();

    // Credentials that code fetches, and a password of this machine, are not for a host that the
    // store names.
    let fetched = WithCredentials::new(etcd.clone()).of("SHOP_API", Tokens);
    let error = Shop::attach_from(&fetched).await.err().unwrap();
    assert_eq!(problems(&error), ["unlisted_host"], "{error}");
    let own = Environment::from_iter([("SHOP_API_PASSWORD", PASSWORD)]);
    let error =
        Shop::attach_from(&Sources::new().then(own).beside(etcd.clone())).await.err().unwrap();
    assert_eq!(problems(&error), ["unlisted_host"], "{error}");

    for (key, path) in [
        ("SHOP_API_PASSWORD_FILE", "/proc/self/environ"),
        ("SHOP_API_PASSWORD_FILE", "/etc/hostname"),
        ("SHOP_API_USER_FILE", "/does/not/exist"),
    ] {
        assert!(after(&etcd, key, || server.put(key, path)).await.is_some());
        let empty = Environment::from_iter([("OTHER", "x")]);
        let sources = Sources::new().then(empty).then(etcd.clone());
        for error in [
            Shop::attach_from(&etcd).await.err().unwrap(),
            Shop::attach_from(&sources).await.err().unwrap(),
            Shop::attach_from(&Arc::new(etcd.clone())).await.err().unwrap(),
        ] {
            canary::assert_error_silent(&error);
            assert_eq!(problems(&error), ["malformed_value"], "{error}");
            let named = format!(
                "`{key}` names a file of this machine, and is in the key `{PREFIX}{key}` in etcd"
            );
            assert!(error.to_string().contains(&named), "{error}");
        }
        after(&etcd, key, || drop(server.control(&["del", &format!("{PREFIX}{key}")]))).await;
    }
    assert_eq!(attacker.heard().len(), 0, "nothing connected");
}
