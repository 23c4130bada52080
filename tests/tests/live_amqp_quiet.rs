//! AMQP: what the driver writes into the application's log while an account is tried. The test
//! needs a real RabbitMQ and a process of its own, as the driver's thread writes into the log of
//! the process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use backing_services::{Amqp, BackingServices, Resource};
use backing_services_tests::amqp::{self as server, USER};
use backing_services_tests::attempt::attach;
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::journal;
use backing_services_tests::variables;
use lapin::options::BasicGetOptions;

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    queue: Resource<Amqp>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Needy {
    #[service(
        needs = "CONFIGURE, WRITE, READ ON PREFIX orders; WRITE ON EXCHANGE amq.default",
        allow(excess_privileges, reason = "what is tried counts here")
    )]
    queue: Resource<Amqp>,
}

/// The driver's log lines at `warn` or `error`.
fn complaints() -> Vec<String> {
    let is_complaint =
        |line: &&str| (line.contains("ERROR") || line.contains("WARN")) && line.contains("lapin");
    journal::text().lines().filter(is_complaint).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_an_account_writes_nothing_into_the_applications_log() {
    let server = server::Amqp::start();
    let variables = variables::of("SHOP_QUEUE", server.locator(), PASSWORD, server.authority.pem());
    let pairs: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let shop: Shop = attach(&pairs).await.unwrap();
    let needy: Needy = attach(&pairs).await.unwrap();
    assert!(
        needy.queue.posture().privileges.contains(&"READ ON PREFIX orders".to_owned()),
        "{:?}",
        needy.queue.posture()
    );
    assert!(server.log().contains("access to queue 'probe."), "it was tried, and refused");
    assert!(journal::text().contains("lapin"), "the driver is heard");
    assert_eq!(complaints(), [""; 0]);
    needy.detach().await;

    // The application's own errors are still in its log.
    let channel = shop.queue.client().create_channel().await.unwrap();
    let denied = channel.basic_get("other_queue".into(), BasicGetOptions::default()).await;
    assert!(denied.is_err());
    assert!(complaints().iter().any(|line| line.contains("other_queue")), "{:?}", complaints());
    assert!(server.log().contains(USER));
    shop.detach().await;
}
