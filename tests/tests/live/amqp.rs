//! AMQP: a real RabbitMQ, and servers that only pretend to be one.

use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use backing_services::posture::TrustPosture;
use backing_services::{Amqp, BackingServices, Environment, Resource};
use backing_services_tests::amqp::{self as server, ADMIN, HOST, USER};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{ADMIN_PASSWORD, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::hostile::{Hostile, Peer};
use backing_services_tests::pki::{self, Authority, Leaf};
use backing_services_tests::relay::{Flow, Relay};
use backing_services_tests::variables::{self, Variables};
use backing_services_tests::{canary, journal};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    queue: Resource<Amqp>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Hasty {
    queue: Resource<Amqp>,
}

/// No test here waits for a deadline unless it says so.
const SOON: Duration = Duration::from_secs(10);

/// The server that the tests share, because it takes ten seconds to start.
static SERVER: LazyLock<server::Amqp> = LazyLock::new(server::Amqp::start);

fn as_user(port: u16, user: &str, password: &str, ca: String) -> Variables {
    variables::of("SHOP_QUEUE", format!("amqps://{user}@localhost:{port}"), password, ca)
}

fn variables() -> Variables {
    as_user(SERVER.port, USER, PASSWORD, SERVER.authority.pem())
}

/// The rules that a locator violates at load.
fn violated(url: &str) -> Vec<&'static str> {
    match Shop::check(&Environment::from_iter([("SHOP_QUEUE_URL", url)])) {
        Ok(()) => Vec::new(),
        Err(error) => {
            assert!(!error.to_string().contains("kX3"), "{error}");
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
        ("amqps://shop:kX3-vR9_wQ1z@mq.example.com", ""),
        ("amqps://shop:kX3-vR9_wQ1z@mq.example.com:5671/shop", ""),
        (
            "amqps://shop:kX3-vR9_wQ1z@[2001:db8::1]/%2F?heartbeat=30&channel_max=16\
             &frame_max=65536&max_message=4096",
            "",
        ),
        ("amqp://shop:kX3-vR9_wQ1z@mq.example.com", "plaintext_scheme"),
        ("amqps://mq.example.com", "missing_credentials"),
        ("amqps://:kX3-vR9_wQ1z@mq.example.com", "missing_credentials"),
        ("amqps://shop@mq.example.com", "missing_credentials"),
        ("amqps://guest:guest@mq.example.com", "default_credentials"),
        ("amqps://Guest:kX3-vR9_wQ1z@mq.example.com", "default_credentials"),
        ("amqps://rabbitmq:rabbitmq@mq.example.com", "default_credentials"),
        ("amqps://shop:kX3-vR9_wQ1z@mq.example.com?auth_mechanism=anonymous", "unknown_parameter"),
        ("amqps://shop:kX3-vR9_wQ1z@mq.example.com?auth_mechanism=plain", "unknown_parameter"),
        ("amqps://shop:kX3-vR9_wQ1z@mq.example.com?frame_max=0", "malformed_locator"),
        ("amqps://shop:kX3-vR9_wQ1z@mq.example.com?heartbeat=0", "malformed_locator"),
        ("amqps://shop:kX3-vR9_wQ1z@mq.example.com?verify=verify_none", "unverified_tls"),
        ("amqps://shop:kX3-vR9_wQ1z@mq.example.com?cacertfile=/tmp/ca.pem", "unknown_parameter"),
        ("amqps://shop:kX3-vR9_wQ1z@mq.example.com?keyfile=/tmp/key.pem", "unknown_parameter"),
        ("amqps://shop:kX3-vR9_wQ1z@mq.example.com?password=kX3", "secret_in_parameter"),
    ] {
        assert_eq!(violated(url).first().copied().unwrap_or_default(), expected, "{url}");
    }
}

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let shop: Shop = attach(&variables()).await.unwrap();
    let posture = shop.queue.posture();
    let tls = posture.tls.as_ref().unwrap();
    assert_eq!(tls.version, "TLS 1.3");
    assert!(tls.cipher.as_ref().unwrap().starts_with("TLS_"), "{:?}", tls.cipher);
    assert_eq!(tls.trust, TrustPosture::PrivateCa);
    assert_eq!(tls.certificate.subject, format!("CN={}", pki::SUBJECT));
    let version = SERVER.control(&["version"]);
    assert_eq!(
        posture.server.as_ref().map(ToString::to_string),
        Some(format!("RabbitMQ {}", version.trim()))
    );
    assert_eq!(posture.account.as_deref(), Some(USER));
    assert_eq!(posture.authentication.as_deref(), Some("password"));
    assert_eq!(posture.endpoint, format!("amqps://localhost:{}/", SERVER.port));
    // Debian's release is older than the ones that its vendor supports.
    assert!(
        rules(&posture.findings).iter().all(|rule| *rule == "unsupported_server"),
        "{:?}",
        posture.findings
    );
    assert!(
        posture.remarks.iter().any(|remark| remark.contains("virtual host")),
        "{:?}",
        posture.remarks
    );

    let channel = shop.queue.client().create_channel().await.unwrap();
    channel
        .queue_declare("orders.new".into(), QueueDeclareOptions::default(), FieldTable::default())
        .await
        .unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let body = vec![7; 300_000];
    let published = channel.basic_publish(
        "".into(),
        "orders.new".into(),
        BasicPublishOptions::default(),
        &body,
        Default::default(),
    );
    assert!(published.await.unwrap().await.unwrap().is_ack());
    let message = channel
        .basic_get("orders.new".into(), BasicGetOptions { no_ack: true })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(message.delivery.data, body, "of many frames");
    shop.queue.health().await.unwrap();

    let queues = SERVER.control(&["list_queues", "name"]);
    assert!(!queues.contains("probe."), "the probe leaves nothing: {queues}");
    shop.detach().await;
    assert!(
        channel.basic_get("orders.new".into(), BasicGetOptions::default()).await.is_err(),
        "what is detached is closed"
    );
    assert!(canary::find(SERVER.log().as_bytes()).is_none());
    journal::assert_silent();
}

