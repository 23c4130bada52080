//! The results of a command, field by field: the input of every format.

use std::time::{Duration, SystemTime};

use backing_services_rules::Date;

use crate::attach::connect::PendingResource;
use crate::declare::manifest::{Category, Field, Manifest};
use crate::report::error::{Problem, Severity};
use crate::report::posture::Posture;

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
    pub(crate) rows: Vec<Row>,
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

/// One field.
#[derive(Clone)]
pub(crate) struct Row {
    /// Its path, such as `mail.relay`.
    pub(crate) path: String,
    /// The variable that it is read from. For a resource, that of its locator.
    pub(crate) variable: String,
    pub(crate) field: &'static Field,
    pub(crate) state: State,
    /// The source of its value, in words. `None` if there was no value, or if it was refused.
    pub(crate) origin: Option<String>,
    /// The locator, without the user, the secret, and a path that may be secret. `None` if it was
    /// refused, or if the field is not a resource.
    pub(crate) endpoint: Option<String>,
    /// The posture that attaching observed.
    pub(crate) posture: Option<Posture>,
    pub(crate) problems: Vec<Problem>,
    /// The time that connecting took. `None` if it was not tried.
    pub(crate) took: Option<Duration>,
}

/// The result for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The value is valid. A resource that was to be attached was attached.
    Passed,
    /// The field is optional, and has no value.
    Absent,
    /// The field has no value, and its default is used.
    Default,
    /// A rule is violated and not waived, or the service could not be attached.
    Refused,
    /// The resource was not connected, because something else was refused before.
    Untried,
}

impl State {
    pub(crate) const ALL: [Self; 5] =
        [Self::Passed, Self::Absent, Self::Default, Self::Refused, Self::Untried];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Absent => "absent",
            Self::Default => "default",
            Self::Refused => "refused",
            Self::Untried => "untried",
        }
    }
}

impl Report {
    /// True if nothing is refused.
    pub(crate) fn has_passed(&self) -> bool {
        self.rows.iter().all(|row| row.state != State::Refused)
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

impl Row {
    /// The kind of the field, in a word or two. For a resource, the name of the service.
    pub(crate) fn kind(&self) -> &'static str {
        match self.field.category() {
            Category::Resource(entry) => entry.service(),
            Category::Secret(_) => "secret",
            Category::Setting(_) => "setting",
            // Its fields have rows of their own.
            Category::Nested(_) => "struct",
        }
    }

    /// The kind as the manifest's JSON names it.
    pub(crate) const fn category(&self) -> &'static str {
        match self.field.category() {
            Category::Resource(_) => "resource",
            Category::Secret(_) => "secret",
            Category::Setting(_) => "setting",
            Category::Nested(_) => "nested",
        }
    }

    pub(crate) const fn is_resource(&self) -> bool {
        matches!(self.field.category(), Category::Resource(_))
    }

    /// Takes over the results of connecting.
    pub(crate) fn record(&mut self, resource: &PendingResource) {
        self.endpoint = Some(resource.spec.target.locator().to_string());
        self.posture = resource.connected.as_ref().map(|connected| connected.posture.clone());
        self.took = resource.took;
        self.state = State::Passed;
    }

    pub(crate) fn add(&mut self, problem: Problem) {
        if problem.is_denied() {
            self.state = State::Refused;
        }
        self.problems.push(problem);
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
