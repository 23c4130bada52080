//! SMTP: valid, faulty and hostile relays.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use backing_services::posture::TrustPosture;
use backing_services::problem::FailureKind;
use backing_services::service::Refusal;
use backing_services::services::smtp::SmtpError;
use backing_services::{BackingServices, Resource, Smtp};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::hostile::{Hostile, Peer, under_tls};
use backing_services_tests::journal;
use backing_services_tests::pki::{self, Authority};
use backing_services_tests::relay::{Flow, Relay};
use backing_services_tests::smtp::{self as server, USER};
use backing_services_tests::variables::{self, Variables};
use lettre::{AsyncTransport as _, Message};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    mail: Resource<Smtp>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Waived {
    #[service(allow(starttls, reason = "this relay speaks TLS from the first byte on there"))]
    mail: Resource<Smtp>,
}

/// No test here reaches this limit, unless it says so.
const SOON: Duration = Duration::from_secs(10);

/// The server that most tests share.
static SERVER: LazyLock<server::Smtp> = LazyLock::new(server::Smtp::start);

fn variables(server: &server::Smtp) -> Variables {
    variables::of("SHOP_MAIL", server.locator(), PASSWORD, server.authority.pem())
}

fn message(subject: &str) -> Message {
    let builder = Message::builder()
        .from("shop@shop.example".parse().unwrap())
        .to("customer@post.example".parse().unwrap());
    builder.subject(subject).body("Your order was sent.".to_owned()).unwrap()
}

/// A server that runs `script` under TLS, and the variables to connect to it.
fn hostile<F>(
    query: &str,
    script: impl Fn(Peer) -> F + Clone + Send + Sync + 'static,
) -> (Hostile, Variables)
where
    F: Future<Output = std::io::Result<Option<Peer>>> + Send + 'static,
{
    let (hostile, ca) = under_tls(script);
    let variables = variables::of(
        "SHOP_MAIL",
        format!("smtps://{USER}@localhost:{}{query}", hostile.port),
        PASSWORD,
        ca,
    );
    (hostile, variables)
}

/// Sends the greeting, and then one of the answers for each line that it receives.
async fn answers(peer: &mut Peer, answers: &[&str]) -> std::io::Result<()> {
    peer.write("220 post.example ESMTP\r\n").await?;
    for answer in answers {
        peer.read().await?;
        peer.write(answer).await?;
    }
    Ok(())
}

const EHLO: &str = "250-post.example\r\n250 AUTH PLAIN\r\n";
const WELCOME: [&str; 3] = [EHLO, "235 ok\r\n", "250 ok\r\n"];

/// The secret was sent under TLS only, or not at all.
fn assert_no_secret_in_the_clear(hostile: &Hostile) {
    for heard in hostile.heard() {
        assert!(canary::find(&heard.plain).is_none());
    }
}

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let server = server::Smtp::start();
    let mut variables = variables(&server);
    variables[0].1 += "?ehlo=shop.example";
    let shop: Shop = attach(&variables).await.unwrap();
    let posture = shop.mail.posture();
    let tls = posture.tls.as_ref().unwrap();
    assert_eq!(tls.version, "TLS 1.3");
    assert_eq!(tls.trust, TrustPosture::PrivateCa);
    assert_eq!(tls.certificate.subject, format!("CN={}", pki::SUBJECT));
    assert_eq!(posture.service, "SMTP");
    assert_eq!(posture.endpoint, format!("smtps://localhost:{}/", server.port));
    assert_eq!(posture.server.as_ref().map(ToString::to_string).as_deref(), Some("post.example"));
    assert_eq!(posture.account.as_deref(), Some(USER));
    assert_eq!(posture.authentication.as_deref(), Some("AUTH PLAIN"));
    assert!(posture.remarks.is_empty() && posture.findings.is_empty());

    let mail = shop.mail.client();
    let response = mail.send(message("number one")).await.unwrap();
    assert!(response.is_positive());
    server.assert_delivered("Subject: number one").await;
    let delivered = server.mail();
    assert!(
        delivered.contains("Your order was sent.") && delivered.contains("esmtpsa"),
        "{delivered}"
    );
    assert!(delivered.contains("helo=shop.example"), "{delivered}");
    canary::assert_debug_silent(&*mail);

    // Ten concurrent messages over a pool.
    let sent: Vec<_> = (0..10)
        .map(|i| {
            let mail = mail.clone();
            tokio::spawn(async move { mail.send(message(&format!("batch {i}."))).await })
        })
        .collect();
    for sent in sent {
        sent.await.unwrap().unwrap();
    }
    for i in 0..10 {
        server.assert_delivered(&format!("Subject: batch {i}.")).await;
    }
    shop.mail.health().await.unwrap();
    assert!((1..=10).contains(&server.connections()), "{}", server.connections());
    let clone = mail.clone();
    drop(mail);
    shop.detach().await;
    server.assert_no_connection().await;
    let error = clone.send(message("too late")).await.unwrap_err();
    assert!(
        matches!(
            error.refusal(),
            Refusal::Failure(failure) if failure.kind() == FailureKind::Unavailable
        ),
        "{error}"
    );
    assert!(canary::find(server.log().as_bytes()).is_none());
    journal::assert_silent();
}

