//! What is going on while resources are attached: a live line for each on a terminal, and plain lines, as they come, elsewhere.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anstream::ColorChoice;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::Output;
use super::report::Row;
use super::text::{self, Widths};
use crate::attach::Attempt;
use crate::error::Problem;
use crate::watch::{Step, Watch};

/// How often a live line turns: ten times a second, which an eye takes for motion.
const TICK: Duration = Duration::from_millis(100);

/// A line for each resource on standard error, which is a terminal. They are gone when this is.
pub(super) struct Live {
    lines: MultiProgress,
    /// By the field's place in declaration order; `None` for what is not connected to.
    bars: Vec<Option<ProgressBar>>,
}

impl Live {
    pub(super) fn new(rows: &[Row]) -> Self {
        let lines = MultiProgress::new();
        let style =
            ProgressStyle::with_template("{spinner} {prefix}  {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let width = rows.iter().filter(|row| row.is_resource()).map(|row| row.path.chars().count()).max().unwrap_or_default();
        let bar = |row: &Row| {
            let bar = lines.add(ProgressBar::new_spinner());
            bar.set_style(style.clone());
            bar.set_prefix(format!("{:width$}", row.path));
            bar.set_message("waiting");
            bar.enable_steady_tick(TICK);
            bar
        };
        let bars = rows.iter().map(|row| row.is_resource().then(|| bar(row))).collect();
        Self { lines, bars }
    }

    fn bar(&self, ordinal: usize) -> Option<&ProgressBar> {
        self.bars.get(ordinal.checked_sub(1)?)?.as_ref()
    }
}

impl Watch for Live {
    fn step(&self, ordinal: usize, step: Step) {
        if let Some(bar) = self.bar(ordinal) {
            bar.set_message(match step {
                Step::Fetching => "fetching its credentials",
                Step::Resolving => "resolving its host",
                Step::Connecting => "connecting",
                Step::Handshaking => "verifying its certificate",
                Step::LoggingIn => "logging in, and looking at the account",
            });
        }
    }

    fn settled(&self, attempt: &Attempt, problems: &[(usize, Problem)]) {
        if let Some(bar) = self.bar(attempt.ordinal) {
            bar.finish_with_message(if problems.iter().any(|(_, problem)| problem.is_denied()) { "refused" } else { "passed" });
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A terminal that went away has nothing to clear.
        let _ = self.lines.clear();
    }
}

/// A plain line for each resource on standard output, when it has come back.
pub(super) struct Lines {
    rows: Mutex<Vec<Row>>,
    color: ColorChoice,
}

impl Lines {
    pub(super) fn new(rows: Vec<Row>, color: ColorChoice) -> Self {
        Self { rows: Mutex::new(rows), color }
    }
}

impl Watch for Lines {
    fn step(&self, _: usize, _: Step) {}

    fn settled(&self, attempt: &Attempt, problems: &[(usize, Problem)]) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let widths = Widths::of(&rows);
        let Some(row) = rows.get_mut(attempt.ordinal.wrapping_sub(1)) else { return };
        row.settle(attempt);
        problems.iter().for_each(|(_, problem)| row.add(problem.clone()));
        let mut out = Output::new(self.color);
        // Whether it could be written is told when the report is.
        let _ = out.write_all(text::table([&*row], &widths).as_bytes()).and_then(|()| out.flush());
    }
}
