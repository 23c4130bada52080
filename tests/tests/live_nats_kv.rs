//! A NATS key-value bucket as a source, on a real server. No logger is installed in this process,
//! because the driver would log the values. `live_nats_kv_refused.rs` checks that the source is
//! refused if one is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, kv, stream};
use backing_services::secrecy::ExposeSecret as _;
use backing_services::source::{ChangeListener, Source as _, Sources};
use backing_services::stores::NatsKv;
use backing_services::{BackingServices, Environment, Nats, Resource};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::nats::{self as server, USER};
use backing_services_tests::relay::{Flow, Relay};
use backing_services_tests::variables::{self, Variables};

/// A resource that connects to the bucket's server.
#[derive(BackingServices)]
#[services(deadline = 20)]
struct Writer {
    store: Resource<Nats>,
}

fn variables(server: &server::Nats, base: &'static str) -> Variables {
    variables::of(base, server.locator(), PASSWORD, server.authority.pem())
}

async fn connect(server: &server::Nats) -> NatsKv {
    let source =
        NatsKv::connect(&Environment::from_iter(variables(server, "CONFIG")), "CONFIG", "shop")
            .await
            .unwrap();
    canary::assert_debug_silent(&source);
    source
}

/// The client that fills the bucket, and the bucket.
async fn writer(server: &server::Nats) -> (Writer, kv::Store) {
    let writer =
        Writer::attach_from(&Environment::from_iter(variables(server, "STORE"))).await.unwrap();
    let context = jetstream::new(writer.store.client().clone());
    // This is the driver's own request to create a bucket. The driver itself asks for the account's
    // limits first, and it cannot read those of an older server.
    let config = stream::Config {
        name: "KV_shop".to_owned(),
        subjects: vec!["$KV.shop.>".to_owned()],
        max_messages_per_subject: 1,
        allow_rollup: true,
        deny_delete: true,
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    let store = context.get_key_value("shop").await.unwrap();
    (writer, store)
}

fn value(source: &NatsKv, variable: &str) -> Option<String> {
    source.get(variable).unwrap().map(|value| value.text().expose_secret().to_owned())
}

/// Waits for the next change, and returns the variable's new value.
async fn next(signal: &mut ChangeListener, source: &NatsKv, variable: &str) -> Option<String> {
    let told = tokio::time::timeout(Duration::from_secs(30), signal.changed()).await;
    assert!(told.expect("the change is reported"), "the source is there");
    value(source, variable)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_is_reported_and_then_readable() {
    let mut server = server::Nats::start();
    server.authorize(server::users_of_buckets(PASSWORD));
    server.restart();
    let none =
        NatsKv::connect(&Environment::from_iter(variables(&server, "CONFIG")), "CONFIG", "shop")
            .await;
    assert!(
        none.expect_err("there is no bucket yet")
            .to_string()
            .contains("error[unavailable]: there is no such bucket")
    );
    let (writer, store) = writer(&server).await;

    // A bucket without messages sends no initial value to wait for.
    let source = connect(&server).await;
    assert_eq!(source.name(), "the bucket `shop` of NATS");
    let mut signal = source.changes().signals()[0].clone();
    store.put("SHOP_KEY", PASSWORD.into()).await.unwrap();
    assert_eq!(next(&mut signal, &source, "SHOP_KEY").await.as_deref(), Some(PASSWORD));
    drop(source);

    // A source has the existing values as soon as it is connected.
    store.put("not-a-variable", "x".into()).await.unwrap();
    store.put("SHOP_NEW", "new".into()).await.unwrap();
    let source = connect(&server).await;
    assert_eq!(
        (value(&source, "SHOP_KEY").as_deref(), value(&source, "SHOP_NEW").as_deref()),
        (Some(PASSWORD), Some("new"))
    );
    assert_eq!(value(&source, "not-a-variable"), None);
    let mut signal = source.changes().signals()[0].clone();
    store.delete("SHOP_NEW").await.unwrap();
    assert_eq!(next(&mut signal, &source, "SHOP_NEW").await, None);

    // The value stays available while the server is down, and later changes are reported.
    server.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(value(&source, "SHOP_KEY").as_deref(), Some(PASSWORD));
    server.restart();
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    while let Err(error) = store.put("SHOP_KEY", "two".into()).await {
        assert!(tokio::time::Instant::now() < end, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(next(&mut signal, &source, "SHOP_KEY").await.as_deref(), Some("two"));
    drop(source);
    writer.detach().await;
}

/// A bucket's content cannot name a file of this machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_names_no_file() {
    let mut server = server::Nats::start();
    server.authorize(server::users_of_buckets(PASSWORD));
    server.restart();
    let (writer, store) = writer(&server).await;
    for (name, value) in variables(&server, "SHOP_STORE")
        .into_iter()
        .filter(|(name, _)| *name != "SHOP_STORE_PASSWORD")
    {
        store.put(name, value.into()).await.unwrap();
    }
    store.put("SHOP_STORE_PASSWORD_FILE", "/proc/self/environ".into()).await.unwrap();
    let source = connect(&server).await;
    let before = server.accepted();
    #[derive(BackingServices)]
    #[services(prefix = "SHOP", deadline = 20)]
    struct Shop {
        #[allow(dead_code, reason = "it is never attached")]
        store: Resource<Nats>,
    }
    let empty = Environment::from_iter([("OTHER", "x")]);
    for error in [
        Shop::attach_from(&source).await.err().unwrap(),
        Shop::attach_from(&Sources::new().then(empty).then(source.clone())).await.err().unwrap(),
    ] {
        canary::assert_error_silent(&error);
        let denied: Vec<_> = error
            .findings()
            .map(|finding| (finding.rule().name, finding.variable().unwrap()))
            .collect();
        assert_eq!(denied, [("malformed_value", "SHOP_STORE_PASSWORD_FILE")], "{error}");
    }
    assert_eq!(server.accepted(), before, "no connection was made");
    drop(source);
    writer.detach().await;
}

/// The source may be dropped outside of a runtime, while its driver connects again.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_dropped_connects_no_more() {
    let mut server = server::Nats::start();
    server.authorize(server::users_of_buckets(PASSWORD));
    server.restart();
    let (writer, _store) = writer(&server).await;
    let relay = Relay::to(server.port);
    for without_runtime in [false, true] {
        let mut variables = variables(&server, "CONFIG");
        variables[0].1 = format!("tls://{USER}@localhost:{}", relay.port);
        let environment = Environment::from_iter(variables);
        let source = NatsKv::connect(&environment, "CONFIG", "shop").await.unwrap();
        let before = relay.accepted();
        relay.set(Flow::ForcedClose);
        while relay.accepted() == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if without_runtime {
            std::thread::spawn(move || drop(source)).join().unwrap();
        } else {
            drop(source);
        }
        // An attempt that had begun ends.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let accepted = relay.accepted();
        relay.set(Flow::Open);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(relay.accepted(), accepted, "without a runtime: {without_runtime}");
        relay.assert_all_closed().await;
    }
    assert!(writer.detach().await.is_clean());
}

/// The driver connects again by itself, also for an attempt to connect that was dropped.
#[tokio::test]
async fn a_bucket_of_nats_that_is_not_opened_leaves_nothing() {
    let server = server::Nats::start();
    let relay = Relay::to(server.port);
    let mut variables = variables(&server, "CONFIG");
    variables[0].1 = format!("tls://{USER}@localhost:{}", relay.port);
    relay.set(Flow::Slow(150));
    let environment = Environment::from_iter(variables);
    let opening =
        tokio::spawn(
            async move { NatsKv::connect(&environment, "CONFIG", "shop").await.map(drop) },
        );
    let begin = Instant::now();
    while !server.log().contains("STREAM.INFO") {
        assert!(!opening.is_finished(), "{:?}", opening.await);
        assert!(begin.elapsed() < Duration::from_secs(25));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    relay.set(Flow::ForcedClose);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!opening.is_finished(), "it waits for the bucket");
    opening.abort();
    let _ = opening.await;
    let before = relay.accepted();
    tokio::time::sleep(Duration::from_secs(5)).await;
    // One may have been on its way.
    let accepted = relay.accepted() - before;
    assert!(accepted <= 1, "{accepted} connections after the end");
}
