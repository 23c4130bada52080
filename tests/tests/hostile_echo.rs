//! Servers that repeat our own secret, in every way and encoding. No report, posture, error or log
//! contains it.
//!
//! Each test has a password of its own. Otherwise the redaction of one resource would hide what
//! another one leaks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ::redis::AsyncCommands as _;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use backing_services::credentials::{Credential, Credentials};
use backing_services::posture::ServerPosture;
use backing_services::problem::FailureKind;
use backing_services::rules::Scheme;
use backing_services::rules::rule::WEAK_AUTHENTICATION;
use backing_services::service::{Attachment, Attempt, Refusal, Target};
use backing_services::source::{Environment, WithCredentials};
use backing_services::{
    Amqp, BackingServices, Failure, Finding, Https, Posture, Redis, Resource, Service, Smtp,
};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary;
use backing_services_tests::echo::{USER, encodings, password, redis};
use backing_services_tests::hostile::{Hostile, Peer};
use backing_services_tests::pki::Authority;
use backing_services_tests::{https as server, journal, variables};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::{AsyncTransport as _, Message};

const SOON: Duration = Duration::from_secs(10);

/// True if our own log has the replacement of a secret.
fn is_redacted_in_the_log() -> bool {
    journal::text().contains("(the password)")
}

fn assert_silent(refusal: &Refusal) {
    canary::assert_error_silent(refusal);
    canary::assert_debug_silent(refusal);
}

// The secrets of a resource's whole life, shown by a service that repeats whatever it is given.

/// A service that returns the text `SAID` everywhere.
struct Echo;

/// The text that the service returns.
static SAID: Mutex<String> = Mutex::new(String::new());

fn said() -> String {
    SAID.lock().unwrap().clone()
}

impl Service for Echo {
    type Client = ();
    type Guard = backing_services::resource::ClientGuard<Self>;
    const NAME: &'static str = "Echo";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("echo").with_port(1)];

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
        let said = said();
        let mut posture = Posture::of::<Self>(target);
        posture.server = Some(ServerPosture::new(&said, &said));
        // It does not make the text printable.
        posture.account = Some(said.clone());
        posture.privileges = vec![said.clone()];
        posture.authentication = Some(said.clone());
        let finding = Finding::new(&WEAK_AUTHENTICATION, format!("it says {said}"))
            .with_help(format!("check {said}"))
            .into_warning();
        Ok(Attachment::new((), posture).with_findings([finding]))
    }

    async fn renew((): &(), _: &Target) -> Result<bool, Refusal> {
        Err(Failure::new(FailureKind::Protocol, format!("renewing says {}", said()), "check it")
            .into())
    }

    async fn health((): &()) -> Result<(), Refusal> {
        Err(Failure::new(FailureKind::Protocol, format!("health says {}", said()), said()).into())
    }

    async fn close((): &()) {}
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 4)]
struct Echoes {
    echo: Resource<Echo>,
}

/// Issues a password that expires after a moment, and then others.
struct Leases(Mutex<usize>);

impl Credentials for Leases {
    async fn fetch(&self) -> Result<Credential, Failure> {
        let count = {
            let mut count = self.0.lock().unwrap();
            *count += 1;
            *count
        };
        let lease = password(&format!("lease{count}"));
        // The server knows each password that it was sent, and repeats them all.
        SAID.lock().unwrap().push_str(&format!(" {lease}"));
        Ok(Credential::new(lease).with_not_after(SystemTime::now() + Duration::from_secs(1)))
    }
}

