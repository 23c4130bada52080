//! NATS: the privileges of an account, compared on a real server with the field's `needs`.

use std::time::Duration;

use backing_services::{BackingServices, Nats, Resource};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::nats::{self as server, Options};
use backing_services_tests::pki::Authority;
use backing_services_tests::variables::{self, Variables};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    #[service(needs = "PUBLISH ON orders.*.new, audit; SUBSCRIBE ON orders.>")]
    bus: Resource<Nats>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Flat {
    bus: Resource<Nats>,
}

const SOON: Duration = Duration::from_secs(10);

/// A server with this `authorization` block.
fn with(authorization: String) -> server::Nats {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.authorization = authorization;
    server::Nats::with(authority, options)
}

/// A server whose only user has these permissions.
fn permitting(publish: &str, subscribe: &str) -> server::Nats {
    with(format!(
        "authorization {{ users = [ {{ user: shop, password: \"{PASSWORD}\", permissions: {{ \
         publish: [{publish}], subscribe: [{subscribe}] }} }} ] }}"
    ))
}

fn variables(server: &server::Nats, user: &str) -> Variables {
    variables::of(
        "SHOP_BUS",
        format!("tls://{user}@localhost:{}", server.port),
        PASSWORD,
        server.authority.pem(),
    )
}

const PUBLISH: &str = r#""orders.*.new", "audit""#;
const SUBSCRIBE: &str = r#""orders.>", "_INBOX.>""#;

#[tokio::test]
async fn grants_create_exactly_that_account() {
    for (name, encoded) in [("shop_bus", "shop_bus"), ("Who \"there\"", "Who%20%22there%22")] {
        let grants = Shop::MANIFEST.grants().remove(0).with_account(name).unwrap().to_string();
        assert!(!grants.contains(PASSWORD), "{grants}");
        // This is the generated block. The password, which it reads from the server's environment,
        // is a variable of the configuration here.
        let variable = grants.split('$').nth(1).unwrap().split(',').next().unwrap();
        let server = with(format!("{variable}: \"{PASSWORD}\"\n{grants}"));
        let watching = async_subscriber(&server, encoded).await;
        let shop: Shop = attach(&variables(&server, encoded))
            .await
            .unwrap_or_else(|error| panic!("{error}\n{grants}"));
        let posture = shop.bus.posture();
        assert!(
            rules(&posture.findings).iter().all(|rule| *rule == "unsupported_server"),
            "{:?}",
            posture.findings
        );
        assert_eq!(
            posture.privileges,
            ["PUBLISH ON orders.*.new", "PUBLISH ON audit", "SUBSCRIBE ON orders.>"]
        );
        let client = shop.bus.client();
        let mut orders = client.subscribe("orders.>").await.unwrap();
        client.publish("orders.nl.new", "one".into()).await.unwrap();
        let next = tokio::time::timeout(SOON, futures(&mut orders)).await.unwrap();
        assert_eq!(next, "orders.nl.new");
        drop(client);
        shop.detach().await;
        // The probe of publish permissions delivered no message: the first one received is the
        // application's.
        assert_eq!(watching.await.unwrap(), "orders.nl.new");
    }
}

/// Subscribes before the attempt, and returns the subject of the first message.
async fn async_subscriber(server: &server::Nats, user: &str) -> tokio::task::JoinHandle<String> {
    let shop: Flat = attach(&variables(server, user)).await.unwrap();
    let mut orders = shop.bus.client().subscribe("orders.>").await.unwrap();
    shop.bus.client().flush().await.unwrap();
    tokio::spawn(async move {
        let subject = tokio::time::timeout(SOON, futures(&mut orders)).await.unwrap();
        shop.detach().await;
        subject
    })
}

async fn futures(subscriber: &mut async_nats::Subscriber) -> String {
    let next = std::future::poll_fn(|context| {
        futures_core::Stream::poll_next(std::pin::Pin::new(&mut *subscriber), context)
    });
    next.await.expect("a message").subject.to_string()
}

#[tokio::test]
async fn one_privilege_more_and_one_less() {
    for (publish, subscribe, rule, named) in [
        (
            r#""orders.*.new""#,
            SUBSCRIBE,
            "missing_privileges",
            "the account lacks PUBLISH ON audit",
        ),
        (PUBLISH, r#""_INBOX.>""#, "missing_privileges", "the account lacks SUBSCRIBE ON orders.>"),
        (r#""orders.>", "audit""#, SUBSCRIBE, "excess_privileges", "PUBLISH ON orders.>"),
        (
            PUBLISH,
            r#""orders.>", "audit", "_INBOX.>""#,
            "excess_privileges",
            "need: SUBSCRIBE ON audit",
        ),
        (r#"">""#, SUBSCRIBE, "superuser_account", "publish to every subject"),
        (PUBLISH, r#"">""#, "superuser_account", "subscribe to every subject"),
        (
            r#""orders.*.new", "audit", "$JS.API.>""#,
            SUBSCRIBE,
            "superuser_account",
            "publish to `$JS.API.>`",
        ),
        (
            r#""orders.*.new", "audit", "$SYS.>""#,
            SUBSCRIBE,
            "superuser_account",
            "publish to `$SYS.>`",
        ),
    ] {
        let server = permitting(publish, subscribe);
        let error = refused::<Shop>(&variables(&server, "shop"), SOON).await;
        assert_eq!(problems(&error), [rule], "{publish} {subscribe}: {error}");
        let finding = error.findings().next().unwrap();
        assert!(finding.message().contains(named), "{}", finding.message());
        if rule != "superuser_account" {
            // The help is the `permissions` that the user should have.
            let permissions =
                finding.help().split_once("permissions: ").unwrap().1.trim_end_matches('`');
            let server = with(format!(
                "authorization {{ users = [ {{ user: shop, password: \"{PASSWORD}\", permissions: \
                 {permissions} }} ] }}"
            ));
            let shop: Shop = attach(&variables(&server, "shop")).await.unwrap();
            shop.detach().await;
        }
    }
}

#[tokio::test]
async fn wide_powers_are_an_administrator_s_without_needs_too() {
    for power in ["$JS.API.>", "$SYS.>"] {
        let server = permitting(&format!("\"orders.>\", \"{power}\""), SUBSCRIBE);
        let error = refused::<Flat>(&variables(&server, "shop"), SOON).await;
        assert_eq!(problems(&error), ["superuser_account"], "{power}");
        assert!(error.to_string().contains(power), "{error}");
    }
    let server = permitting(PUBLISH, SUBSCRIBE);
    let shop: Flat = attach(&variables(&server, "shop")).await.unwrap();
    shop.detach().await;
}
