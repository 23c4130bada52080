//! Servers whose certificate has our own secret as the name of its issuer. No login has happened
//! yet, and still no report, error or log contains it.
//!
//! This file is separate because rustls with its feature `logging` writes a certificate's bytes at
//! `TRACE`, whatever they contain.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::time::{Duration, Instant};

use ::redis::AsyncCommands as _;
use backing_services::{Amqp, BackingServices, Https, Nats, Redis, Resource, Smtp, TokioPostgres};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::echo::{USER, encodings, password, redis};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::Authority;
use backing_services_tests::variables;
use backing_services_tests::{canary, journal};

const SOON: Duration = Duration::from_secs(10);

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

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 4)]
struct Bus {
    bus: Resource<Nats>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 4)]
struct Orders {
    orders: Resource<TokioPostgres>,
}

#[tokio::test]
async fn a_certificate_that_names_the_secret_is_not_repeated() {
    let secret = password("issuer");
    for said in encodings(&secret) {
        let leaf = Authority::new(&said).server();
        let ca = Authority::new("the tests' authority").pem();
        let hostile = Hostile::start(move |mut peer| {
            let leaf = leaf.clone();
            async move {
                // NATS greets first. A PostgreSQL client speaks first. The others begin with TLS.
                let first = peer.read_at_most(8).await?;
                if first.first() == Some(&0) {
                    peer.write("S").await?;
                }
                peer.encrypt(&leaf).await.map(Some)
            }
        });
        let port = hostile.port;
        // If the server consumes the first bytes, there is no handshake. Only PostgreSQL starts in
        // the clear.
        let error = refused::<Orders>(
            &variables::of(
                "SHOP_ORDERS",
                format!("postgres://{USER}@localhost:{port}/shop"),
                &secret,
                &ca,
            ),
            SOON,
        )
        .await;
        assert_eq!(problems(&error), ["unverified_tls"], "{error}");
        assert!(error.to_string().contains("(the password)"), "{error}");
        hostile.assert_all_closed().await;
    }
    for said in encodings(&secret) {
        let leaf = Authority::new(&said).server();
        let ca = Authority::new("the tests' authority").pem();
        let hostile = Hostile::start(move |peer| {
            let leaf = leaf.clone();
            async move { peer.encrypt(&leaf).await.map(Some) }
        });
        let port = hostile.port;
        let errors = [
            refused::<Sessions>(
                &variables::of(
                    "SHOP_SESSIONS",
                    format!("rediss://{USER}@localhost:{port}"),
                    &secret,
                    &ca,
                ),
                SOON,
            )
            .await,
            refused::<Mail>(
                &variables::of(
                    "SHOP_MAIL",
                    format!("smtps://{USER}@localhost:{port}"),
                    &secret,
                    &ca,
                ),
                SOON,
            )
            .await,
            refused::<Rates>(
                &variables::of(
                    "SHOP_RATES",
                    format!("https://localhost:{port}/?health=x"),
                    &secret,
                    &ca,
                ),
                SOON,
            )
            .await,
            refused::<Queue>(
                &variables::of(
                    "SHOP_QUEUE",
                    format!("amqps://{USER}@localhost:{port}"),
                    &secret,
                    &ca,
                ),
                SOON,
            )
            .await,
            refused::<Bus>(
                &variables::of(
                    "SHOP_BUS",
                    format!("tls://{USER}@localhost:{port}?tls_first=true"),
                    &secret,
                    &ca,
                ),
                SOON,
            )
            .await,
        ];
        for error in errors {
            assert_eq!(problems(&error), ["unverified_tls"], "{error}");
            assert!(error.to_string().contains("(the password)"), "{error}");
        }
    }
    journal::assert_silent();
}

#[tokio::test]
async fn redis_that_repeats_the_secret_on_reconnect() {
    let secret = password("redis");
    let authority = Authority::new("the tests' authority");
    for said in encodings(&secret) {
        // The first connection works, but for an error. Later ones reach another server, whose
        // authority is named after our password.
        let (good, other) = (authority.server(), Authority::new(&said).server());
        let answer = format!("-ERR it was {said}\r\n");
        let hostile = Hostile::start(move |peer| {
            let (good, other, answer) = (good.clone(), other.clone(), answer.clone());
            async move {
                if peer.index() == 0 {
                    return redis(peer, &good, "", answer.as_bytes()).await;
                }
                peer.encrypt(&other).await.map(Some)
            }
        });
        let locator = format!("rediss://{USER}@localhost:{}?response_timeout=1000", hostile.port);
        let variables = variables::of("SHOP_SESSIONS", locator, &secret, authority.pem());
        let shop: Sessions = attach(&variables).await.unwrap();
        let begin = Instant::now();
        let before = journal::text().matches("not connected again").count();
        while journal::text().matches("not connected again").count() == before {
            let error = shop.sessions.client().get::<_, String>("greeting").await.unwrap_err();
            canary::assert_error_silent(&error);
            if let Err(refusal) = shop.sessions.health().await {
                canary::assert_error_silent(&refusal);
            }
            assert!(begin.elapsed() < SOON, "it does not come back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shop.detach().await;
        journal::assert_silent();
    }
    let line = journal::text()
        .lines()
        .find(|line| line.contains("not connected again"))
        .unwrap()
        .to_owned();
    assert!(line.contains("(the password)"), "{line}");
}