#[tokio::test]
async fn a_message_that_is_refused() {
    let shop: Shop = attach(&variables(&SERVER)).await.unwrap();
    let mail = shop.mail.client();
    let from = |sender: &str, subject: &str| {
        let builder = Message::builder()
            .from(sender.parse().unwrap())
            .to("customer@post.example".parse().unwrap());
        builder.subject(subject).body("x".to_owned()).unwrap()
    };
    let error = mail.send(from("never@post.example", "never")).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), (Some(550), false), "{error}");
    canary::assert_error_silent(&error);
    let error = mail.send(from("later@post.example", "later")).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), (Some(451), true), "{error}");
    // The pool still works.
    mail.send(message("after the refusal")).await.unwrap();
    SERVER.assert_delivered("Subject: after the refusal").await;
    drop(mail);
    shop.detach().await;
}

#[tokio::test]
async fn a_server_that_offers_starttls_is_sent_no_command() {
    let hostile = Hostile::start(|mut peer| async {
        peer.write(
            "220 post.example ESMTP\r\n250-post.example\r\n250-STARTTLS\r\n\
             250 AUTH PLAIN\r\n220 go\r\n",
        )
        .await?;
        Ok(Some(peer))
    });
    let mut variables = variables(&SERVER);
    variables[0].1 = format!("smtps://{USER}@localhost:{}", hostile.port);
    assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), ["obsolete_tls"]);
    assert_no_secret_in_the_clear(&hostile);
    assert_eq!(hostile.heard().len(), 1, "no second try");
    for heard in hostile.heard() {
        assert!(
            canary::position(&heard.plain, b"EHLO").is_none()
                && canary::position(&heard.plain, b"STARTTLS").is_none()
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_greet() {
    let (mute, variables) = hostile("?response_timeout=700", |peer| async { Ok(Some(peer)) });
    assert_eq!(problems(&refused::<Shop>(&variables, Duration::from_secs(5)).await), ["timed_out"]);
    mute.assert_all_closed().await;
}

#[tokio::test]
async fn refused_before_anything_is_dialled() {
    for (url, user, password, rule) in [
        ("smtps://localhost:465", "admin", "admin", "default_credentials"),
        ("smtps://localhost:465", USER, "", "missing_credentials"),
        ("smtps://localhost:465", USER, "${MAIL_PASSWORD}", "placeholder_value"),
        ("smtps://localhost:465", USER, "winkelier", "weak_password"),
        ("smtps://mail.example.com:587", USER, PASSWORD, "starttls"),
        ("smtp://mail.example.com", USER, PASSWORD, "plaintext_scheme"),
        ("smtp://mail.example.com:587", USER, PASSWORD, "plaintext_scheme"),
        ("smtps://mail.example.com?tls=opportunistic", USER, PASSWORD, "opportunistic_tls"),
        ("smtps://mail.example.com?tls=none", USER, PASSWORD, "opportunistic_tls"),
        ("smtps://mail.example.com?tls=false", USER, PASSWORD, "plaintext_scheme"),
        ("smtps://mail.example.com?verify=none", USER, PASSWORD, "unverified_tls"),
        ("smtps://mail.example.com?starttls=true", USER, PASSWORD, "unknown_parameter"),
        ("smtps://mail.example.com?auth=cram-md5", USER, PASSWORD, "unknown_parameter"),
        ("smtps://mail.example.com?ehlo=a%20b", USER, PASSWORD, "malformed_locator"),
        ("smtps://mail.example.com?ehlo=a%0d%0aQUIT", USER, PASSWORD, "ambiguous_locator"),
        ("smtps://mail.example.com/shop.example", USER, PASSWORD, "malformed_locator"),
        ("smtps://169.254.169.254", USER, PASSWORD, "forbidden_address"),
    ] {
        let mut variables = vec![("SHOP_MAIL_URL", url), ("SHOP_MAIL_USER", user)];
        variables.extend(Some(("SHOP_MAIL_PASSWORD", password)).filter(|_| !password.is_empty()));
        assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), [rule], "{url} {user}");
    }
    // The waiver applies to the port, not to TLS: the client sends nothing before TLS.
    let waived = [
        ("SHOP_MAIL_URL", "smtps://127.0.0.2:587"),
        ("SHOP_MAIL_USER", USER),
        ("SHOP_MAIL_PASSWORD", PASSWORD),
    ];
    let error = refused::<Waived>(&waived, SOON).await;
    assert_eq!(problems(&error), ["unreachable"]);
    assert!(rules(error.findings()).contains(&"starttls"));
}

