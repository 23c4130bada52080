//! The report as an HTML page: the application in the middle, its resources around it. The page
//! contains no script and loads nothing.
//!
//! Its layout is in `html/page.html` and `html/page.css`. The template escapes every value. If a
//! value escaped that all the same, the page's content security policy stops it: a browser loads
//! nothing and runs nothing, and the style sheet is admitted by its hash.

use backing_services_rules::Transport;
use backing_services_runtime::__cli::{EXPIRY_NOTICE_DAYS, counted};
use backing_services_runtime::Posture;
use backing_services_runtime::posture::{CertificatePosture, TrustPosture};
use backing_services_runtime::problem::{Problem, Severity};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use minijinja::{Environment, UndefinedBehavior, Value, context};
use ring::digest::{SHA256, digest};

use super::{ExitReason, text};
use crate::report::{Command, FieldReport, FieldState, Report, day, rfc3339};
use crate::text::milliseconds;

/// The ending of the name enables the escaping for HTML.
const TEMPLATE: (&str, &str) = ("page.html", include_str!("page.html"));
const STYLE: &str = include_str!("page.css");

/// The number of days that fills the bar: the lifetime of a certificate from Let's Encrypt. A
/// certificate with more days fills it, too.
const FULL_BAR: u64 = 90;

/// The height of a row, in the coordinates of the lines.
const ROW: usize = 100;

/// The page.
pub(super) fn page(report: &Report) -> Result<String, ExitReason> {
    let mut environment = Environment::new();
    // A misspelt name in the template is an error, instead of empty text.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let (name, template) = TEMPLATE;
    let page = environment.render_named_str(name, template, context(report));
    page.map_err(|_| Box::new("the report cannot be written as a page") as ExitReason)
}

fn context(report: &Report) -> Value {
    let resources: Vec<_> = report.rows.iter().filter(|row| row.is_resource()).collect();
    let (left, right) = sides(&resources);
    let problems = [Severity::Error, Severity::Warning, Severity::Waived]
        .map(|severity| problems(report, severity));
    let taken_at = rfc3339(report.taken_at);
    let verdict = if report.has_passed() { FieldState::Passed } else { FieldState::Refused };
    context! {
        style => Value::from_safe_string(STYLE.to_owned()),
        style_hash => BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes())),
        struct => report.manifest.struct_name(),
        docs => report.manifest.doc_comment(),
        line => report.line.as_str(),
        env_file => report.env_file.as_deref(),
        connects => report.command.connects(),
        in_full => report.command == Command::Posture,
        verdict => verdict.name(),
        sentence => text::sentence(report),
        taken_at => taken_at.as_str(),
        taken_at_words => taken_at.replace('T', " ").replace('Z', " UTC"),
        took => milliseconds(report.took),
        version => env!("CARGO_PKG_VERSION"),
        tally => tally(&resources),
        // Clockwise from the top, in the order of the page.
        ring => right
            .iter()
            .chain(left.iter().rev())
            .map(|row| Lock::of(row).name())
            .collect::<Vec<_>>(),
        left => side(report, left),
        right => side(report, right),
        problems => problems.into_iter().flatten().collect::<Vec<_>>(),
        waivers => report.rows.iter().flat_map(|row| waivers(report, row)).collect::<Vec<_>>(),
        details => resources.iter().map(|row| details(report, row)).collect::<Vec<_>>(),
        values => report
            .rows
            .iter()
            .filter(|row| !row.is_resource())
            .map(value)
            .collect::<Vec<_>>(),
    }
}

/// The security of a resource's connection, shown as a lock. Wherever it has a colour, it has a
/// word too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    /// TLS, with a verified server.
    Verified,
    /// The same, but a waiver covers a violated rule.
    Waived,
    /// No TLS: a waiver or a loopback address allows that.
    Open,
    /// The resource runs in the process.
    Embedded,
    /// The values are valid. No connection was opened.
    Loaded,
    Refused,
    Untried,
    Absent,
}

impl Lock {
    /// The order is from worst to best.
    const ALL: [Self; 8] = [
        Self::Refused,
        Self::Open,
        Self::Waived,
        Self::Verified,
        Self::Loaded,
        Self::Embedded,
        Self::Untried,
        Self::Absent,
    ];

