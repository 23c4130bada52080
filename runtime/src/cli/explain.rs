//! The rules, for whoever reads a report.

use std::fmt::Write as _;

use backing_services_rules::rule::look_up;
use backing_services_rules::{Level, RULES, Rule};
use comfy_table::{Table, presets};

use crate::error::Paint;

/// Colours are always written; whoever prints takes them out again where there should be none.
const PAINT: Paint = Paint(true);

/// One rule, or the table of all of them.
pub(super) fn explain(rule: Option<&str>) -> String {
    rule.and_then(look_up).map_or_else(index, one)
}

fn one(rule: &'static Rule) -> String {
    let level = match rule.level {
        Level::Forbid => "a violation ends the attempt; there is no waiver",
        Level::Deny => "a violation ends the attempt, unless the field waives the rule with a reason",
        _ => "a violation is reported; attaching goes on",
    };
    let phases: Vec<_> = rule.phases.iter().map(|phase| phase.name()).collect();
    let mut text = String::new();
    // Writing to a `String` does not fail.
    let _ = writeln!(text, "{}: {}\n", PAINT.bold(rule.name), rule.summary);
    for (name, value) in [("why", rule.rationale), ("what to do", rule.remedy)] {
        let _ = writeln!(text, "{}\n  {value}\n", PAINT.bold(name));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_row(["level", &format!("{}: {level}", rule.level.name())]);
    table.add_row(["looked at", &phases.join(", ")]);
    table.add_row(["ASVS 5.0", &rule.asvs.join(", ")]);
    table.add_row(["CWE", &format!("CWE-{0}, https://cwe.mitre.org/data/definitions/{0}.html", rule.cwe)]);
    text.extend(lines(&table).map(|line| line + "\n"));
    text
}

fn index() -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["RULE", "LEVEL", "DEMANDS"]);
    for rule in RULES {
        table.add_row([rule.name, rule.level.name(), rule.summary]);
    }
    let mut lines = lines(&table);
    let header = lines.next().map(|header| PAINT.bold(&header));
    header.into_iter().chain(lines).map(|line| line + "\n").collect()
}

fn lines(table: &Table) -> impl Iterator<Item = String> {
    // Each cell has a blank before it.
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
}