#[tokio::test]
async fn it_comes_back_as_soon_as_the_server_does() {
    let mut server = server::Smtp::start();
    let relay = Relay::to(server.port);
    let mut variables = variables(&server);
    variables[0].1 = format!("smtps://{USER}@localhost:{}", relay.port);
    let shop: Shop = attach(&variables).await.unwrap();
    shop.mail.health().await.unwrap();
    assert_eq!(relay.accepted(), 1, "the connection of attaching is the pool's");
    server.stop();
    relay.set(Flow::ForcedClose);
    shop.mail.health().await.unwrap_err();
    relay.set(Flow::Open);
    server.restart();
    shop.mail.health().await.unwrap();
    shop.mail.client().send(message("back again")).await.unwrap();
    server.assert_delivered("Subject: back again").await;
    shop.detach().await;
}

#[tokio::test]
async fn a_relay_that_asks_for_no_login() {
    for ehlo in ["250 post.example\r\n", "250-post.example\r\n250 AUTH CRAM-MD5 GSSAPI\r\n"] {
        let (server, variables) = hostile("", move |mut peer| async move {
            answers(&mut peer, &[ehlo, "250 ok\r\n"]).await?;
            Ok(Some(peer))
        });
        assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), ["weak_authentication"]);
        for heard in server.heard() {
            assert!(canary::find(&heard.secret).is_none() && canary::find(&heard.plain).is_none());
        }
    }
}

