//! A NATS key-value bucket as a source, in a process whose log level changes while the bucket is
//! watched. The test uses a real server. It has a test binary of its own, because the log level
//! applies to the whole process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::{self, kv, stream};
use backing_services::secrecy::ExposeSecret as _;
use backing_services::source::Source as _;
use backing_services::stores::NatsKv;
use backing_services::{BackingServices, Environment, Nats, Resource};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::nats::{self as server};
use backing_services_tests::variables::{self, Variables};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, reload};

#[derive(BackingServices)]
#[services(deadline = 20)]
struct Writer {
    store: Resource<Nats>,
}

fn variables(server: &server::Nats, base: &'static str) -> Variables {
    variables::of(base, server.locator(), PASSWORD, server.authority.pem())
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Waits until the log contains this text so many times.
    async fn holds(&self, what: &str, times: usize) {
        for _ in 0..200 {
            if self.text().matches(what).count() >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("`{what}` is not {times} times in the log");
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn value(source: &NatsKv) -> Option<String> {
    source.get("SHOP_KEY").unwrap().map(|value| value.text().expose_secret().to_owned())
}

async fn becomes(source: &NatsKv, expected: &str) {
    for _ in 0..300 {
        if value(source).as_deref() == Some(expected) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is not {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_is_raised_ends_the_watch_until_it_is_lowered() {
    const STOPPED: &str = "the bucket is not watched for now";
    let (filter, level) = reload::Layer::new(LevelFilter::DEBUG);
    let log = Log::default();
    let pen = log.clone();
    tracing_subscriber::registry()
        .with(filter)
        .with(fmt::layer().with_ansi(false).with_writer(move || pen.clone()))
        .init();

    let mut server = server::Nats::start();
    server.authorize(server::users_of_buckets(PASSWORD));
    server.restart();
    let writer =
        Writer::attach_from(&Environment::from_iter(variables(&server, "STORE"))).await.unwrap();
    let context = jetstream::new(writer.store.client().clone());
    let config = stream::Config {
        name: "KV_shop".to_owned(),
        subjects: vec!["$KV.shop.>".to_owned()],
        max_messages_per_subject: 1,
        allow_rollup: true,
        deny_delete: true,
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    let store: kv::Store = context.get_key_value("shop").await.unwrap();
    store.put("SHOP_KEY", "one".into()).await.unwrap();
    let source =
        NatsKv::connect(&Environment::from_iter(variables(&server, "CONFIG")), "CONFIG", "shop")
            .await
            .unwrap();
    assert_eq!(value(&source).as_deref(), Some("one"));

    // Twice: the second round tests a watch that was restarted.
    for (round, secret) in [(1, format!("{PASSWORD}-1")), (2, format!("{PASSWORD}-2"))] {
        let before = value(&source);
        level.reload(LevelFilter::TRACE).unwrap();
        log.holds(STOPPED, round).await;
        assert!(log.text().contains("raw_secret"), "it says why");
        store.put("SHOP_KEY", secret.clone().into()).await.unwrap();
        // The driver logs at this level, and the source keeps trying to watch.
        log.holds("write operation: PUB", 1).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(value(&source), before, "the last value stays");
        level.reload(LevelFilter::DEBUG).unwrap();
        becomes(&source, &secret).await;
        assert!(canary::find(log.text().as_bytes()).is_none(), "the value is in the log");
    }
    drop(source);
    writer.detach().await;
}
