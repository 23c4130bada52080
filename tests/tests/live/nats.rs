//! NATS: valid, faulty and hostile servers.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use backing_services::posture::TrustPosture;
use backing_services::{BackingServices, Environment, Nats, Resource};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{ADMIN_PASSWORD, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::hostile::{Hostile, Peer};
use backing_services_tests::nats::{self as server, ADMIN, NKEY, Options, STRANGER, USER, users};
use backing_services_tests::pki::{self, Authority, Leaf};
use backing_services_tests::variables::{self, Variables};
use backing_services_tests::{canary, journal};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    bus: Resource<Nats>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Waived {
    #[service(allow(
        superuser_account,
        reason = "the vendor ships one account",
        until = "2099-12-31"
    ))]
    bus: Resource<Nats>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Lenient {
    #[service(
        allow(weak_authentication, reason = "a test bench"),
        allow(superuser_account, reason = "a test bench")
    )]
    bus: Resource<Nats>,
}

/// No test here reaches this limit, unless it says so.
const SOON: Duration = Duration::from_secs(10);

/// The server that most tests share.
static SERVER: LazyLock<server::Nats> = LazyLock::new(server::Nats::start);

fn variables(server: &server::Nats) -> Variables {
    as_user(server, USER, PASSWORD)
}

fn as_user(server: &server::Nats, user: &str, password: &str) -> Variables {
    variables::of(
        "SHOP_BUS",
        format!("tls://{user}@localhost:{}", server.port),
        password,
        server.authority.pem(),
    )
}

/// Variables for a login without a user name.
fn with_secret(server: &server::Nats, secret: &str) -> Variables {
    let mut variables = as_user(server, "", secret);
    variables[0].1 = format!("tls://localhost:{}", server.port);
    variables
}

/// The rules that a locator violates at load.
fn violated(url: &str) -> Vec<&'static str> {
    match Shop::check(&Environment::from_iter([("SHOP_BUS_URL", url)])) {
        Ok(()) => Vec::new(),
        Err(error) => {
            assert!(
                !error.to_string().contains("kX3") && !error.to_string().contains(NKEY.0),
                "{error}"
            );
            error
                .findings()
                .filter(|finding| finding.is_denied())
                .map(|finding| finding.rule().name)
                .collect()
        }
    }
}

#[test]
fn locators() {
    for (url, expected) in [
        ("tls://shop:kX3-vR9_wQ1z@bus.example.com", ""),
        ("tls://:kX3-vR9_wQ1z-Zu5@bus.example.com:4222", ""),
        (
            "tls://shop:kX3-vR9_wQ1z@bus.example.com?tls_first=true&inbox_prefix=_INBOX_shop&\
             request_timeout=100",
            "",
        ),
        ("nats://shop:kX3-vR9_wQ1z@bus.example.com", "plaintext_scheme"),
        ("ws://shop:kX3-vR9_wQ1z@bus.example.com", "plaintext_scheme"),
        ("wss://shop:kX3-vR9_wQ1z@bus.example.com", "unknown_scheme"),
        ("tls://bus.example.com", "missing_credentials"),
        ("tls://shop@bus.example.com", "missing_credentials"),
        ("tls://nats:nats@bus.example.com", "default_credentials"),
        ("tls://shop:kX3-vR9_wQ1z@a.example.com,b.example.com", "malformed_locator"),
        ("tls://shop:kX3-vR9_wQ1z@bus.example.com/orders", "malformed_locator"),
        ("tls://shop:kX3-vR9_wQ1z@bus.example.com?inbox_prefix=_INBOX.>", "malformed_locator"),
        ("tls://shop:kX3-vR9_wQ1z@bus.example.com?inbox_prefix=a..b", "malformed_locator"),
        ("tls://shop:kX3-vR9_wQ1z@bus.example.com?tls_first=maybe", "malformed_locator"),
        ("tls://shop:kX3-vR9_wQ1z@bus.example.com?tls=false", "plaintext_scheme"),
        ("tls://shop:kX3-vR9_wQ1z@bus.example.com?tls_insecure=true", "unverified_tls"),
        ("tls://shop:kX3-vR9_wQ1z@bus.example.com?auth_token=kX3-vR9_wQ1z", "secret_in_parameter"),
        ("tls://shop:kX3-vR9_wQ1z@bus.example.com?discover=true", "unknown_parameter"),
    ] {
        assert_eq!(violated(url).first().copied().unwrap_or_default(), expected, "{url}");
    }
    let environment =
        Environment::from_iter([("SHOP_BUS_URL", "nats://shop:kX3-vR9_wQ1z@bus.example.com")]);
    assert!(
        Shop::check(&environment).err().unwrap().to_string().contains("`tls://`"),
        "the reason names what to write"
    );
}

