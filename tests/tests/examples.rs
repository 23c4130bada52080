//! Runs the examples: `quickstart` without servers, `token` with real servers. The shop has its own
//! tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot do what it should has to stop, there and loudly"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use backing_services_tests::canary::{self, ADMIN_PASSWORD, PASSWORD};
use backing_services_tests::https::Https;
use backing_services_tests::pki::Authority;
use backing_services_tests::postgres;
use serde_json::json;

/// `cargo run -p …`, as in the README.
fn example(name: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "-p", name]);
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

/// A running example and its cargo process, in a process group of their own. Both are stopped even
/// if the test fails.
struct Running(Child);

impl Running {
    /// Sends the interrupt signal, as Ctrl-C in a terminal does, and waits.
    fn stop(mut self) -> bool {
        Command::new("kill")
            .args(["-s", "INT", "--", &format!("-{}", self.0.id())])
            .status()
            .expect("kill");
        self.0.wait().expect("it ends").success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ =
            Command::new("kill").args(["-s", "KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

#[test]
fn token_logs_in_with_tokens_that_expire() {
    let database = Arc::new(postgres::Postgres::start());
    let issued = Arc::new(AtomicUsize::new(0));
    let (server, count) = (Arc::clone(&database), Arc::clone(&issued));
    let give = async move |headers: HeaderMap| {
        if headers
            .get("authorization")
            .is_none_or(|value| value != &format!("Bearer {ADMIN_PASSWORD}"))
        {
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
    let (output, mut errors) =
        (cargo.stdout.take().expect("its output"), cargo.stderr.take().expect("its log"));
    let program = Running(cargo);
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
