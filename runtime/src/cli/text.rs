//! The report for a person: a line for each field, and below it what is wrong and what to do.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{ColumnConstraint, Table, Width, presets};

use super::report::{Command, Report, Row, State};
use crate::error::{Paint, Severity, counted, write_problems};
use crate::posture::{CertificatePosture, Posture, TlsPosture, TrustPosture};

/// Colours are always written; whoever prints takes them out again where there should be none.
const PAINT: Paint = Paint(true);

/// The report. Where the resources have been told already, as they came, they are not told again.
pub(super) fn report(report: &Report, is_told: bool) -> String {
    let mut text = String::new();
    match report.command {
        Command::Check => text.push_str(&table(&report.rows, &Widths::of(&report.rows))),
        Command::Attach => {
            let rows = report.rows.iter().filter(|row| row.is_resource() && !(is_told && row.took.is_some()));
            text.push_str(&table(rows, &Widths::of(&report.rows)));
        }
        Command::Posture => {
            let blocks: Vec<_> = report.rows.iter().filter(|row| row.is_resource()).map(full).collect();
            text.push_str(&blocks.join("\n"));
        }
    }
    let mut problems = String::new();
    // Writing to a `String` does not fail.
    let _ = write_problems(&mut problems, report.problems(), PAINT);
    for part in [problems.trim_start_matches('\n'), &summary(report)] {
        if !part.is_empty() {
            let _ = writeln!(text, "\n{part}");
        }
    }
    text
}

/// How wide the columns are that come before the last one, at least.
pub(super) struct Widths([u16; 3]);

impl Widths {
    /// Wide enough for all these rows, so that a line printed alone is aligned with the others.
    pub(super) fn of(rows: &[Row]) -> Self {
        let widest = |width: fn(&Row) -> usize| {
            rows.iter().map(width).max().and_then(|width| u16::try_from(width).ok()).unwrap_or_default()
        };
        Self([7, widest(|row| row.path.chars().count()), widest(|row| row.kind().chars().count())])
    }
}

/// A line for each row.
pub(super) fn table<'a>(rows: impl IntoIterator<Item = &'a Row>, widths: &Widths) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for row in &rows {
        table.add_row([row.state.name().to_owned(), row.path.clone(), row.kind().to_owned(), detail(row)]);
    }
    for (index, width) in widths.0.into_iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2)).set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + 2)));
        }
    }
    if let Some(column) = table.column_mut(widths.0.len()) {
        column.set_padding((0, 0));
    }
    let mut text = String::new();
    for (line, row) in table.lines().zip(rows) {
        let name = row.state.name();
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "{}{}", PAINT.with(colour(row.state), name), line.trim_end().strip_prefix(name).unwrap_or(&line));
    }
    text
}

const fn colour(state: State) -> &'static str {
    match state {
        State::Passed => "1;32",
        State::Refused => "1;31",
        State::Absent | State::Default | State::Untried => "2",
    }
}

/// What there is to say of a field in half a line.
fn detail(row: &Row) -> String {
    let mut parts = Vec::new();
    match &row.posture {
        Some(posture) => {
            parts.push(posture.endpoint.clone());
            parts.push(posture.tls.as_ref().map_or("no TLS", |tls| tls.version).to_owned());
            parts.extend(posture.tls.as_ref().map(|tls| format!("{} left", days(&tls.certificate))));
            parts.extend(posture.account.as_ref().map(|account| format!("as {account}")));
            parts.extend(posture.server.as_ref().map(ToString::to_string));
        }
        None => {
            parts.push(row.variable.clone());
            parts.extend(row.origin.as_ref().map(|origin| format!("from {origin}")));
            parts.extend(row.endpoint.clone());
        }
    }
    parts.extend(row.took.map(milliseconds));
    for severity in [Severity::Warning, Severity::Waived] {
        let count = row.problems.iter().filter(|problem| problem.severity() == severity).count();
        if count > 0 {
            parts.push(format!("{count} {}", severity.name()));
        }
    }
    parts.join(", ")
}

