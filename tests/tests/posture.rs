//! The posture as a whole: its content, its summary and its JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use backing_services::posture::ServerPosture;
use backing_services::{BackingServices, Posture, Redis, Resource, Sqlite, manifest, posture};
use backing_services_tests::attempt::{attach, rules};
use backing_services_tests::canary::{ADMIN_PASSWORD, PASSWORD};
use backing_services_tests::redis::{self as server, ADMIN};
use backing_services_tests::{canary, journal};
use serde_json::{Value, json};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    /// Sessions.
    #[service(
        allow(superuser_account, reason = "the vendor ships one account", until = "2099-01-31"),
        allow(weak_authentication, reason = "never checked", until = "2020-01-31"),
        allow(excess_privileges, reason = "the same")
    )]
    sessions: Resource<Redis>,
    notes: Notes,
}

#[derive(BackingServices)]
struct Notes {
    #[service(allow(readable_secret_file, reason = "one user"))]
    file: Resource<Sqlite>,
}

fn holds(schema: &str, instance: &Value) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(instance)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?} in {instance:#}");
}

fn json_of(posture: &Posture) -> Value {
    let json = serde_json::to_value(posture).unwrap();
    holds(posture::SCHEMA, &json);
    json
}

#[tokio::test]
async fn reports_the_server_the_waivers_and_their_json() {
    journal::open();
    let server = server::Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let notes = format!("sqlite://{}/notes.db", folder.path().display());
    let shop: Shop = attach(&[
        ("SHOP_SESSIONS_URL", format!("rediss://{ADMIN}@localhost:{}", server.port).as_str()),
        ("SHOP_SESSIONS_PASSWORD", ADMIN_PASSWORD),
        ("SHOP_SESSIONS_CA", &server.authority.pem()),
        ("SHOP_NOTES_FILE_URL", &notes),
    ])
    .await
    .unwrap();

    let posture = shop.sessions.posture();
    let waived: Vec<_> = posture.waivers.iter().map(|waiver| waiver.rule().name).collect();
    assert_eq!(
        waived,
        ["superuser_account", "excess_privileges"],
        "those that hold, whatever they cover; not the one that ended"
    );
    let findings = rules(&posture.findings);
    assert!(findings.contains(&"superuser_account"), "{findings:?}");
    // Debian has 7.0, which upstream stopped supporting in 2024.
    let server_posture = posture.server.as_ref().unwrap();
    assert_eq!(server_posture.product, "redis");
    if server_posture.version.starts_with("7.0.") {
        assert_eq!(server_posture.end_of_life().unwrap().to_string(), "2024-07-29");
        let finding = posture
            .findings
            .iter()
            .find(|finding| finding.rule().name == "unsupported_server")
            .unwrap();
        assert!(!finding.is_denied());
        assert!(
            finding.message().ends_with("gets no security fixes from its makers since 2024-07-29"),
            "{finding}"
        );
    }

    let said = journal::text();
    let line: Vec<_> = said.lines().filter(|line| line.contains("rules are waived")).collect();
    assert_eq!(line.len(), 1, "one warning for all of them: {line:?}");
    assert!(line[0].contains(" WARN "), "{line:?}");
    assert!(
        line[0].contains(
            "rules are waived: sessions: superuser_account (the vendor ships one account, until \
             2099-01-31); \
             sessions: excess_privileges (the same); notes.file: readable_secret_file (one user)"
        ),
        "{line:?}"
    );

    let json = json_of(&posture);
    assert_eq!(json["tls"]["trust"], "private_ca");
    let certificate = &posture.tls.as_ref().unwrap().certificate;
    assert_eq!(
        json["tls"]["certificate"]["days_left"],
        certificate.days_left(std::time::SystemTime::now())
    );
    assert!(certificate.days_left(std::time::SystemTime::now()) > 0);
    assert_eq!(json["server"]["product"], "redis");
    assert_eq!(
        json["waivers"][0],
        json!({
            "rule": "superuser_account",
            "reason": "the vendor ships one account",
            "until": "2099-01-31",
            "debug_only": false
        })
    );
    canary::assert_silent("the JSON", &json.to_string());
    assert!(!json.to_string().contains(PASSWORD));
    let json = json_of(&shop.notes.file.posture());
    assert_eq!((&json["tls"], &json["transport"]), (&Value::Null, &json!("embedded")));
    shop.detach().await;
    journal::assert_silent();
}

#[test]
fn a_manifest_matches_its_schema() {
    let json = serde_json::to_value(Shop::MANIFEST).unwrap();
    holds(manifest::SCHEMA, &json);
    assert_eq!(json["fields"][1]["name"], "notes.file", "structs within it are gone through");
    assert_eq!(
        json["fields"][1]["variables"],
        json!([{
            "name": "SHOP_NOTES_FILE_URL",
            "file": "SHOP_NOTES_FILE_URL_FILE",
            "holds": "locator"
        }])
    );
}

#[test]
fn the_schemas_refuse_unknown_properties() {
    let mut json = serde_json::to_value(Shop::MANIFEST).unwrap();
    json["fields"][0]["password"] = json!("x");
    let schema: Value = serde_json::from_str(manifest::SCHEMA).unwrap();
    assert!(!jsonschema::draft202012::new(&schema).unwrap().is_valid(&json));
    let schema: Value = serde_json::from_str(posture::SCHEMA).unwrap();
    assert!(!jsonschema::draft202012::new(&schema).unwrap().is_valid(&json!({"service": "Redis"})));
}

#[test]
fn a_servers_version_is_made_printable() {
    let server = ServerPosture::new("Postgre\u{1b}[2JSQL", "15\r\nroot:");
    assert_eq!(server.to_string(), r"Postgre\u{1b}[2JSQL 15\r\nroot:");
    assert_eq!(ServerPosture::new("post.example", "").to_string(), "post.example");
}
