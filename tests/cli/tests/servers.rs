//! `attach` and `posture` against PostgreSQL and Redis: passed and refused fields, and what stays
//! on the servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot do what it should has to stop, there and loudly"
)]

mod kiosk;

use std::os::unix::process::CommandExt as _;

use backing_services_tests::canary::{ADMIN_PASSWORD, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::pki::Authority;
use backing_services_tests::postgres::{self, Postgres};
use backing_services_tests::redis::{self, Redis};
use kiosk::{Said, kiosk, said};

/// The accounts that `grants` creates, with a password.
const ORDERS: &str = "kiosk_orders";
const SESSIONS: &str = "kiosk_sessions";

struct Servers {
    database: Postgres,
    cache: Redis,
}

impl Servers {
    /// Both servers, with the privileges that the program prints for its accounts, and no more.
    fn start() -> Self {
        let servers = Self { database: Postgres::start(), cache: Redis::start() };
        servers.database.script(postgres::DATABASE, &said(&mut kiosk(&["grants", "orders"])).out);
        let _ = servers.database.sql(&format!("ALTER ROLE {ORDERS} PASSWORD '{PASSWORD}'"));
        let _ = servers.cache.pipe(&said(&mut kiosk(&["grants", "sessions"])).out);
        servers.cache.command(&["ACL", "SETUSER", SESSIONS, "on", &format!(">{PASSWORD}")]);
        servers
    }

    /// The values with which everything passes.
    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.database.locator().replace(postgres::USER, ORDERS)),
            ("DATABASE_PASSWORD", PASSWORD.to_owned()),
            ("DATABASE_CA", self.database.authority.pem()),
            ("KIOSK_SESSIONS_URL", self.cache.locator().replace(redis::USER, SESSIONS)),
            ("KIOSK_SESSIONS_PASSWORD", PASSWORD.to_owned()),
            ("KIOSK_SESSIONS_CA", self.cache.authority.pem()),
            ("KIOSK_RECEIPT_KEY", PASSWORD.to_owned()),
        ]
    }

    /// Runs a command with changes in the environment.
    #[track_caller]
    fn said(&self, arguments: &[&str], changes: &[(&str, &str)]) -> Said {
        said(kiosk(arguments).envs(self.environment()).envs(changes.iter().copied()))
    }
}

#[track_caller]
fn assert_has(said: &Said, status: i32, parts: &[&str]) {
    assert_eq!((said.status, said.err.as_str()), (status, ""), "{}", said.out);
    for part in parts {
        assert!(said.out.contains(part), "{part} is not in:\n{}", said.out);
    }
}

