//! The results of a command, field by field: the input of every format.

use std::time::{Duration, SystemTime};

use backing_services_rules::Date;
use backing_services_runtime::Manifest;
pub(crate) use backing_services_runtime::preflight::{FieldReport, FieldState};
use backing_services_runtime::problem::{Problem, Severity};

/// A time in RFC 3339, in UTC and to the second.
pub(crate) fn rfc3339(moment: SystemTime) -> String {
    let seconds = since_1970(moment);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", day(moment))
}

/// The UTC date of a time.
pub(crate) fn day(moment: SystemTime) -> Date {
    Date::from_unix_days(i64::try_from(since_1970(moment) / 86_400).unwrap_or(i64::MAX))
}

fn since_1970(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The results of a command for a struct.
pub(crate) struct Report {
    /// The name that the program was called by.
    pub(crate) program: String,
    /// The command line as it was given.
    pub(crate) line: String,
    pub(crate) command: Command,
    pub(crate) manifest: &'static Manifest,
    /// The printable path of the file that was read instead of the environment.
    pub(crate) env_file: Option<String>,
    /// The only field that was checked.
    pub(crate) only: Option<String>,
    /// The number of declared fields, whether they were checked or not.
    pub(crate) declared: usize,
    /// In declaration order.
    pub(crate) rows: Vec<FieldReport>,
    pub(crate) taken_at: SystemTime,
    pub(crate) took: Duration,
}

/// The commands that make a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Check,
    Attach,
    Posture,
}

impl Command {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Attach => "attach",
            Self::Posture => "posture",
        }
    }

    pub(crate) const fn connects(self) -> bool {
        !matches!(self, Self::Check)
    }
}

impl Report {
    /// True if nothing is refused.
    pub(crate) fn has_passed(&self) -> bool {
        self.rows.iter().all(|row| row.state != FieldState::Refused)
    }

    /// The problems, in declaration order.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.rows.iter().flat_map(|row| &row.problems)
    }

    /// The number of problems of a severity.
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.problems().filter(|problem| problem.severity() == severity).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_the_rfc_has_it() {
        let written = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(written(0), "1970-01-01T00:00:00Z");
        assert_eq!(written(1_709_210_096), "2024-02-29T12:34:56Z");
        assert_eq!(written(1_798_761_599), "2026-12-31T23:59:59Z");
    }
}