/// All that attaching taught, a line each.
fn full(row: &Row) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut line = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    let origin = row.origin.as_ref().map(|origin| format!(", from {origin}")).unwrap_or_default();
    line("variable", format!("{}{origin}", row.variable));
    if let Some(endpoint) = &row.endpoint {
        line("endpoint", endpoint.clone());
    }
    if let Some(posture) = &row.posture {
        posture_lines(posture, &mut line);
    }
    for waiver in row.field.declaration().waived_rules() {
        let until = waiver.until().map(|until| format!(", until {until}")).unwrap_or_default();
        line("waiver", format!("{}: {}{until}", waiver.rule().name, waiver.reason()));
    }
    if let Some(took) = row.took {
        line("attached in", milliseconds(took));
    }
    for index in 0..2 {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((2, 0));
        }
    }
    let state = PAINT.with(colour(row.state), row.state.name());
    let lines: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    format!("{} ({}): {state}\n{lines}", PAINT.bold(&row.path), row.kind())
}

fn posture_lines(posture: &Posture, line: &mut impl FnMut(&str, String)) {
    match &posture.tls {
        Some(tls) => tls_lines(tls, line),
        None => line("TLS", "none".to_owned()),
    }
    if let Some(server) = &posture.server {
        let end = server.end_of_life().map(|end| format!(", gets security fixes until {end}")).unwrap_or_default();
        line("server", format!("{server}{end}"));
    }
    if let Some(account) = &posture.account {
        let how = posture.authentication.as_ref().map(|how| format!(", by {how}")).unwrap_or_default();
        line("account", format!("{account}{how}"));
    }
    for (index, privilege) in posture.privileges.iter().enumerate() {
        line(if index == 0 { "privileges" } else { "" }, privilege.clone());
    }
    for remark in &posture.remarks {
        line("remark", remark.to_string());
    }
}

fn tls_lines(tls: &TlsPosture, line: &mut impl FnMut(&str, String)) {
    let TlsPosture { version, cipher, trust, certificate } = tls;
    line("TLS", format!("{version}, {cipher}"));
    let trusted = match trust {
        TrustPosture::PublicRoots => "by the public authorities",
        TrustPosture::PrivateCa => "by its private authority, and nobody else",
        TrustPosture::PinnedKey => "for its key, which is pinned",
    };
    line("trusted", trusted.to_owned());
    line("certificate", format!("{}, {}, {} left", certificate.subject, certificate.key, days(certificate)));
    line("issued by", certificate.issuer.clone());
    line("names", certificate.names.join(", "));
}

fn days(certificate: &CertificatePosture) -> String {
    let days = certificate.days_left(std::time::SystemTime::now());
    counted(usize::try_from(days).unwrap_or(usize::MAX), "day")
}

fn milliseconds(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

/// What came of it, in one line.
fn summary(report: &Report) -> String {
    let name = report.manifest.struct_name();
    let (done, not_done) = if report.command.connects() { ("attaches", "attach") } else { ("loads", "load") };
    let also: String = [Severity::Warning, Severity::Waived]
        .into_iter()
        .filter_map(|severity| match (report.count(severity), severity) {
            (0, _) => None,
            (count, Severity::Waived) => Some(format!(", {count} waived")),
            (count, _) => Some(format!(", {}", counted(count, "warning"))),
        })
        .collect();
    let fields = counted(report.rows.len(), "field");
    if report.has_passed() {
        return format!("{}: `{name}` {done}: {fields}{also}", PAINT.with(colour(State::Passed), "passed"));
    }
    let failing = report.rows.iter().filter(|row| row.state == State::Refused).count();
    let problems = counted(report.count(Severity::Error), "problem");
    let refused = PAINT.with(colour(State::Refused), "refused");
    format!("{refused}: `{name}` does not {not_done}: {problems} in {failing} of {fields}{also}")
}
