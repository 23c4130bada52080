//! Several hosts in a locator of PostgreSQL, with a primary and a standby.

use std::ops::Deref as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backing_services::{BackingServices, Postgres, Resource, TokioPostgres};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::hostile::Hostile;
use backing_services_tests::hostile::postgres::{scram, startup};
use backing_services_tests::pki::Authority;
use backing_services_tests::postgres::{DATABASE, USER};
use backing_services_tests::variables::Variables;
use backing_services_tests::{port, postgres};

/// Fails the test if an attach takes longer.
const SOON: Duration = Duration::from_secs(20);

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<Postgres>,
    ledger: Resource<TokioPostgres>,
}

/// The variables of both resources, for servers on these ports.
fn variables(ports: &[u16], attributes: &str, authorities: &str) -> Variables {
    let hosts: Vec<_> = ports.iter().map(|port| format!("localhost:{port}")).collect();
    let locator = format!(
        "postgres://{USER}@{}/{DATABASE}?target_session_attrs={attributes}",
        hosts.join(",")
    );
    ["ORDERS", "LEDGER"]
        .into_iter()
        .flat_map(|field| match field {
            "ORDERS" => [
                ("SHOP_ORDERS_URL", locator.clone()),
                ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
                ("SHOP_ORDERS_CA", authorities.to_owned()),
            ],
            _ => [
                ("SHOP_LEDGER_URL", locator.clone()),
                ("SHOP_LEDGER_PASSWORD", PASSWORD.to_owned()),
                ("SHOP_LEDGER_CA", authorities.to_owned()),
            ],
        })
        .collect()
}

/// The ports that both postures name.
fn ports(shop: &Shop) -> [u16; 2] {
    [shop.orders.posture(), shop.ledger.posture()].map(|posture| {
        let (_, rest) = posture.endpoint.split_once("localhost:").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    })
}

/// Makes a server a standby: it reads the signal when it recovers from a process that was killed.
async fn make_standby(server: &postgres::Postgres) {
    let folder = server.sql("SHOW data_directory");
    std::fs::write(format!("{folder}/standby.signal"), "").unwrap();
    let process: i32 = server
        .sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
        .parse()
        .unwrap();
    assert!(
        std::process::Command::new("kill")
            .arg("-9")
            .arg(process.to_string())
            .status()
            .unwrap()
            .success()
    );
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if server.deref().sql(DATABASE, "SELECT pg_is_in_recovery()").is_ok_and(|is| is == "t") {
            return;
        }
    }
    panic!("it is no standby: {}", server.log());
}

#[tokio::test]
async fn the_session_is_on_the_host_that_is_wanted() {
    let [primary, standby] = [postgres::Postgres::start(), postgres::Postgres::start()];
    make_standby(&standby).await;
    let authorities = [primary.authority.pem(), standby.authority.pem()].concat();
    let (first, second) = (primary.port, standby.port);
    let nothing = port::free();
    for (hosts, attributes, expected) in [
        ([first, second], "any", first),
        ([second, first], "any", second),
        ([nothing, first], "any", first),
        ([second, first], "read-write", first),
        ([second, first], "primary", first),
        ([first, second], "read-only", second),
        ([first, second], "standby", second),
        ([first, second], "prefer-standby", second),
        ([first, nothing], "prefer-standby", first),
    ] {
        let shop: Shop = attach(&variables(&hosts, attributes, &authorities)).await.unwrap();
        assert_eq!(ports(&shop), [expected; 2], "{attributes}");
        shop.detach().await;
    }
    for (hosts, attributes) in [([first, nothing], "standby"), ([second, nothing], "read-write")] {
        let error = refused::<Shop>(&variables(&hosts, attributes, &authorities), SOON).await;
        assert_eq!(problems(&error).len(), 2, "{error}");
    }
}

/// The next connections follow.
#[tokio::test]
async fn a_failover_is_followed() {
    let [primary, standby] = [postgres::Postgres::start(), postgres::Postgres::start()];
    make_standby(&standby).await;
    let authorities = [primary.authority.pem(), standby.authority.pem()].concat();
    let hosts = [primary.port, standby.port];
    let shop: Shop = attach(&variables(&hosts, "read-write", &authorities)).await.unwrap();
    assert_eq!(ports(&shop), [primary.port; 2]);
    let standby_port = i32::from(standby.port);
    standby.sql("SELECT pg_promote()");
    drop(primary);
    let follows = async {
        loop {
            let orders = sqlx::query_scalar::<_, i32>("SELECT inet_server_port()")
                .fetch_one(&shop.orders.client())
                .await;
            let ledger = match shop.ledger.client().get().await {
                Ok(client) => client.query_one("SELECT inet_server_port()", &[]).await.ok(),
                Err(_) => None,
            };
            if let (Ok(orders), Some(ledger)) = (orders, ledger) {
                assert_eq!((orders, ledger.get::<_, i32>(0)), (standby_port, standby_port));
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(SOON, follows).await.expect("the next connections are to the other host");
    shop.detach().await;
}

/// Each host is verified under its own name, and a wrong password is tried once.
#[tokio::test]
async fn a_host_that_rejects_the_credentials_ends_the_search() {
    let [first, second] = [postgres::Postgres::start(), postgres::Postgres::start()];
    let authorities = [first.authority.pem(), second.authority.pem()].concat();
    let mut variables = variables(&[first.port, second.port], "any", &authorities);
    for (name, value) in &mut variables {
        if name.ends_with("PASSWORD") {
            *value = "verkeerd-kanarie-9c2b-Wk0".to_owned();
        }
    }
    let error = refused::<Shop>(&variables, SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"; 2]);
    assert!(!second.log().contains("password authentication failed"), "{}", second.log());
    // A host whose certificate is not verified is passed over: the next one may be.
    let variables = self::variables(&[first.port, second.port], "any", &second.authority.pem());
    let shop: Shop = attach(&variables).await.unwrap();
    assert_eq!(ports(&shop), [second.port; 2]);
    // Its finding is not lost.
    for posture in [shop.orders.posture(), shop.ledger.posture()] {
        let [finding] = &posture.findings[..] else { panic!("{:?}", posture.findings) };
        assert!(!finding.is_denied());
        assert!(finding.message().contains(&format!("localhost:{}", first.port)), "{finding}");
    }
    shop.detach().await;
}

/// A host that is reached and does not answer, at any step, is passed over in its own time.
#[tokio::test]
async fn a_silent_host_does_not_keep_the_next_one_waiting() {
    let server = postgres::Postgres::start();
    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let authorities = [server.authority.pem(), authority.pem()].concat();
    // Before TLS, in the login, and at the question which server it is.
    for step in 0..3 {
        let leaf = Arc::clone(&leaf);
        let silent = Hostile::start(move |peer| {
            let leaf = Arc::clone(&leaf);
            async move {
                match step {
                    0 => Ok(Some(peer)),
                    1 => startup(peer, &leaf).await.map(Some),
                    _ => scram::admit(peer, &leaf, scram::BOUND, b"").await.map(Some),
                }
            }
        });
        let mut variables = variables(&[silent.port, server.port], "read-write", &authorities);
        for (name, value) in &mut variables {
            if name.ends_with("URL") {
                value.push_str("&connect_timeout=1");
            }
        }
        let begin = Instant::now();
        let shop: Shop = attach(&variables).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(8), "{:?} at {step}", begin.elapsed());
        assert_eq!(ports(&shop), [server.port; 2], "{step}");
        shop.detach().await;
    }
}
