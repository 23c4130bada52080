//! MySQL through the relay: real servers, and all that an application does with sqlx.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use backing_services::posture::TrustPosture;
use backing_services::{BackingServices, MySql, Resource};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::mariadb::{DATABASE, MariaDb, Options};
use backing_services_tests::pki::Authority;
use backing_services_tests::variables::{self, Variables};
use futures_util::TryStreamExt as _;
use sqlx::{Either, Executor as _, Row as _};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<MySql>,
}

const SOON: Duration = Duration::from_secs(10);

/// A database for each account, so that the tests do not meet.
static SERVER: LazyLock<MariaDb> = LazyLock::new(|| {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.arguments = vec![
        "--plugin-load-add=auth_ed25519".to_owned(),
        "--max-allowed-packet=64M".to_owned(),
        "--local-infile=1".to_owned(),
    ];
    let server = MariaDb::with(authority, &options);
    for user in ["signer", "loader", "worker", "migrator"] {
        let plugin = if user == "signer" {
            format!("VIA ed25519 USING PASSWORD('{PASSWORD}')")
        } else {
            format!("BY '{PASSWORD}'")
        };
        let _ = server.sql(&format!(
            "CREATE DATABASE {user}; CREATE USER {user}@'%' IDENTIFIED {plugin}; \
             GRANT SELECT, INSERT, UPDATE, DELETE, ALTER, CREATE, DROP, CREATE ROUTINE, EXECUTE \
             ON {user}.* TO {user}@'%'"
        ));
    }
    server
});

fn variables(user: &str, parameters: &str) -> Variables {
    let url = format!("mysql://{user}@localhost:{}/{user}{parameters}", SERVER.port);
    variables::of("SHOP_ORDERS", url, PASSWORD, SERVER.authority.pem())
}

#[tokio::test]
async fn mariadb_is_proved_a_signature() {
    let shop: Shop = attach(&variables("signer", "?max_connections=3")).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!(posture.authentication.as_deref(), Some("client_ed25519"));
    assert!(rules(&posture.findings).is_empty(), "{:?}", posture.findings);
    let pool = shop.orders.client();
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(pool.acquire().await.unwrap());
    }
    for connection in &mut connections {
        let user = sqlx::query_scalar::<_, String>("SELECT CURRENT_USER()");
        assert_eq!(user.fetch_one(&mut **connection).await.unwrap(), "signer@%");
    }
    drop((connections, pool));
    shop.detach().await;
    assert!(canary::find(SERVER.heard().as_bytes()).is_none());
}

#[tokio::test]
async fn the_servers_key_can_be_pinned() {
    let authority = Authority::new("an authority that no client trusts");
    let leaf = authority.server();
    let (pin, other) = (leaf.pin().unwrap(), authority.server().pin().unwrap());
    let server = MariaDb::with(authority, &Options::tls(leaf));
    let mut variables = variables::of("SHOP_ORDERS", server.locator(), PASSWORD, pin);
    variables[2].0 = "SHOP_ORDERS_PIN";
    let shop: Shop = attach(&variables).await.unwrap();
    assert_eq!(shop.orders.posture().tls.as_ref().unwrap().trust, TrustPosture::PinnedKey);
    let pool = shop.orders.client();
    let _both = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop((_both, pool));
    shop.detach().await;
    variables[2].1 = other;
    let error = refused::<Shop>(&variables, SOON).await;
    assert_eq!(problems(&error).len(), 1, "{error}");
}

#[tokio::test]
async fn the_driver_holds_no_password_and_no_address() {
    let shop: Shop = attach(&variables("loader", "")).await.unwrap();
    let options = shop.orders.client().connect_options();
    let shown = format!("{options:?}");
    assert!(canary::find(shown.as_bytes()).is_none(), "{shown}");
    for value in ["loader", &SERVER.port.to_string()] {
        assert!(!shown.contains(value), "{value}: {shown}");
    }
    // After the end, they lead nowhere.
    shop.detach().await;
    let begin = Instant::now();
    let late = sqlx::ConnectOptions::connect(&*options).await.map(drop);
    assert!(late.is_err() && begin.elapsed() < SOON, "{late:?}");
}