#[tokio::test]
async fn virtual_hosts() {
    let mut variables = variables();
    for path in ["", "/", "/%2F", "/winkel%2Fnoord"] {
        variables[0].1 = format!("{}{path}", SERVER.locator());
        let shop: Shop = attach(&variables).await.unwrap();
        let expected = if path.ends_with("noord") { HOST } else { "/" };
        assert_eq!(
            shop.queue.client().connection().await.unwrap().status().vhost().as_str(),
            expected
        );
        shop.detach().await;
    }
    let parts = [
        ("SHOP_QUEUE_HOST", "localhost".to_owned()),
        ("SHOP_QUEUE_PORT", SERVER.port.to_string()),
        ("SHOP_QUEUE_DATABASE", HOST.to_owned()),
        ("SHOP_QUEUE_USER", USER.to_owned()),
    ];
    let shop: Shop = attach(&[&parts[..], &variables[1..]].concat()).await.unwrap();
    shop.detach().await;
    variables[0].1 = format!("{}/absent-host", SERVER.locator());
    let error = refused::<Shop>(&variables, SOON).await;
    assert_eq!(problems(&error), ["unavailable"]);
    assert!(
        error.to_string().contains("no such virtual host")
            && !error.to_string().contains("absent-host"),
        "{error}"
    );
    let unknown_user =
        refused::<Shop>(&as_user(SERVER.port, "nergens", PASSWORD, SERVER.authority.pem()), SOON)
            .await;
    assert_eq!(problems(&unknown_user), ["unavailable"]);
}