#[test]
fn a_seed_is_distinguished_from_a_password() {
    let (seed, public) = NKEY;
    assert_eq!(violated(&format!("tls://:{seed}@bus.example.com")), [""; 0]);
    assert_eq!(violated(&format!("tls://{public}:{seed}@bus.example.com")), [""; 0]);
    // If one of these were taken for a password, it would be sent unchanged.
    assert_eq!(violated(&format!("tls://shop:{seed}@bus.example.com")), ["ambiguous_locator"]);
    assert_eq!(
        violated(&format!("tls://:{}@bus.example.com", seed.replace("QDPB", "QDPC"))),
        ["malformed_value"]
    );
    let account = "SAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IFO3A";
    assert_eq!(violated(&format!("tls://:{account}@bus.example.com")), ["malformed_value"]);
}

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let server = server::Nats::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    let posture = shop.bus.posture();
    let tls = posture.tls.as_ref().unwrap();
    assert_eq!(tls.version, "TLS 1.3");
    assert!(tls.cipher.as_ref().unwrap().starts_with("TLS_"), "{:?}", tls.cipher);
    assert_eq!(tls.trust, TrustPosture::PrivateCa);
    assert_eq!(tls.certificate.subject, format!("CN={}", pki::SUBJECT));
    let version = server
        .log()
        .split_once("Version:")
        .unwrap()
        .1
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(
        posture.server.as_ref().map(ToString::to_string),
        Some(format!("nats-server {version}"))
    );
    assert!(posture.account.as_deref().unwrap().starts_with(USER));
    assert_eq!(posture.authentication.as_deref(), Some("password"));
    assert_eq!(posture.endpoint, format!("tls://localhost:{}/", server.port));
    assert_eq!(rules(&posture.findings), [""; 0]);
    assert!(
        posture.remarks.iter().any(|remark| remark.contains("tls_first")),
        "{:?}",
        posture.remarks
    );

    // JetStream stores a message, and returns it.
    let bus = shop.bus.client();
    let jetstream = async_nats::jetstream::new(bus.clone());
    let config = async_nats::jetstream::stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        ..Default::default()
    };
    let stream = jetstream.create_stream(config).await.unwrap();
    let sequence =
        jetstream.publish("orders.new", "seven".into()).await.unwrap().await.unwrap().sequence;
    assert_eq!(stream.get_raw_message(sequence).await.unwrap().payload.as_ref(), b"seven");
    drop((jetstream, stream, bus));

    // The first connection is the probe's, and it is closed. The second is the driver's.
    assert_eq!((server.accepted(), server.connections()), (2, 1));
    shop.detach().await;
    server.assert_no_connection().await;
    assert!(canary::find(server.log().as_bytes()).is_none());
    journal::assert_silent();
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let unknown = refused::<Shop>(&as_user(&SERVER, "unknown_user", PASSWORD), SOON).await;
    assert_eq!(problems(&unknown), ["authentication_failed"]);
    let token = refused::<Shop>(&with_secret(&SERVER, PASSWORD), SOON).await;
    assert_eq!(problems(&token), ["authentication_failed"]);
    let stranger = refused::<Shop>(&with_secret(&SERVER, STRANGER), SOON).await;
    assert_eq!(problems(&stranger), ["authentication_failed"]);
}

#[tokio::test]
async fn an_administrator_is_refused() {
    for (user, password, power) in [
        (ADMIN, ADMIN_PASSWORD, "publish to every subject and subscribe to every subject"),
        ("luisteraar", PASSWORD, "may subscribe to every subject"),
        ("roeper", PASSWORD, "may publish to every subject"),
    ] {
        let error = refused::<Shop>(&as_user(&SERVER, user, password), SOON).await;
        assert_eq!(problems(&error), ["superuser_account"], "{user}");
        assert!(error.to_string().contains(power), "{error}");
    }
}

