//! Migrations have an account of their own, and run before the program attaches.

use std::time::Duration;

use backing_services::{BackingServices, Postgres, Resource, sqlx};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary::{ADMIN_PASSWORD, PASSWORD};
use backing_services_tests::postgres::{self as server, DATABASE};

const SOON: Duration = Duration::from_secs(10);

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Migrations {
    migrations: Resource<Postgres>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Services {
    #[service(needs = "SELECT, INSERT ON shop.invoices")]
    invoices: Resource<Postgres>,
}

async fn migrate(variables: &[(&str, &str)]) {
    let database: Migrations = attach(variables).await.unwrap();
    let pool = database.migrations.client();
    let limit: String =
        sqlx::query_scalar("SHOW statement_timeout").fetch_one(&*pool).await.unwrap();
    assert_eq!(limit, "1h");
    let statement = "CREATE TABLE IF NOT EXISTS invoices (id bigint PRIMARY KEY)";
    sqlx::raw_sql(statement).execute(&*pool).await.unwrap();
    drop(pool);
    assert!(database.detach().await.cut().is_empty());
}

#[tokio::test]
async fn an_empty_database_is_migrated_granted_and_attached() {
    let server = server::Postgres::start();
    server.sql(&format!(
        "CREATE ROLE shop_migrations LOGIN PASSWORD '{ADMIN_PASSWORD}';
         CREATE SCHEMA shop AUTHORIZATION shop_migrations;
         ALTER ROLE shop_migrations SET search_path = shop;
         CREATE ROLE shop_invoices LOGIN PASSWORD '{PASSWORD}'"
    ));
    let port = server.port;
    let ca = server.authority.pem();
    let migrations = format!(
        "postgres://shop_migrations@localhost:{port}/{DATABASE}?statement_timeout=3600000&\
         max_connections=1"
    );
    let invoices = format!("postgres://shop_invoices@localhost:{port}/{DATABASE}");
    let migrating = [
        ("SHOP_MIGRATIONS_URL", migrations.as_str()),
        ("SHOP_MIGRATIONS_PASSWORD", ADMIN_PASSWORD),
        ("SHOP_MIGRATIONS_CA", ca.as_str()),
    ];
    let serving = [
        ("SHOP_INVOICES_URL", invoices.as_str()),
        ("SHOP_INVOICES_PASSWORD", PASSWORD),
        ("SHOP_INVOICES_CA", ca.as_str()),
    ];

    let error = refused::<Services>(&serving, SOON).await;
    assert_eq!(problems(&error), ["missing_privileges"], "{error}");
    assert!(error.to_string().contains("First run the migrations"), "{error}");

    migrate(&migrating).await;
    // The role is there already: only the rest of its statements is run.
    let grants = Services::MANIFEST.grants().remove(0).to_string();
    let grants: Vec<_> = grants.lines().filter(|line| !line.starts_with("CREATE ROLE")).collect();
    server.script(DATABASE, &grants.join("\n"));
    let services: Services = attach(&serving).await.unwrap();
    let pool = services.invoices.client();
    sqlx::query("INSERT INTO shop.invoices VALUES (1)").execute(&*pool).await.unwrap();
    drop(pool);
    services.detach().await;

    // The account owns its tables by now, which makes it no administrator.
    migrate(&migrating).await;
}
