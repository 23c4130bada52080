//! A SIGHUP is for a whole process, so this test has a process of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::process::Command;
use std::time::Duration;

use backing_services::resource::Followed;
use backing_services::{BackingServices, Environment, Postgres, Resource};
use backing_services_tests::attempt::problems;
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::folder::Folder;
use backing_services_tests::{journal, postgres};
use tokio::time::timeout;

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 5)]
struct Shop {
    orders: Resource<Postgres>,
}

#[tokio::test]
async fn a_hangup_is_a_reason_to_try_again_what_was_refused() {
    journal::open();
    let (server, folder) = (postgres::Postgres::start(), Folder::of_values("values"));
    server.sql(&format!("CREATE ROLE hangup_user CREATEROLE LOGIN PASSWORD '{PASSWORD}'"));
    let locator =
        |role: &str| format!("postgres://{role}@localhost:{}/{}", server.port, postgres::DATABASE);
    let url = folder.write("url", &locator(postgres::USER));
    let authority = server.authority.pem();
    let source = || {
        let path = url.to_str().unwrap();
        Environment::from_iter([
            ("SHOP_ORDERS_URL_FILE", path),
            ("SHOP_ORDERS_PASSWORD", PASSWORD),
            ("SHOP_ORDERS_CA", &authority),
        ])
    };
    let services = Shop::attach_from(&source()).await.unwrap();
    let mut following = services.follow(source());
    tokio::time::sleep(Duration::from_millis(300)).await;
    folder.write("url", &locator("hangup_user"));
    let event = timeout(Duration::from_secs(10), following.next()).await.unwrap().unwrap();
    let Followed::Refused(error) = event else { panic!("{event:?}") };
    assert_eq!(problems(&error), ["superuser_account"]);

    // The source does not change when the server is fixed.
    server.sql("ALTER ROLE hangup_user NOCREATEROLE");
    assert!(timeout(Duration::from_secs(2), following.next()).await.is_err());
    let status =
        Command::new("kill").args(["-s", "HUP", &std::process::id().to_string()]).status().unwrap();
    assert!(status.success());
    let event = timeout(Duration::from_secs(10), following.next()).await.unwrap().unwrap();
    assert!(matches!(event, Followed::Reattached(_)), "{event:?}");
    assert_eq!(services.orders.posture().account.as_deref(), Some("hangup_user"));
    assert!(services.detach().await.is_clean());
    server.assert_no_connection_of("hangup_user").await;
    journal::assert_silent();
}