#[tokio::test]
async fn every_password_of_a_resources_life_is_redacted() {
    journal::open();
    let with = |password: &str| {
        Environment::from_iter([
            ("SHOP_ECHO_URL", "echo://ada@localhost".to_owned()),
            ("SHOP_ECHO_PASSWORD", password.to_owned()),
        ])
    };
    let all_silent = async |services: &Echoes| {
        canary::assert_silent("a posture", &services.echo.posture().to_string());
        canary::assert_debug_silent(&services.echo.posture());
        assert_silent(&services.echo.health().await.unwrap_err());
        canary::assert_debug_silent(&services.echo.refresh_posture().await.unwrap());
        journal::assert_silent();
    };
    let (first, second, third) = (password("first"), password("second"), password("third"));
    *SAID.lock().unwrap() = encodings(&first).join(" ");
    let services = Echoes::attach_from(&with(&first)).await.unwrap();
    all_silent(&services).await;
    assert!(services.echo.posture().account.as_deref().unwrap().contains("(the password)"));

    // Reattached: the former password is as secret as the current one.
    services.echo.reattach(&with(&second)).await.unwrap();
    services.echo.reattach(&with(&third)).await.unwrap();
    *SAID.lock().unwrap() =
        [&first, &second, &third].map(|password| encodings(password).join(" ")).join(" ");
    all_silent(&services).await;
    services.detach().await;

    // Each fetched password was tried, even if renewal failed, so the server knows it.
    let source =
        WithCredentials::new(Environment::from_iter([("SHOP_ECHO_URL", "echo://ada@localhost")]))
            .of("SHOP_ECHO", Leases(Mutex::new(0)));
    SAID.lock().unwrap().clear();
    let services = Echoes::attach_from(&source).await.unwrap();
    let begin = Instant::now();
    while !journal::text().contains("renewing says") || begin.elapsed() < Duration::from_secs(3) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(begin.elapsed() < SOON, "nothing was renewed");
    }
    assert!(said().contains("lease2"));
    assert_silent(&services.echo.health().await.unwrap_err());
    services.detach().await;
    assert!(is_redacted_in_the_log());
    journal::text()
        .lines()
        .filter(|line| line.contains("renewing says"))
        .for_each(|line| canary::assert_silent("a line", line));
}

// Texts of a server after the login.

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 4)]
struct Sessions {
    sessions: Resource<Redis>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 4)]
struct Mail {
    mail: Resource<Smtp>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 4)]
struct Rates {
    rates: Resource<Https>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 4)]
struct Queue {
    queue: Resource<Amqp>,
}

#[tokio::test]
async fn redis_with_the_secret_as_version_or_long_error() {
    let secret = password("version");
    let authority = Authority::new("the tests' authority");
    for said in encodings(&secret) {
        let leaf = authority.server();
        let text = format!("ERR {said}");
        let (version, answer) = (format!("7.4.1-{said}"), format!("!{}\r\n{text}\r\n", text.len()));
        let hostile = Hostile::start(move |peer| {
            let (leaf, version, answer) = (leaf.clone(), version.clone(), answer.clone());
            async move { redis(peer, &leaf, &version, answer.as_bytes()).await }
        });
        let locator = format!("rediss://{USER}@localhost:{}?response_timeout=1000", hostile.port);
        let shop: Sessions =
            attach(&variables::of("SHOP_SESSIONS", locator, &secret, authority.pem()))
                .await
                .unwrap();
        assert!(shop.sessions.posture().to_string().contains("(the password)"));
        canary::assert_error_silent(
            &shop.sessions.client().get::<_, String>("greeting").await.unwrap_err(),
        );
        shop.detach().await;
    }
    journal::assert_silent();
}

/// A relay that has this text in each answer. If the code is one of a refusal, it refuses with it.
async fn relay(mut peer: Peer, said: &str, code: &str) -> std::io::Result<Option<Peer>> {
    peer.write(format!("220 {said} ESMTP\r\n")).await?;
    peer.read().await?;
    peer.write(format!("250-{said}\r\n250 AUTH PLAIN\r\n")).await?;
    loop {
        let command = String::from_utf8_lossy(&peer.read().await?).into_owned();
        let answer = match command.get(..4).unwrap_or_default() {
            "AUTH" if code == "535" => code,
            "AUTH" => "235",
            "MAIL" if code == "550" => code,
            "DATA" => "354",
            "MAIL" | "RCPT" | "NOOP" | "QUIT" => "250",
            _ if command.ends_with("\r\n.\r\n") => "250",
            _ => continue,
        };
        peer.write(format!("{answer}-2.0.0 {said}\r\n{answer} {said}\r\n")).await?;
    }
}

