//! The single error of attaching: a report for the operator, and the same content as data.

use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;

use crate::report::finding::{Failure, Finding, Notice};

/// All problems, field by field, in declaration order.
///
/// `Display` and `Debug` print the same report, so a `main` that returns the error prints it.
/// `Debug` uses colours if standard error is a terminal. The report names variables and never
/// contains their values.
#[derive(Clone)]
pub struct AttachError(Box<Report>);

#[derive(Clone)]
struct Report {
    name: &'static str,
    fields: usize,
    problems: Vec<Problem>,
    /// Set if a reattach failed. The former resources then stay attached.
    reattaching: bool,
}

/// A finding or a failure.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a problem violates a rule or it does not")]
pub enum Problem {
    /// A violation of a rule.
    Finding(Finding),
    /// An error that violates no rule.
    Failure(Failure),
}

impl Problem {
    pub(crate) fn notice(&self) -> &Notice {
        match self {
            Self::Finding(finding) => finding.notice(),
            Self::Failure(failure) => failure.notice(),
        }
    }

    /// The name of the rule or of the failure kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Finding(finding) => finding.rule().name,
            Self::Failure(failure) => failure.kind().name(),
        }
    }

    /// The reason of the waiver that covers it.
    pub fn waived_because(&self) -> Option<&'static str> {
        match self {
            Self::Finding(finding) => finding.waived_because(),
            Self::Failure(_) => None,
        }
    }

    /// Its severity.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Finding(finding) if finding.waived_because().is_some() => Severity::Waived,
            Self::Finding(finding) if !finding.is_denied() => Severity::Warning,
            Self::Finding(_) | Self::Failure(_) => Severity::Error,
        }
    }

    /// True if the problem ends the attempt.
    pub fn is_denied(&self) -> bool {
        matches!(self.severity(), Severity::Error)
    }
}

/// Sorts the problems by their field's position in declaration order.
pub(crate) fn in_declaration_order(mut problems: Vec<(usize, Problem)>) -> Vec<Problem> {
    problems.sort_by_key(|(ordinal, _)| *ordinal);
    problems.into_iter().map(|(_, problem)| problem).collect()
}

impl AttachError {
    /// `problems` are in declaration order. `fields` is the number of fields.
    pub(crate) fn new(name: &'static str, fields: usize, problems: Vec<Problem>) -> Self {
        Self(Box::new(Report { name, fields, problems, reattaching: false }))
    }

    /// Marks the error as one of a reattach: the former resources stay attached.
    pub(crate) fn of_reattaching(mut self) -> Self {
        self.0.reattaching = true;
        self
    }

    #[cfg(feature = "follow")]
    pub(crate) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.0.problems.iter()
    }

    /// The problems that ended the attempt, on one line, for a log.
    #[cfg(feature = "follow")]
    pub(crate) fn in_one_line(&self) -> String {
        let mut line = String::new();
        for problem in self.problems().filter(|problem| problem.is_denied()) {
            let separator = if line.is_empty() { "" } else { "; " };
            let what: &dyn fmt::Display = match problem {
                Problem::Finding(finding) => finding,
                Problem::Failure(failure) => failure,
            };
            // Writing to a `String` does not fail.
            let _ = write!(line, "{separator}{}: {what}", problem.field());
        }
        line
    }

    /// The violated rules, in declaration order of the fields, including warnings and waived
    /// violations.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.0.problems.iter().filter_map(|problem| match problem {
            Problem::Finding(finding) => Some(finding),
            Problem::Failure(_) => None,
        })
    }

    /// The failures that no rule covers, in declaration order of the fields.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.0.problems.iter().filter_map(|problem| match problem {
            Problem::Failure(failure) => Some(failure),
            Problem::Finding(_) => None,
        })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, paint: Paint) -> fmt::Result {
        let Report { name, fields, problems, reattaching } = &*self.0;
        let denied: Vec<_> = problems.iter().filter(|problem| problem.is_denied()).collect();
        let mut failing: Vec<_> = denied.iter().map(|problem| problem.field()).collect();
        failing.dedup();
        write!(
            f,
            "`{name}` was not {}: {} in {} of {}",
            if *reattaching { "reattached, and stays as it was" } else { "attached" },
            counted(denied.len(), "problem"),
            failing.len(),
            counted(*fields, "field"),
        )?;

        write_problems(f, problems, paint)
    }
}