#[tokio::test]
async fn an_unknown_user_is_refused() {
    let stranger = as_user(SERVER.port, "stranger", PASSWORD, SERVER.authority.pem());
    let error = refused::<Shop>(&stranger, SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"]);
}

#[tokio::test]
async fn an_administrator_is_refused() {
    for (user, password, power) in [
        (ADMIN, ADMIN_PASSWORD, "configure, write, read everything"),
        ("beheerder", PASSWORD, "may configure everything"),
        ("lezer", PASSWORD, "may read everything"),
        ("schrijver", PASSWORD, "may write everything"),
    ] {
        let error =
            refused::<Shop>(&as_user(SERVER.port, user, password, SERVER.authority.pem()), SOON)
                .await;
        assert_eq!(problems(&error), ["superuser_account"], "{user}");
        assert!(error.to_string().contains(power), "{error}");
    }
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let login = |leaf: &Leaf| {
        vec![
            ("SHOP_QUEUE_URL", format!("amqps://localhost:{}", SERVER.port)),
            ("SHOP_QUEUE_CA", SERVER.authority.pem()),
            ("SHOP_QUEUE_CLIENT_CERT", leaf.certificate.clone()),
            ("SHOP_QUEUE_CLIENT_KEY", leaf.key.clone()),
        ]
    };
    let shop: Shop = attach(&login(&SERVER.authority.client("met_certificaat"))).await.unwrap();
    assert_eq!(shop.queue.posture().authentication.as_deref(), Some("client certificate"));
    shop.detach().await;
    let unknown = refused::<Shop>(&login(&SERVER.authority.client("stranger")), SOON).await;
    assert_eq!(problems(&unknown), ["authentication_failed"]);
}

/// An attempt to connect again has `connect_timeout` for all of its steps, and outlives the call
/// that began it.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_to_connect_again_is_bounded_and_outlives_its_call() {
    let server = Hostile::start(|peer| serve(peer, tune(0, 131_072, 60), |_, _| None));
    let relay = Relay::to(server.port);
    let mut variables = as_user(relay.port, USER, PASSWORD, AUTHORITY.pem());
    variables[0].1 += "?connect_timeout=2";
    let shop: Shop = attach(&variables).await.unwrap();
    let lose = async || {
        relay.set(Flow::ForcedClose);
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    lose().await;
    relay.set(Flow::Silent);
    let client = shop.queue.client();
    assert!(
        tokio::time::timeout(Duration::from_millis(300), client.create_channel()).await.is_err()
    );
    assert_eq!(relay.accepted(), 2);
    relay.set(Flow::Open);
    client.create_channel().await.unwrap();
    assert_eq!(relay.accepted(), 2, "the attempt went on");

    // TCP, TLS, the greeting and the login each take less than `connect_timeout`, and more
    // together.
    lose().await;
    relay.set(Flow::Slow(500));
    let begin = Instant::now();
    assert!(client.create_channel().await.is_err());
    assert!(begin.elapsed() < Duration::from_millis(2600), "{:?}", begin.elapsed());

    // Detaching ends an attempt, and does not wait for it.
    relay.set(Flow::Silent);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        tokio::time::timeout(Duration::from_millis(300), client.create_channel()).await.is_err()
    );
    drop(client);
    let begin = Instant::now();
    shop.detach().await;
    assert!(begin.elapsed() < Duration::from_millis(1000), "{:?}", begin.elapsed());
    journal::assert_silent();
}

#[tokio::test]
async fn a_server_that_stops_and_then_has_another_password() {
    let mut server = server::Amqp::start();
    let shop: Shop =
        attach(&as_user(server.port, USER, PASSWORD, server.authority.pem())).await.unwrap();
    shop.queue.health().await.unwrap();
    server.stop();
    let refusal = shop.queue.health().await.unwrap_err();
    canary::assert_error_silent(&refusal);

    server.restart();
    let begin = Instant::now();
    while shop.queue.health().await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(25), "it does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let _ = server.control(&["change_password", USER, WRONG_PASSWORD]);
    let _ = server.control(&["close_all_connections", "rotated"]);
    let begin = Instant::now();
    loop {
        let Err(error) = shop.queue.client().create_channel().await else { continue };
        if error.to_string().contains("attach") || error.to_string().contains("credentials") {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(25), "it does not give up: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..20 {
        assert!(shop.queue.client().create_channel().await.is_err());
    }
    assert_eq!(server.log().matches("PLAIN login refused").count(), 1, "it is asked once");
    shop.detach().await;
}

// Servers that only pretend to be RabbitMQ.

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new("the tests' authority"));
static LEAF: LazyLock<Leaf> = LazyLock::new(|| AUTHORITY.server());

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(payload);
    frame.push(0xCE);
    frame
}

fn method(channel: u16, (class, id): (u16, u16), arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes()[..], &id.to_be_bytes(), arguments].concat())
}

fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

fn entry(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()][..], name.as_bytes(), &[kind], &long(value)].concat()
}

fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| entry("x", b'F', &inner))
}

fn start(properties: &[u8], mechanisms: &str) -> Vec<u8> {
    method(
        0,
        (10, 10),
        &[&[0, 9][..], &long(properties), &long(mechanisms.as_bytes()), &long(b"en_US")].concat(),
    )
}

fn good_start() -> Vec<u8> {
    start_of("RabbitMQ")
}

fn start_of(product: &str) -> Vec<u8> {
    let properties =
        [entry("product", b'S', product.as_bytes()), entry("version", b'S', b"4.1.0")].concat();
    start(&properties, "AMQPLAIN PLAIN EXTERNAL")
}

fn tune(channels: u16, frame: u32, heartbeat: u16) -> Vec<u8> {
    method(
        0,
        (10, 30),
        &[&channels.to_be_bytes()[..], &frame.to_be_bytes(), &heartbeat.to_be_bytes()].concat(),
    )
}

