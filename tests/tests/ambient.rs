//! Environment variables of the process that would change a driver's trusted roots or its server.
//! Cargo builds each driver once per program, so the driver may have features that another crate
//! enabled. Drivers read the environment of the process, so each test starts a child process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::process::Command;

use backing_services::{BackingServices, Environment, MySql, Postgres, Resource, TokioPostgres};
use backing_services_tests::attempt::problems;
use backing_services_tests::canary::PASSWORD;

#[derive(BackingServices)]
#[services(prefix = "BY_SQLX")]
struct Orders {
    db: Resource<Postgres>,
}

#[derive(BackingServices)]
#[services(prefix = "OF_MYSQL")]
struct Legacy {
    db: Resource<MySql>,
}

#[derive(BackingServices)]
#[services(prefix = "BY_TOKIO")]
struct Strict {
    db: Resource<TokioPostgres>,
}

#[allow(clippy::print_stdout, reason = "the test that started the process reads it")]
fn report<T: BackingServices>(prefix: &str, scheme: &str) {
    let [url, password] = ["URL", "PASSWORD"].map(|name| format!("{prefix}_DB_{name}"));
    let locator = format!("{scheme}://shop@db.example.com/shop");
    let checked = T::check(&Environment::from_iter([
        (url.as_str(), locator.as_str()),
        (password.as_str(), PASSWORD),
    ]));
    let found =
        checked.err().map(|error| (problems(&error), error.to_string())).unwrap_or_default();
    println!("\n{prefix}: {:?} {}", found.0, found.1.replace('\n', " "));
}

/// Not a test: the body of the child process that the tests start.
#[test]
#[ignore = "run by the tests of this file"]
fn checks_in_its_own_environment() {
    report::<Orders>("BY_SQLX", "postgres");
    report::<Legacy>("OF_MYSQL", "mysql");
    report::<Strict>("BY_TOKIO", "postgres");
}

/// The findings of each service, one line per service.
fn found(variable: Option<(&str, &str)>) -> [String; 3] {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--ignored", "--exact", "checks_in_its_own_environment", "--nocapture"])
        .env_clear();
    child.envs(variable);
    let output = child.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    ["BY_SQLX: ", "OF_MYSQL: ", "BY_TOKIO: "].map(|prefix| {
        let line = text.lines().find_map(|line| line.strip_prefix(prefix));
        line.unwrap_or_else(|| panic!("{prefix} is not in {text}")).to_owned()
    })
}

#[test]
fn an_empty_environment_is_accepted() {
    assert_eq!(found(None).map(|line| line.trim().to_owned()), ["[]"; 3]);
}

/// The drivers' options are set without them, and their TLS is ours. cargo sets the first two for
/// each program that it runs.
#[test]
fn no_variable_of_a_driver_is_refused() {
    for (variable, value) in [
        ("SSL_CERT_FILE", "/tmp/evil"),
        ("SSL_CERT_DIR", "/tmp/evil"),
        ("SSL_CERT_FILE", "/usr/lib/ssl/cert.pem"),
        ("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
        ("SSL_CERT_DIR", "/usr/lib/ssl/certs"),
        ("PGOPTIONS", "-c role=postgres"),
        ("PGSSLROOTCERT", "/tmp/evil"),
        ("PGSSLCERT", "/tmp/evil"),
        ("PGSSLKEY", "/tmp/evil"),
        ("PGPASSWORD", "evil"),
        ("PGHOST", "evil.example"),
    ] {
        let found = found(Some((variable, value))).map(|line| line.trim().to_owned());
        assert_eq!(found, ["[]"; 3], "{variable}={value}");
    }
}
