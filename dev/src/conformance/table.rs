//! The table of services and cases.

use std::fmt::Write as _;

use comfy_table::{Table, presets};

use crate::conformance::case::Case;
use crate::conformance::suite::{Outcome, Outcomes, Suite};

/// One row for each case, one column for each service. A number stands for the reason below the
/// table, and `-` for a case that was not selected.
pub(crate) fn of(suites: &[Suite], outcomes: &Outcomes) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(std::iter::once("case").chain(suites.iter().map(|suite| suite.name)));
    for &case in Case::ALL {
        let mut row = vec![case.name()];
        for (index, suite) in suites.iter().enumerate() {
            row.push(match (suite.exception(case), outcomes.get(&(index, case))) {
                (Some(reason), _) => {
                    let known = reasons.iter().position(|known| *known == reason);
                    let number = known.unwrap_or_else(|| {
                        reasons.push(reason);
                        reasons.len() - 1
                    });
                    (number + 1).to_string()
                }
                (None, Some(Outcome::Passed)) => "yes".to_owned(),
                (None, Some(Outcome::Failed)) => "FAILED".to_owned(),
                (None, None) => "-".to_owned(),
            });
        }
        table.add_row(row);
    }
    let mut text = format!("{table}\n");
    for (index, reason) in reasons.iter().enumerate() {
        let _ = write!(text, "\n{}. Does not apply: {reason}.", index + 1);
    }
    text
}

/// `TokioPostgres` as `tokio_postgres`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
