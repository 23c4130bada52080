//! The progress of attaching: an animated line for each resource on a terminal, and one plain line
//! for each finished resource elsewhere.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anstream::ColorChoice;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::text;
use crate::attach::connect::PendingResource;
use crate::attach::watch::Watch;
use crate::cli::output::Output;
use crate::cli::report::{Row, State};
use crate::net::progress::Step;
use crate::report::error::Problem;

/// The interval of the animation: ten times a second.
const TICK: Duration = Duration::from_millis(100);

/// An animated line on standard error, a terminal, for each resource that is being connected.
pub(super) struct Live {
    /// The lines by the fields' declaration order. `None` if a field is not connected.
    bars: Vec<Option<ProgressBar>>,
}

impl Live {
    pub(super) fn new(rows: &[Row]) -> Self {
        let lines = MultiProgress::new();
        let style = ProgressStyle::with_template("{spinner} {prefix}{msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let is_tried = |row: &Row| row.is_resource() && row.state == State::Untried;
        let mut names = text::names(rows.iter().filter(|row| is_tried(row))).into_iter();
        let mut bar = |name| {
            let bar = lines.add(
                ProgressBar::new_spinner()
                    .with_style(style.clone())
                    .with_prefix(name)
                    .with_message("waiting"),
            );
            bar.enable_steady_tick(TICK);
            bar
        };
        let bars = rows
            .iter()
            .map(|row| is_tried(row).then(|| names.next()).flatten().map(&mut bar))
            .collect();
        Self { bars }
    }

    fn bar(&self, ordinal: usize) -> Option<&ProgressBar> {
        self.bars.get(ordinal.checked_sub(1)?)?.as_ref()
    }

    /// Removes the lines from the terminal. Other clones of this handle cannot draw them again.
    pub(super) fn clear(&self) {
        self.bars.iter().flatten().for_each(ProgressBar::finish_and_clear);
    }
}

impl Watch for Live {
    fn step(&self, ordinal: usize, step: Step) {
        if let Some(bar) = self.bar(ordinal).filter(|bar| !bar.is_finished()) {
            bar.set_message(match step {
                Step::Fetching => "fetching its credentials",
                Step::Resolving => "resolving its host",
                Step::Connecting => "connecting",
                Step::Handshaking => "verifying its certificate",
                Step::LoggingIn => "logging in, and looking at the account",
            });
        }
    }

    fn settled(&self, resource: &PendingResource, problems: &[(usize, Problem)]) {
        if let Some(bar) = self.bar(resource.ordinal) {
            let is_refused = problems.iter().any(|(_, problem)| problem.is_denied());
            bar.finish_with_message(if is_refused { State::Refused } else { State::Passed }.name());
        }
    }
}

/// A plain line on standard output for each finished resource.
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

    fn settled(&self, resource: &PendingResource, problems: &[(usize, Problem)]) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let index = resource.ordinal.wrapping_sub(1);
        let Some(row) = rows.get_mut(index) else { return };
        row.record(resource);
        problems.iter().for_each(|(_, problem)| row.add(problem.clone()));
        // A failed write is reported when the report is written.
        let Ok(mut out) = Output::new(self.color) else { return };
        let _ = out.tell(&text::line(&rows, index)).and_then(|()| out.flush());
    }
}
