//! AMQP: what an account may do, tried on a real RabbitMQ and compared with the field's needs.

use std::sync::LazyLock;
use std::time::Duration;

use backing_services::{Amqp, BackingServices, Resource};
use backing_services_tests::amqp as server;
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::variables::{self, Variables};
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    #[service(needs = "CONFIGURE, READ ON QUEUE stock; CONFIGURE, WRITE, READ ON PREFIX shop.; \
                 WRITE ON EXCHANGE amq.default")]
    queue: Resource<Amqp>,
}

const SOON: Duration = Duration::from_secs(10);

static SERVER: LazyLock<server::Amqp> = LazyLock::new(server::Amqp::start);

fn variables(user: &str, host: &str) -> Variables {
    variables::of(
        "SHOP_QUEUE",
        format!("amqps://{user}@localhost:{}/{host}", SERVER.port),
        PASSWORD,
        SERVER.authority.pem(),
    )
}

async fn attached(user: &str, host: &str) -> Shop {
    attach(&variables(user, host)).await.unwrap_or_else(|error| panic!("{user}: {error}"))
}

/// Returns the message and the help of the only finding in the report.
async fn only(user: &str, rule: &str) -> (String, String) {
    let error = refused::<Shop>(&variables(user, ""), SOON).await;
    assert_eq!(problems(&error), [rule], "{user}: {error}");
    let finding = error.findings().next().unwrap();
    (finding.message().to_owned(), finding.help().to_owned())
}

/// Runs the output of `grants()` unchanged, and then gives the account a password.
fn grant(name: &str, host: Option<&str>) {
    let mut grants = Shop::MANIFEST.grants().remove(0).with_account(name).unwrap();
    if let Some(host) = host {
        grants = grants.with_database(host).unwrap();
    }
    let _ = SERVER.shell(&grants.to_string());
    let _ = SERVER.control(&["change_password", "--", name, PASSWORD]);
}

#[tokio::test]
async fn grants_create_exactly_that_account() {
    grant("shop_queue", None);
    let _ = SERVER.control(&["set_permissions", "-p", "/", server::ADMIN, ".*", ".*", ".*"]);
    let shop = attached("shop_queue", "").await;
    let posture = shop.queue.posture();
    assert!(!rules(&posture.findings).contains(&"excess_privileges"), "{:?}", posture.findings);
    assert_eq!(
        posture.privileges,
        [
            "CONFIGURE ON QUEUE stock", "READ ON QUEUE stock", "CONFIGURE ON PREFIX shop.",
            "WRITE ON PREFIX shop.", "READ ON PREFIX shop.", "WRITE ON EXCHANGE amq.default"
        ]
    );
    let channel = shop.queue.client().create_channel().await.unwrap();
    for queue in ["stock", "shop.new"] {
        channel
            .queue_declare(queue.into(), QueueDeclareOptions::default(), FieldTable::default())
            .await
            .unwrap();
        channel
            .basic_publish(
                "".into(),
                queue.into(),
                BasicPublishOptions::default(),
                b"x",
                Default::default(),
            )
            .await
            .unwrap();
    }
    // The trial takes no message from a queue, and gives none back.
    let again = attached("shop_queue", "").await;
    again.detach().await;
    for queue in ["stock", "shop.new"] {
        let message = channel
            .basic_get(queue.into(), BasicGetOptions { no_ack: true })
            .await
            .unwrap()
            .expect("it is there");
        assert!(!message.delivery.redelivered, "{queue}");
    }
    assert!(!SERVER.control(&["list_queues", "name"]).contains("probe."));
    shop.detach().await;
}

#[tokio::test]
async fn one_privilege_more_and_one_less() {
    let name = "changing";
    grant(name, None);
    let (stock, shop) = ("^stock$", r"^shop\.");
    let good =
        [format!("{stock}|{shop}"), format!(r"{shop}|^amq\.default$"), format!("{stock}|{shop}")];
    let good = good.each_ref().map(String::as_str);
    for (permissions, rule, named) in [
        (
            [good[0], &format!("{}|^stock$", good[1]), good[2]],
            "excess_privileges",
            "WRITE ON QUEUE stock",
        ),
        (
            [good[0], &format!("{}|^stock", good[1]), good[2]],
            "excess_privileges",
            "WRITE ON QUEUE stock; WRITE ON PREFIX stock",
        ),
        (
            [good[0], good[1], &format!(r"{}|shop\.", good[2])],
            "excess_privileges",
            "READ ON every name that contains shop.",
        ),
        (
            [good[0], good[1], &format!("{}|amq.default$", good[2])],
            "excess_privileges",
            "READ ON EXCHANGE amq.default; READ ON every name that ends in amq.default",
        ),
        ([good[0], good[1], shop], "missing_privileges", "READ ON QUEUE stock"),
        ([good[0], good[1], stock], "missing_privileges", "READ ON PREFIX shop."),
        (
            ["", "", ""],
            "missing_privileges",
            "CONFIGURE ON QUEUE stock; READ ON QUEUE stock; CONFIGURE ON PREFIX shop.; \
             WRITE ON PREFIX shop.; READ ON PREFIX shop.; WRITE ON EXCHANGE amq.default",
        ),
        (
            [good[0], ".*", good[2]],
            "superuser_account",
            "in its virtual host it may write everything",
        ),
    ] {
        let _ = SERVER.control(&[
            "set_permissions", "-p", "/", name, permissions[0], permissions[1], permissions[2],
        ]);
        let (message, help) = only(name, rule).await;
        assert!(message.ends_with(named), "{permissions:?}: {message}");
        let statement = help.trim_start_matches('`').split('`').next().unwrap();
        let _ = SERVER.shell(statement);
        attached(name, "").await.detach().await;
    }
}

#[tokio::test]
async fn no_login_without_a_password_and_awkward_names_round_trip() {
    let grants = Shop::MANIFEST.grants().remove(0).with_account("passwordless").unwrap();
    let _ = SERVER.shell(&grants.to_string());
    let error = refused::<Shop>(&variables("passwordless", ""), SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"]);
    for (name, host, encoded) in
        [("Who's \"there\"", "/", "Who%27s%20%22there%22"), ("-select", server::HOST, "-select")]
    {
        grant(name, Some(host));
        attached(encoded, &host.replace('/', "%2F")).await.detach().await;
    }
}
