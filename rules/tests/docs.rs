//! `docs/rules.md` and the README's table say what the table of rules says. `BLESS=1 cargo test -p backing-services-rules` writes them anew.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot do what it should has to stop, there and loudly")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use backing_services_rules::{KNOWN_SCHEMES, Level, Phase, RULES, Transport};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Holds a file against what it should be, or writes it.
fn hold(path: &Path, wanted: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, wanted).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == wanted, "{} is not what the table says: run `BLESS=1 cargo test -p backing-services-rules`", path.display());
}

fn phases(phases: &[Phase]) -> String {
    phases.iter().map(|phase| phase.name()).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_page_of_rules_is_the_table() {
    let mut page = String::from(
        "# The rules\n\n\
         <!-- Written by `BLESS=1 cargo test -p backing-services-rules`, from rules/src/rule.rs. -->\n\n\
         Each violation of a rule is a finding. **forbid**: there is no waiver. **deny**: a field can waive it, with a reason:\n\
         `#[service(allow(superuser_account, reason = \"the vendor ships one account\", until = \"2027-03-01\"))]`. **warn**: it is said, and attaching goes on.\n\
         No environment variable, feature or build flag loosens a rule. There is one exception: a build with `debug_assertions` accepts plaintext to a\n\
         loopback address, and warns each time.\n\n\
         ASVS is the OWASP Application Security Verification Standard 5.0, CWE the Common Weakness Enumeration.\n",
    );
    for rule in RULES {
        write!(
            page,
            "\n## `{}`\n\n**{}** ({}): {}.\n\n{}\n\n*What to do:* {}\n\nASVS {}, [CWE-{cwe}](https://cwe.mitre.org/data/definitions/{cwe}.html)\n",
            rule.name,
            rule.level.name(),
            phases(rule.phases),
            rule.summary,
            rule.rationale,
            rule.remedy,
            rule.asvs.join(", "),
            cwe = rule.cwe,
        )
        .unwrap();
    }
    page.push_str("\n# The schemes\n\n| scheme | what protects the connection | usual port | instead |\n|---|---|---|---|\n");
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

#[test]
fn the_readme_lists_every_rule() {
    const BEGIN: &str = "<!-- rules: begin -->\n";
    const END: &str = "<!-- rules: end -->";
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README says where its table of rules begins");
    let (_, after) = rest.split_once(END).expect("the README says where its table of rules ends");
    let mut table = String::from("| rule | demands that | |\n|---|---|---|\n");
    for rule in RULES {
        let level = match rule.level {
            Level::Forbid => "forbid",
            Level::Deny => "deny",
            _ => "warn",
        };
        writeln!(table, "| [`{0}`](docs/rules.md#{0}) | {1} | {level} |", rule.name, rule.summary).unwrap();
    }
    hold(&path, &format!("{before}{BEGIN}{table}{END}{after}"));
}
