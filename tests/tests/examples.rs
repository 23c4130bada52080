//! The examples run: `quickstart` on nothing, `shop` on real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot do what it should has to stop, there and loudly")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use backing_services_tests::canary::{self, ADMIN_PASSWORD, PASSWORD};
use backing_services_tests::https::Https;
use backing_services_tests::pki::Authority;
use backing_services_tests::{postgres, redis};
use serde_json::json;

/// `cargo run --example …`, as the README has it.
fn example(name: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "-p", "backing-services-examples", "--example", name]);
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    cargo
}

#[test]
fn quickstart_attaches_works_and_shows_two_mistakes() {
    let output = example("quickstart").output().expect("cargo");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "order 1: lamp\norder 2: chair\n",
        "prints as SecretBox<str>([REDACTED])",
        "orders: SQLite at sqlite:",
        "`Services` was not attached: 2 problems in 2 of 5 fields",
        "error[missing_value]: `SHOP_PAYMENTS_KEY` is not set",
        "error[plaintext_scheme]: its scheme `redis` is plaintext",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("never-printed"), "{text}");
}

/// A shop that runs, and is stopped whatever happens to the test.
struct Shop {
    cargo: Child,
    address: String,
}

impl Shop {
    fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the shop listens");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Asks it to stop, as a person at a terminal does, and waits.
    fn stop(mut self) -> bool {
        let pid = self.cargo.id().to_string();
        Command::new("kill").args(["-s", "INT", "--", &format!("-{pid}")]).status().expect("kill");
        self.cargo.wait().expect("it ends").success()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-s", "KILL", "--", &format!("-{}", self.cargo.id())]).status();
        let _ = self.cargo.wait();
    }
}

#[test]
fn shop_serves_from_postgresql_and_redis_over_tls() {
    let (database, cache) = (postgres::Postgres::start(), redis::Redis::start());
    let grants = example("shop").args(["--", "grants", "orders"]).output().expect("cargo");
    let grants = String::from_utf8(grants.stdout).expect("text");
    let documented = include_str!("../../examples/examples/shop.rs");
    for line in grants.lines() {
        assert!(documented.contains(&format!("//! {line}\n")), "the docs of the shop do not have: {line}");
    }
    database.script(
        postgres::DATABASE,
        "DROP TABLE orders; CREATE TABLE orders (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item TEXT NOT NULL);",
    );
    database.script(postgres::DATABASE, &grants);
    let _ = database.sql(&format!("ALTER ROLE shop_orders PASSWORD '{PASSWORD}'"));

    let mut command = example("shop");
    command
        .envs([
            ("DATABASE_URL", database.locator().replace(postgres::USER, "shop_orders")),
            ("DATABASE_PASSWORD", PASSWORD.to_owned()),
            ("DATABASE_CA", database.authority.pem()),
        ])
        .envs([
            ("SHOP_SESSIONS_URL", cache.locator()),
            ("SHOP_SESSIONS_PASSWORD", PASSWORD.to_owned()),
            ("SHOP_SESSIONS_CA", cache.authority.pem()),
        ])
        .env("SHOP_ADDRESS", "127.0.0.1:0")
        .stdout(Stdio::piped());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut cargo = command.spawn().expect("cargo");
    let mut line = String::new();
    BufReader::new(cargo.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    let address =
        line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("the shop did not start: {line}")).to_owned();
    let shop = Shop { cargo, address };

    assert_eq!(shop.request("POST", "/orders/lamp", ""), (200, r#"{"id":1,"item":"lamp"}"#.to_owned()));
    assert_eq!(shop.request("GET", "/orders", ""), (200, r#"[{"id":1,"item":"lamp"}]"#.to_owned()));
    assert_eq!(shop.request("PUT", "/sessions/ada", r#"{"cart":["lamp"]}"#).0, 204);
    assert_eq!(shop.request("GET", "/sessions/ada", ""), (200, r#"{"cart":["lamp"]}"#.to_owned()));
    assert_eq!(shop.request("GET", "/sessions/nobody", "").0, 404);
    assert_eq!(shop.request("GET", "/health", ""), (200, r#"{"orders":"ok","sessions":"ok"}"#.to_owned()));
    let (status, posture) = shop.request("GET", "/posture", "");
    assert_eq!(status, 200);
    assert!(posture.contains(r#""version":"TLS 1.3""#) && posture.contains("SCRAM-SHA-256"), "{posture}");
    canary::assert_silent("the posture", &posture);

    assert!(shop.stop(), "it detaches, and ends well");
    assert_eq!(database.connections_of("shop_orders"), 0);
}

#[test]
fn token_logs_in_with_tokens_that_expire() {
    let database = Arc::new(postgres::Postgres::start());
    let issued = Arc::new(AtomicUsize::new(0));
    let (server, count) = (Arc::clone(&database), Arc::clone(&issued));
    let give = async move |headers: HeaderMap| {
        if headers.get("authorization").is_none_or(|value| value != &format!("Bearer {ADMIN_PASSWORD}")) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let token = format!("{PASSWORD}-{}", count.fetch_add(1, Ordering::SeqCst));
        server.sql(&format!("ALTER ROLE {} PASSWORD '{token}'", postgres::USER));
        Ok(Json(json!({"token": token, "expires_in": 3})))
    };
    let authority = Authority::new("the tests' authority");
    let leaf = authority.server();
    let tokens = Https::serve(authority, &leaf, Router::new().route("/api/token", post(give)));

    let mut command = example("token");
    command
        .envs([
            ("SHOP_ORDERS_URL", database.locator()),
            ("SHOP_ORDERS_CA", database.authority.pem()),
            ("SHOP_TOKENS_URL", tokens.locator()),
            ("SHOP_TOKENS_PASSWORD", ADMIN_PASSWORD.to_owned()),
            ("SHOP_TOKENS_CA", tokens.authority.pem()),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut cargo = command.spawn().expect("cargo");
    let (output, mut errors) = (cargo.stdout.take().expect("its output"), cargo.stderr.take().expect("its log"));
    let program = Shop { cargo, address: String::new() };
    let mut lines = BufReader::new(output).lines();
    let mut said = Vec::new();
    while issued.load(Ordering::SeqCst) < 3 || said.len() < 4 {
        said.push(lines.next().expect("it goes on").expect("a line"));
    }
    assert!(said[0].starts_with("0 orders, by connection "), "{said:?}");
    assert!(said.iter().all(|line| *line == said[0]), "the connection is the same: {said:?}");
    assert!(program.stop(), "it detaches, and ends well");
    let mut log = String::new();
    errors.read_to_string(&mut log).expect("its log");
    assert!(log.contains("its credentials are renewed"), "{log}");
    canary::assert_silent("its output", &(said.concat() + &log));
    assert_eq!(database.connections_of(postgres::USER), 0);
}
