//! PgBouncer, as the tests start it: what it does in each mode, and what it refuses. And the
//! services that are connected through it.

use std::time::Duration;

use backing_services::{BackingServices, Postgres, Resource, TokioPostgres};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::pgbouncer::{Mode, Options, PgBouncer};
use backing_services_tests::postgres::{DATABASE, USER};
use backing_services_tests::variables;
use backing_services_tests::variables::Variables;
use tokio::task::JoinSet;

/// Fails the test if an attach takes longer.
const SOON: Duration = Duration::from_secs(20);

/// The parameters that every client sends.
const ACCOUNT: [(&str, &str); 2] = [("user", USER), ("database", DATABASE)];

/// The parameters that sqlx sends beside the account.
const OF_SQLX: [(&str, &str); 4] = [
    ("DateStyle", "ISO, MDY"),
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "2"),
];

/// The answer to a startup message with the account and one more parameter.
async fn answer(bouncer: &PgBouncer, parameter: (&str, &str)) -> String {
    let parameters: Vec<_> = ACCOUNT.into_iter().chain([parameter]).collect();
    bouncer.startup(&parameters).await.unwrap()
}

/// Checks that both sides of PgBouncer have TLS, and that it passes statements on.
fn assert_it_works(bouncer: &PgBouncer) {
    let seen = "SELECT usename, ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE pid = \
                pg_backend_pid()";
    assert_eq!(bouncer.sql(&[seen]), format!("{USER}|t"));
    assert_eq!(bouncer.sql(&["INSERT INTO orders VALUES (1)", "TABLE orders"]), "1");
    assert_eq!(bouncer.server.sql("TABLE orders"), "1");
    assert!(bouncer.log().contains("SSL established"), "{}", bouncer.log());
    let port = format!("|{}|", bouncer.server.port);
    assert!(bouncer.admin("SHOW SERVERS").contains(&port), "{}", bouncer.admin("SHOW SERVERS"));
}

#[tokio::test]
async fn in_session_mode_a_setting_ends_with_the_session() {
    let bouncer = PgBouncer::start(&Options::new(Mode::Session).pool_size(1));
    assert_it_works(&bouncer);
    assert_eq!(bouncer.sql(&["SET statement_timeout = 1234", "SHOW statement_timeout"]), "1234ms");
    assert_eq!(bouncer.sql(&["SHOW statement_timeout"]), "0");
}

#[tokio::test]
async fn in_transaction_mode_a_setting_stays_for_other_clients() {
    let bouncer = PgBouncer::start(&Options::new(Mode::Transaction).pool_size(1));
    assert_it_works(&bouncer);
    assert_eq!(bouncer.sql(&["SET statement_timeout = 1234", "SHOW statement_timeout"]), "1234ms");
    assert_eq!(bouncer.sql(&["SHOW statement_timeout"]), "1234ms");
}

#[tokio::test]
async fn it_refuses_parameters_that_it_does_not_know() {
    for mode in [Mode::Session, Mode::Transaction] {
        let bouncer = PgBouncer::start(&Options::new(mode));
        assert_eq!(bouncer.startup(&ACCOUNT).await.unwrap(), "SCRAM-SHA-256");
        for (name, value) in [
            ("statement_timeout", "1234"),
            ("extra_float_digits", "2"),
            ("options", "-c statement_timeout=1234"),
        ] {
            let refused = format!("08P01: unsupported startup parameter: {name}");
            assert_eq!(answer(&bouncer, (name, value)).await, refused);
        }
        for (name, value) in &OF_SQLX[..3] {
            assert_eq!(answer(&bouncer, (name, value)).await, "SCRAM-SHA-256", "{name}");
        }
        assert_eq!(answer(&bouncer, ("application_name", "shop")).await, "SCRAM-SHA-256");
    }
}

