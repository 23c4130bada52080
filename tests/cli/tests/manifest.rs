//! `manifest`: the resources of a program, for tools.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::collections::BTreeSet;

use assert_cmd::Command;
use backing_services::manifest;
use serde_json::{Value, json};

/// The program without any of our variables in its environment.
fn kiosk(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("kiosk-services").unwrap();
    command.env_clear().args(arguments);
    command
}

fn manifest() -> Value {
    let output = kiosk(&["manifest"]).assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

fn field<'a>(manifest: &'a Value, name: &str) -> &'a Value {
    let fields = manifest["fields"].as_array().unwrap();
    fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn is_what_its_schema_says() {
    let schema: Value = serde_json::from_str(manifest::SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let manifest = manifest();
    let errors: Vec<_> = validator
        .iter_errors(&manifest)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for (what, wrong) in [
        ("/fields/0/kind", json!("struct")),
        ("/fields/0/variable", json!("orders")),
        ("/limits", json!({})),
    ] {
        let mut changed = manifest.clone();
        *changed.pointer_mut(what).unwrap() = wrong;
        assert!(!validator.is_valid(&changed), "{what}");
    }
}

#[test]
fn prints_each_resource_and_its_privileges() {
    let manifest = manifest();
    let names: Vec<_> = manifest["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "orders", "sessions", "feeds.editions", "feeds.deliveries", "feeds.prices", "pictures",
            "payments", "mail", "notes", "receipt_key", "largest_order", "name.first_line",
        ]
    );
    assert_eq!(manifest["limits"]["attach_seconds"], 20);

    let prices = field(&manifest, "feeds.prices");
    assert_eq!(
        (&prices["required"], &prices["variable"]),
        (&json!(false), &json!("KIOSK_FEEDS_PRICES_URL"))
    );
    let resource = &prices["resource"];
    assert_eq!(
        (&resource["service"], &resource["login"]),
        (&json!("MySQL"), &json!("user_and_password"))
    );
    assert_eq!(
        (&resource["needs"], &resource["account"]),
        (&json!("SELECT ON prices"), &json!("kiosk_feeds_prices"))
    );
    assert_eq!(
        resource["schemes"][1],
        json!({"name": "mariadb", "port": 3306, "transport": "upgraded"})
    );

    let orders = field(&manifest, "orders");
    assert_eq!((&orders["required"], &orders["kind"]), (&json!(true), &json!("resource")));
    let parameters = orders["resource"]["parameters"].as_array().unwrap();
    let timeout =
        parameters.iter().find(|parameter| parameter["name"] == "statement_timeout").unwrap();
    assert_eq!(
        timeout,
        &json!({
            "name": "statement_timeout",
            "takes": "number",
            "least": 1,
            "most": 86_400_000,
            "words": null,
        })
    );
    assert!(
        !parameters.iter().any(|parameter| parameter["name"] == "options"),
        "what is refused is none"
    );

    assert_eq!(field(&manifest, "payments")["resource"]["hosts"], json!(["api.payments.example"]));
    assert_eq!(field(&manifest, "sessions")["waivers"][0]["until"], "2099-01-31");
    let largest = field(&manifest, "largest_order");
    assert_eq!(
        (&largest["default"], &largest["required"], &largest["resource"]),
        (&json!("20"), &json!(false), &Value::Null)
    );
    assert_eq!(largest["expects"], "a whole number from 0 to 65535");
}

/// The runtime adds this parameter. A database that is a file has none.
#[test]
fn each_service_that_is_dialled_has_a_limit_for_connecting() {
    let manifest = manifest();
    let mut seen = BTreeSet::new();
    for field in manifest["fields"].as_array().unwrap() {
        let Some(schemes) = field["resource"]["schemes"].as_array() else { continue };
        let is_dialled = schemes.iter().any(|scheme| scheme["transport"] != "embedded");
        let parameters = field["resource"]["parameters"].as_array().unwrap();
        let limits: Vec<_> = parameters
            .iter()
            .filter(|parameter| parameter["name"] == "connect_timeout")
            .map(|limit| (limit["least"].as_u64(), limit["most"].as_u64()))
            .collect();
        let expected: &[_] = if is_dialled { &[(Some(1), Some(300))] } else { &[] };
        assert_eq!(limits, expected, "{field}");
        seen.insert(is_dialled);
    }
    assert_eq!(seen.len(), 2, "a database that is a file is among them");
}

/// Every listed variable, and its file, is really read: to set both is an error, reported for
/// exactly the listed ones.
#[test]
fn the_variables_are_those_that_are_read() {
    let manifest = manifest();
    let mut listed = BTreeSet::new();
    let mut check = kiosk(&["check", "--format", "json"]);
    for field in manifest["fields"].as_array().unwrap() {
        for variable in field["variables"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            assert!(listed.insert(name.to_owned()), "{name} is listed twice");
            check.env(name, "x").env(variable["file"].as_str().unwrap(), "/x");
        }
    }
    let report: Value =
        serde_json::from_slice(&check.assert().code(1).get_output().stdout).unwrap();
    let mut refused = BTreeSet::new();
    for field in report["fields"].as_array().unwrap() {
        for finding in field["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["rule"] == "duplicate_variable")
        {
            refused.insert(finding["variable"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(refused, listed);
}

/// A variable that a service cannot use is not listed, because setting it is refused.
#[test]
fn an_unused_variable_is_not_listed() {
    let manifest = manifest();
    let endings = |name: &str| {
        let field = field(&manifest, name);
        let base = field["variable"].as_str().unwrap().trim_end_matches("_URL").to_owned();
        let variables = field["variables"].as_array().unwrap().iter();
        variables
            .map(|variable| variable["name"].as_str().unwrap().replacen(&base, "", 1))
            .collect::<Vec<_>>()
    };
    assert_eq!(endings("notes"), ["_URL"]);
    assert_eq!(endings("receipt_key"), [""]);
    assert!(
        endings("pictures").contains(&"_ENDPOINT".to_owned())
            && !endings("orders").contains(&"_ENDPOINT".to_owned())
    );
    for dialled in ["sessions", "orders"] {
        assert!(endings(dialled).contains(&"_PIN".to_owned()), "{dialled}");
    }
}