/// Writes each problem with its help, grouped by field.
fn write_problems<'a>(
    f: &mut dyn fmt::Write,
    problems: impl IntoIterator<Item = &'a Problem>,
    paint: Paint,
) -> fmt::Result {
    let mut current = None;
    for problem in problems {
        let variable = problem.variable();
        if current != Some((problem.field(), variable)) {
            current = Some((problem.field(), variable));
            write!(f, "\n\n{}", paint.bold(problem.field()))?;
            match (variable, problem.origin()) {
                (Some(variable), Some(origin)) => write!(f, " ({variable}, from {origin})")?,
                (Some(variable), None) => write!(f, " ({variable})")?,
                (None, _) => {}
            }
        }
        write!(
            f,
            "\n  {}: {}",
            paint.severity(problem.severity(), problem.name()),
            problem.message()
        )?;
        match problem.waived_because() {
            Some(reason) => write!(f, "\n    waived: {reason}")?,
            None => write!(f, "\n    help: {}", problem.help())?,
        }
    }
    Ok(())
}

/// A number and a noun: `1 field`, `2 fields`.
pub fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Paint(false))
    }
}

impl fmt::Debug for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A `main` that returns the error prints it with `Debug`, on standard error.
        self.write(
            f,
            Paint(std::io::stderr().is_terminal() && !crate::report::colour::colour_is_unwanted()),
        )
    }
}

impl std::error::Error for AttachError {}

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "each display has to show every severity")]
pub enum Severity {
    /// The problem ends the attempt.
    Error,
    /// The problem is reported, and attaching goes on.
    Warning,
    /// A waiver covers the problem.
    Waived,
}

impl Severity {
    /// All severities, the most severe first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Waived];

    /// The name in a count of several.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Error => "errors",
            Self::Warning => "warnings",
            Self::Waived => "waived",
        }
    }

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Waived => "waived",
        }
    }
}

/// Writes text, with colours if `true`.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "the command line constructs it")]
pub struct Paint(pub bool);

impl Paint {
    /// In bold.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// A severity and a rule, in the severity's colour.
    pub fn severity(self, severity: Severity, rule: &str) -> String {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Waived => "1;36",
        };
        self.with(code, &format!("{}[{rule}]", severity.name()))
    }

    /// In the colour of an ANSI code.
    pub fn with(self, code: &str, text: &str) -> String {
        let mut painted = String::new();
        // Writing to a `String` does not fail.
        let _ = if self.0 {
            write!(painted, "\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            write!(painted, "{text}")
        };
        painted
    }
}

#[cfg(test)]
mod tests {
    use backing_services_rules::rule::{MISSING_VALUE, SUPERUSER_ACCOUNT};

    use super::*;
    use crate::report::finding::{FailureKind, Place};

    struct Painted<'a>(&'a AttachError, Paint);

    impl fmt::Display for Painted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.write(f, self.1)
        }
    }

    #[test]
    fn the_report_is_the_same_with_colours_and_without() {
        let cache = Place {
            field: "cache".to_owned(),
            variable: Some("SHOP_CACHE_URL".to_owned()),
            origin: None,
        };
        let mut waived = Finding::new(&SUPERUSER_ACCOUNT, "it is one").at("orders", "DATABASE_URL");
        waived.waive("one account");
        let error = AttachError::new(
            "Shop",
            3,
            vec![
                Problem::Finding(waived),
                Problem::Finding(
                    Finding::new(&MISSING_VALUE, "it is not set")
                        .with_help("set it")
                        .at("key", "SHOP_KEY"),
                ),
                Problem::Failure(
                    Failure::new(FailureKind::Unreachable, "no answer", "check it")
                        .in_place(&cache),
                ),
            ],
        );
        let plain = Painted(&error, Paint(false)).to_string();
        assert_eq!(
            plain,
            "`Shop` was not attached: 2 problems in 2 of 3 fields\n\n\
             orders (DATABASE_URL)\n  waived[superuser_account]: it is one\n    waived: one \
             account\n\n\
             key (SHOP_KEY)\n  error[missing_value]: it is not set\n    help: set it\n\n\
             cache (SHOP_CACHE_URL)\n  error[unreachable]: no answer\n    help: check it"
        );
        assert_eq!(plain, error.to_string());
        let painted = Painted(&error, Paint(true)).to_string();
        assert!(
            painted.contains("\u{1b}[1;31merror[missing_value]\u{1b}[0m: it is not set"),
            "{painted:?}"
        );
        let stripped = ["1", "1;31", "1;33", "1;36", "0"]
            .iter()
            .fold(painted, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
        assert_eq!(stripped, plain);
    }
}