/// The driver connects while the runtime checks the account. If the account is refused, both
/// connections are closed.
#[tokio::test]
async fn an_account_that_is_refused_leaves_no_connection() {
    let server = server::Nats::start();
    for _ in 0..5 {
        let error = refused::<Shop>(&as_user(&server, ADMIN, ADMIN_PASSWORD), SOON).await;
        assert_eq!(problems(&error), ["superuser_account"]);
    }
    let begun = Instant::now();
    while server.connections() > 0 {
        assert!(begun.elapsed() < SOON, "{} connections", server.connections());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_account_with_an_inbox_of_its_own() {
    let mut variables = as_user(&SERVER, "vrager", PASSWORD);
    variables[0].1 += "?inbox_prefix=_INBOX_eigen";
    let shop: Shop = attach(&variables).await.unwrap();
    shop.bus.health().await.unwrap();
    shop.detach().await;
}

#[tokio::test]
async fn an_nkey_logs_in() {
    let shop: Shop = attach(&with_secret(&SERVER, NKEY.0)).await.unwrap();
    assert_eq!(shop.bus.posture().authentication.as_deref(), Some("nkey"));
    assert!(shop.bus.posture().account.as_deref().unwrap().starts_with(NKEY.1));
    shop.bus.health().await.unwrap();
    shop.detach().await;
    assert!(!journal::text().contains(NKEY.0) && !SERVER.log().contains(NKEY.0));
}

#[tokio::test]
async fn a_token_logs_in() {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.authorization = format!("authorization {{ token: \"{PASSWORD}\" }}");
    let server = server::Nats::with(authority, options);
    // A token is shared by all clients, and has every privilege.
    assert_eq!(
        problems(&refused::<Shop>(&with_secret(&server, PASSWORD), SOON).await),
        ["superuser_account"]
    );
    let shop: Waived = attach(&with_secret(&server, PASSWORD)).await.unwrap();
    assert_eq!(shop.bus.posture().authentication.as_deref(), Some("token"));
    shop.detach().await;
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.client_ca = Some(authority.pem());
    options.authorization = "authorization { users = [ { user: \"CN=with_certificate\", \
         permissions: { publish: [\"orders.>\"], subscribe: [\"_INBOX.>\"] } } ] }"
        .to_owned();
    let server = server::Nats::with(authority, options);
    let login = |leaf: &Leaf| {
        let mut variables = with_secret(&server, "");
        variables.remove(1);
        variables.push(("SHOP_BUS_CLIENT_CERT", leaf.certificate.clone()));
        variables.push(("SHOP_BUS_CLIENT_KEY", leaf.key.clone()));
        variables
    };
    let good = login(&server.authority.client("with_certificate"));
    let shop: Shop = attach(&good).await.unwrap();
    assert_eq!(shop.bus.posture().authentication.as_deref(), Some("client certificate"));
    shop.detach().await;
    assert_eq!(
        problems(&refused::<Shop>(&variables(&server), SOON).await),
        ["authentication_failed"]
    );
}

#[tokio::test]
async fn a_server_without_authentication_is_refused() {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.authorization = String::new();
    let server = server::Nats::with(authority, options);
    assert_eq!(
        problems(&refused::<Shop>(&variables(&server), SOON).await),
        ["weak_authentication"]
    );
    assert!(!server.log().contains("CONNECT"), "no credentials are sent");
    let shop: Lenient = attach(&variables(&server)).await.unwrap();
    assert_eq!(rules(&shop.bus.posture().findings), ["weak_authentication", "superuser_account"]);
    shop.detach().await;
}

#[tokio::test]
async fn it_comes_back_when_the_server_does() {
    let mut server = server::Nats::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    server.stop();
    shop.bus.health().await.unwrap_err();
    server.restart();
    let begin = Instant::now();
    while shop.bus.health().await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shop.detach().await;
    server.assert_no_connection().await;
    journal::assert_silent();
}

#[tokio::test]
async fn credentials_that_are_refused_later_are_not_sent_again_and_again() {
    let mut server = server::Nats::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    server.stop();
    server.authorize(users(WRONG_PASSWORD));
    server.restart();
    let begin = Instant::now();
    while shop.bus.client().flush().await.is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the client does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(shop.bus.health().await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = server.log().matches("authentication error").count();
    assert_eq!(asked, 1, "{}", server.log());
    assert!(server.accepted() <= 9, "{} connections", server.accepted());
    shop.detach().await;
}

#[tokio::test]
async fn detaching_while_the_server_is_down_ends_every_task() {
    let mut server = server::Nats::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    let client = shop.bus.client().clone();
    server.stop();
    while shop.bus.health().await.is_ok() {}
    let begin = Instant::now();
    shop.detach().await;
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert!(client.flush().await.is_err(), "a clone of the client has ended too");
    server.restart();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.accepted(), 0, "no client reconnects");
}

// Hostile servers.

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new("the tests' authority"));
static LEAF: LazyLock<Leaf> = LazyLock::new(|| AUTHORITY.server());

const GREETING: &str = concat!(
    r#"INFO {"server_id":"X","version":"2.10.4","auth_required":true,"tls_required":true,"#,
    r#""max_payload":1048576,"#,
    r#""headers":true,"nonce":"PXoWU7zWAMt75FY","#,
    r#""connect_urls":["127.0.0.1:1","evil.example.com:4222"]}"#
);

fn pretended(hostile: &Hostile, parameters: &str) -> Variables {
    variables::of(
        "SHOP_BUS",
        format!("tls://{USER}@localhost:{}{parameters}", hostile.port),
        PASSWORD,
        AUTHORITY.pem(),
    )
}

/// Checks that no credential was sent before TLS.
#[track_caller]
fn assert_nothing_in_the_clear(hostile: &Hostile) {
    for heard in hostile.heard() {
        assert!(canary::find(&heard.plain).is_none());
        assert!(canary::position(&heard.plain, USER.as_bytes()).is_none());
        assert!(canary::position(&heard.plain, b"CONNECT").is_none());
    }
}

/// A well-behaved server, except for `answer`: its reply to a `PUB` on `$SYS.REQ.USER.INFO`.
async fn serve(peer: Peer, answer: &str) -> std::io::Result<Option<Peer>> {
    let mut peer = peer;
    peer.write(format!("{GREETING}\r\n")).await?;
    let mut peer = peer.encrypt(&LEAF).await?;
    talk(&mut peer, answer).await?;
    Ok(Some(peer))
}

async fn talk(peer: &mut Peer, answer: &str) -> std::io::Result<()> {
    loop {
        let text = String::from_utf8_lossy(&peer.read().await?).into_owned();
        let mut said = String::new();
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["PING"] => said.push_str("PONG\r\n"),
                ["PUB", "$SYS.REQ.USER.INFO", inbox, _] => {
                    said.push_str(&format!("MSG {inbox} 1 {}\r\n{answer}\r\n", answer.len()));
                }
                _ => {}
            }
        }
        peer.write(said).await?;
    }
}

