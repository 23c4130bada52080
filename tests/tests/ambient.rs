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

/// Only `MySql` still has a driver with roots of its own.
#[test]
fn a_variable_that_changes_the_roots_of_sqlx_is_refused_and_named() {
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let [postgres, mysql, tokio] = found(Some((variable, "/tmp/evil")));
        assert!(mysql.starts_with("[\"ambient_override\"]"), "{variable}: {mysql}");
        assert!(
            mysql.contains(&format!("unset `{variable}`")) && !mysql.contains("evil"),
            "{variable}: {mysql}"
        );
        assert!(mysql.contains(&format!("{variable}, from the environment")), "{mysql}");
        for line in [postgres, tokio] {
            assert_eq!(line.trim(), "[]", "its roots are ours, whatever {variable} is");
        }
        assert_eq!(
            found(Some((variable, ""))).map(|line| line.trim().to_owned()),
            ["[]"; 3],
            "an empty value changes nothing"
        );
    }
}

/// cargo sets both for each program that it runs.
#[test]
fn the_roots_of_the_system_are_accepted() {
    for (variable, value) in [
        ("SSL_CERT_FILE", "/usr/lib/ssl/cert.pem"),
        ("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
        ("SSL_CERT_DIR", "/usr/lib/ssl/certs"),
    ] {
        let found = found(Some((variable, value))).map(|line| line.trim().to_owned());
        assert_eq!(found, ["[]"; 3], "{variable}={value}");
    }
}

/// The driver holds no password and no certificate, and the relay drops its options. What they do
/// not do, a test with a server shows.
#[test]
fn the_variables_of_postgresqls_own_client_are_accepted_because_they_have_no_effect() {
    for variable in ["PGOPTIONS", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGPASSWORD"] {
        for value in ["/tmp/evil", ""] {
            let found = found(Some((variable, value))).map(|line| line.trim().to_owned());
            assert_eq!(found, ["[]"; 3], "{variable}={value}");
        }
    }
}
