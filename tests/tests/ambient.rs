//! Environment variables of the process that drivers read. Drivers read the environment of their
//! process, so each test starts a child process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::process::Command;

use backing_services::resource::ClientGuard;
use backing_services::rules::Scheme;
use backing_services::service::{Attachment, Attempt, Refusal, Target};
use backing_services::{
    BackingServices, Environment, MySql, Postgres, Posture, Resource, Service, TokioPostgres,
};
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

/// A service whose driver reads a variable of the process.
struct Steered;

impl Service for Steered {
    type Client = ();
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "Steered";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("steered").with_port(7073)];
    const CONFLICTING_ENV: &'static [&'static str] = &["STEERED_BY"];

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
        Ok(Attachment::new((), Posture::of::<Self>(target)))
    }

    async fn health((): &()) -> Result<(), Refusal> {
        Ok(())
    }

    async fn close((): &()) {}
}

#[derive(BackingServices)]
#[services(prefix = "STEERED")]
struct Foreign {
    db: Resource<Steered>,
}

#[derive(BackingServices)]
#[services(prefix = "BY_TOKIO")]
struct Strict {
    db: Resource<TokioPostgres>,
}

#[allow(clippy::print_stdout, reason = "the test that started the process reads it")]
fn report<T: BackingServices>(prefix: &str, scheme: &str) {
    let [url, password] = ["URL", "PASSWORD"].map(|name| format!("{prefix}_DB_{name}"));
    let path = if scheme == "steered" { "" } else { "/shop" };
    let locator = format!("{scheme}://shop@db.example.com{path}");
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
    report::<Foreign>("STEERED", "steered");
}

/// The findings of each service, one line per service.
fn found(variable: Option<(&str, &str)>) -> [String; 4] {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--ignored", "--exact", "checks_in_its_own_environment", "--nocapture"])
        .env_clear();
    child.envs(variable);
    let output = child.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    ["BY_SQLX: ", "OF_MYSQL: ", "BY_TOKIO: ", "STEERED: "].map(|prefix| {
        let line = text.lines().find_map(|line| line.strip_prefix(prefix));
        line.unwrap_or_else(|| panic!("{prefix} is not in {text}")).to_owned()
    })
}

#[test]
fn an_empty_environment_is_accepted() {
    assert_eq!(found(None).map(|line| line.trim().to_owned()), ["[]"; 4]);
}

/// The relay connects, and no driver is near the network.
#[test]
fn no_variable_steers_a_driver() {
    for variable in [
        "SSL_CERT_FILE", "SSL_CERT_DIR", "PGOPTIONS", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY",
        "PGPASSWORD", "PGHOST", "PGSSLMODE",
    ] {
        for value in ["/tmp/evil", ""] {
            let found = found(Some((variable, value))).map(|line| line.trim().to_owned());
            assert_eq!(found, ["[]"; 4], "{variable}={value}");
        }
    }
}

/// A service of a third party, whose driver reads a variable.
#[test]
fn a_variable_that_a_service_lists_is_refused_and_named() {
    for value in ["/tmp/evil", ""] {
        let found = found(Some(("STEERED_BY", value)));
        let [postgres, mysql, tokio, steered] = found;
        assert!(steered.starts_with("[\"ambient_override\"]"), "{value}: {steered}");
        assert!(steered.contains("unset `STEERED_BY`") && !steered.contains("evil"), "{steered}");
        assert!(steered.contains("STEERED_BY, from the environment"), "{steered}");
        assert_eq!([postgres.trim(), mysql.trim(), tokio.trim()], ["[]"; 3]);
    }
}
