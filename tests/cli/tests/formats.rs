//! The machine-readable formats: JSON, SARIF and JUnit. Each is valid for its schema or its reader,
//! and agrees with the text.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod kiosk;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use backing_services::posture::LONGEST_QUOTE;
use backing_services::{cli, posture};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::hostile::redis::{admit, hello_from};
use backing_services_tests::pki::{Authority, Leaf};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

const USER: &str = "winkelier";

/// Text that controls a terminal, a browser or a parser.
const HOSTILE: &str = "7.4\u{1b}[2J\u{1b}]0;owned\u{7}\r\nroot: \
                       <script>alert(1)</script>]]><!--\"'&amp;{{ 7*7 }}{% raw \
                       %}[x](https://evil.example) \u{202e}gnp\u{200b}\u{61c}\u{fffe}";

/// The same with our own password: once in full, and once where every text is cut. It is longer
/// than the longest quote.
fn hostile_version() -> String {
    let version = format!("{PASSWORD}{HOSTILE}");
    let filler = LONGEST_QUOTE - "6.0.1".len() - version.chars().count() - PASSWORD.len() / 2;
    format!("{version}{}{PASSWORD}{}", "ä".repeat(filler), "ö".repeat(300))
}

const KIOSK: &str = env!("CARGO_BIN_EXE_kiosk-services");
const ARCADE: &str = env!("CARGO_BIN_EXE_arcade-services");

/// Runs the kiosk.
fn run(arguments: &[&str], variables: &[(&str, String)]) -> Output {
    said(KIOSK, arguments, variables)
}

fn said(program: &str, arguments: &[&str], variables: &[(&str, String)]) -> Output {
    let mut command = Command::new(program);
    let output = command
        .env_clear()
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (*name, value)))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    canary::assert_silent(arguments[0], &text);
    canary::assert_harmless(arguments[0], &text);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    output
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The values that `check` needs to pass.
fn good() -> Vec<(&'static str, String)> {
    vec![
        ("DATABASE_URL", format!("postgres://{USER}@db.example/shop")),
        ("DATABASE_PASSWORD", PASSWORD.to_owned()),
        ("KIOSK_RECEIPT_KEY", PASSWORD.to_owned()),
    ]
}

/// An error in a resource, a secret, a setting, and a resource of a nested struct.
fn bad() -> Vec<(&'static str, String)> {
    vec![
        ("DATABASE_URL", format!("postgres://{USER}@db.example/shop")),
        ("DATABASE_PASSWORD", PASSWORD.to_owned()),
        ("KIOSK_SESSIONS_URL", "redis://cache.example".to_owned()),
        (
            "KIOSK_FEEDS_EDITIONS_URL",
            "tls://u:kanarie-7f3a-Wk0qShopZx84@news.example?colour=blue".to_owned(),
        ),
        ("KIOSK_LARGEST_ORDER", PASSWORD.to_owned()),
    ]
}

/// A verified server that admits us, and that reports this version.
fn server(leaf: Leaf, version: String) -> Hostile {
    let (leaf, hello) =
        (std::sync::Arc::new(leaf), std::sync::Arc::new(hello_from("redis", &version)));
    Hostile::start(move |peer| {
        let (leaf, hello) = (leaf.clone(), hello.clone());
        async move { admit(peer, &leaf, USER, &hello, true).await }
    })
}

/// The variables that lead the arcade's jukebox to a server. Its field waives
/// `weak_authentication`, which the server violates by answering without a login.
fn jukebox(server: &Hostile, authority: &Authority) -> Vec<(&'static str, String)> {
    vec![
        ("ARCADE_JUKEBOX_URL", format!("rediss://{USER}@localhost:{}", server.port)),
        ("ARCADE_JUKEBOX_PASSWORD", PASSWORD.to_owned()),
        ("ARCADE_JUKEBOX_CA", authority.pem()),
    ]
}

/// Runs the jukebox alone.
fn play(command: &str, format: &str, variables: &[(&str, String)]) -> Output {
    said(ARCADE, &[command, "--only", "jukebox", "--format", format], variables)
}

// --- JSON ---

