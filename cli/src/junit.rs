//! The report as JUnit XML, for test viewers: a suite for each struct, a case for each field.
//!
//! A finding is a failure. An unreachable service is an error. An absent or untried field is
//! skipped. Warnings and waived findings are the output of the case.

use std::fmt::Write as _;

use backing_services_runtime::problem::Problem;
use quick_junit::{
    NonSuccessKind, Property, Report as Document, TestCase, TestCaseStatus, TestSuite, XmlString,
};

use super::{ExitReason, text};
use crate::report::{FieldReport, FieldState, Report, rfc3339};

/// The document.
pub(super) fn report(report: &Report) -> Result<String, ExitReason> {
    let name = report.manifest.struct_name();
    let mut document = Document::new(xml(name));
    document.timestamp = rfc3339(report.taken_at).parse().ok();
    document.set_time(report.took);
    let mut suites: Vec<TestSuite> = Vec::new();
    for row in &report.rows {
        // The fields of a nested struct are a suite of their own, named after the field that holds
        // the struct.
        let (class, field) = match row.path.rsplit_once('.') {
            Some((parent, field)) => (format!("{name}.{parent}"), field),
            None => (name.to_owned(), row.path.as_str()),
        };
        let case = case(report, row, &class, field);
        if !suites.iter().any(|suite| suite.name.as_str() == class) {
            suites.push(suite(report, &class));
        }
        if let Some(suite) = suites.iter_mut().find(|suite| suite.name.as_str() == class) {
            suite.add_test_case(case);
        }
    }
    document.add_test_suites(suites);
    document.to_string().map_err(|_| Box::new("the report cannot be written as XML") as ExitReason)
}

fn suite(report: &Report, class: &str) -> TestSuite {
    let mut suite = TestSuite::new(xml(class));
    suite.timestamp = rfc3339(report.taken_at).parse().ok();
    let version = format!("backing-services {}", env!("CARGO_PKG_VERSION"));
    let looked_at = text::looked_at(report);
    for (name, value) in [
        ("program", Some(report.program.as_str())),
        ("command", Some(report.command.name())),
        ("command_line", Some(&report.line)),
        ("version", Some(&version)),
        ("env_file", report.env_file.as_deref()),
        ("only", report.only.as_deref()),
        ("looked_at", looked_at.as_deref()),
    ] {
        suite.properties.extend(value.map(|value| property(name, value)));
    }
    suite
}

fn case(report: &Report, row: &FieldReport, class: &str, field: &str) -> TestCase {
    let mut case = TestCase::new(xml(field), status(row));
    case.set_classname(xml(class));
    if let Some(took) = row.took {
        case.set_time(took);
    }
    case.properties = properties(report, row);
    let told = written(row.problems.iter().filter(|problem| !problem.is_denied()));
    if !told.is_empty() {
        case.set_system_out(xml(&told));
    }
    case
}

fn status(row: &FieldReport) -> TestCaseStatus {
    let skipped = |why: &str| {
        let mut status = TestCaseStatus::skipped();
        status.set_type(row.state.name()).set_message(why);
        status
    };
    match row.state {
        FieldState::Passed | FieldState::Default => TestCaseStatus::success(),
        FieldState::Absent => skipped("it is optional, and there is none"),
        FieldState::Untried => {
            skipped("it was not connected to, as something else was refused before")
        }
        FieldState::Refused => {
            let denied = || row.problems.iter().filter(|problem| problem.is_denied());
            let kind = match denied().any(|problem| matches!(problem, Problem::Finding(_))) {
                true => NonSuccessKind::Failure,
                false => NonSuccessKind::Error,
            };
            let mut status = TestCaseStatus::non_success(kind);
            if let Some(first) = denied().next() {
                status.set_type(first.name()).set_message(xml(first.message()));
            }
            status.set_description(xml(&written(denied())));
            status
        }
    }
}

/// Problems with their remedies.
fn written<'a>(problems: impl Iterator<Item = &'a Problem>) -> String {
    let mut written = String::new();
    for problem in problems {
        let severity = problem.severity().name();
        let (what, why) = match problem.waived_because() {
            Some(reason) => ("waived", reason),
            None => ("help", problem.help()),
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            written,
            "{severity}[{}]: {}\n  {what}: {why}",
            problem.name(),
            problem.message()
        );
    }
    written
}

fn properties(report: &Report, row: &FieldReport) -> Vec<Property> {
    let mut properties = vec![
        property("kind", row.kind()),
        property("variable", &row.variable),
        property("state", row.state.name()),
    ];
    let mut add =
        |name, value: Option<&str>| properties.extend(value.map(|value| property(name, value)));
    add("origin", row.origin.as_deref());
    add("endpoint", row.endpoint.as_deref());
    if let Some(posture) = &row.posture {
        add("tls", posture.tls.as_ref().map(|tls| tls.version));
        let days =
            posture.tls.as_ref().map(|tls| tls.certificate.days_left(report.taken_at).to_string());
        add("certificate_days_left", days.as_deref());
        add(
            "certificate_subject",
            posture.tls.as_ref().map(|tls| tls.certificate.subject.as_str()),
        );
        add("account", posture.account.as_deref());
        add("server", posture.server.as_ref().map(ToString::to_string).as_deref());
    }
    for waiver in row.field.declaration().waived_rules() {
        add("waiver", Some(&text::waiver(waiver, report.taken_at)));
    }
    properties
}

fn property(name: &str, value: &str) -> Property {
    Property::new(name, xml(value))
}

/// A text that XML 1.0 allows. The library removes all other characters, but not U+FFFE and U+FFFF.
fn xml(text: &str) -> XmlString {
    XmlString::new(text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_that_xml_can_hold() {
        assert_eq!(xml("a\u{0}\u{b}\u{1b}[31mb\u{fffe}c\u{ffff}").as_str(), "ab\u{fffd}c\u{fffd}");
    }
}
