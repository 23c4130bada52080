//! The report as SARIF 2.1.0, the interchange format of static analysis, as code scanning reads it.
//!
//! Both findings and failures are results, so the results alone are complete. A waived finding is
//! included, suppressed, with its reason.

use std::collections::HashMap;

use backing_services_rules::{Level, RULES, Rule};
use backing_services_runtime::problem::{FailureKind, Problem, Severity};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::{FINDINGS, FINE};
use crate::report::{Report, rfc3339};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The taxonomies, by their places in the run.
const ASVS: usize = 0;
const CWE: usize = 1;

/// The characters of a variable's name that stay unescaped in a URI.
const IN_A_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

/// The log, with one run.
pub(super) fn log(report: &Report) -> Value {
    let command = report.command.name();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": driver() },
            "taxonomies": [asvs(), cwe()],
            "automationDetails": { "id": identity(report) },
            "invocations": [{
                "executionSuccessful": true,
                "exitCode": if report.has_passed() { FINE } else { FINDINGS },
                "startTimeUtc": rfc3339(report.taken_at),
                "endTimeUtc": rfc3339(report.taken_at + report.took),
                "commandLine": report.line,
                "properties": {
                    "program": report.program,
                    "command": command,
                    "envFile": report.env_file,
                    "only": report.only,
                    "fieldsDeclared": report.declared,
                    "fieldsLookedAt": report.rows.len(),
                },
            }],
            "columnKind": "unicodeCodePoints",
            "results": results(report),
        }],
    })
}

/// The identity of the run. Runs of the same program, command and struct that check the same fields
/// share it. An upload closes the alerts of the earlier run with the same identity, and of no
/// other. The slash at the end means that single runs have no name of their own.
fn identity(report: &Report) -> String {
    let (name, command) = (report.manifest.struct_name(), report.command.name());
    let parts = [report.program.as_str(), command, name].into_iter().chain(report.only.as_deref());
    parts.fold("backing-services/".to_owned(), |id, part| {
        format!("{id}{}/", utf8_percent_encode(part, IN_A_SEGMENT))
    })
}

fn driver() -> Value {
    let rules: Vec<_> = RULES
        .iter()
        .map(|rule| of_rule(rule))
        .chain(FailureKind::ALL.iter().map(|kind| of_failure(*kind)))
        .collect();
    json!({
        "name": "backing-services",
        "version": env!("CARGO_PKG_VERSION"),
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "informationUri": REPOSITORY,
        "supportedTaxonomies": [{ "name": "ASVS", "index": ASVS }, { "name": "CWE", "index": CWE }],
        "rules": rules,
    })
}

fn of_rule(rule: &Rule) -> Value {
    let to_asvs = rule.asvs.iter().map(|requirement| {
        json!({
            "target": { "id": requirement, "toolComponent": { "name": "ASVS", "index": ASVS } },
            "kinds": ["relevant"],
        })
    });
    let weakness =
        json!({ "id": rule.cwe.to_string(), "toolComponent": { "name": "CWE", "index": CWE } });
    let to_cwe = json!({ "target": weakness, "kinds": ["superset"] });
    json!({
        "id": rule.name,
        "shortDescription": { "text": rule.summary },
        "fullDescription": { "text": rule.rationale },
        "help": { "text": rule.help },
        "helpUri": format!("{REPOSITORY}/blob/main/docs/rules.md#{}", rule.name),
        "defaultConfiguration": { "level": level(rule) },
        "relationships": to_asvs.chain([to_cwe]).collect::<Vec<_>>(),
        "properties": {
            "tags": ["security", format!("external/cwe/cwe-{}", rule.cwe)],
            "level": rule.level.name(),
        },
    })
}

fn of_failure(kind: FailureKind) -> Value {
    json!({
        "id": kind.name(),
        "shortDescription": { "text": kind.summary() },
        "fullDescription": { "text": kind.meaning() },
        "help": { "text": kind.help() },
        "defaultConfiguration": { "level": "error" },
        "properties": { "tags": ["reliability"] },
    })
}

/// The level of a violation that no waiver covers.
const fn level(rule: &Rule) -> &'static str {
    match rule.level {
        Level::Warn => "warning",
        _ => "error",
    }
}

fn asvs() -> Value {
    let mut requirements: Vec<_> = RULES.iter().flat_map(|rule| rule.asvs).collect();
    requirements.sort_unstable();
    requirements.dedup();
    json!({
        "name": "ASVS",
        "version": "5.0",
        "organization": "OWASP",
        "shortDescription": { "text": "The OWASP Application Security Verification Standard" },
        "informationUri":
            "https://owasp.org/www-project-application-security-verification-standard/",
        "isComprehensive": false,
        "taxa": requirements.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>(),
    })
}

