//! Databases for single tests, copied from a template.

use std::time::{Duration, Instant};

use backing_services::{BackingServices, MySql, Postgres, Redis, Resource, Sqlite};
use backing_services_dev::{Dev, Template};
use tokio::task::JoinSet;

#[derive(BackingServices)]
#[services(prefix = "ALBUM", deadline = 60)]
struct Album {
    #[service(needs = "SELECT, INSERT ON orders")]
    orders: Resource<Postgres>,
    #[service(needs = "SELECT, INSERT ON stock; EXECUTE ON PROCEDURE count_stock")]
    stock: Resource<MySql>,
    #[service(needs = "get ON KEY *")]
    sessions: Resource<Redis>,
    notes: Resource<Sqlite>,
}

const ORDERS: &str = "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)";
const STOCK: &str = "CREATE TABLE stock (id int PRIMARY KEY, name text);
    INSERT INTO stock VALUES (1, 'it''s a \\\\ in ä');
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

/// Two hundred tests at once. Each attaches, and checks that it is alone.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_tests_have_a_database_each() {
    const TESTS: usize = 200;
    let _turn = super::TURN.lock().await;
    let builder = Dev::builder::<super::Store>().with_script("orders", super::ORDERS);
    let template = std::sync::Arc::new(builder.template().await.unwrap());
    let begin = Instant::now();
    let mut tests = JoinSet::new();
    for number in 0..TESTS {
        let template = std::sync::Arc::clone(&template);
        tests.spawn(async move {
            let begin = Instant::now();
            let dev = template.dev().await.unwrap();
            let copied = begin.elapsed();
            let store = super::Store::attach_from(&dev.environment()).await.unwrap();
            let insert = sqlx::query("INSERT INTO orders VALUES ($1)");
            let number = i32::try_from(number).unwrap();
            insert.bind(number).execute(&*store.orders.client()).await.unwrap();
            let orders: Vec<i32> = sqlx::query_scalar("SELECT id FROM orders")
                .fetch_all(&*store.orders.client())
                .await
                .unwrap();
            assert_eq!(orders, [number]);
            store.detach().await;
            let begin = Instant::now();
            tokio::task::spawn_blocking(move || drop(dev)).await.unwrap();
            (copied, begin.elapsed())
        });
    }
    let mut all: (Duration, Duration) = Default::default();
    while let Some(ended) = tests.join_next().await {
        let (copied, dropped) = ended.unwrap();
        all = (all.0 + copied, all.1 + dropped);
    }
    println!("{TESTS} tests at once: {:?} each", begin.elapsed() / TESTS as u32);
    let mut alone = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let begin = Instant::now();
        let dev = template.dev().await.unwrap();
        alone.0.push(begin.elapsed());
        let begin = Instant::now();
        drop(dev);
        alone.1.push(begin.elapsed());
    }
    alone.0.sort_unstable();
    alone.1.sort_unstable();
    println!(
        "one after the other, medians: copied in {:?}, removed in {:?}",
        alone.0[10], alone.1[10]
    );
}
