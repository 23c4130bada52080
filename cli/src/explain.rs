//! The explanations of rules and kinds of failure.

use std::fmt::Write as _;

use backing_services_rules::rule::look_up;
use backing_services_rules::{Level, RULES, Rule};
use backing_services_runtime::__cli::Paint;
use backing_services_runtime::problem::FailureKind;
use comfy_table::{Table, presets};

/// Colours are always written. The output strips them if they are not wanted.
const PAINT: Paint = Paint(true);

/// The explanation of one rule or kind of failure, or a table of all.
pub(super) fn explain(name: Option<&str>) -> String {
    let rule = name.and_then(look_up);
    let kind = FailureKind::ALL.into_iter().find(|kind| Some(kind.name()) == name);
    rule.map(one).or_else(|| kind.map(failure)).unwrap_or_else(index)
}

fn one(rule: &'static Rule) -> String {
    let level = match rule.level {
        Level::Forbid => "a violation ends the attempt; there is no waiver",
        Level::Deny => {
            "a violation ends the attempt, unless the field waives the rule with a reason"
        }
        _ => "a violation is reported; attaching goes on",
    };
    let phases: Vec<_> = rule.phases.iter().map(|phase| phase.name()).collect();
    let mut text =
        said(rule.name, rule.summary, [("why", rule.rationale), ("what to do", rule.help)]);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_row(["level", &format!("{}: {level}", rule.level.name())]);
    table.add_row(["checked", &phases.join(", ")]);
    if !rule.asvs.is_empty() {
        table.add_row(["ASVS 5.0", &rule.asvs.join(", ")]);
    }
    table.add_row([
        "CWE",
        &format!("CWE-{0}, https://cwe.mitre.org/data/definitions/{0}.html", rule.cwe),
    ]);
    text.extend(lines(&table).map(|line| line + "\n"));
    text
}

fn failure(kind: FailureKind) -> String {
    let mut text = said(
        kind.name(),
        kind.summary(),
        [("what it means", kind.meaning()), ("what to do", kind.help())],
    );
    text.push_str(
        "It is no rule's: a service is away, does not let us in, or is not what it should be. It \
         ends the attempt, and there is no waiver.\n",
    );
    text
}

fn said(name: &str, summary: &str, parts: [(&str, &str); 2]) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{}: {summary}\n", PAINT.bold(name));
    for (name, value) in parts {
        let _ = writeln!(text, "{}\n  {value}\n", PAINT.bold(name));
    }
    text
}

fn index() -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "RULE",
        "LEVEL",
        "DEMANDS THAT (OWASP ASVS 5.0, CWE)",
    ]);
    for rule in RULES {
        let standards: Vec<_> = rule
            .asvs
            .iter()
            .map(|&number| number.to_owned())
            .chain([format!("CWE-{}", rule.cwe)])
            .collect();
        let demands = format!("{} ({})", rule.summary, standards.join(", "));
        table.add_row([rule.name, rule.level.name(), &demands]);
    }
    for kind in FailureKind::ALL {
        table.add_row([kind.name(), "failure", kind.summary()]);
    }
    let mut lines = lines(&table);
    let header = lines.next().map(|header| PAINT.bold(&header));
    header.into_iter().chain(lines).map(|line| line + "\n").collect()
}

fn lines(table: &Table) -> impl Iterator<Item = String> {
    // Each cell begins with a blank.
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
}