#[tokio::test]
async fn a_relay_that_repeats_the_secret() {
    let secret = password("smtp");
    let authority = Authority::new("the tests' authority");
    let message = || {
        let builder = Message::builder()
            .from("shop@shop.example".parse().unwrap())
            .to("customer@post.example".parse().unwrap());
        builder.subject("x").body("Your order was sent.".to_owned()).unwrap()
    };
    for said in encodings(&secret) {
        for code in ["535", "550", "250"] {
            let (said, leaf) = (said.clone(), authority.server());
            let hostile = Hostile::start(move |peer| {
                let (said, leaf) = (said.clone(), leaf.clone());
                async move { relay(peer.encrypt(&leaf).await?, &said, code).await }
            });
            let locator =
                format!("smtps://{USER}@localhost:{}?response_timeout=2000", hostile.port);
            let variables = variables::of("SHOP_MAIL", locator, &secret, authority.pem());
            if code == "535" {
                assert_eq!(
                    problems(&refused::<Mail>(&variables, SOON).await),
                    ["authentication_failed"]
                );
            } else {
                let shop: Mail = attach(&variables).await.unwrap();
                let server = shop.mail.posture().server.clone().unwrap().to_string();
                assert!(server.contains("(the"), "{server}");
                match shop.mail.client().send(message()).await {
                    Ok(response) => canary::assert_debug_silent(&response),
                    Err(error) => {
                        assert_eq!(error.code(), Some(550), "{error}");
                        canary::assert_error_silent(&error);
                        assert_silent(error.refusal());
                    }
                }
                shop.detach().await;
            }
            let heard = hostile.heard();
            let login =
                format!("AUTH PLAIN {}\r\n", STANDARD.encode(format!("\0{USER}\0{secret}")));
            assert!(
                heard
                    .iter()
                    .any(|heard| canary::position(&heard.secret, login.as_bytes()).is_some()),
                "it is our login"
            );
        }
    }
    journal::assert_silent();
}

/// An API server that has the given text in its header `Server`, and is of no use otherwise.
fn api(authority: Authority, said: Arc<Mutex<String>>) -> server::Https {
    let leaf = authority.server();
    let app = Router::new().fallback(any(move || {
        let said = said.lock().unwrap().clone();
        async move { (StatusCode::OK, [("server", said.clone())], said) }
    }));
    server::Https::serve(authority, &leaf, app)
}

#[tokio::test]
async fn an_api_that_repeats_a_former_secret() {
    let (first, second) = (password("token1"), password("token2"));
    let said = Arc::new(Mutex::new(first.clone()));
    let server = api(Authority::new("the tests' authority"), Arc::clone(&said));
    let with = |secret: &str| {
        variables::of(
            "SHOP_RATES",
            format!("https://localhost:{}/?health=/health", server.port),
            secret,
            server.authority.pem(),
        )
    };
    let shop: Rates = attach(&with(&first)).await.unwrap();
    assert_eq!(shop.rates.posture().server.as_ref().unwrap().to_string(), "(the password)");
    shop.reattach(&Environment::from_iter(with(&second))).await.unwrap();
    for secret in [&first, &second] {
        for text in encodings(secret) {
            *said.lock().unwrap() = text;
            let posture = shop.rates.refresh_posture().await.unwrap();
            assert!(posture.to_string().contains("(the password)"), "{posture}");
            canary::assert_silent("a posture", &posture.to_string());
        }
    }
    shop.detach().await;
    journal::assert_silent();
}

