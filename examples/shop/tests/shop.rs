//! Runs the shop against real servers, with the accounts that its command line prints.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot continue has to fail at once"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};

use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::{postgres, redis};

/// The result of a run of the command line.
struct Said {
    status: ExitStatus,
    text: String,
}

/// Runs the operators' command line.
fn operate(arguments: &[&str], environment: &[(&str, String)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop-services"));
    let output = command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().cloned())
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    canary::assert_silent("standard output", &text);
    Said { status: output.status, text }
}

/// A running shop. It is stopped on drop, even if the test fails.
struct Shop {
    process: Child,
    address: String,
}

impl Shop {
    fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the shop listens");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: \
             {}\r\n\r\n{body}",
            body.len()
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status =
            answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Sends SIGINT, as Ctrl+C does, and waits.
    fn stop(mut self) -> bool {
        let pid = self.process.id().to_string();
        Command::new("kill").args(["-s", "INT", "--", &pid]).status().expect("kill");
        self.process.wait().expect("it ends").success()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn shop_serves_from_postgresql_and_redis_over_tls() {
    let (database, cache) = (postgres::Postgres::start(), redis::Redis::start());
    let documented = include_str!("../src/grants.md");
    let [orders, sessions] = ["orders", "sessions"].map(|field| {
        let grants = operate(&["grants", field], &[]);
        assert!(grants.status.success() && !grants.text.is_empty(), "{}", grants.text);
        for line in grants.text.lines() {
            assert!(
                documented.contains(&format!("\n{line}\n")),
                "the docs of the shop do not have: {line}"
            );
        }
        grants.text
    });
    database.script(
        postgres::DATABASE,
        "DROP TABLE orders; CREATE TABLE orders (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY \
         KEY, item TEXT NOT NULL);",
    );
    database.script(postgres::DATABASE, &orders);
    let _ = database.sql(&format!("ALTER ROLE shop_orders PASSWORD '{PASSWORD}'"));

    let _ = cache.pipe(&sessions);
    cache.command(&["ACL", "SETUSER", "shop_sessions", &format!(">{PASSWORD}")]);

    let mut environment = vec![
        ("DATABASE_URL", database.locator().replace(postgres::USER, "shop_orders")),
        ("DATABASE_PASSWORD", PASSWORD.to_owned()),
        ("DATABASE_CA", database.authority.pem()),
        ("SHOP_SESSIONS_URL", cache.locator().replace(redis::USER, "shop_sessions")),
        ("SHOP_SESSIONS_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_SESSIONS_CA", cache.authority.pem()),
        ("SHOP_ADDRESS", "127.0.0.1:0".to_owned()),
    ];
    // The CI gate passes, and fails if something is wrong.
    let gate = operate(&["attach"], &environment);
    assert!(
        gate.status.success() && gate.text.contains("\npassed: `Services` attaches: 3 fields"),
        "{}",
        gate.text
    );
    environment.push(("DATABASE_CA", cache.authority.pem()));
    let gate = operate(&["attach"], &environment);
    assert!(
        gate.status.code() == Some(1) && gate.text.contains("error[unverified_tls]"),
        "{}",
        gate.text
    );
    environment.pop();

    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.envs(environment).stdout(Stdio::piped());
    let mut process = command.spawn().expect("the shop");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("its output"))
        .read_line(&mut line)
        .expect("a line");
    let address = line
        .trim()
        .strip_prefix("listening on ")
        .unwrap_or_else(|| panic!("the shop did not start: {line}"))
        .to_owned();
    let shop = Shop { process, address };

    assert_eq!(
        shop.request("POST", "/orders/lamp", ""),
        (200, r#"{"id":1,"item":"lamp"}"#.to_owned())
    );
    assert_eq!(shop.request("GET", "/orders", ""), (200, r#"[{"id":1,"item":"lamp"}]"#.to_owned()));
    assert_eq!(shop.request("PUT", "/sessions/ada", r#"{"cart":["lamp"]}"#).0, 204);
    assert_eq!(shop.request("GET", "/sessions/ada", ""), (200, r#"{"cart":["lamp"]}"#.to_owned()));
    assert_eq!(shop.request("GET", "/sessions/unknown", "").0, 404);
    assert_eq!(
        shop.request("GET", "/health", ""),
        (200, r#"{"orders":"ok","sessions":"ok"}"#.to_owned())
    );
    let (status, posture) = shop.request("GET", "/posture", "");
    assert_eq!(status, 200);
    assert!(
        posture.contains(r#""version":"TLS 1.3""#) && posture.contains("SCRAM-SHA-256"),
        "{posture}"
    );
    canary::assert_silent("the posture", &posture);

    assert!(shop.stop(), "it detaches, and ends well");
    assert_eq!(database.connections_of("shop_orders"), 0);
}