#[tokio::test]
async fn it_drops_the_parameters_that_it_is_to_ignore() {
    let options = Options::new(Mode::Transaction).ignoring("extra_float_digits, options");
    let bouncer = PgBouncer::start(&options);
    let all: Vec<_> = ACCOUNT.into_iter().chain(OF_SQLX).collect();
    assert_eq!(bouncer.startup(&all).await.unwrap(), "SCRAM-SHA-256");
    let refused = "08P01: unsupported startup parameter: statement_timeout";
    assert_eq!(answer(&bouncer, ("statement_timeout", "1234")).await, refused);
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<Postgres>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Bound {
    orders: Resource<TokioPostgres>,
}

fn variables(bouncer: &PgBouncer, parameters: &str) -> Variables {
    let locator = format!("{}{parameters}", bouncer.locator());
    variables::of("SHOP_ORDERS", locator, PASSWORD, bouncer.server.authority.pem())
}

/// The remarks that hold the text.
fn remarks(shop: &Shop, text: &str) -> usize {
    let posture = shop.orders.posture();
    posture.remarks.iter().filter(|remark| remark.contains(text)).count()
}

/// Runs many queries at once, each prepared, and returns the number of those that failed.
async fn failures(shop: &Shop) -> usize {
    let mut queries = JoinSet::new();
    for number in 0..120_i32 {
        let pool = (*shop.orders.client()).clone();
        queries.spawn(async move {
            let asked = sqlx::query_scalar::<_, i32>("SELECT $1 + count(*)::int FROM orders");
            asked.bind(number).fetch_one(&pool).await.is_err()
        });
    }
    queries.join_all().await.into_iter().filter(|failed| *failed).count()
}

#[tokio::test]
async fn a_session_s_pooler_is_used_as_the_server_is() {
    let bouncer = PgBouncer::start(&Options::new(Mode::Session));
    let shop: Shop = attach(&variables(&bouncer, "")).await.unwrap();
    assert_eq!(remarks(&shop, "not bound to the TLS connection"), 1);
    assert_eq!(remarks(&shop, "statements have no time limit"), 1);
    assert_eq!(remarks(&shop, "each transaction"), 0);
    assert_eq!(failures(&shop).await, 0);
    shop.detach().await;
}

#[tokio::test]
async fn transaction_pooling_that_forgets_is_refused() {
    // One session for both transactions is the other way to see it.
    for sessions in [20, 1] {
        let options = Options::new(Mode::Transaction).pool_size(sessions);
        let bouncer = PgBouncer::start(&options);
        let error = refused::<Shop>(&variables(&bouncer, ""), SOON).await;
        assert_eq!(problems(&error), ["unavailable"], "{error}");
        assert!(error.to_string().contains("`max_prepared_statements`"), "{error}");
        // No session of the server keeps a time limit of ours, which another client would get.
        assert_eq!(bouncer.sql(&["SHOW statement_timeout"]), "0");
    }
}

/// A parameter in `ignore_startup_parameters` is not in force, and the posture reports that.
#[tokio::test]
async fn a_time_limit_that_is_dropped_is_reported() {
    for (setting, count) in [("SET statement_timeout = '7s'", 0), ("RESET statement_timeout", 1)] {
        let options = Options::new(Mode::Session).ignoring("extra_float_digits, statement_timeout");
        let bouncer = PgBouncer::start(&options);
        bouncer.server.sql(&format!("ALTER ROLE {USER} {setting}"));
        let shop: Shop = attach(&variables(&bouncer, "")).await.unwrap();
        assert_eq!(remarks(&shop, "statements have no time limit"), count);
        shop.detach().await;
    }
}

/// A pooler that ends TLS cannot bind the login, and the stricter service refuses it.
#[tokio::test]
async fn a_pooler_cannot_bind_the_login() {
    let bouncer = PgBouncer::start(&Options::new(Mode::Session));
    let error = refused::<Bound>(&variables(&bouncer, ""), SOON).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
    let error = refused::<Shop>(&variables(&bouncer, "?channel_binding=require"), SOON).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
}