fn assert_report(report: &Value) {
    let schema: Value = serde_json::from_str(cli::SCHEMA).unwrap();
    let of_posture: Value = serde_json::from_str(posture::SCHEMA).unwrap();
    let resource = jsonschema::Resource::from_contents(of_posture.clone());
    let options =
        jsonschema::options().with_resource(of_posture["$id"].as_str().unwrap(), resource);
    let validator = options.build(&schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(report)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?} in {report:#}");
    // The part that the schema cannot express.
    let count = |key: &str| report["counts"][key].as_u64().unwrap();
    let states: u64 =
        ["passed", "absent", "default", "refused", "untried"].into_iter().map(count).sum();
    assert_eq!(states, report["fields"].as_array().unwrap().len() as u64);
    assert_eq!(report["passed"], count("refused") == 0);
}

#[test]
fn a_report_is_what_its_schema_says() {
    let output = run(&["check", "--format", "json"], &good());
    assert_eq!(output.status.code(), Some(0));
    let report = json_of(&output);
    assert_report(&report);
    assert_eq!((&report["command"], &report["passed"]), (&json!("check"), &json!(true)));
    assert_eq!(report["fields"][0]["posture"], Value::Null);

    for command in ["check", "attach"] {
        let output = run(&[command, "--format", "json"], &bad());
        assert_eq!(output.status.code(), Some(1));
        let report = json_of(&output);
        assert_report(&report);
        assert_eq!(report["counts"]["refused"], 4);
        assert_eq!(
            report["counts"]["untried"],
            u64::from(command == "attach"),
            "what was good was not connected to"
        );
    }

    let authority = Authority::new("the kiosk's authority");
    let server = server(authority.about_to_expire(9), "6.0.1".to_owned());
    for command in ["attach", "posture"] {
        let output = play(command, "json", &jukebox(&server, &authority));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let report = json_of(&output);
        assert_report(&report);
        assert_eq!(report["fields"][0]["posture"]["tls"]["certificate"]["days_left"], 9);
        assert_eq!(
            (&report["counts"]["warnings"], &report["counts"]["waived"]),
            (&json!(2), &json!(1))
        );
    }
    let mut refused = jukebox(&server, &authority);
    refused[0].1 = "rediss://winkelier@localhost:1".to_owned();
    let report = json_of(&play("attach", "json", &refused));
    assert_report(&report);
    assert_eq!(report["fields"][0]["failures"][0]["kind"], "unreachable");
}

#[test]
fn the_schema_refuses_unknown_properties() {
    let schema: Value = serde_json::from_str(cli::SCHEMA).unwrap();
    let of_posture: Value = serde_json::from_str(posture::SCHEMA).unwrap();
    let id = of_posture["$id"].as_str().unwrap().to_owned();
    let resource = jsonschema::Resource::from_contents(of_posture);
    let validator = jsonschema::options().with_resource(&id, resource).build(&schema).unwrap();
    let good = json_of(&run(&["check", "--format", "json"], &good()));
    assert!(validator.is_valid(&good));
    for path in ["/password", "/counts/password", "/fields/0/password"] {
        let mut report = good.clone();
        let (parent, key) = path.rsplit_once('/').unwrap();
        report.pointer_mut(parent).unwrap()[key] = json!("x");
        assert!(!validator.is_valid(&report), "{path}");
    }
}

// --- SARIF ---

/// The schema of OASIS, from the package of a crate. cargo knows its path.
fn schema_of_sarif() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    let metadata = cargo
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let metadata: Value = serde_json::from_slice(&metadata.unwrap().stdout).unwrap();
    let package = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|package| package["name"] == "serde-sarif")
        .unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let schema = std::fs::read(manifest.with_file_name("src").join("schema.json")).unwrap();
    serde_json::from_slice(&schema).unwrap()
}

