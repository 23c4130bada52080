//! The replacement client is ready before it takes over: no caller waits for its handshakes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backing_services::rules::Scheme;
use backing_services::service::{Attachment, Attempt, Refusal, Target};
use backing_services::{
    BackingServices, Environment, MySql, Postgres, Posture, Resource, Service, TokioPostgres,
};
use backing_services_tests::attempt::{attach, problems};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::{mariadb, postgres};
use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<Postgres>,
    stock: Resource<TokioPostgres>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Till {
    prices: Resource<MySql>,
}

/// The number of connections that are in use.
const IN_USE: usize = 4;

async fn in_use<DB: Database>(pool: &Pool<DB>) -> Vec<PoolConnection<DB>> {
    let mut connections = Vec::new();
    while connections.len() < IN_USE {
        connections.push(pool.acquire().await.unwrap());
    }
    connections
}

fn of_postgres(server: &postgres::Postgres, role: &str) -> Vec<(String, String)> {
    let locator = format!("postgres://{role}@localhost:{}/{}", server.port, postgres::DATABASE);
    let of = |base: &str| {
        [
            (format!("{base}_URL"), locator.clone()),
            (format!("{base}_PASSWORD"), PASSWORD.to_owned()),
            (format!("{base}_CA"), server.authority.pem()),
        ]
    };
    [of("SHOP_ORDERS"), of("SHOP_STOCK")].concat()
}

async fn attached<T: BackingServices>(variables: &[(String, String)]) -> T {
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    attach(&variables).await.unwrap()
}

/// The number of connections of a role, as the server reports it.
fn connections_of(server: &postgres::Postgres, role: &str) -> usize {
    server
        .sql(&format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'"))
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_pool_has_as_many_connections_as_the_former_one() {
    let server = postgres::Postgres::start();
    server.sql(&format!("CREATE ROLE swapper LOGIN PASSWORD '{PASSWORD}'"));
    let variables = of_postgres(&server, "swapper");
    let services: Shop = attached(&variables).await;
    let source = Environment::from_iter(variables.clone());

    let (orders, stock) = (services.orders.client(), services.stock.client());
    let working = in_use(&orders).await;
    let mut busy = Vec::new();
    while busy.len() < IN_USE {
        busy.push(stock.get().await.unwrap());
    }
    assert_eq!(connections_of(&server, "swapper"), 2 * IN_USE);
    services.reattach(&source).await.unwrap();
    // The pool has them at once, before any caller asks for one.
    let (of_orders, of_stock) =
        (services.orders.client().size() as usize, services.stock.client().status().size);
    assert_eq!((of_orders, of_stock), (IN_USE, IN_USE));
    assert_eq!(
        (services.orders.client().num_idle(), services.stock.client().status().available),
        (IN_USE, IN_USE)
    );
    assert_eq!(connections_of(&server, "swapper"), 4 * IN_USE);
    drop((working, busy, orders, stock));
    assert!(services.detach().await.is_clean());
    server.assert_no_connection_of("swapper").await;
}

#[tokio::test]
async fn a_connection_limit_of_the_server_is_not_an_error() {
    let server = postgres::Postgres::start();
    // The limit permits the connections in use, the probe's connection, and one more.
    server.sql(&format!(
        "CREATE ROLE limited LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT {}",
        IN_USE + 3
    ));
    let variables = of_postgres(&server, "limited");
    let services: Shop = attached(&variables).await;
    let orders = services.orders.client();
    let working = in_use(&orders).await;
    let begun = Instant::now();
    services.orders.reattach(&Environment::from_iter(variables)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let after = services.orders.client();
    assert!((1..IN_USE as u32).contains(&after.size()), "{}", after.size());
    sqlx::query("SELECT 1").execute(&*after).await.unwrap();
    drop((working, orders, after));
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn mysql_is_ready_likewise() {
    let server = mariadb::MariaDb::start();
    let variables = [
        ("SHOP_PRICES_URL".to_owned(), server.locator()),
        ("SHOP_PRICES_PASSWORD".to_owned(), PASSWORD.to_owned()),
        ("SHOP_PRICES_CA".to_owned(), server.authority.pem()),
    ];
    let services: Till = attached(&variables).await;
    let prices = services.prices.client();
    let working = in_use(&prices).await;
    services.prices.reattach(&Environment::from_iter(variables)).await.unwrap();
    assert_eq!(services.prices.client().size() as usize, IN_USE);
    drop((working, prices));
    assert!(services.detach().await.is_clean());
}

/// A third-party service whose clients never become ready. A client is its number.
struct Slow;

static CONNECTED: AtomicUsize = AtomicUsize::new(0);

impl Service for Slow {
    type Client = usize;
    type Guard = backing_services::resource::ClientGuard<Self>;
    const NAME: &'static str = "Slow";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("slow").with_port(1)];

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<usize>, Refusal> {
        Ok(Attachment::new(CONNECTED.fetch_add(1, Ordering::Relaxed), Posture::of::<Self>(target)))
    }

    async fn make_ready(client: &usize, former: &usize) {
        assert_eq!(*client, *former + 1);
        std::future::pending().await
    }

    async fn health(_: &usize) -> Result<(), Refusal> {
        Ok(())
    }

    async fn close(_: &usize) {}
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Yard {
    yard: Resource<Slow>,
}

#[tokio::test]
async fn a_client_that_never_gets_ready_is_used_at_the_deadline_and_can_be_detached_before() {
    let variables = [
        ("SHOP_YARD_URL".to_owned(), "slow://ada@localhost".to_owned()),
        ("SHOP_YARD_PASSWORD".to_owned(), PASSWORD.to_owned()),
    ];
    let services: Yard = attached(&variables).await;
    let source = Environment::from_iter(variables);
    let begun = Instant::now();
    services.yard.reattach(&source).await.unwrap();
    let took = begun.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert_eq!(*services.yard.client(), 1);

    let (yard, begun) = (services.yard.clone(), Instant::now());
    let turn = tokio::spawn(async move { yard.reattach(&source).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(services.detach().await.is_clean());
    let error = turn.await.unwrap().unwrap_err();
    assert_eq!(problems(&error), ["unavailable"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