#[tokio::test]
async fn no_file_of_this_machine_is_sent() {
    let shop: Shop = attach(&variables("loader", "")).await.unwrap();
    let pool = shop.orders.client();
    pool.execute("CREATE TABLE files (line text)").await.unwrap();
    let loading = pool.execute("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE files").await;
    assert!(loading.is_err());
    let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM files");
    assert_eq!(count.fetch_one(&*pool).await.unwrap(), 0);
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn results_of_several_statements_arrive_in_order() {
    let shop: Shop = attach(&variables("worker", "")).await.unwrap();
    let pool = shop.orders.client();
    let statements = "CREATE TABLE several (id int, name text); \
        INSERT INTO several VALUES (1, NULL), (2, 'two'), (3, ''); \
        SELECT name, id FROM several ORDER BY id; SELECT NULL; UPDATE several SET id = id + 1; \
        SELECT id FROM several WHERE id > 100; SELECT 7";
    let all = pool.fetch_many(statements).try_collect::<Vec<_>>().await.unwrap();
    let shown: Vec<_> = all
        .iter()
        .map(|either| match either {
            Either::Left(done) => format!("{}", done.rows_affected()),
            Either::Right(row) => format!("{:?}", row.get_unchecked::<Option<String>, _>(0)),
        })
        .collect();
    let expected = [
        "0", "3", "None", "Some(\"two\")", "Some(\"\")", "0", "None", "0", "3", "0", "Some(\"7\")",
        "0",
    ];
    assert_eq!(shown, expected);

    // A procedure has several results, and then its own.
    let procedure = "CREATE PROCEDURE several_results() BEGIN SELECT NULL, 1; SELECT 2; END";
    pool.execute(procedure).await.unwrap();
    for _ in 0..3 {
        let calling = sqlx::query("CALL several_results()").fetch_all(&*pool).await.unwrap();
        assert_eq!(calling.iter().map(sqlx::Row::len).collect::<Vec<_>>(), [2, 1]);
    }
    // Prepared statements with parameters, with columns, with both, and with neither.
    for _ in 0..3 {
        let inserting = sqlx::query("INSERT INTO several VALUES (?, ?)");
        inserting.bind(9).bind("nine").execute(&*pool).await.unwrap();
        let reading = sqlx::query_as::<_, (i32, Option<String>)>(
            "SELECT id, name FROM several WHERE id = ? ORDER BY id",
        );
        assert!(!reading.bind(9).fetch_all(&*pool).await.unwrap().is_empty());
        sqlx::query("SELECT id FROM several").fetch_all(&*pool).await.unwrap();
        sqlx::query("DELETE FROM several WHERE id = 9").execute(&*pool).await.unwrap();
    }
    // The server's own words arrive.
    let error = pool.execute("SELEKT 1").await.map(drop).unwrap_err().to_string();
    assert!(error.contains("You have an error in your SQL syntax"), "{error}");
    assert!(pool.execute("SELECT 1; SELEKT 1").await.is_err());
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn migrations_of_the_driver_run() {
    let shop: Shop = attach(&variables("migrator", "")).await.unwrap();
    let pool = shop.orders.client();
    let migrator = sqlx::migrate!("tests/live/steps_mysql");
    for _ in 0..2 {
        migrator.run(&*pool).await.unwrap();
        let done = "SELECT count(*) FROM _sqlx_migrations WHERE success";
        assert_eq!(sqlx::query_scalar::<_, i64>(done).fetch_one(&*pool).await.unwrap(), 2);
    }
    let one = sqlx::query_scalar::<_, i64>("SELECT id FROM invoices WHERE text = 'one'");
    assert_eq!(one.fetch_one(&*pool).await.unwrap(), 1);
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn transactions_and_abandoned_statements_leave_the_pool_in_order() {
    let shop: Shop = attach(&variables("worker", "?max_connections=2")).await.unwrap();
    let pool = shop.orders.client();
    pool.execute("CREATE TABLE held (id int) ENGINE = InnoDB").await.unwrap();
    for commits in [false, true] {
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query("INSERT INTO held VALUES (1)").execute(&mut *transaction).await.unwrap();
        if commits {
            transaction.commit().await.unwrap()
        } else {
            drop(transaction)
        }
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM held");
        assert_eq!(count.fetch_one(&*pool).await.unwrap(), i64::from(commits));
    }
    for _ in 0..5 {
        let sleeping = pool.execute("SELECT SLEEP(0.2); SELECT NULL; SELECT 3");
        assert!(tokio::time::timeout(Duration::from_millis(20), sleeping).await.is_err());
        let mut stream = pool.fetch("SELECT seq FROM seq_1_to_10000");
        assert!(stream.try_next().await.unwrap().is_some());
        drop(stream);
        assert_eq!(sqlx::query_scalar::<_, i64>("SELECT 5").fetch_one(&*pool).await.unwrap(), 5);
    }
    // A connection that the server ends is replaced.
    let asking = sqlx::query_scalar::<_, u64>("SELECT CONNECTION_ID()");
    let connection = asking.fetch_one(&*pool).await.unwrap();
    let _ = SERVER.sql(&format!("KILL {connection}"));
    let mut left = 10;
    while let Err(error) = pool.execute("SELECT 1").await {
        left -= 1;
        assert!(left > 0, "{error}");
    }
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn large_rows_and_parameters_pass_up_to_the_limit() {
    let shop: Shop = attach(&variables("worker", "?max_message=40000000")).await.unwrap();
    let pool = shop.orders.client();
    pool.execute("CREATE TABLE large (id int, value longblob)").await.unwrap();
    for (id, size) in [(1, 0xff_ffff - 100), (2, 0xff_ffff), (3, 17 << 20), (4, 33 << 20)] {
        // The first packet of an answer has another number if the statement took several.
        let value = vec![0xfb_u8; size];
        let inserting = sqlx::query("INSERT INTO large VALUES (?, ?)");
        inserting.bind(id).bind(&value).execute(&*pool).await.unwrap();
        let reading = sqlx::query_scalar::<_, Vec<u8>>("SELECT value FROM large WHERE id = ?");
        assert!(reading.bind(id).fetch_one(&*pool).await.unwrap() == value, "{size}");
        let rows = sqlx::query("SELECT id, NULL, value, id FROM large").fetch_all(&*pool);
        assert_eq!(rows.await.unwrap().len(), usize::try_from(id).unwrap());
    }
    // As text, sqlx would take the first value for the end of the rows.
    let misread = pool.fetch_all("SELECT value FROM large WHERE id = 3").await.map(drop);
    assert!(misread.is_err(), "{misread:?}");
    assert_eq!(pool.fetch_all("SELECT id, value FROM large").await.unwrap().len(), 4);
    drop(pool);
    shop.detach().await;

    let shop: Shop = attach(&variables("worker", "?max_message=65536")).await.unwrap();
    let pool = shop.orders.client();
    let reading = sqlx::query_scalar::<_, Vec<u8>>("SELECT repeat('x', 65000)");
    assert_eq!(reading.fetch_one(&*pool).await.unwrap().len(), 65_000);
    let reading = sqlx::query_scalar::<_, Vec<u8>>("SELECT repeat('x', 66000)");
    assert!(reading.fetch_one(&*pool).await.is_err());
    sqlx::query("SELECT 1").execute(&*pool).await.unwrap();
    drop(pool);
    shop.detach().await;
}

/// The relay opens as many connections as the pool wants, and ends them all.
#[tokio::test]
async fn many_connections_are_opened_at_once_and_ended() {
    let server = MariaDb::start();
    let url = format!("{}?max_connections=40", server.locator());
    let variables = variables::of("SHOP_ORDERS", url, PASSWORD, server.authority.pem());
    let shop: Shop = attach(&variables).await.unwrap();
    let pool = shop.orders.client();
    let opening = (0..40).map(|_| pool.acquire());
    let held = futures_util::future::try_join_all(opening).await.unwrap();
    assert_eq!(held.len(), 40);
    drop(held);
    drop(pool);
    shop.detach().await;
    server.assert_no_connection_of(backing_services_tests::mariadb::USER).await;
    assert!(server.heard().contains(DATABASE));
}