fn assert_sarif(validator: &jsonschema::Validator, output: &Output) -> Value {
    let log = json_of(output);
    let errors: Vec<_> = validator
        .iter_errors(&log)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let run = &log["runs"][0];
    assert_eq!(run["invocations"][0]["exitCode"], output.status.code().unwrap());
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let taxonomies = run["taxonomies"].as_array().unwrap();
    for rule in rules {
        let help = rule["help"]["text"].as_str().unwrap();
        assert!(
            help.len() > 10
                && !help.contains("each result")
                && rule["fullDescription"]["text"].is_string(),
            "{rule}"
        );
    }
    // The part that the schema cannot express: each index refers to the right entry.
    for rule in rules {
        for relationship in rule["relationships"].as_array().into_iter().flatten() {
            let target = &relationship["target"];
            let taxonomy = &taxonomies
                [usize::try_from(target["toolComponent"]["index"].as_u64().unwrap()).unwrap()];
            assert_eq!(taxonomy["name"], target["toolComponent"]["name"]);
            assert!(
                taxonomy["taxa"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|taxon| taxon["id"] == target["id"]),
                "{target}"
            );
        }
    }
    let mut fingerprints = Vec::new();
    for result in run["results"].as_array().unwrap() {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        let location = &result["locations"][0];
        assert!(
            location["physicalLocation"]["artifactLocation"]["uri"]
                .as_str()
                .unwrap()
                .starts_with("environment/")
        );
        fingerprints.push(
            result["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap().to_owned(),
        );
    }
    let count = fingerprints.len();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), count, "no two results are the same one");
    log
}

