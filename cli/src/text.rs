//! The report for a person: a line for each field, and below them the problems with their remedies.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use backing_services_rules::{Date, Transport, variable};
use backing_services_runtime::__cli::{Paint, counted};
use backing_services_runtime::Posture;
use backing_services_runtime::manifest::Waiver;
use backing_services_runtime::posture::{
    CertificatePosture, ClientCertificatePosture, TlsPosture, TrustPosture,
};
use backing_services_runtime::problem::{Problem, Severity};
use backing_services_runtime::source::environment;
use comfy_table::{ColumnConstraint, Table, Width, presets};

use crate::report::{Command, FieldReport, FieldState, Report, day};

/// Colours are always written. The output strips them if they are not wanted.
const PAINT: Paint = Paint(true);

/// The report. If a line was already printed for each finished resource, these lines are left out.
pub(super) fn report(report: &Report, is_told: bool) -> String {
    let rows = &report.rows;
    // A refused value is the reason why nothing was connected.
    let is_shown = |row: &FieldReport| row.is_resource() || row.state == FieldState::Refused;
    let parts = match report.command {
        Command::Check => vec![table(rows, |_| true)],
        Command::Attach => {
            vec![table(rows, |row| is_shown(row) && !(is_told && row.took.is_some()))]
        }
        Command::Posture => {
            let is_full = |row: &FieldReport| row.is_resource() && row.state != FieldState::Absent;
            let blocks = rows.iter().filter(|row| is_full(row)).map(|row| full(report, row));
            blocks.chain([table(rows, |row| is_shown(row) && !is_full(row))]).collect()
        }
    };
    let ends = [problems(report), summary(report)];
    let parts: Vec<_> = parts
        .into_iter()
        .chain(ends.map(|end| if end.is_empty() { end } else { end + "\n" }))
        .collect();
    let is_after_lines = is_told
        && rows.iter().any(|row| row.took.is_some())
        && parts.first().is_some_and(String::is_empty);
    let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
    if is_after_lines { format!("\n{text}") } else { text }
}

/// A line for each printed row, aligned with the rows that are not printed.
fn table(rows: &[FieldReport], is_shown: impl Fn(&FieldReport) -> bool) -> String {
    rows.iter().zip(lines(rows)).filter(|(row, _)| is_shown(row)).map(|(_, line)| line).collect()
}

/// The line of one row, aligned with those of the others.
pub(super) fn line(rows: &[FieldReport], index: usize) -> String {
    lines(rows).into_iter().nth(index).unwrap_or_default()
}

/// The widest state that a row may still get.
const STATE_WIDTH: u16 = 7;

fn lines(rows: &[FieldReport]) -> Vec<String> {
    let cells = |row: &FieldReport| {
        [row.state.name().to_owned(), row.path.clone(), row.kind().to_owned(), detail(row)]
    };
    let mut table = aligned(rows.iter().map(cells));
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(STATE_WIDTH + GAP)));
    }
    let paint = |(line, row): (String, &FieldReport)| {
        let name = row.state.name();
        format!(
            "{}{}\n",
            PAINT.with(colour(row.state), name),
            line.trim_end().strip_prefix(name).unwrap_or(&line)
        )
    };
    table.lines().zip(rows).map(paint).collect()
}

/// The names of the rows, padded to the same width.
pub(super) fn names<'a>(rows: impl IntoIterator<Item = &'a FieldReport>) -> Vec<String> {
    aligned(rows.into_iter().map(|row| [row.path.clone(), row.kind().to_owned()])).lines().collect()
}

/// Blanks behind a column.
const GAP: u16 = 2;

/// A table without borders. It is as wide as its content: a terminal folds a long line, and a log
/// does not.
fn aligned<const COLUMNS: usize>(rows: impl IntoIterator<Item = [String; COLUMNS]>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table
}

const fn colour(state: FieldState) -> &'static str {
    match state {
        FieldState::Passed => "1;32",
        FieldState::Refused => "1;31",
        FieldState::Absent | FieldState::Default | FieldState::Untried => "2",
    }
}