    fn of(row: &FieldReport) -> Self {
        match (row.state, &row.posture) {
            (FieldState::Refused, _) => Self::Refused,
            (FieldState::Untried, _) => Self::Untried,
            (FieldState::Absent, _) => Self::Absent,
            (FieldState::Passed | FieldState::Default, None) => Self::Loaded,
            (FieldState::Passed | FieldState::Default, Some(posture)) => {
                match (&posture.tls, posture.transport) {
                    (None, Transport::Embedded) => Self::Embedded,
                    (None, _) => Self::Open,
                    (Some(_), _)
                        if row
                            .problems
                            .iter()
                            .any(|problem| problem.severity() == Severity::Waived) =>
                    {
                        Self::Waived
                    }
                    (Some(_), _) => Self::Verified,
                }
            }
        }
    }

    /// The name of its CSS class and of its picture.
    const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Waived => "waived",
            Self::Open => "open",
            Self::Embedded => "embedded",
            Self::Loaded => "loaded",
            Self::Refused => "refused",
            Self::Untried => "untried",
            Self::Absent => "absent",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Waived => "waived",
            Self::Open => text::without_tls(Transport::Plaintext),
            Self::Embedded => text::without_tls(Transport::Embedded),
            Self::Loaded => "loaded",
            Self::Refused => "refused",
            Self::Untried => "not tried",
            Self::Absent => "absent",
        }
    }
}

/// The number of resources for each lock, worst first.
fn tally(resources: &[&FieldReport]) -> Vec<Value> {
    let count = |lock| resources.iter().filter(|row| Lock::of(row) == lock).count();
    let counts =
        Lock::ALL.into_iter().map(|lock| (lock, count(lock))).filter(|(_, count)| *count > 0);
    counts
        .map(
            |(lock, count)| context! { lock => lock.name(), words => lock.words(), count => count },
        )
        .collect()
}

/// The number of rows that a resource takes on its side. All rows have the same height, so the end
/// of each line can be computed here.
fn span(row: &FieldReport) -> usize {
    if row.posture.is_some() || row.problems.iter().any(Problem::is_denied) { 2 } else { 1 }
}

/// Splits the resources by declaration order: the first ones are on the left, up to half of all
/// rows.
fn sides<'a, 'b>(
    resources: &'b [&'a FieldReport],
) -> (&'b [&'a FieldReport], &'b [&'a FieldReport]) {
    let half = resources.iter().map(|row| span(row)).sum::<usize>() / 2;
    let mut filled = 0;
    let fits = |row: &&FieldReport| {
        filled += span(row);
        filled <= half
    };
    resources.split_at(resources.iter().copied().take_while(fits).count())
}

/// The resources of one side, and the lines that lead to them.
fn side(report: &Report, rows: &[&FieldReport]) -> Value {
    let mut height = 0;
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            let (above, own) = (height, span(row) * ROW);
            height += own;
            context! { y => above + own / 2, lock => Lock::of(row).name() }
        })
        .collect();
    context! {
        height => height,
        lines => lines,
        cards => rows.iter().map(|row| card(report, row)).collect::<Vec<_>>(),
    }
}

/// The summary of a resource.
fn card(report: &Report, row: &FieldReport) -> Value {
    let lock = Lock::of(row);
    let posture = row.posture.as_ref();
    let denied = row.problems.iter().find(|problem| problem.is_denied());
    let count =
        |severity| row.problems.iter().filter(|problem| problem.severity() == severity).count();
    let chip = |severity: Severity| {
        let words = match (severity, count(severity)) {
            // The first one is shown above.
            (Severity::Error, 0 | 1) | (_, 0) => return None,
            (Severity::Waived, count) => format!("{count} waived"),
            (Severity::Error, count) => counted(count, "problem"),
            (Severity::Warning, count) => counted(count, "warning"),
        };
        Some(context! { severity => severity.name(), words => words })
    };
    let chips: Vec<_> = Severity::ALL.into_iter().filter_map(chip).collect();
    context! {
        name => row.path.as_str(),
        kind => row.kind(),
        docs => row.field.doc_comment(),
        lock => lock.name(),
        is_tall => span(row) > 1,
        words => lock.words(),
        endpoint => row.endpoint.as_deref(),
        protection => posture.map(protection),
        certificate => posture
            .and_then(|posture| posture.tls.as_ref())
            .map(|tls| bar(report, &tls.certificate)),
        account => posture.and_then(|posture| posture.account.as_deref()),
        server => posture.and_then(|posture| server(report, posture)),
        problem => denied.map(|problem| {
            context! { name => problem.name(), message => problem.message() }
        }),
        chips => chips,
    }
}