#[tokio::test]
async fn a_secret_in_a_path_is_not_reported() {
    // Slack, Discord and Telegram have secrets in the path.
    let token = password("webhook");
    let said = Arc::new(Mutex::new(String::new()));
    let server = api(Authority::new("the tests' authority"), Arc::clone(&said));
    let port = server.port;
    let variables = vec![
        (
            "SHOP_RATES_URL",
            format!("https://localhost:{port}/services/T024BE7LD/B00000000/{token}?health=/"),
        ),
        ("SHOP_RATES_CA", server.authority.pem()),
    ];
    for text in [
        token.clone(),
        format!("/services/T024BE7LD/B00000000/{token}"),
        format!("services%2FT024BE7LD%2FB00000000%2F{token}"),
    ] {
        *said.lock().unwrap() = text;
        let shop: Rates = attach(&variables).await.unwrap();
        let posture = shop.rates.posture();
        assert_eq!(posture.endpoint, format!("https://localhost:{port}/"));
        assert_eq!(
            server.requests().last().unwrap(),
            &format!("GET /services/T024BE7LD/B00000000/{token}")
        );
        assert!(!posture.to_string().contains("T024BE7LD"), "{posture}");
        canary::assert_silent("JSON", &serde_json::to_string(&*posture).unwrap());
        let client = shop.rates.client();
        canary::assert_debug_silent(&*client);
        canary::assert_debug_silent(&client.post(""));
        let response = client.post("").body("{}").send().await.unwrap();
        canary::assert_debug_silent(&response);
        canary::assert_error_silent(&client.get("../x").send().await.unwrap_err());
        drop((response, client));
        shop.detach().await;
    }
    let mut away = variables.clone();
    away[0].1 = away[0].1.replace(&port.to_string(), "1");
    let error = refused::<Rates>(&away, SOON).await;
    assert_eq!(problems(&error), ["unreachable"]);
    journal::assert_silent();
}

/// A frame of AMQP.
fn frame(channel: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[1][..], &channel.to_be_bytes(), &length, payload, &[0xCE]].concat()
}

#[tokio::test]
async fn a_broker_that_repeats_the_secret() {
    let secret = password("amqp");
    let authority = Authority::new("the tests' authority");
    for said in encodings(&secret) {
        for in_greeting in [true, false] {
            let (leaf, said) = (authority.server(), said.clone());
            let hostile = Hostile::start(move |peer| {
                let (leaf, said) = (leaf.clone(), said.clone());
                async move {
                    let mut peer = peer.encrypt(&leaf).await?;
                    peer.read().await?;
                    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_be_bytes();
                    let version = if in_greeting { said.as_bytes() } else { b"3.13" };
                    let table = [b"\x07versionS", &length(version)[..], version].concat();
                    let start = [
                        b"\0\x0a\0\x0a\0\x09",
                        &length(&table)[..],
                        &table,
                        &length(b"PLAIN"),
                        b"PLAIN",
                        &length(b"en_US"),
                        b"en_US",
                    ];
                    peer.write(frame(0, &start.concat())).await?;
                    peer.read().await?;
                    let text = [&[u8::try_from(said.len()).unwrap()][..], said.as_bytes()].concat();
                    peer.write(frame(0, &[b"\0\x0a\0\x32\x01\x93", &text[..], &[0; 4]].concat()))
                        .await?;
                    Ok(Some(peer))
                }
            });
            let variables = variables::of(
                "SHOP_QUEUE",
                format!("amqps://{USER}@localhost:{}/shop", hostile.port),
                &secret,
                authority.pem(),
            );
            let error = refused::<Queue>(&variables, SOON).await;
            assert_eq!(problems(&error), ["protocol"], "{error}");
            let heard = hostile.heard();
            let logged_in = heard.iter().any(|heard| canary::find(&heard.secret).is_some());
            assert_eq!(logged_in, !in_greeting, "who says it back in the greeting is not sent it");
        }
    }
    journal::assert_silent();
}
