//! Checks that `docs/rules.md` agrees with the table of rules.
//! `BLESS=1 cargo test -p backing-services-rules` writes it again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test whose setup fails must stop at that point"
)]

mod standards;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use backing_services_rules::{KNOWN_SCHEMES, Phase, RULES, Transport};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a file with its wanted content, or writes it.
fn hold(path: &Path, wanted: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, wanted).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is not what the table says: run `BLESS=1 cargo test -p backing-services-rules`",
        path.display()
    );
}

fn phases(phases: &[Phase]) -> String {
    phases.iter().map(|phase| phase.name()).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_page_of_rules_is_the_table() {
    let mut page = String::from(
        "# The rules\n\n\
         <!-- Written by `BLESS=1 cargo test -p backing-services-rules`, from rules/src/rule.rs. \
         -->\n\n\
         Each violation of a rule is a finding. **forbid**: there is no waiver. **deny**: a field \
         can waive it, with a reason:\n\
         `#[service(allow(superuser_account, reason = \"the vendor ships one account\", until = \
         \"2027-03-01\"))]`. **warn**: it is said, and attaching goes on.\n\
         No environment variable, feature or build flag loosens a rule. There is one exception: a \
         build with `debug_assertions` accepts plaintext to a\n\
         loopback address, and warns each time.\n\n\
         ASVS is the [OWASP Application Security Verification Standard \
         5.0](https://github.com/OWASP/ASVS/tree/v5.0.0), here in our words;\n\
         a rule without one has none that asks for it. CWE is the Common Weakness Enumeration.\n",
    );
    page.push_str(&summary());
    for rule in RULES {
        write!(
            page,
            "\n## `{}`\n\n**{}** ({}): {}.\n\n{}\n\n*What to do:* {}\n\n{}- \
             [CWE-{cwe}](https://cwe.mitre.org/data/definitions/{cwe}.html): {}\n",
            rule.name,
            rule.level.name(),
            phases(rule.phases),
            rule.summary,
            rule.rationale,
            rule.help,
            rule.asvs
                .iter()
                .map(|number| format!("- ASVS {number}: {}\n", standards::requirement(number)))
                .collect::<String>(),
            standards::weakness(rule.cwe),
            cwe = rule.cwe,
        )
        .unwrap();
    }
    page.push_str(
        "\n# Requirements beyond the rules\n\n\
         What ASVS 5.0 asks of connections to services and no rule refuses, because it holds for \
         every program that uses this crate, or does not.\n\n\
         | requirement | asks that | here |\n|---|---|---|\n",
    );
    for (number, answer) in standards::BEYOND_THE_RULES {
        writeln!(page, "| {number} | {} | {answer} |", standards::requirement(number)).unwrap();
    }
    page.push_str(
        "\n# The schemes\n\n| scheme | what protects the connection | usual port | \
                   instead |\n|---|---|---|---|\n",
    );
    for scheme in KNOWN_SCHEMES {
        let protection = match scheme.transport {
            Transport::Encrypted => "TLS from the first byte",
            Transport::Upgraded => "TLS, which the service forces on before anything else is said",
            Transport::Embedded => "there is none: it is in the process",
            _ => "nothing: refused",
        };
        let port = if scheme.port == 0 { String::new() } else { scheme.port.to_string() };
        let instead = if scheme.instead.contains(' ') || scheme.instead.is_empty() {
            scheme.instead.to_owned()
        } else {
            format!("`{}`", scheme.instead)
        };
        writeln!(page, "| `{}` | {protection} | {port} | {instead} |", scheme.name).unwrap();
    }
    hold(&root().join("docs/rules.md"), &page);
}

/// The table of all rules, in the order of the table.
fn summary() -> String {
    let mut table = String::from("\n| rule | demands that | level |\n|---|---|---|\n");
    for rule in RULES {
        let (name, summary, level) = (rule.name, rule.summary, rule.level.name());
        writeln!(table, "| [`{name}`](#{name}) | {summary} | {level} |").unwrap();
    }
    table
}

/// The numbers of all requirements of ASVS 5.0.0.
fn numbers_of_asvs() -> BTreeSet<&'static str> {
    include_str!("asvs-5.0.txt").lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn every_requirement_that_is_cited_exists_in_asvs_5() {
    let numbers = numbers_of_asvs();
    assert_eq!(numbers.len(), 345, "ASVS 5.0.0 has 345 requirements");
    let is_well_formed = |number: &str| {
        let parts: Vec<_> = number.strip_prefix('V').unwrap_or_default().split('.').collect();
        parts.len() == 3
            && parts.iter().all(|part| !part.starts_with('0') && part.parse::<u8>().is_ok())
    };
    let cited =
        RULES.iter().flat_map(|rule| rule.asvs.iter().map(move |number| (rule.name, *number)));
    let others =
        standards::REQUIREMENTS.iter().map(|requirement| ("REQUIREMENTS", requirement.number));
    for (place, number) in cited
        .chain(others)
        .chain(standards::BEYOND_THE_RULES.iter().map(|(number, _)| ("beyond", *number)))
    {
        assert!(
            is_well_formed(number) && numbers.contains(number),
            "{place}: there is no {number} in ASVS 5.0"
        );
    }
}

#[test]
fn every_described_requirement_is_cited_once_and_in_order() {
    let cited: BTreeSet<_> = RULES
        .iter()
        .flat_map(|rule| rule.asvs)
        .chain(standards::BEYOND_THE_RULES.iter().map(|(number, _)| number))
        .collect();
    let described: BTreeSet<_> =
        standards::REQUIREMENTS.iter().map(|requirement| &requirement.number).collect();
    assert_eq!(cited, described);
    assert_eq!(described.len(), standards::REQUIREMENTS.len(), "a requirement is listed twice");
    let weaknesses: BTreeSet<_> = RULES.iter().map(|rule| rule.cwe).collect();
    assert!(
        weaknesses.iter().eq(standards::WEAKNESSES.iter().map(|(number, _)| number)),
        "{weaknesses:?}"
    );
    for rule in RULES {
        assert!(
            rule.asvs.is_sorted_by_key(|number| number[1..]
                .split('.')
                .map(|part| part.parse::<u8>().unwrap())
                .collect::<Vec<_>>()),
            "{}",
            rule.name
        );
        assert!(
            !rule.asvs.contains(&"V13.4.1"),
            "{}: it is about the folders of version control",
            rule.name
        );
    }
}
