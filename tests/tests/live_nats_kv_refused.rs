//! A NATS key-value bucket as a source: what is refused in a process that has a logger.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use backing_services::Environment;
use backing_services::stores::NatsKv;
use backing_services_tests::attempt::problems;
use backing_services_tests::canary::{self, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::journal;
use backing_services_tests::nats::{self as server, USER};
use backing_services_tests::pki::Authority;
use backing_services_tests::variables::{self, Variables};

fn with(mut variables: Variables, name: &'static str, value: &str) -> Variables {
    variables.retain(|(kept, _)| *kept != name);
    variables.push((name, value.to_owned()));
    variables
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_store_is_refused() {
    let server = server::Nats::start();
    let good = || {
        variables::of(
            "CONFIG",
            format!("tls://{USER}@localhost:{}", server.port),
            PASSWORD,
            server.authority.pem(),
        )
    };
    journal::open();
    let other = Authority::new("another authority").pem();
    for (variables, expected) in [
        // The driver would log every value.
        (good(), "raw_secret"),
        (with(good(), "CONFIG_CA", &other), "unverified_tls"),
        (with(good(), "CONFIG_PASSWORD", WRONG_PASSWORD), "authentication_failed"),
        (with(good(), "CONFIG_PASSWORD", ""), "missing_credentials"),
        (with(good(), "CONFIG_URL", ""), "missing_value"),
        (with(good(), "CONFIG_URL", "nats://winkelier@db.example"), "plaintext_scheme"),
    ] {
        let error = NatsKv::connect(&Environment::from_iter(variables), "CONFIG", "shop")
            .await
            .expect_err(expected);
        canary::assert_error_silent(&error);
        journal::assert_silent();
        assert_eq!(problems(&error), [expected], "{error}");
    }
}