#[tokio::test]
async fn invalid_answers() {
    let greetings: [&'static [u8]; 7] = [
        b"SSH-2.0-hushed\r\n", b"HTTP/1.1 400 hushed\r\n\r\n", b"999 hushed\r\n",
        b"\x1b[2Jgeheim\r\n", b"220-a\r\n221 b\r\n", b"\xff\xfe\r\n", b"22",
    ];
    for greeting in greetings {
        let (server, variables) = hostile("?response_timeout=1000", move |mut peer| async move {
            peer.write(greeting).await?;
            if greeting.len() == 2 { Ok(None) } else { Ok(Some(peer)) }
        });
        let error = refused::<Shop>(&variables, SOON).await;
        let found = problems(&error);
        assert!(
            matches!(found[..], ["protocol" | "unreachable" | "timed_out"]),
            "{}: {found:?}",
            String::from_utf8_lossy(greeting)
        );
        assert!(!error.to_string().contains("hushed"), "{error}");
        for heard in server.heard() {
            assert!(canary::find(&heard.secret).is_none());
        }
    }
    for (code, kind) in [
        ("421 hushed", "unavailable"),
        ("554 hushed", "unavailable"),
        ("535 hushed", "authentication_failed"),
    ] {
        let (_server, variables) = hostile("", move |mut peer| async move {
            peer.write(format!("{code}\r\n")).await?;
            Ok(Some(peer))
        });
        let error = refused::<Shop>(&variables, SOON).await;
        assert_eq!(problems(&error), [kind]);
        assert!(!error.to_string().contains("hushed"), "{error}");
    }
    // The server echoes the secret in its reply to the login.
    let (_server, variables) = hostile("", |mut peer| async move {
        answers(&mut peer, &[EHLO]).await?;
        let heard = peer.read().await?;
        peer.write([b"535 ", heard.as_slice()].concat()).await?;
        Ok(Some(peer))
    });
    assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), ["authentication_failed"]);
}