fn results(log: &Value) -> Vec<(&str, &str)> {
    let results = log["runs"][0]["results"].as_array().unwrap();
    results
        .iter()
        .map(|result| (result["ruleId"].as_str().unwrap(), result["level"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_log_is_sarif() {
    let validator =
        jsonschema::options().should_validate_formats(true).build(&schema_of_sarif()).unwrap();
    assert!(
        !validator.is_valid(&json!({"version": "2.1.0", "runs": [{"tool": {}}]})),
        "the schema says something"
    );

    let log = assert_sarif(&validator, &run(&["check", "--format", "sarif"], &good()));
    assert_eq!(log["runs"][0]["results"], json!([]), "an empty list says that it was checked");
    let log = assert_sarif(&validator, &run(&["check", "--format", "sarif"], &bad()));
    let errors = ["plaintext_scheme", "unknown_parameter", "missing_value", "malformed_value"]
        .map(|rule| (rule, "error"));
    assert_eq!(results(&log), errors);
    assert_eq!(
        log["runs"][0]["results"][1]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"],
        "Services.feeds.editions"
    );

    let authority = Authority::new("the kiosk's authority");
    let server = server(authority.about_to_expire(9), "6.0.1".to_owned());
    let mut variables = jukebox(&server, &authority);
    let log = assert_sarif(&validator, &play("attach", "sarif", &variables));
    assert_eq!(
        results(&log),
        [
            ("weak_authentication", "error"),
            ("certificate_expiry", "warning"),
            ("unsupported_server", "warning")
        ]
    );
    let suppressions = |index: usize| &log["runs"][0]["results"][index]["suppressions"];
    assert_eq!(suppressions(1), &json!([]));
    assert_eq!(
        suppressions(0),
        &json!([{"kind": "inSource", "status": "accepted", "justification": "as above"}])
    );
    variables[0].1 = format!("rediss://{USER}@localhost:1");
    let log = assert_sarif(&validator, &play("attach", "sarif", &variables));
    assert_eq!(
        results(&log),
        [("unreachable", "error")],
        "a failure is a result, too: it is what has to be fixed"
    );
}

#[test]
fn a_result_is_known_again() {
    let fingerprints = |variables: &[(&str, String)]| -> Vec<String> {
        let log = json_of(&run(&["check", "--format", "sarif"], variables));
        let results = log["runs"][0]["results"].as_array().unwrap();
        results
            .iter()
            .map(|result| {
                result["partialFingerprints"]["fieldAndRule/v1"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    let first = fingerprints(&bad());
    let mut later = bad();
    later[2].1 = "redis://another.example:7000".to_owned();
    assert_eq!(fingerprints(&later), first, "the same rule at the same field, whatever the value");
    let mut fixed = bad();
    fixed.remove(2);
    assert_eq!(fingerprints(&fixed), first[1..]);
}

/// An upload closes the alerts of the earlier run of the same program with the same selection, and
/// of no other.
#[test]
fn a_run_replaces_only_the_earlier_run_of_its_kind() {
    let log = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(KIOSK);
        command.arg0(name).args(arguments).args(["--format", "sarif"]).env_clear().envs(bad());
        json_of(&command.output().unwrap())
    };
    let identity =
        |log: &Value| log["runs"][0]["automationDetails"]["id"].as_str().unwrap().to_owned();
    let fingerprint = |log: &Value| {
        log["runs"][0]["results"][0]["partialFingerprints"]["primaryLocationLineHash"].clone()
    };
    let (whole, other) = (log("shop-services", &["attach"]), log("news services", &["attach"]));
    let only = log("shop-services", &["attach", "--only", "sessions"]);
    assert_eq!(identity(&whole), "backing-services/shop-services/attach/Services/");
    assert_eq!(identity(&other), "backing-services/news%20services/attach/Services/");
    assert_eq!(identity(&only), "backing-services/shop-services/attach/Services/sessions/");
    assert_eq!(
        identity(&log("shop-services", &["check"])),
        "backing-services/shop-services/check/Services/"
    );
    assert_eq!(whole["runs"][0]["results"][0]["ruleId"], other["runs"][0]["results"][0]["ruleId"]);
    assert_ne!(fingerprint(&whole), fingerprint(&other), "another program's is another one");
    let invocation = &only["runs"][0]["invocations"][0];
    assert_eq!(invocation["commandLine"], "shop-services attach --only sessions --format sarif");
    assert_eq!(
        (&invocation["properties"]["only"], &invocation["properties"]["fieldsDeclared"]),
        (&json!("sessions"), &json!(12))
    );
}

/// Every report names the program, the selection and the file.
#[test]
fn a_report_names_its_program_selection_and_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it's\u{1b}[2J.env");
    let lines: String = good().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let shown = format!("{}/it's\\u{{1b}}[2J.env", folder.path().display());
    let run = |format: &str| {
        let arguments = [
            "attach",
            "--only",
            "largest_order",
            "--env-file",
            file.to_str().unwrap(),
            "--format",
            format,
        ];
        said(KIOSK, &arguments, &[])
    };
    let report = json_of(&run("json"));
    assert_report(&report);
    assert_eq!(
        (&report["env_file"], &report["only"], &report["declared"]),
        (&json!(shown), &json!("largest_order"), &json!(12))
    );
    let quoted = shown.replace('\'', r"'\''");
    let line =
        format!("kiosk-services attach --only largest_order --env-file '{quoted}' --format json");
    assert_eq!(report["command_line"], line);
    let log = json_of(&run("sarif"));
    assert_eq!(log["runs"][0]["invocations"][0]["properties"]["envFile"], shown);
    let report = junit(&run("junit"));
    let property = |name: &str| {
        let properties = &report.test_suites[0].properties;
        properties
            .iter()
            .find(|known| known.name.as_str() == name)
            .map(|known| known.value.as_str().to_owned())
    };
    assert_eq!(
        (property("env_file"), property("only")),
        (Some(shown.clone()), Some("largest_order".to_owned()))
    );
    assert_eq!(property("looked_at").as_deref(), Some("1 of 12 fields was checked"));
    let page = text(&run("html")).replace("&#x2f;", "/");
    let line = line.replace("json", "html").replace('\'', "&#x27;");
    assert!(page.contains(&format!("<p>By <code>{line}</code>,")), "{page}");
    assert!(
        page.contains(", with the values of <code>") && page.contains("1 of 12 fields was checked"),
        "{page}"
    );
    assert!(text(&run("text")).contains("1 of 12 fields was checked"));

    let whole = json_of(&said(KIOSK, &["check", "--format", "json"], &good()));
    assert_eq!((&whole["env_file"], &whole["only"]), (&Value::Null, &Value::Null));
}

/// The name of a schema is its URL, and its title names the document.
#[test]
fn a_schema_is_where_its_name_says() {
    let named = [
        ("report", cli::SCHEMA),
        ("posture", posture::SCHEMA),
        ("manifest", backing_services::manifest::SCHEMA),
    ]
    .map(|(name, schema)| {
        let schema: Value = serde_json::from_str(schema).unwrap();
        let id = schema["$id"].as_str().unwrap().to_owned();
        let path = id
            .strip_prefix(concat!(env!("CARGO_PKG_REPOSITORY"), "/raw/main/"))
            .unwrap_or_else(|| panic!("{id}"));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        assert_eq!(
            serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap(),
            schema,
            "{name}"
        );
        id
    });
    assert_eq!(json_of(&run(&["check", "--format", "json"], &good()))["$schema"], named[0]);
    assert_eq!(json_of(&run(&["manifest"], &[]))["$schema"], named[2]);
    let documented = include_str!("../../../docs/operators.md");
    for path in ["cli/schemas/report", "runtime/schemas/posture", "runtime/schemas/manifest"] {
        assert!(documented.contains(&format!("(../{path}.json)")), "{path}");
    }
}

// --- JUnit ---

fn suite<'a>(report: &'a Report, name: &str) -> &'a TestSuite {
    report.test_suites.iter().find(|suite| suite.name.as_str() == name).unwrap()
}

fn case<'a>(report: &'a Report, class: &str, name: &str) -> &'a TestCase {
    suite(report, class).test_cases.iter().find(|case| case.name.as_str() == name).unwrap()
}

fn junit(output: &Output) -> Report {
    Report::deserialize_from_str(&text(output)).unwrap()
}

#[test]
fn a_field_is_a_case() {
    let report = junit(&run(&["check", "--format", "junit"], &good()));
    assert_eq!((report.tests, report.failures, report.errors, report.skipped), (12, 0, 0, 9));
    assert_eq!(
        report.test_suites.iter().map(|suite| suite.name.as_str()).collect::<Vec<_>>(),
        ["Services", "Services.feeds", "Services.name"]
    );
    assert!(matches!(case(&report, "Services", "orders").status, TestCaseStatus::Success { .. }));
    assert!(
        matches!(case(&report, "Services", "largest_order").status, TestCaseStatus::Success { .. }),
        "its default"
    );
    assert!(matches!(
        case(&report, "Services.feeds", "prices").status,
        TestCaseStatus::Skipped { .. }
    ));

    let output = run(&["attach", "--format", "junit"], &bad());
    assert_eq!(output.status.code(), Some(1));
    let report = junit(&output);
    assert_eq!((report.tests, report.failures, report.errors), (12, 4, 0));
    let TestCaseStatus::Skipped { ty, .. } = &case(&report, "Services", "orders").status else {
        panic!("it was not tried")
    };
    assert_eq!(ty.as_ref().unwrap().as_str(), "untried");
    let TestCaseStatus::NonSuccess { kind, ty, description, .. } =
        &case(&report, "Services.feeds", "editions").status
    else {
        panic!("it is refused")
    };
    assert_eq!(
        (*kind, ty.as_ref().unwrap().as_str()),
        (NonSuccessKind::Failure, "unknown_parameter")
    );
    assert!(description.as_ref().unwrap().as_str().contains("\n  help: "));
}

#[test]
fn a_service_that_is_away_is_an_error_and_a_warning_is_output() {
    let authority = Authority::new("the kiosk's authority");
    let server = server(authority.about_to_expire(9), "6.0.1".to_owned());
    let mut variables = jukebox(&server, &authority);
    let report = junit(&play("attach", "junit", &variables));
    let jukebox = case(&report, "Services", "jukebox");
    assert!(matches!(jukebox.status, TestCaseStatus::Success { .. }));
    assert!(
        jukebox.system_out.as_ref().unwrap().as_str().contains("warning[certificate_expiry]: ")
    );
    let property = |name: &str| {
        jukebox.properties.iter().find(|known| known.name.as_str() == name).unwrap().value.as_str()
    };
    assert_eq!(
        (property("certificate_days_left"), property("account"), property("server")),
        ("9", USER, "redis 6.0.1")
    );
    assert_eq!(
        property("waiver"),
        "superuser_account: the jukebox knows `default` alone, without end"
    );

    // The text uses the same words as the page.
    let posture = text(&play("posture", "text", &variables));
    assert!(posture.contains("redis 6.0.1, no fixes since 2022-05-31\n"), "{posture}");

    variables[0].1 = format!("rediss://{USER}@localhost:1");
    let report = junit(&play("attach", "junit", &variables));
    let TestCaseStatus::NonSuccess { kind, ty, .. } = &case(&report, "Services", "jukebox").status
    else {
        panic!("it is away")
    };
    assert_eq!((*kind, ty.as_ref().unwrap().as_str()), (NonSuccessKind::Error, "unreachable"));
}

// --- All formats ---

#[test]
fn the_output_stays_as_it_is() {
    let version = kiosk::version_of_the_library();
    let printed =
        |format| text(&run(&["check", "--format", format], &bad())).replace(version, "VERSION");
    let pretty = |document: &Value| serde_json::to_string_pretty(document).unwrap();

    let mut report: Value = serde_json::from_str(&printed("json")).unwrap();
    report["taken_at"] = json!(0);
    report["took_ms"] = json!(0);
    insta::assert_snapshot!("json", pretty(&report));

    let mut log: Value = serde_json::from_str(&printed("sarif")).unwrap();
    let run = &mut log["runs"][0];
    for time in ["startTimeUtc", "endTimeUtc"] {
        run["invocations"][0][time] = json!("TIME");
    }
    // One rule and one reference of each kind are enough.
    for list in ["/tool/driver/rules", "/taxonomies/0/taxa", "/taxonomies/1/taxa"] {
        run.pointer_mut(list).unwrap().as_array_mut().unwrap().truncate(1);
    }
    insta::assert_snapshot!("sarif", pretty(&log));

    let mut xml = printed("junit");
    for attribute in [" timestamp=\"", " time=\""] {
        let parts: Vec<_> = xml.split(attribute).map(str::to_owned).collect();
        let rest = parts[1..].iter().map(|part| part.split_once('"').unwrap().1);
        xml = std::iter::once(parts[0].as_str()).chain(rest).collect();
    }
    insta::assert_snapshot!("junit", xml);
}

// --- The text of a server ---

/// The helpers check every output for secrets and for characters that control a terminal.
#[test]
fn the_text_of_a_server_is_data_in_every_format() {
    let authority = Authority::new("<script>alert(1)</script>\u{1b}[2J]]>\"'&\u{202e}");
    let old = format!("6.0.1{}", hostile_version());
    let server = server(authority.server_called(HOSTILE), old);
    let variables = jukebox(&server, &authority);
    // Its certificate has another issuer than the expected one. The finding contains the name of
    // that issuer.
    let mut untrusted = variables.clone();
    untrusted[2].1 = Authority::new("another").pem();

    for command in ["attach", "posture"] {
        for (variables, said, escaped) in [
            (&variables, "unsupported_server", r"<script>alert(1)</script>]]>"),
            // RFC 4514 has its own escapes.
            (&untrusted, "unverified_tls", r"\<script\>alert(1)\</script\>\1b[2J]]\>"),
        ] {
            let shown = text(&play(command, "text", variables));
            assert!(shown.contains(said) && shown.contains(escaped), "{shown}");
            assert!(shown.lines().all(|line| !line.starts_with("root:")), "{shown}");

            let report = json_of(&play(command, "json", variables));
            assert_report(&report);
            let message =
                report["fields"][0]["findings"].as_array().unwrap().last().unwrap()["message"]
                    .as_str()
                    .unwrap()
                    .to_owned();
            assert!(message.contains(escaped), "it is said as it is: {message}");

            let log = json_of(&play(command, "sarif", variables));
            let messages = log["runs"][0]["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|result| result["message"]["text"].as_str().unwrap().to_owned());
            let messages: String = messages.collect();
            assert!(
                messages.contains("script") && !messages.contains("[x](https"),
                "no link: {messages}"
            );
            assert!(
                !messages.replace("{{", "").replace("}}", "").contains(['{', '}']),
                "no placeholder: {messages}"
            );

            let xml = text(&play(command, "junit", variables));
            assert!(!xml.contains("<script") && xml.contains("&lt;script"), "{xml}");
            let is_allowed = |c: char| {
                matches!(c, '\t' | '\n' | ' '..='\u{d7ff}')
                    || matches!(c, '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
            };
            assert!(xml.chars().all(is_allowed));
            let cases = &junit(&play(command, "junit", variables)).test_suites[0].test_cases;
            assert_eq!(cases.len(), 1);

            let page = text(&play(command, "html", variables));
            assert!(!page.contains("<script") && page.contains("&lt;script"), "{page}");
        }
        let report = json_of(&play(command, "json", &variables));
        let version = report["fields"][0]["posture"]["server"]["version"].as_str().unwrap();
        assert!(
            version.starts_with("6.0.1(the password)") && version.ends_with("ä(the password)…"),
            "{version}"
        );
    }
}