/// The protection of the connection, in half a line.
fn protection(posture: &Posture) -> String {
    match (&posture.tls, posture.transport) {
        (Some(tls), _) => {
            let by = match tls.trust {
                TrustPosture::PublicRoots => "the public authorities",
                TrustPosture::PrivateCa => "its private authority",
                TrustPosture::PinnedKey => "its pinned key",
                _ => "other means",
            };
            format!("{}, verified by {by}", tls.version)
        }
        (None, transport) => text::without_tls(transport).to_owned(),
    }
}

fn server(report: &Report, posture: &Posture) -> Option<Value> {
    let server = posture.server.as_ref()?;
    let end = server.end_of_life();
    Some(context! {
        name => server.to_string(),
        fixed_until => end.map(|end| text::fixed_until(end, report.taken_at)),
        is_over => end.is_some_and(|end| end < day(report.taken_at)),
    })
}

/// The days that a certificate has left.
fn bar(report: &Report, certificate: &CertificatePosture) -> Value {
    let days = certificate.days_left(report.taken_at);
    context! {
        days => counted(usize::try_from(days).unwrap_or(usize::MAX), "day"),
        percent => days.min(FULL_BAR) * 100 / FULL_BAR,
        is_short => days < EXPIRY_NOTICE_DAYS,
    }
}

/// The problems of one severity, below a heading. `None` if there are none.
fn problems(report: &Report, severity: Severity) -> Option<Value> {
    let problems: Vec<_> =
        report.problems().filter(|problem| problem.severity() == severity).map(problem).collect();
    if problems.is_empty() {
        return None;
    }
    let heading = match severity {
        Severity::Error => "Refused",
        Severity::Warning => "Warnings",
        Severity::Waived => "Waived",
    };
    Some(context! { severity => severity.name(), heading => heading, problems => problems })
}

fn problem(problem: &Problem) -> Value {
    let rule = match problem {
        Problem::Finding(finding) => Some(finding.rule()),
        Problem::Failure(_) => None,
    };
    context! {
        severity => problem.severity().name(),
        name => problem.name(),
        field => problem.field(),
        variable => problem.variable(),
        origin => problem.origin(),
        message => problem.message(),
        help => problem.help(),
        waived_because => problem.waived_because(),
        asvs => rule.map(|rule| rule.asvs.join(", ")),
        cwe => rule.map(|rule| rule.cwe),
    }
}

/// The waivers of a field, and the number of violations that each one covers.
fn waivers(report: &Report, row: &FieldReport) -> Vec<Value> {
    let of_row = row.field.declaration().waived_rules().iter().map(|waiver| {
        let rule = waiver.rule().name;
        let covered = row
            .problems
            .iter()
            .filter(|problem| problem.name() == rule && problem.severity() == Severity::Waived);
        context! {
            field => row.path.as_str(),
            rule => rule,
            reason => waiver.reason(),
            until => text::until(waiver, report.taken_at),
            covered => covered.count(),
        }
    });
    of_row.collect()
}

/// The full posture of a resource.
fn details(report: &Report, row: &FieldReport) -> Value {
    let posture = row.posture.as_ref();
    let lock = Lock::of(row);
    let tls = posture.and_then(|posture| posture.tls.as_ref()).map(|tls| {
        context! {
            version => tls.version,
            cipher => tls.cipher.as_deref(),
            trust => text::trust(tls.trust),
            subject => tls.certificate.subject.as_str(),
            issuer => tls.certificate.issuer.as_str(),
            names => tls.certificate.names.clone(),
            key => tls.certificate.key.as_str(),
            certificate => bar(report, &tls.certificate),
        }
    });
    context! {
        name => row.path.as_str(),
        kind => row.kind(),
        docs => row.field.doc_comment(),
        lock => lock.name(),
        words => lock.words(),
        variable => row.variable.as_str(),
        origin => row.origin.as_deref(),
        endpoint => row.endpoint.as_deref(),
        needs => row.field.declaration().needed_privileges(),
        tls => tls,
        protection => posture.map(protection),
        server => posture.and_then(|posture| server(report, posture)),
        account => posture.and_then(|posture| posture.account.as_deref()),
        authentication => posture.and_then(|posture| posture.authentication.as_deref()),
        privileges => posture.map_or_else(Vec::new, |posture| posture.privileges.clone()),
        remarks => posture.map_or_else(Vec::new, |posture| posture.remarks.clone()),
        took => row.took.map(milliseconds),
    }
}

/// A secret or a setting: its origin, and never its value.
fn value(row: &FieldReport) -> Value {
    context! {
        name => row.path.as_str(),
        kind => row.kind(),
        docs => row.field.doc_comment(),
        state => row.state.name(),
        variable => row.variable.as_str(),
        origin => row.origin.as_deref(),
    }
}
