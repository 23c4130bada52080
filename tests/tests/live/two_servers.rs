//! A local server and a managed one differ only in the locator and the trusted authority: one
//! unchanged program, two servers of each SQL service.

use backing_services::{BackingServices, MySql, Postgres, Resource, Sqlite, TokioPostgres};
use backing_services_tests::attempt::attach;
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::folder::Folder;
use backing_services_tests::{journal, mariadb, postgres};
use sqlx::Row as _;

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<Postgres>,
    ledger: Resource<TokioPostgres>,
    stock: Resource<MySql>,
    notes: Resource<Sqlite>,
}

/// Writes a row into each database, and returns the ports of the servers that have it.
async fn program(variables: &[(&str, &str)]) -> (u16, u16, u16) {
    let shop: Shop = attach(variables).await.unwrap();

    let orders = shop.orders.client();
    sqlx::query("INSERT INTO orders VALUES (1)").execute(&*orders).await.unwrap();
    let first: i32 =
        sqlx::query("SELECT inet_server_port()").fetch_one(&*orders).await.unwrap().get(0);

    let ledger = shop.ledger.client().get().await.unwrap();
    ledger.execute("INSERT INTO orders VALUES (2)", &[]).await.unwrap();
    let second: i32 = ledger.query_one("SELECT inet_server_port()", &[]).await.unwrap().get(0);
    drop(ledger);

    let stock = shop.stock.client();
    sqlx::query("INSERT INTO orders VALUES (3)").execute(&*stock).await.unwrap();
    let third: u32 = sqlx::query("SELECT CAST(@@port AS UNSIGNED INTEGER)")
        .fetch_one(&*stock)
        .await
        .unwrap()
        .get_unchecked(0);

    let notes = shop.notes.client();
    sqlx::query("CREATE TABLE notes (id INTEGER PRIMARY KEY)").execute(&*notes).await.unwrap();

    drop((orders, stock, notes));
    shop.detach().await;
    (u16::try_from(first).unwrap(), u16::try_from(second).unwrap(), u16::try_from(third).unwrap())
}

#[tokio::test]
async fn one_program_two_servers_of_each() {
    let folder = Folder::of_values("notes");
    for name in ["local.db", "managed.db"] {
        let (pg, my) = (postgres::Postgres::start(), mariadb::MariaDb::start());
        let variables = [
            ("SHOP_ORDERS_URL", pg.locator()),
            ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
            ("SHOP_ORDERS_CA", pg.authority.pem()),
            ("SHOP_LEDGER_URL", pg.locator()),
            ("SHOP_LEDGER_PASSWORD", PASSWORD.to_owned()),
            ("SHOP_LEDGER_CA", pg.authority.pem()),
            ("SHOP_STOCK_URL", my.locator()),
            ("SHOP_STOCK_PASSWORD", PASSWORD.to_owned()),
            ("SHOP_STOCK_CA", my.authority.pem()),
            ("SHOP_NOTES_URL", format!("sqlite://{}", folder.path().join(name).display())),
        ];
        let ports =
            program(&variables.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
        assert_eq!(ports, (pg.port, pg.port, my.port));
        assert_eq!(pg.sql("SELECT count(*) FROM orders"), "2");
        assert_eq!(my.sql("SELECT count(*) FROM orders"), "1");
        assert!(folder.path().join(name).is_file());
        pg.assert_no_connection_of(postgres::USER).await;
        my.assert_no_connection_of(mariadb::USER).await;
    }
    journal::assert_silent();
}
