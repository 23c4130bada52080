//! The tables: the table of one benchmark, all of them in `benches/RESULTS.md`, and the short table
//! in `docs/benchmarks.md`.

use std::fmt::Write as _;

use crate::measure::Summary;
use crate::outcome::{Figure, Outcome, Target, folder};
use crate::{ALL, Result, plot};

const BEGIN: &str = "<!-- benchmarks: begin -->\n";
const END: &str = "<!-- benchmarks: end -->";

/// Rewrites every table and every plot from the stored results.
///
/// # Errors
/// If a file cannot be written.
pub fn write_all() -> Result<()> {
    let outcomes = outcomes();
    std::fs::create_dir_all(folder().join("plots"))?;
    for outcome in &outcomes {
        plot::write(outcome, &folder().join("plots").join(format!("{}.svg", outcome.name)))?;
    }
    std::fs::write(folder().join("RESULTS.md"), results(&outcomes)?)?;
    let path = folder().join("../docs/benchmarks.md");
    let page = with_table(&std::fs::read_to_string(&path)?, &outcomes)?;
    Ok(std::fs::write(path, page)?)
}

fn outcomes() -> Vec<Outcome> {
    ALL.iter().filter_map(|benchmark| Outcome::load(benchmark.name).ok()).collect()
}

fn results(outcomes: &[Outcome]) -> Result<String> {
    let mut results = "# Results\n\nWritten by `cargo run -p benches --release`. \
     A ratio is the median of the rounds' own ratios; the spread is the middle half of \
                       the rounds.\n"
        .to_owned();
    for outcome in outcomes {
        let name = &outcome.name;
        write!(results, "\n## {name}\n\n{}\n![{name}](plots/{name}.svg)\n", of(outcome))?;
    }
    Ok(results)
}

/// The page, with its short table replaced.
fn with_table(page: &str, outcomes: &[Outcome]) -> Result<String> {
    let mut short =
        "| benchmark | compares | found | target | |\n|---|---|---|---|---|\n".to_owned();
    for Outcome { name, targets, .. } in outcomes {
        for target in targets {
            let link = format!("[`{name}`](../benches/RESULTS.md#{name})");
            writeln!(
                short,
                "| {link} | {} | {} | {} | {} |",
                target.what,
                found(target),
                bound(target),
                verdict(target)
            )?;
        }
    }
    let (before, rest) =
        page.split_once(BEGIN).ok_or("docs/benchmarks.md has no place for the table")?;
    let (_, after) = rest.split_once(END).ok_or("the table in docs/benchmarks.md has no end")?;
    Ok(format!("{before}{BEGIN}{short}{END}{after}"))
}

/// The tables of one benchmark.
#[must_use]
pub fn of(outcome: &Outcome) -> String {
    let mut text = format!("{}\n\n", outcome.about);
    if !outcome.targets.is_empty() {
        text += "| compares | found | middle half | target | |\n|---|---|---|---|---|\n";
        for target in &outcome.targets {
            let Target { what, found: summary, unit, .. } = target;
            let spread = spread(summary, unit);
            text += &format!(
                "| {what} | {} | {spread} | {} | {} |\n",
                found(target),
                bound(target),
                verdict(target)
            );
        }
        text.push('\n');
    }
    for kind in kinds(outcome) {
        let figures: Vec<_> = outcome.figures.iter().filter(|figure| figure.kind == kind).collect();
        text += &table(kind, &figures);
        text.push('\n');
    }
    for remark in &outcome.remarks {
        text += &format!("- {remark}\n");
    }
    text
}

/// The kinds of figures, in the order of their first occurrence.
#[must_use]
pub fn kinds(outcome: &Outcome) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for figure in &outcome.figures {
        if !kinds.contains(&figure.kind.as_str()) {
            kinds.push(&figure.kind);
        }
    }
    kinds
}

/// The subjects, in the order of their first occurrence.
#[must_use]
pub fn subjects<'a>(figures: &[&'a Figure]) -> Vec<&'a str> {
    let mut subjects: Vec<&str> = Vec::new();
    for figure in figures {
        if !subjects.contains(&figure.subject.as_str()) {
            subjects.push(&figure.subject);
        }
    }
    subjects
}

