//! The guard of a pool is an executor: with each kind of query, and each database.

use std::future::poll_fn;

use backing_services::services::postgres::PoolGuard;
use backing_services::{BackingServices, MySql, Postgres, Resource, Sqlite};
use backing_services_tests::attempt::attach;
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::mariadb::MariaDb;
use backing_services_tests::postgres;
use backing_services_tests::variables::{self, Variables};
use sqlx::{Acquire, Executor, Row as _, SqlSafeStr as _, Statement as _};

/// Uses an executor as the functions of an application do.
async fn count<'e, E>(orders: E) -> i64
where
    E: Executor<'e, Database = sqlx::Sqlite>,
{
    sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(orders).await.unwrap()
}

/// Rolls back a transaction, as a function does that takes a pool, a connection or a transaction.
async fn rolled_back<'a, A>(orders: A) -> i64
where
    A: Acquire<'a, Database = sqlx::Sqlite>,
{
    let mut transaction = orders.begin().await.unwrap();
    sqlx::query("DELETE FROM orders").execute(&mut *transaction).await.unwrap();
    let left = count(&mut *transaction).await;
    transaction.rollback().await.unwrap();
    left
}

macro_rules! every_kind_of_query {
    ($function:ident, $service:ty, $database:ty) => {
        /// Runs each kind of query through a guard: three orders are inserted, and found.
        async fn $function(variables: &Variables, insert: &'static str) {
            #[derive(BackingServices)]
            #[services(prefix = "SHOP", deadline = 20)]
            struct Shop {
                orders: Resource<$service>,
            }
            let shop: Shop = attach(variables).await.unwrap();

            for id in 1..=3 {
                // The guard is a temporary, and lives until the answer.
                let done = sqlx::query(insert).bind(id).execute(&shop.orders.client()).await;
                assert_eq!(done.unwrap().rows_affected(), 1);
            }
            let orders: PoolGuard<$service> = shop.orders.client();
            let all = "SELECT id FROM orders ORDER BY id";
            let rows = sqlx::query(all).fetch_all(&orders).await.unwrap();
            assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [1, 2, 3]);
            let rows: Vec<(i32,)> = sqlx::query_as(all).fetch_all(&orders).await.unwrap();
            assert_eq!(rows, [(1,), (2,), (3,)]);
            let first: i32 = sqlx::query_scalar(all).fetch_one(&orders).await.unwrap();
            assert_eq!(first, 1);
            let none = "SELECT id FROM orders WHERE id > 3";
            assert!(sqlx::raw_sql(none).fetch_optional(&orders).await.unwrap().is_none());
            assert!(orders.fetch_one(none).await.is_err(), "a text is a query too");

            let mut rows = sqlx::query(all).fetch(&orders);
            let mut ids = Vec::new();
            while let Some(row) = poll_fn(|context| rows.as_mut().poll_next(context)).await {
                ids.push(row.unwrap().get::<i32, _>(0));
            }
            drop(rows);
            assert_eq!(ids, [1, 2, 3]);

            let statement = orders.prepare(all.into_sql_str()).await.unwrap();
            assert_eq!(statement.columns().len(), 1);
            let row = statement.query().fetch_one(&orders).await.unwrap();
            assert_eq!(row.get::<i32, _>(0), 1);

            let mut builder = sqlx::QueryBuilder::<$database>::new("SELECT id FROM orders");
            let row = builder.push(" WHERE id = ").push_bind(2).build().fetch_one(&orders);
            assert_eq!(row.await.unwrap().get::<i32, _>(0), 2);

            // The methods of the pool are there, too, and need no guard that lives longer.
            let transaction = shop.orders.client().begin().await.unwrap();
            transaction.rollback().await.unwrap();
            drop(shop.orders.client().acquire().await.unwrap());

            let shown = format!("{orders:?}");
            let name = <$service as backing_services::Service>::NAME;
            assert_eq!(shown, format!("PoolGuard<{name}>"));
            canary::assert_silent("the guard", &shown);
            drop(orders);
            shop.detach().await;
        }
    };
}

every_kind_of_query!(with_sqlite, Sqlite, sqlx::Sqlite);
every_kind_of_query!(with_postgres, Postgres, sqlx::Postgres);
every_kind_of_query!(with_mysql, MySql, sqlx::MySql);

#[tokio::test]
async fn a_guard_of_sqlite_executes_every_kind_of_query() {
    let folder = tempfile::tempdir().unwrap();
    let locator = format!("sqlite://{}/shop.db", folder.path().display());
    let variables = vec![("SHOP_ORDERS_URL", locator)];

    #[derive(BackingServices)]
    #[services(prefix = "SHOP", deadline = 20)]
    struct Shop {
        orders: Resource<Sqlite>,
    }
    let shop: Shop = attach(&variables).await.unwrap();
    shop.orders.client().execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)").await.unwrap();
    with_sqlite(&variables, "INSERT INTO orders VALUES (?)").await;

    // Functions that are generic over an executor, or over what begins a transaction.
    assert_eq!(count(&shop.orders.client()).await, 3);
    assert_eq!(rolled_back(&shop.orders.client()).await, 0);
    assert_eq!(count(&shop.orders.client()).await, 3);
    shop.detach().await;
}

#[tokio::test]
async fn a_guard_of_postgres_executes_every_kind_of_query() {
    let server = postgres::Postgres::start();
    let pem = server.authority.pem();
    let variables = variables::of("SHOP_ORDERS", server.locator(), PASSWORD, pem);
    with_postgres(&variables, "INSERT INTO orders VALUES ($1)").await;
    assert_eq!(server.sql("SELECT count(*) FROM orders"), "3");
}

#[tokio::test]
async fn a_guard_of_mysql_executes_every_kind_of_query() {
    let server = MariaDb::start();
    let pem = server.authority.pem();
    let variables = variables::of("SHOP_ORDERS", server.locator(), PASSWORD, pem);
    with_mysql(&variables, "INSERT INTO orders VALUES (?)").await;
    assert_eq!(server.sql("SELECT count(*) FROM orders"), "3");
}