/// The driver dials by itself, and cannot be stopped while it does. Its attempt is waited for, and
/// is its last one.
#[tokio::test]
async fn detaching_waits_for_an_attempt_of_the_driver() {
    let answer = told(USER, "SHOP", LIMITED);
    // Attaching is a visit and the driver; reconnecting too.
    let hostile = Hostile::start(move |peer| {
        let answer = answer.clone();
        async move {
            match peer.index() {
                0 | 2 => serve(peer, &answer).await,
                1 => {
                    let serving = serve(peer, &answer);
                    let _ = tokio::time::timeout(Duration::from_millis(500), serving).await;
                    Ok(None)
                }
                _ => Ok(Some(peer)),
            }
        }
    });
    let shop: Shop = attach(&pretended(&hostile, "?connect_timeout=2")).await.unwrap();
    let client = shop.bus.client().clone();
    while hostile.heard().len() < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begin = Instant::now();
    let detached = shop.detach().await;
    assert!(detached.is_clean(), "{detached}");
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(3)).contains(&begin.elapsed()),
        "{:?}",
        begin.elapsed()
    );
    assert!(client.flush().await.is_err(), "the driver has ended");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hostile.heard().len(), 4, "nothing connects after the end");
    hostile.assert_all_closed().await;
    assert_nothing_in_the_clear(&hostile);
}