#[tokio::test]
async fn attach_and_posture_report_the_servers() {
    let servers = Servers::start();
    let (database, cache) = (servers.database.port, servers.cache.port);

    // Everything passes.
    let passed = servers.said(&["attach"], &[]);
    let orders = format!(
        "passed   orders            PostgreSQL  postgres://localhost:{database}/{}, TLS 1.3, ",
        postgres::DATABASE
    );
    let sessions =
        format!("passed   sessions          Redis       rediss://localhost:{cache}/, TLS 1.3, ");
    let accounts =
        [format!(" days, as {ORDERS}, PostgreSQL "), format!(" days, as {SESSIONS}, redis ")];
    assert_has(
        &passed,
        0,
        &[
            &orders,
            &sessions,
            &accounts[0],
            &accounts[1],
            "\npassed: `Services` attaches: 12 fields",
        ],
    );

    let posture = servers.said(&["posture"], &[]);
    let endpoint =
        format!("  endpoint     postgres://localhost:{database}/{}\n", postgres::DATABASE);
    assert_has(
        &posture,
        0,
        &[
            "orders (PostgreSQL): passed\n",
            &endpoint,
            "  TLS          TLS 1.3, ",
            "  trusted      by its private authority",
            "  certificate  CN=a test server, ",
            " days left\n",
            "  names        localhost, 127.0.0.1, ::1\n",
            &format!("  account      {ORDERS}, by SCRAM-SHA-256"),
            "  privileges   ",
            "  waiver       superuser_account: the vendor ships one account, until 2099-01-31\n",
            "absent   feeds.editions    NATS        KIOSK_FEEDS_EDITIONS_URL\n",
        ],
    );
    let report: serde_json::Value =
        serde_json::from_str(&servers.said(&["posture", "--format", "json"], &[]).out).unwrap();
    assert_eq!(report["fields"][0]["posture"]["tls"]["version"], "TLS 1.3", "{report:#}");

    // A waived finding refuses nothing until the waiver ends.
    let (admin, all) = (
        servers.database.locator().replace(postgres::USER, postgres::ADMIN),
        servers.cache.locator().replace(redis::USER, redis::ADMIN),
    );
    let waived = servers.said(
        &["attach"],
        &[("KIOSK_SESSIONS_URL", &all), ("KIOSK_SESSIONS_PASSWORD", ADMIN_PASSWORD)],
    );
    assert_has(
        &waived,
        0,
        &["waived[superuser_account]", "waived: the vendor ships one account", ", 1 waived\n"],
    );
    let as_admin = [("DATABASE_URL", admin.as_str()), ("DATABASE_PASSWORD", ADMIN_PASSWORD)];
    let till =
        said(kiosk(&["attach"]).arg0("till-services").envs(servers.environment()).envs(as_admin));
    assert_has(
        &till,
        1,
        &[
            "error[superuser_account]",
            "warning[expired_waiver]",
            "2020-01-31",
            "refused: `Till` does not attach: 1 problem in 1 of 1 field, 1 warning\n",
        ],
    );

    let till =
        said(kiosk(&["posture"]).arg0("till-services").envs(servers.environment()).envs(as_admin));
    assert_has(
        &till,
        1,
        &["  waiver       superuser_account: until the vendor fixes it, ended on 2020-01-31\n"],
    );

    // One resource is refused, and the other one is reported all the same.
    let stranger = Authority::new("a stranger").pem();
    let plain = "postgres://winkelier@db.internal/shop?sslmode=disable";
    for (changes, parts) in [
        (
            &[("DATABASE_CA", stranger.as_str())][..],
            &["error[unverified_tls]", "1 problem in 1 of 12 fields", &sessions][..],
        ),
        (&as_admin, &["error[superuser_account]", &sessions]),
        (&[("DATABASE_PASSWORD", WRONG_PASSWORD)], &["error[", "refused  orders", &sessions]),
        (&[("DATABASE_URL", plain)], &["error[plaintext_scheme]", "untried  sessions"]),
        (
            &[("KIOSK_SESSIONS_CA", stranger.as_str()), ("DATABASE_CA", stranger.as_str())],
            &["2 problems in 2 of 12 fields"],
        ),
    ] {
        let refused = servers.said(&["attach"], changes);
        assert_has(&refused, 1, parts);
        assert!(!refused.out.contains("passed   orders"), "{}", refused.out);
    }
    let only = servers.said(&["attach", "--only", "sessions"], &[("DATABASE_URL", "nonsense")]);
    assert_has(&only, 0, &["passed   sessions  Redis  rediss://localhost:"]);

    // An environment from a file attaches as well.
    let file = tempfile::NamedTempFile::new().unwrap();
    let text: String =
        servers.environment().iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
    std::fs::write(file.path(), text).unwrap();
    let from_file = said(kiosk(&["attach", "--env-file"]).arg(file.path()));
    assert_has(&from_file, 0, &[&orders, &sessions]);

    // No connection is left.
    servers.database.assert_no_connection_of(ORDERS).await;
    servers.database.assert_no_connection_of(postgres::ADMIN).await;
    let clients = servers.cache.command(&["CLIENT", "LIST"]);
    assert!(!clients.contains(&format!(" user={SESSIONS} ")), "{clients}");
}

#[test]
fn a_server_without_tls_is_refused() {
    let authority = Authority::new("the tests' authority");
    let pem = authority.pem();
    let cache = Redis::with(authority, &redis::Options::plaintext());
    let values = [("KIOSK_SESSIONS_PASSWORD", PASSWORD), ("KIOSK_SESSIONS_CA", pem.as_str())];
    let spoken = said(
        kiosk(&["attach", "--only", "sessions", "--deadline", "5"])
            .envs(values)
            .env("KIOSK_SESSIONS_URL", cache.locator()),
    );
    assert_has(
        &spoken,
        1,
        &[
            "refused  sessions  Redis  rediss://localhost:",
            "sessions (KIOSK_SESSIONS_URL, from the environment)\n  error[",
        ],
    );
    let written = said(
        kiosk(&["attach", "--only", "sessions"])
            .envs(values)
            .env("KIOSK_SESSIONS_URL", "redis://winkelier@cache.internal"),
    );
    assert_has(
        &written,
        1,
        &["error[plaintext_scheme]: it asks for a connection without TLS\n    help: write \
           `rediss://`"],
    );
    // The server never received the account.
    assert!(!cache.log().contains(redis::USER));
}
