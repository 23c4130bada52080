//! Checks that the output in the README is real.
//! `BLESS=1 cargo test -p backing-services-tests --test readme` updates it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot do what it should has to stop, there and loudly"
)]

use std::fs;
use std::path::Path;

use backing_services::secrecy::SecretString;
use backing_services::{BackingServices, Environment, Postgres, Redis, Resource};

/// The struct in the README. A test below compares the two.
#[derive(BackingServices, Debug)]
#[services(prefix = "SHOP")]
#[allow(dead_code, reason = "it is never attached")]
struct Services {
    /// Orders and customers.
    #[service(env = "DATABASE_URL")]
    orders: Resource<Postgres>,

    /// Sessions. Read from SHOP_SESSIONS_URL; only some deploys have them.
    sessions: Option<Resource<Redis>>,

    /// Card payments. Read from SHOP_STRIPE_KEY.
    stripe_key: SecretString,

    #[setting(default = 8080)]
    port: u16,
}

const BEGIN: &str = "<!-- report: begin -->\n";
const END: &str = "<!-- report: end -->";

/// The report is of a single run. Findings of loading end a run before anything is attached, so a
/// report never has findings of both phases.
#[tokio::test]
async fn the_report_in_the_readme_is_that_of_a_run() {
    let environment = Environment::from_iter([
        ("DATABASE_URL", "postgres://postgres:postgres@db.internal/shop?sslmode=prefer"),
        ("SHOP_SESSIONS_URL", "redis://shop@cache.internal"),
        ("SHOP_SESSIONS_PASSWORD", "changeme"),
    ]);
    let report =
        Services::attach_from(&environment).await.expect_err("four values are refused").to_string();
    assert!(
        ["cache.internal", "db.internal", "changeme"].iter().all(|value| !report.contains(value)),
        "{report}"
    );

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README says where its report begins");
    let (_, after) = rest.split_once(END).expect("the README says where its report ends");
    let wanted = format!("{before}{BEGIN}```text\n{}\n```\n{END}{after}", report.trim_end());
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(
        found == wanted,
        "run `BLESS=1 cargo test -p backing-services-tests --test readme`; the run says:\n{report}"
    );
}

#[test]
fn the_struct_of_the_report_is_the_one_in_the_readme() {
    let readme = include_str!("../../README.md");
    let code = readme
        .split_once("struct Services {\n")
        .and_then(|(_, rest)| rest.split_once("\n}\n"))
        .expect("it is there")
        .0;
    let here = include_str!("readme.rs")
        .split_once("struct Services {\n")
        .and_then(|(_, rest)| rest.split_once("\n}\n"))
        .unwrap()
        .0;
    assert_eq!(code, here);
}