#[tokio::test]
async fn endless_answers() {
    let endless_line = |mut peer: Peer| async move { peer.flood(b"220 hushed ").await };
    let endless_lines = |mut peer: Peer| async move { peer.flood(b"220-hushed\r\n").await };
    let slow = |mut peer: Peer| async move {
        for byte in b"220-hushed\r\n".iter().cycle() {
            peer.write([*byte]).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(None)
    };
    let challenges = |mut peer: Peer| async move {
        answers(&mut peer, &["250-post.example\r\n250 AUTH LOGIN\r\n"]).await?;
        loop {
            peer.read().await?;
            peer.write("334 VXNlcm5hbWU6\r\n").await?;
        }
    };
    let ehlo = |mut peer: Peer| async move {
        answers(&mut peer, &[]).await?;
        peer.read().await?;
        peer.flood(b"250-AUTH PLAIN\r\n").await
    };
    async fn kind<F>(
        script: impl Fn(Peer) -> F + Clone + Send + Sync + 'static,
    ) -> Vec<&'static str>
    where
        F: Future<Output = std::io::Result<Option<Peer>>> + Send + 'static,
    {
        let (server, variables) = hostile("?response_timeout=1500", script);
        let error = refused::<Shop>(&variables, SOON).await;
        assert!(!error.to_string().contains("hushed"), "{error}");
        server.assert_all_closed().await;
        assert_no_secret_in_the_clear(&server);
        problems(&error)
    }
    assert_eq!(kind(endless_line).await, ["protocol"]);
    assert_eq!(kind(endless_lines).await, ["protocol"]);
    assert_eq!(kind(ehlo).await, ["protocol"]);
    assert_eq!(kind(slow).await, ["timed_out"]);
    assert!(matches!(kind(challenges).await[..], ["protocol" | "unavailable"]));
}

#[tokio::test]
async fn a_servers_name_is_escaped() {
    let (_server, variables) = hostile("", |mut peer| async move {
        answers(
            &mut peer,
            &[
                "250-evil\x1b[2J\u{202e}name hello\r\n250 AUTH PLAIN\r\n",
                "235 ok\r\n",
                "250 ok\r\n",
            ],
        )
        .await?;
        Ok(Some(peer))
    });
    // `attach` checks the posture.
    if let Ok(shop) = attach::<Shop>(&variables).await {
        assert!(!shop.mail.posture().to_string().contains('\u{1b}'));
        shop.detach().await;
    }
}

#[tokio::test]
async fn a_late_answer_is_not_the_answer_to_the_next_message() {
    // The server is late with its reply to the first message of a connection. The late reply must
    // not count as the reply to the next command.
    let (server, variables) = hostile("?response_timeout=600", |mut peer| async move {
        answers(&mut peer, &WELCOME).await?;
        if peer.index() == 0 {
            // The client first checks with a command that the idle connection still answers. Then
            // it sends the message.
            peer.read().await?;
            peer.write("250 ok\r\n").await?;
            peer.read().await?;
            tokio::time::sleep(Duration::from_millis(1200)).await;
            peer.write("250 ok\r\n").await?;
            return Ok(Some(peer));
        }
        loop {
            let heard = peer.read().await?;
            peer.write(if heard.starts_with(b"DATA") {
                "354 go\r\n"
            } else if heard.ends_with(b"\r\n.\r\n") || !heard.starts_with(b"From") {
                "250 ok\r\n"
            } else {
                ""
            })
            .await?;
        }
    });
    let shop: Shop = attach(&variables).await.unwrap();
    let mail = shop.mail.client();
    let begin = Instant::now();
    let error: SmtpError = mail.send(message("too slow")).await.unwrap_err();
    assert!(
        matches!(
            error.refusal(),
            Refusal::Failure(failure) if failure.kind() == FailureKind::TimedOut
        ),
        "{error}"
    );
    assert!(begin.elapsed() < Duration::from_secs(2));
    mail.send(message("the next one")).await.unwrap();

    // The same for a caller that drops the future.
    let mut broken_off = mail.send(message("dropped"));
    std::future::poll_fn(|context| {
        assert!(broken_off.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(broken_off);
    mail.send(message("another one")).await.unwrap();
    let heard = server.heard();
    assert!(canary::position(&heard[0].secret, b"the next one").is_none());
    drop(mail);
    shop.detach().await;
    server.assert_all_closed().await;
}

/// These tests are built with `debug_assertions`, so plaintext to a loopback address gives a
/// warning only.
#[tokio::test]
async fn plaintext_to_a_loopback_address() {
    let server = server::Smtp::with(Authority::new("an unused authority"), None);
    let url = format!("smtp://{USER}@localhost:{}", server.port);
    let shop: Shop =
        attach(&[("SHOP_MAIL_URL", url.as_str()), ("SHOP_MAIL_PASSWORD", PASSWORD)]).await.unwrap();
    assert!(shop.mail.posture().tls.is_none());
    shop.mail.client().send(message("in plain text")).await.unwrap();
    server.assert_delivered("Subject: in plain text").await;
    shop.detach().await;
}

/// lettre sends `QUIT` after an error, to a server that has just been refused.
#[tokio::test]
async fn nothing_is_sent_after_an_answer_that_is_too_long() {
    let (server, variables) = hostile("", |mut peer| async move {
        answers(&mut peer, &WELCOME).await?;
        // `NOOP`, and then `MAIL`.
        peer.read().await?;
        peer.write("250 ok\r\n").await?;
        peer.read().await?;
        peer.write("250-ok\r\n".repeat(2000)).await?;
        Ok(Some(peer))
    });
    let shop: Shop = attach(&variables).await.unwrap();
    let error = shop.mail.client().send(message("refused")).await.unwrap_err();
    assert!(error.to_string().contains("protocol"), "{error}");
    shop.detach().await;
    server.assert_all_closed().await;
    let heard = &server.heard()[0].secret;
    assert!(canary::position(heard, b"MAIL FROM").is_some());
    assert!(canary::position(heard, b"QUIT").is_none(), "{}", heard.escape_ascii());
}

#[tokio::test]
async fn detaching_waits_for_messages_in_flight() {
    let (server, variables) = hostile("", |mut peer| async move {
        answers(&mut peer, &WELCOME).await?;
        // `NOOP`, `MAIL`, `RCPT`, `DATA`.
        for answer in ["250 ok\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"] {
            peer.read().await?;
            peer.write(answer).await?;
        }
        while !peer.read().await?.ends_with(b"\r\n.\r\n") {}
        tokio::time::sleep(Duration::from_millis(800)).await;
        peer.write("250 ok\r\n").await?;
        Ok(Some(peer))
    });
    let shop: Shop = attach(&variables).await.unwrap();
    let mail = shop.mail.client().clone();
    let sent = tokio::spawn(async move { mail.send(message("in flight")).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begin = Instant::now();
    shop.detach().await;
    assert!(begin.elapsed() > Duration::from_millis(200), "it was waited for");
    sent.await.unwrap().unwrap();
    server.assert_all_closed().await;
}