/// The reply of a NATS 2.10 server to the user-info request.
fn told(user: &str, account: &str, permissions: &str) -> String {
    format!(
        "{{\"server\":{{\"name\":\"X\"}},\
         \"data\":{{\"user\":\"{user}\",\"account\":\"{account}\"{permissions}}}}}"
    )
}

const LIMITED: &str = concat!(
    r#","permissions":{"publish":{"allow":["orders.>"]},"#,
    r#""subscribe":{"allow":["_INBOX.>"],"deny":["x"]}}"#
);

#[tokio::test]
async fn the_user_info_of_the_server_is_read() {
    let everything =
        r#","permissions":{"publish":{"allow":[">"]},"subscribe":{"allow":["_INBOX.>"]}}"#;
    let one_side = r#","permissions":{"publish":{"allow":["orders.>"]}}"#;
    let denied = r#","permissions":{"publish":{"deny":[">"]},"subscribe":{"allow":["_INBOX.>"]}}"#;
    for (answer, expected) in [
        (told(USER, "SHOP", LIMITED), ""),
        (told(USER, "SHOP", denied), ""),
        (told(USER, "SHOP", ""), "superuser_account"),
        (told(USER, "SHOP", everything), "superuser_account"),
        (told(USER, "SHOP", one_side), "superuser_account"),
        (told(USER, "$SYS", LIMITED), "superuser_account"),
        (told("somebody", "SHOP", LIMITED), "weak_authentication"),
        // A malformed reply is refused.
        (told(USER, "SHOP", r#","permissions":7"#), "protocol"),
        (told(USER, "SHOP", r#","permissions":{"publish":{"allow":"all"}}"#), "protocol"),
        (told(USER, "SHOP", r#","permissions":{"publish":{"allow":[7]}}"#), "protocol"),
        (told(USER, PASSWORD, LIMITED), "protocol"),
        (r#"{"data":{}}"#.to_owned(), "protocol"),
        (r#"{"error":{"code":500}}"#.to_owned(), "protocol"),
        ("[".repeat(100_000), "protocol"),
        ("\u{1b}[2J".to_owned(), "protocol"),
    ] {
        let script = answer.clone();
        let hostile = Hostile::start(move |peer| {
            let answer = script.clone();
            async move { serve(peer, &answer).await }
        });
        match attach::<Shop>(&pretended(&hostile, "")).await {
            Ok(shop) => {
                assert_eq!("", expected, "{}", &answer[..answer.len().min(200)]);
                assert_eq!(
                    shop.bus.posture().account.as_deref(),
                    Some("winkelier of the account SHOP")
                );
                assert_eq!(
                    shop.bus.posture().server.as_ref().map(ToString::to_string).as_deref(),
                    Some("nats-server 2.10.4")
                );
                shop.detach().await;
            }
            Err(error) => {
                assert_eq!(problems(&error), [expected], "{}", &answer[..answer.len().min(200)])
            }
        }
        hostile.assert_all_closed().await;
        assert_nothing_in_the_clear(&hostile);
    }
}

#[tokio::test]
async fn tls_first_exchanges_nothing_before_tls() {
    let hostile = Hostile::start(|peer| async {
        let mut peer = peer.encrypt(&LEAF).await?;
        peer.write(format!("{GREETING}\r\n")).await?;
        talk(&mut peer, &told(USER, "SHOP", LIMITED)).await?;
        Ok(Some(peer))
    });
    let shop: Shop = attach(&pretended(&hostile, "?tls_first=true")).await.unwrap();
    shop.bus.health().await.unwrap();
    shop.detach().await;
    hostile.assert_all_closed().await;
    assert_nothing_in_the_clear(&hostile);
}

#[tokio::test]
async fn unexpected_bytes_before_tls() {
    for (greeting, expected) in [
        // Bytes that follow the greeting in plaintext would be read as if the verified server had
        // sent them.
        (format!("{GREETING}\r\n+OK\r\n"), "unverified_tls"),
        (GREETING.replace(r#""tls_required":true,"#, "") + "\r\n", "opportunistic_tls"),
        ("-ERR 'Authorization Violation'\r\n".to_owned(), "protocol"),
        ("INFO {\r\n".to_owned(), "protocol"),
        (format!("INFO {}\r\n", "[".repeat(60_000)), "protocol"),
        ("INFO []\r\n".to_owned(), "protocol"),
        ("\u{1b}]0;owned\u{7}\r\n".to_owned(), "protocol"),
        ("A".repeat(70_000), "protocol"),
        ("MSG a 1 18446744073709551615\r\n".to_owned(), "protocol"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned(), "protocol"),
    ] {
        let script = greeting.clone();
        let hostile = Hostile::start(move |mut peer| {
            let greeting = script.clone();
            async move {
                peer.write(greeting).await?;
                Ok(Some(peer))
            }
        });
        let error = refused::<Shop>(&pretended(&hostile, ""), SOON).await;
        assert_eq!(problems(&error), [expected], "{}", &greeting[..greeting.len().min(200)]);
        hostile.assert_all_closed().await;
        assert_nothing_in_the_clear(&hostile);
    }
}

#[tokio::test]
async fn unexpected_answers() {
    for (said, expected) in [
        ("-ERR 'Authorization Violation'\r\n".to_owned(), "authentication_failed"),
        ("-ERR 'maximum connections exceeded'\r\n".to_owned(), "unavailable"),
        (format!("-ERR '{PASSWORD} \u{1b}[2J'\r\n"), "unavailable"),
        ("+OK\r\n".repeat(100), "protocol"),
        ("MSG a 1 18446744073709551615\r\n".to_owned(), "protocol"),
        ("HMSG a 1 7 3\r\n".to_owned(), "protocol"),
        ("MSG a 1 5\r\nhello\r\n".to_owned(), "protocol"),
        ("A".repeat(70_000), "protocol"),
    ] {
        let script = said.clone();
        let hostile = Hostile::start(move |mut peer| {
            let said = script.clone();
            async move {
                peer.write(format!("{GREETING}\r\n")).await?;
                let mut peer = peer.encrypt(&LEAF).await?;
                peer.read().await?;
                peer.write(said).await?;
                Ok(Some(peer))
            }
        });
        let error = refused::<Shop>(&pretended(&hostile, ""), SOON).await;
        assert_eq!(problems(&error), [expected], "{}", &said[..said.len().min(200)]);
        hostile.assert_all_closed().await;
        assert_nothing_in_the_clear(&hostile);
    }
}

#[tokio::test]
async fn advertised_servers_are_not_dialled() {
    let elsewhere = Hostile::start(|peer| async { Ok(Some(peer)) });
    let port = elsewhere.port;
    let hostile = Hostile::start(move |mut peer| async move {
        let greeting = GREETING.replace("127.0.0.1:1\"", &format!("localhost:{port}\""));
        // The first connection is the probe's. The second is the driver's, and the server drops it.
        // The server closes every later connection.
        if peer.index() > 1 {
            return Ok(None);
        }
        peer.write(format!("{greeting}\r\n")).await?;
        let second = peer.index() == 1;
        let mut peer = peer.encrypt(&LEAF).await?;
        if second {
            peer.read().await?;
            peer.write("PONG\r\n").await?;
            peer.read().await?;
            peer.write(format!("PONG\r\n{greeting}\r\n")).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
            return Ok(None);
        }
        talk(&mut peer, &told(USER, "SHOP", LIMITED)).await?;
        Ok(Some(peer))
    });
    let shop: Shop = attach(&pretended(&hostile, "")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(hostile.heard().len() > 2, "it tries to come back");
    assert!(elsewhere.heard().is_empty(), "and nowhere else");
    assert_nothing_in_the_clear(&hostile);
    let begin = Instant::now();
    shop.detach().await;
    assert!(begin.elapsed() < SOON);
}

#[tokio::test]
async fn an_nkey_signs_no_empty_nonce() {
    let hostile = Hostile::start(|mut peer| async move {
        peer.write(format!("{}\r\n", GREETING.replace("PXoWU7zWAMt75FY", ""))).await?;
        let mut peer = peer.encrypt(&LEAF).await?;
        peer.drain().await;
        Ok(None)
    });
    let mut variables = pretended(&hostile, "");
    variables[0].1 = format!("tls://localhost:{}", hostile.port);
    variables[1].1 = NKEY.0.to_owned();
    assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), ["authentication_failed"]);
    assert!(hostile.heard().iter().all(|heard| heard.secret.is_empty()), "it got no signature");
}