/// The details of a field, in half a line.
fn detail(row: &FieldReport) -> String {
    let mut parts = Vec::new();
    match (&row.posture, &row.endpoint) {
        (Some(posture), _) => {
            parts.push(posture.endpoint.clone());
            parts.push(
                posture
                    .tls
                    .as_ref()
                    .map_or_else(|| without_tls(posture.transport), |tls| tls.version)
                    .to_owned(),
            );
            parts.extend(
                posture
                    .tls
                    .as_ref()
                    .map(|tls| format!("certificate for {}", days(&tls.certificate))),
            );
            parts.extend(posture.account.as_ref().map(|account| format!("as {account}")));
            // The rest of the version is printed by `posture`.
            let number =
                |version: &str| version.split(' ').next().map(str::to_owned).unwrap_or_default();
            parts.extend(posture.server.as_ref().map(|server| {
                format!("{} {}", server.product, number(&server.version)).trim_end().to_owned()
            }));
        }
        // Connecting was tried, and failed.
        (None, Some(endpoint)) if row.took.is_some() => parts.push(endpoint.clone()),
        (None, endpoint) => {
            parts.push(row.variable.clone());
            // The environment is the usual origin, and is not printed.
            let elsewhere = row.origin.as_ref().filter(|origin| *origin != environment::NAME);
            parts.extend(elsewhere.map(|origin| format!("from {origin}")));
            parts.extend(endpoint.clone());
        }
    }
    parts.extend(row.took.map(milliseconds));
    let mut refused: Vec<_> =
        row.problems.iter().filter(|problem| problem.is_denied()).map(Problem::name).collect();
    refused.dedup();
    parts.extend(refused.into_iter().map(str::to_owned));
    let count =
        |severity| row.problems.iter().filter(|problem| problem.severity() == severity).count();
    parts.extend(notices(count));
    parts.join(", ")
}

/// The number of problems that refuse nothing.
fn notices(count: impl Fn(Severity) -> usize) -> impl Iterator<Item = String> {
    let (warnings, waived) = (count(Severity::Warning), count(Severity::Waived));
    let warnings = (warnings > 0).then(|| counted(warnings, "warning"));
    warnings.into_iter().chain((waived > 0).then(|| format!("{waived} waived")))
}

/// All observations of attaching, one on each line.
fn full(report: &Report, row: &FieldReport) -> String {
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
        posture_lines(report, posture, &mut line);
    }
    for waiver in row.field.declaration().waived_rules() {
        line("waiver", self::waiver(waiver, report.taken_at));
    }
    if let Some(took) = row.took {
        line("took", milliseconds(took));
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

fn posture_lines(report: &Report, posture: &Posture, line: &mut impl FnMut(&str, String)) {
    match &posture.tls {
        Some(tls) => tls_lines(tls, line),
        None => line("transport", without_tls(posture.transport).to_owned()),
    }
    if let Some(server) = &posture.server {
        let end = server
            .end_of_life()
            .map(|end| format!(", {}", fixed_until(end, report.taken_at)))
            .unwrap_or_default();
        line("server", format!("{server}{end}"));
    }
    if let Some(account) = &posture.account {
        let how =
            posture.authentication.as_ref().map(|how| format!(", by {how}")).unwrap_or_default();
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
    let TlsPosture { version, cipher, trust, certificate, client_certificate, .. } = tls;
    let cipher = cipher.as_ref().map(|cipher| format!(", {cipher}")).unwrap_or_default();
    line("TLS", format!("{version}{cipher}"));
    line("trusted", self::trust(*trust).to_owned());
    line(
        "certificate",
        format!("{}, {}, {} left", certificate.subject, certificate.key, days(certificate)),
    );
    line("issued by", certificate.issuer.clone());
    line("names", certificate.names.join(", "));
    // Most servers do not request a certificate.
    match client_certificate {
        ClientCertificatePosture::Withheld => {
            line("asked for", "a client certificate, and got none".to_owned())
        }
        ClientCertificatePosture::Sent => {
            line("asked for", "the client certificate, and got it".to_owned())
        }
        _ => {}
    }
}

/// The transport of a connection without TLS.
pub(super) const fn without_tls(transport: Transport) -> &'static str {
    match transport {
        Transport::Embedded => "embedded",
        _ => "no TLS",
    }
}

/// The end of a release's support, in the future or the past.
pub(super) fn fixed_until(end: Date, now: SystemTime) -> String {
    if end < day(now) { format!("no fixes since {end}") } else { format!("fixes until {end}") }
}

/// The end of a waiver, in the future or the past.
pub(super) fn until(waiver: &Waiver, now: SystemTime) -> String {
    let end = match waiver.until() {
        Some(end) if end < day(now) => format!("ended on {end}"),
        Some(end) => format!("until {end}"),
        None => "without end".to_owned(),
    };
    if waiver.is_debug_only() { format!("in debug builds only, {end}") } else { end }
}

/// A waiver in one line.
pub(super) fn waiver(waiver: &Waiver, now: SystemTime) -> String {
    format!("{}: {}, {}", waiver.rule().name, waiver.reason(), until(waiver, now))
}

/// The trust anchor of the server, as the rest of a sentence behind "trusted".
pub(super) const fn trust(trust: TrustPosture) -> &'static str {
    match trust {
        TrustPosture::PublicRoots => "by the public authorities",
        TrustPosture::PrivateCa => "by its private authority alone",
        TrustPosture::PinnedKey => "for its key, which is pinned",
        _ => "by other means",
    }
}

