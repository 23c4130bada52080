//! PgBouncer, as the tests start it: what it does in each mode, and what it refuses.

use backing_services_tests::pgbouncer::{Mode, Options, PgBouncer};
use backing_services_tests::postgres::{DATABASE, USER};

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
