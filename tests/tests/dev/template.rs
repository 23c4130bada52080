//! Databases for single tests, copied from a template.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use backing_services::{BackingServices, MySql, Postgres, Redis, Resource, Sqlite};
use backing_services_dev::{Dev, Template};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[derive(BackingServices)]
#[services(prefix = "ALBUM", deadline = 60)]
struct Album {
    #[service(needs = "SELECT, INSERT ON orders")]
    orders: Resource<Postgres>,
    #[service(
        needs = "SELECT, INSERT ON stock; SELECT ON pictures; EXECUTE ON PROCEDURE count_stock"
    )]
    stock: Resource<MySql>,
    #[service(needs = "get ON KEY *")]
    sessions: Resource<Redis>,
    notes: Resource<Sqlite>,
}

const ORDERS: &str = "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)";
const STOCK: &str = "CREATE TABLE stock (id int PRIMARY KEY, name text);
    INSERT INTO stock VALUES (1, 'it''s a \\\\ in ä');
    CREATE TABLE pictures (id int PRIMARY KEY, bytes blob, fixed binary(4));
    INSERT INTO pictures VALUES (1, UNHEX('FFFE8090A0B0C0D0'), UNHEX('00FF270A'));
    CREATE VIEW all_stock AS SELECT id FROM stock;
    CREATE PROCEDURE count_stock() SELECT count(*) FROM stock";

async fn template() -> Template {
    let template = Dev::builder::<Album>()
        .with_script("orders", ORDERS)
        .with_script("stock", STOCK)
        .with_migration("true")
        .template();
    template.await.unwrap()
}

#[tokio::test]
async fn each_copy_has_what_the_scripts_made_and_an_account_of_its_own() {
    let _turn = super::TURN.lock().await;
    let template = template().await;
    let (first, second) = (template.dev().await.unwrap(), template.dev().await.unwrap());
    let one = Album::attach_from(&first.environment()).await.unwrap();
    let two = Album::attach_from(&second.environment()).await.unwrap();
    for (album, other) in [(&one, &second), (&two, &first)] {
        let orders = album.orders.client();
        sqlx::query("INSERT INTO orders VALUES (2)").execute(&*orders).await.unwrap();
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&*orders).await.unwrap();
        let stock = album.stock.client();
        sqlx::query("INSERT INTO stock VALUES (2, '')").execute(&*stock).await.unwrap();
        let stocked: i64 =
            sqlx::query_scalar("SELECT count(*) FROM stock").fetch_one(&*stock).await.unwrap();
        assert_eq!((count, stocked), (2, 2));
        let name: String = sqlx::query_scalar("SELECT name FROM stock WHERE id = 1")
            .fetch_one(&*stock)
            .await
            .unwrap();
        assert_eq!(name, "it's a \\ in ä");
        let bytes: String =
            sqlx::query_scalar("SELECT concat(hex(bytes), hex(fixed)) FROM pictures")
                .fetch_one(&*stock)
                .await
                .unwrap();
        assert_eq!(bytes, "FFFE8090A0B0C0D000FF270A");
        let notes = album.notes.client();
        sqlx::query("CREATE TABLE notes (id int)").execute(&*notes).await.unwrap();
        // No privilege but those that it needs.
        for resource in album.resources() {
            let findings = &resource.posture().findings;
            let excess = findings.iter().find(|found| found.rule().name == "excess_privileges");
            assert!(excess.is_none(), "{excess:?}");
        }
        // The account of one cannot even connect to the database of the other.
        let database = super::value(other, "ALBUM_ORDERS_URL").rsplit_once('/').unwrap().1;
        let may: bool = sqlx::query_scalar("SELECT has_database_privilege($1, 'CONNECT')")
            .bind(database)
            .fetch_one(&*orders)
            .await
            .unwrap();
        assert!(!may);
    }
    // One server for both, and for what is not copied.
    let redis = [&first, &second].map(|dev| super::value(dev, "ALBUM_SESSIONS_URL").to_owned());
    assert_eq!(redis[0], redis[1]);

    // It goes with its value, and the servers stay as long as one is left.
    let left = || async {
        let databases = "SELECT count(*) FROM pg_database WHERE datname LIKE 'album%'";
        let orders = two.orders.client();
        sqlx::query_scalar::<_, i64>(databases).fetch_one(&*orders).await.unwrap()
    };
    assert_eq!(left().await, 3);
    one.detach().await;
    drop(first);
    assert_eq!(left().await, 2);
    drop(template);
    assert_eq!(left().await, 2);
    let port = super::port(&second, "ALBUM_ORDERS_URL");
    two.detach().await;
    drop(second);
    assert!(super::ends(port).await);
}

#[tokio::test]
async fn a_copy_without_the_table_asks_for_the_migrations() {
    let _turn = super::TURN.lock().await;
    let template = Dev::builder::<super::Store>().template().await.unwrap();
    let error = template.dev().await.unwrap_err().to_string();
    let begin = "`orders`: its account cannot get what it `needs`. If a table does not exist yet, \
                 run the migrations first: `.with_script(\"orders\", \"CREATE TABLE …\")`. `";
    assert!(error.starts_with(begin), "{error}");
}

/// Two hundred databases at once. Some of them are attached to, by turns: most of the time is that
/// of TLS.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_tests_have_a_database_each() {
    const TESTS: i32 = 200;
    let _turn = super::TURN.lock().await;
    let builder = Dev::builder::<super::Store>().with_script("orders", super::ORDERS);
    let template = Arc::new(builder.template().await.unwrap());
    let begin = Instant::now();
    let mut copies = JoinSet::new();
    for _ in 0..TESTS {
        let template = Arc::clone(&template);
        copies.spawn(async move { template.dev().await.unwrap() });
    }
    let copies = copies.join_all().await;
    println!("{TESTS} copies at once: {:?} for each", begin.elapsed() / 200);

    let locators: HashSet<_> =
        copies.iter().map(|dev| super::value(dev, "STORE_ORDERS_URL").to_owned()).collect();
    assert_eq!(locators.len(), 200);

    let turns = Arc::new(Semaphore::new(8));
    let mut tests = JoinSet::new();
    for (number, dev) in (0..TESTS).zip(copies) {
        let turns = Arc::clone(&turns);
        tests.spawn(async move {
            if number % 10 != 0 {
                return dev;
            }
            let _turn = turns.acquire().await;
            let store = super::Store::attach_from(&dev.environment()).await.unwrap();
            let orders = store.orders.client();
            let insert = sqlx::query("INSERT INTO orders VALUES ($1)");
            insert.bind(number).execute(&*orders).await.unwrap();
            let found = sqlx::query_scalar("SELECT id FROM orders").fetch_all(&*orders).await;
            drop(orders);
            let found: Vec<i32> = found.unwrap();
            assert_eq!(found, [number]);
            store.detach().await;
            dev
        });
    }
    let copies = tests.join_all().await;
    let begin = Instant::now();
    drop(copies);
    println!("removed: {:?} for each", begin.elapsed() / 200);

    let mut copied = Vec::new();
    for _ in 0..20 {
        let begin = Instant::now();
        let dev = template.dev().await.unwrap();
        copied.push(begin.elapsed());
        drop(dev);
    }
    copied.sort_unstable();
    println!("one after the other: {:?} is the median", copied[10]);
}