/// `Connection.Close` or `Channel.Close`.
fn close(channel: u16, code: u16, text: &str) -> Vec<u8> {
    let id = if channel == 0 { (10, 50) } else { (20, 40) };
    let text = [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
    method(channel, id, &[&code.to_be_bytes()[..], &text, &[0, 0, 0, 0]].concat())
}

/// Reads the next method frame: its channel and its method.
async fn next(peer: &mut Peer, bytes: &mut Vec<u8>) -> io::Result<(u16, (u16, u16))> {
    loop {
        if bytes.len() >= 7 {
            let length = 8 + u32::from_be_bytes(bytes[3..7].try_into().unwrap()) as usize;
            if bytes.len() >= length {
                let frame: Vec<u8> = bytes.drain(..length).collect();
                let short = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
                if frame[0] == 1 {
                    return Ok((short(1), (short(7), short(9))));
                }
                continue;
            }
        }
        bytes.extend(peer.read().await?);
    }
}

/// A server that admits every login and refuses every operation, unless `odd` answers a method.
async fn serve(
    peer: Peer,
    tune: Vec<u8>,
    odd: impl Fn(u16, (u16, u16)) -> Option<Vec<u8>>,
) -> io::Result<Option<Peer>> {
    serve_as(good_start(), peer, tune, odd).await
}

/// The same as [`serve`], with a `Connection.Start` of the caller's choice.
async fn serve_as(
    start: Vec<u8>,
    peer: Peer,
    tune: Vec<u8>,
    odd: impl Fn(u16, (u16, u16)) -> Option<Vec<u8>>,
) -> io::Result<Option<Peer>> {
    let mut peer = peer.encrypt(&LEAF).await?;
    let mut bytes = Vec::new();
    while bytes.len() < 8 {
        bytes.extend(peer.read().await?);
    }
    bytes.drain(..8);
    peer.write(start).await?;
    loop {
        let (channel, id) = next(&mut peer, &mut bytes).await?;
        let said = odd(channel, id).unwrap_or_else(|| match id {
            (10, 11) => tune.clone(),
            (10, 40) => method(0, (10, 41), &[0]),
            (10, 50) => method(0, (10, 51), &[]),
            (20, 10) => method(channel, (20, 11), &long(b"")),
            (20, 40) => method(channel, (20, 41), &[]),
            (50, 20 | 40) | (60, 70) => close(channel, 403, "ACCESS_REFUSED"),
            _ => Vec::new(),
        });
        peer.write(said).await?;
    }
}

fn pretended(hostile: &Hostile) -> Variables {
    as_user(hostile.port, USER, PASSWORD, AUTHORITY.pem())
}

/// No secret, user or AMQP header was sent in the clear.
#[track_caller]
fn assert_nothing_in_the_clear(hostile: &Hostile) {
    for heard in hostile.heard() {
        assert!(canary::find(&heard.plain).is_none());
        assert!(canary::position(&heard.plain, USER.as_bytes()).is_none());
        assert!(canary::position(&heard.plain, b"AMQP").is_none());
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_a_method() {
    for silent in [(10, 11), (10, 40), (20, 10)] {
        let hostile = Hostile::start(move |peer| {
            serve(peer, tune(0, 131_072, 60), move |_, id| (id == silent).then(Vec::new))
        });
        let begin = Instant::now();
        let error = refused::<Hasty>(&pretended(&hostile), Duration::from_secs(4)).await;
        assert!(
            begin.elapsed() >= Duration::from_millis(1900),
            "it has the time that it was given"
        );
        assert_eq!(problems(&error), ["timed_out"], "{silent:?}");
        // The driver's thread does not keep waiting.
        hostile.assert_all_closed().await;
        assert_nothing_in_the_clear(&hostile);
    }
}

#[tokio::test]
async fn a_servers_tuning_raises_no_limit() {
    for (channels, frame, heartbeat) in
        [(0, 0, 0), (u16::MAX, u32::MAX, u16::MAX), (1, 1, 1), (7, 4096, 10)]
    {
        let hostile =
            Hostile::start(move |peer| serve(peer, tune(channels, frame, heartbeat), |_, _| None));
        match attach::<Shop>(&pretended(&hostile)).await {
            Ok(shop) => {
                let connection = shop.queue.client().connection().await.unwrap();
                let configuration = connection.configuration();
                assert!(
                    (4096..=131_072).contains(&configuration.frame_max()),
                    "{}",
                    configuration.frame_max()
                );
                assert!(
                    (1..=2047).contains(&configuration.channel_max()),
                    "{}",
                    configuration.channel_max()
                );
                assert!(
                    (1..=60).contains(&configuration.heartbeat()),
                    "{}",
                    configuration.heartbeat()
                );
                drop(connection);
                shop.detach().await;
            }
            // One channel is not enough for three questions.
            Err(error) => assert_eq!((problems(&error), channels), (vec!["unavailable"], 1)),
        }
        hostile.assert_all_closed().await;
    }
}

#[tokio::test]
async fn bad_bytes_instead_of_a_greeting() {
    for (said, expected) in [
        (b"AMQP\x00\x01\x00\x00".to_vec(), "unavailable"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "protocol"),
        (vec![1, 0, 0, 0xff, 0xff, 0xff, 0xff], "protocol"),
        (vec![0; 64], "protocol"),
        (start(&nested(12), "PLAIN"), ""),
        (start(&nested(40), "PLAIN"), "protocol"),
        (start(&nested(1800), "PLAIN"), "protocol"),
        (start(&entry("version", b'S', PASSWORD.as_bytes()), "PLAIN"), "protocol"),
        (start(&entry("version", b'?', b""), "PLAIN"), "protocol"),
        (start(b"", "EXTERNAL ANONYMOUS RABBIT-CR-DEMO"), "authentication_failed"),
        (tune(0, 0, 0), "protocol"),
        (close(0, 320, "\u{1b}[2J"), "protocol"),
    ] {
        let script = said.clone();
        let hostile = Hostile::start(move |peer| {
            let said = script.clone();
            async move {
                let mut peer = peer.encrypt(&LEAF).await?;
                peer.read().await?;
                peer.write(said).await?;
                // A client that accepts the greeting logs in.
                peer.read().await?;
                peer.write(close(0, 403, "no")).await?;
                Ok(Some(peer))
            }
        });
        let error = refused::<Shop>(&pretended(&hostile), SOON).await;
        let liked = expected.is_empty();
        assert_eq!(
            problems(&error),
            [if liked { "authentication_failed" } else { expected }],
            "{}",
            said.escape_ascii()
        );
        hostile.assert_all_closed().await;
        assert_nothing_in_the_clear(&hostile);
        assert_eq!(
            hostile.heard().iter().any(|heard| canary::find(&heard.secret).is_some()),
            liked,
            "{}",
            said.escape_ascii()
        );
    }
}

#[tokio::test]
async fn bad_bytes_instead_of_an_answer() {
    let deep = frame(
        2,
        1,
        &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x20, 0][..], &long(&nested(15_000))].concat(),
    );
    let huge = frame(2, 1, &[0, 60, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    let got = method(1, (60, 71), &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let (login, delete, get) = ((10, 11), (50, 40), (60, 70));
    for (name, at, said, expected) in [
        (
            "refused",
            login,
            close(0, 403, "ACCESS_REFUSED - Login was refused"),
            "authentication_failed",
        ),
        ("forced", login, close(0, 320, "CONNECTION_FORCED"), "unavailable"),
        ("our secret comes back", login, close(0, 403, PASSWORD), "protocol"),
        ("an unknown code", login, close(0, 999, "\u{1b}[2J"), "unavailable"),
        ("a challenge", login, method(0, (10, 20), &long(b"challenge")), "protocol"),
        ("a second greeting", login, good_start(), "protocol"),
        ("a length", login, vec![1, 0, 0, 0xff, 0xff, 0xff, 0xff], "protocol"),
        ("no end", login, [&tune(0, 0, 0)[..tune(0, 0, 0).len() - 1], &[0]].concat(), "protocol"),
        ("an error in the probe", delete, close(1, 506, "RESOURCE_ERROR"), "unavailable"),
        ("yes", delete, method(1, (50, 41), &[0, 0, 0, 0]), "superuser_account"),
        (
            "what only a client says",
            delete,
            method(1, (50, 10), &[0, 0, 1, b'q', 0, 0, 0, 0, 0]),
            "protocol",
        ),
        ("tables in tables", get, [got.clone(), deep.clone()].concat(), "protocol"),
        ("a message without end", get, [got.clone(), huge.clone()].concat(), "protocol"),
    ] {
        let script = said.clone();
        let hostile = Hostile::start(move |peer| {
            let said = script.clone();
            serve(peer, tune(0, 131_072, 60), move |channel, id| {
                // Each question has a channel of its own.
                let said = said
                    .iter()
                    .enumerate()
                    .map(|(at, byte)| if id != login && at == 2 { channel as u8 } else { *byte });
                (id == at).then(|| said.collect())
            })
        });
        let error = refused::<Shop>(&pretended(&hostile), SOON).await;
        assert_eq!(problems(&error), [expected], "{name}: {error}");
        hostile.assert_all_closed().await;
        assert_nothing_in_the_clear(&hostile);
    }
}

/// The methods that a client has sent, behind its eight bytes of greeting.
fn methods(mut heard: &[u8]) -> Vec<(u16, u16)> {
    heard = &heard[8..];
    let mut methods = Vec::new();
    while let Some(header) = heard.get(..7) {
        let length = 8 + u32::from_be_bytes(header[3..7].try_into().unwrap()) as usize;
        let short = |at: usize| u16::from_be_bytes([heard[at], heard[at + 1]]);
        if header[0] == 1 {
            methods.push((short(7), short(9)));
        }
        heard = &heard[length..];
    }
    methods
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Needy {
    #[service(needs = "CONFIGURE, READ ON QUEUE stock")]
    queue: Resource<Amqp>,
}

/// The effect of a call with a wrong argument on another product is unknown, so no such call is
/// made.
#[tokio::test]
async fn a_broker_that_is_not_rabbitmq_is_not_tried() {
    for product in ["LavinMQ", "Apache Qpid", "rabbitmq", "RabbitMQ ", ""] {
        let hostile = Hostile::start(move |peer| {
            serve_as(start_of(product), peer, tune(0, 131_072, 60), |_, _| None)
        });
        let shop: Shop = attach(&pretended(&hostile)).await.unwrap();
        let posture = shop.queue.posture();
        let says = |what: &str| posture.remarks.iter().any(|remark| remark.contains(what));
        assert!(
            says("the account's privileges are not seen") && !says("only this one was tried"),
            "{:?}",
            posture.remarks
        );
        assert!(posture.privileges.is_empty(), "{:?}", posture.privileges);
        assert_eq!(
            posture.server.as_ref().map(ToString::to_string),
            Some(format!("{} 4.1.0", product))
        );
        let (login, tuned, open) = ((10, 11), (10, 31), (10, 40));
        assert_eq!(methods(&hostile.heard()[0].secret), [login, tuned, open], "{product}");
        shop.detach().await;
        hostile.assert_all_closed().await;

        // Privileges that cannot be compared do not pass. That needs no question either.
        let error = refused::<Needy>(&pretended(&hostile), SOON).await;
        assert_eq!(problems(&error), ["missing_privileges"], "{error}");
        assert!(error.to_string().contains("the broker is not RabbitMQ"), "{error}");
        hostile.assert_all_closed().await;
        let sent = methods(&hostile.heard()[1].secret);
        assert!(
            sent.starts_with(&[login, tuned, open]) && sent.iter().all(|(class, _)| *class == 10),
            "{sent:?}"
        );
    }
    // RabbitMQ itself is tried.
    let hostile = Hostile::start(|peer| serve(peer, tune(0, 131_072, 60), |_, _| None));
    let shop: Shop = attach(&pretended(&hostile)).await.unwrap();
    assert!(
        shop.queue
            .posture()
            .remarks
            .iter()
            .any(|remark| remark.contains("only this one was tried"))
    );
    let sent = methods(&hostile.heard()[0].secret);
    for asked in [(50, 40), (50, 20), (60, 70)] {
        assert!(sent.contains(&asked), "{sent:?}");
    }
    shop.detach().await;
}

#[tokio::test]
async fn a_server_that_drops_the_connection() {
    for at in [(10, 11), (10, 40), (20, 10), (50, 40)] {
        let hostile = Hostile::start(move |peer| async move {
            let dropped = std::sync::atomic::AtomicBool::new(false);
            let served = serve(peer, tune(0, 131_072, 60), |_, id| {
                // A frame that is cut off shows the end more clearly than no bytes.
                (id == at).then(|| {
                    dropped.store(true, std::sync::atomic::Ordering::Relaxed);
                    Vec::new()
                })
            });
            let cut = async {
                while !dropped.load(std::sync::atomic::Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(None)
            };
            tokio::select! { served = served => served, cut = cut => cut }
        });
        let error = refused::<Shop>(&pretended(&hostile), SOON).await;
        assert_eq!(problems(&error), ["unreachable"], "{at:?}");
        assert_nothing_in_the_clear(&hostile);
    }
}