fn cwe() -> Value {
    let mut weaknesses: Vec<_> = RULES.iter().map(|rule| rule.cwe).collect();
    weaknesses.sort_unstable();
    weaknesses.dedup();
    let taxon = |id: &u16| {
        json!({
            "id": id.to_string(),
            "helpUri": format!("https://cwe.mitre.org/data/definitions/{id}.html"),
        })
    };
    json!({
        "name": "CWE",
        "organization": "MITRE",
        "shortDescription": { "text": "The Common Weakness Enumeration" },
        "informationUri": "https://cwe.mitre.org/",
        "isComprehensive": false,
        "taxa": weaknesses.iter().map(taxon).collect::<Vec<_>>(),
    })
}

fn results(report: &Report) -> Vec<Value> {
    // A field may violate a rule more than once.
    let mut seen = HashMap::new();
    let mut results = Vec::new();
    for problem in report.problems() {
        let fingerprint = fingerprint(report, problem);
        let count =
            seen.entry(fingerprint.clone()).and_modify(|count| *count += 1).or_insert(1_usize);
        results.push(result(report, problem, &format!("{fingerprint}:{count}")));
    }
    results
}

fn result(report: &Report, problem: &Problem, fingerprint: &str) -> Value {
    let level = match (problem.severity(), problem) {
        (Severity::Warning, _) => "warning",
        // The level as it would be without the waiver.
        (Severity::Waived, Problem::Finding(finding)) => level(finding.rule()),
        _ => "error",
    };
    // Readers match the results of two runs by these two. GitHub's code scanning reads the second
    // one only.
    let fingerprints =
        json!({ "fieldAndRule/v1": fingerprint, "primaryLocationLineHash": fingerprint });
    let mut result = json!({
        "ruleId": problem.name(),
        "level": level,
        "message": { "text": message(problem) },
        "locations": [location(report, problem)],
        "partialFingerprints": fingerprints,
    });
    let place = RULES
        .iter()
        .map(|rule| rule.name)
        .chain(FailureKind::ALL.iter().map(|kind| kind.name()))
        .position(|name| name == problem.name());
    if let Some(index) = place {
        result["ruleIndex"] = json!(index);
    }
    // An empty list means that the result is not suppressed. Without a list, that would be unknown.
    let suppression =
        |reason| json!({ "kind": "inSource", "status": "accepted", "justification": reason });
    result["suppressions"] =
        json!(problem.waived_because().map(suppression).into_iter().collect::<Vec<_>>());
    result
}

/// The problem and its help, as plain text. SARIF writes a link in brackets, and no foreign text
/// may make one.
fn message(problem: &Problem) -> String {
    let mut text = format!("{}: {}", problem.field(), problem.message());
    if problem.waived_because().is_none() {
        text.push_str("\nhelp: ");
        text.push_str(problem.help());
    }
    escaped(&text)
}

/// Applies the escapes of SARIF (3.11.5 and 3.11.6): a brace begins a placeholder, and a bracket
/// begins a link if there is one.
fn escaped(text: &str) -> String {
    let text = text.replace('{', "{{").replace('}', "}}");
    if text.contains("](") {
        text.replace('\\', r"\\").replace('[', r"\[").replace(']', r"\]")
    } else {
        text
    }
}

/// The location: the field and the variable. Code scanning shows no result without a file, and a
/// variable has no file. So its name is the file.
fn location(report: &Report, problem: &Problem) -> Value {
    let field = problem.field();
    let name = field.rsplit_once('.').map_or(field, |(_, name)| name);
    let qualified = format!("{}.{field}", report.manifest.struct_name());
    let mut logical =
        vec![json!({ "name": name, "fullyQualifiedName": qualified, "kind": "member" })];
    if let Some(variable) = problem.variable() {
        logical
            .push(json!({ "name": variable, "fullyQualifiedName": variable, "kind": "variable" }));
    }
    let segment = utf8_percent_encode(problem.variable().unwrap_or(field), IN_A_SEGMENT);
    let mut artifact = json!({ "uri": format!("environment/{segment}") });
    if let Some(origin) = problem.origin() {
        artifact["description"] = json!({ "text": origin });
    }
    json!({
        "physicalLocation": { "artifactLocation": artifact, "region": { "startLine": 1 } },
        "logicalLocations": logical,
    })
}

/// A fingerprint that is the same in every run, whatever the message is, and with or without
/// `--only`.
fn fingerprint(report: &Report, problem: &Problem) -> String {
    let (program, name) = (report.program.as_str(), report.manifest.struct_name());
    let parts =
        [program, name, problem.field(), problem.variable().unwrap_or_default(), problem.name()];
    let digest = digest(&SHA256, parts.join("\n").as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_message_makes_no_placeholder_and_no_link() {
        assert_eq!(escaped("a [b] {0} c\\u{1b}"), "a [b] {{0}} c\\u{{1b}}");
        assert_eq!(escaped("[x](https://evil.example)"), r"\[x\](https://evil.example)");
        // An escaped text would be unescaped by a second backslash.
        assert_eq!(escaped(r"\[x\](https://evil.example)"), r"\\\[x\\\](https://evil.example)");
    }
}