fn table(kind: &str, figures: &[&Figure]) -> String {
    let mut sizes: Vec<f64> = figures.iter().filter_map(|figure| figure.at).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let Some(first) = figures.first() else { return String::new() };
    let (unit, of) = (&first.unit, &first.of);
    if sizes.is_empty() {
        let mut text = format!("| {kind} | median | middle half | rounds |\n|---|---:|---|---:|\n");
        for figure in figures {
            let Figure { subject, found, .. } = figure;
            text += &format!(
                "| {subject} | {} | {} | {} |\n",
                number(found.median, unit),
                spread(found, unit),
                found.samples
            );
        }
        return text;
    }
    let mut text = format!("| {kind} |");
    for size in &sizes {
        text += &format!(" {size} {of} |");
    }
    text += &format!("\n|---|{}\n", "---:|".repeat(sizes.len()));
    for subject in subjects(figures) {
        text += &format!("| {subject} |");
        for size in &sizes {
            let figure =
                figures.iter().find(|figure| figure.subject == subject && figure.at == Some(*size));
            text += &figure.map_or_else(
                || " |".to_owned(),
                |figure| format!(" {} |", number(figure.found.median, unit)),
            );
        }
        text.push('\n');
    }
    text
}

fn found(target: &Target) -> String {
    number(target.found.median, &target.unit)
}

fn bound(target: &Target) -> String {
    format!("≤ {}", number(target.at_most, &target.unit))
}

fn verdict(target: &Target) -> &'static str {
    if target.is_met() { "met" } else { "**missed**" }
}

fn spread(found: &Summary, unit: &str) -> String {
    if found.samples < 2 {
        String::new()
    } else {
        format!("{} … {}", number(found.lower, unit), number(found.upper, unit))
    }
}

/// A figure with three significant digits, and its unit.
#[must_use]
pub fn number(figure: f64, unit: &str) -> String {
    let whole = figure.abs().max(1.0).log10().floor() as usize;
    let digits = if figure.fract() == 0.0 { 0 } else { 2_usize.saturating_sub(whole) };
    // A ratio has no unit. Neither has a count, which is a whole number.
    match unit {
        "" if figure.fract() == 0.0 && figure.abs() >= 10.0 => format!("{figure:.0}"),
        "" => format!("{figure:.2}"),
        _ => format!("{figure:.digits$} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_three_digits() {
        assert_eq!(number(1234.56, "ns"), "1235 ns");
        assert_eq!(number(12.345, "ns"), "12.3 ns");
        assert_eq!(number(0.5, "s"), "0.50 s");
        assert_eq!(number(3.0, "allocations"), "3 allocations");
        assert_eq!(number(1.5, ""), "1.50");
    }

    /// Checks that the pages match the stored results. After a change of a figure or of the tables'
    /// format, the benchmark must run again.
    #[test]
    fn the_pages_match_the_results() {
        let outcomes = outcomes();
        assert_eq!(outcomes.len(), ALL.len(), "a benchmark has no result");
        let read = |path: &str| std::fs::read_to_string(folder().join(path)).unwrap();
        assert_eq!(read("RESULTS.md"), results(&outcomes).unwrap());
        let page = read("../docs/benchmarks.md");
        assert_eq!(page, with_table(&page, &outcomes).unwrap());
    }

    #[test]
    fn a_target_is_met_or_missed() {
        let mut outcome = Outcome::new("x", "What.");
        outcome.targets.push(Target::ratio("a / b", &[3.0], &[2.0], 1.5));
        outcome.targets.push(Target::ratio("a / c", &[3.0], &[1.0], 1.5));
        outcome
            .figures
            .push(Figure::new("time", "ns", "a", Summary::exactly(3.0)).at(10.0, "fields"));
        let text = of(&outcome);
        assert!(text.contains("| a / b | 1.50 |  | ≤ 1.50 | met |"), "{text}");
        assert!(text.contains("| a / c | 3.00 |  | ≤ 1.50 | **missed** |"), "{text}");
        assert!(text.contains("| time | 10 fields |\n|---|---:|\n| a | 3 ns |"), "{text}");
    }
}