fn days(certificate: &CertificatePosture) -> String {
    let days = certificate.days_left(SystemTime::now());
    counted(usize::try_from(days).unwrap_or(usize::MAX), "day")
}

pub(super) fn milliseconds(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

/// The result, in one line.
fn summary(report: &Report) -> String {
    let state = if report.has_passed() { FieldState::Passed } else { FieldState::Refused };
    format!("{}: {}", PAINT.with(colour(state), state.name()), sentence(report))
}

/// The result as a sentence, without the state in front.
pub(super) fn sentence(report: &Report) -> String {
    let name = format!("`{}`", report.manifest.struct_name());
    let name =
        report.only.as_ref().map_or_else(|| name.clone(), |only| format!("`{only}` of {name}"));
    let (done, not_done) =
        if report.command.connects() { ("attaches", "attach") } else { ("loads", "load") };
    let also: String =
        notices(|severity| report.count(severity)).map(|notice| format!(", {notice}")).collect();
    let fields = counted(report.rows.len(), "field");
    let looked_at = looked_at(report);
    if report.has_passed() {
        return format!("{name} {done}: {}{also}", looked_at.unwrap_or(fields));
    }
    let failing = report.rows.iter().filter(|row| row.state == FieldState::Refused).count();
    let problems = counted(report.count(Severity::Error), "problem");
    let place = looked_at.unwrap_or_else(|| format!("in {failing} of {fields}"));
    let separator = if report.only.is_some() { ", " } else { " " };
    format!("{name} does not {not_done}: {problems}{separator}{place}{also}")
}

/// The number of checked fields. `None` if all were checked.
pub(super) fn looked_at(report: &Report) -> Option<String> {
    let was = if report.rows.len() == 1 { "was" } else { "were" };
    report.only.as_ref().map(|_| {
        format!("{} of {} {was} checked", report.rows.len(), counted(report.declared, "field"))
    })
}

/// The problems, for one screen. Refusals come before warnings. Each field is printed once, and a
/// problem that several fields share is printed once for all of them.
fn problems(report: &Report) -> String {
    let (order, entries) = entries(report);
    // The entries of a field are placed at its worst one. So are the entries of several fields.
    let mut blocks: Vec<(Vec<&str>, Vec<&Key>)> = Vec::new();
    for key in &order {
        let fields: Vec<_> = entries[key].iter().map(|problem| problem.field()).collect();
        match blocks.iter_mut().find(|(known, _)| *known == fields) {
            Some((_, keys)) => keys.push(key),
            None => blocks.push((fields, vec![key])),
        }
    }
    let mut text = String::new();
    for (fields, keys) in blocks {
        let first = entries[keys[0]][0];
        let separator = if text.is_empty() { "" } else { "\n" };
        // Writing to a `String` cannot fail.
        let _ = match &fields[..] {
            [field] => writeln!(text, "{separator}{}{}", PAINT.bold(field), place(first)),
            _ => writeln!(
                text,
                "{separator}in {} fields: {}",
                fields.len(),
                PAINT.bold(&fields.join(", "))
            ),
        };
        for key in keys {
            let problem = entries[key][0];
            let [_, _, message, help] = key;
            text.push_str(&match &fields[..] {
                [_] => entry_of_one(problem, first),
                _ => entry(problem, message, help),
            });
        }
    }
    text.trim_end_matches('\n').to_owned()
}

/// The severity, the name, the general message and the general help of a problem.
type Key = [String; 4];

/// The problems by their keys, and the keys in the order of their severity and of the rows. A
/// problem of several fields has one key.
fn entries(report: &Report) -> (Vec<Key>, BTreeMap<Key, Vec<&Problem>>) {
    let mut order = Vec::new();
    let mut entries: BTreeMap<_, Vec<&Problem>> = BTreeMap::new();
    for severity in Severity::ALL {
        let problems = report
            .rows
            .iter()
            .flat_map(|row| row.problems.iter().map(move |problem| (row, problem)));
        for (row, problem) in problems.filter(|(_, problem)| problem.severity() == severity) {
            let texts =
                [problem.message(), advice(problem).1].map(|text| general(&row.variable, text));
            let [message, help] = texts;
            let key = [severity.name().to_owned(), problem.name().to_owned(), message, help];
            if !entries.contains_key(&key) {
                order.push(key.clone());
            }
            let same = entries.entry(key).or_default();
            // One file with several values of a field needs one correction.
            if !same.iter().any(|known| known.field() == problem.field()) {
                same.push(problem);
            }
        }
    }
    (order, entries)
}

/// The lines of a problem of one field. They give its place if that is not the place of the field's
/// first problem.
fn entry_of_one(problem: &Problem, first: &Problem) -> String {
    let is_elsewhere = (problem.variable(), problem.origin()) != (first.variable(), first.origin());
    let elsewhere = if is_elsewhere { place(problem) } else { String::new() };
    entry(problem, &format!("{}{elsewhere}", problem.message()), advice(problem).1)
}

/// The lines of a problem, in these words.
fn entry(problem: &Problem, message: &str, help: &str) -> String {
    let severity = PAINT.severity(problem.severity(), problem.name());
    let (label, _) = advice(problem);
    format!("  {severity}: {message}\n    {label}: {help}\n")
}

/// The line below a problem, with its label.
fn advice(problem: &Problem) -> (&'static str, &str) {
    problem.waived_because().map_or_else(|| ("help", problem.help()), |reason| ("waived", reason))
}

/// The place of a problem, printed behind the name of its field.
fn place(problem: &Problem) -> String {
    match (problem.variable(), problem.origin()) {
        (Some(variable), Some(origin)) => format!(" ({variable}, from {origin})"),
        (Some(variable), None) => format!(" ({variable})"),
        (None, _) => String::new(),
    }
}

/// The text of a problem with `NAME` instead of the field's variable, so that it is the same for
/// every field with that problem. A companion keeps its suffix: `NAME_PASSWORD`.
fn general(variable: &str, text: &str) -> String {
    let named = |text: &str, name: &str, general: &str| {
        text.replace(&format!("`{name}`"), &format!("`{general}`"))
            .replace(&format!("`{name}_"), &format!("`{general}_"))
    };
    named(&named(text, variable, "NAME"), variable::base(variable), "NAME")
}
