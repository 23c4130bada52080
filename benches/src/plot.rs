//! The plots: one SVG per benchmark, a panel for each kind of figure. Bars, or lines if a figure
//! was measured at several sizes.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Result;
use crate::outcome::{Figure, Outcome};
use crate::tables::{kinds, number, subjects};

const WIDTH: u32 = 800;
const LINES: u32 = 420;
const BAR: u32 = 24;
const HEAD: u32 = 40;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes the plot of an outcome.
///
/// # Errors
/// If the file cannot be written.
pub fn write(outcome: &Outcome, path: &Path) -> Result<()> {
    let panels: Vec<(&str, Vec<&Figure>)> = kinds(outcome)
        .into_iter()
        .map(|kind| {
            (kind, outcome.figures.iter().filter(|figure| figure.kind == kind).collect::<Vec<_>>())
        })
        .collect();
    let heights: Vec<u32> = panels
        .iter()
        .map(|(_, figures)| {
            let lines = figures.iter().any(|figure| figure.at.is_some());
            if lines { LINES } else { HEAD + BAR * figures.len() as u32 + 10 }
        })
        .collect();
    let root =
        SVGBackend::new(path, (WIDTH, heights.iter().sum::<u32>().max(1))).into_drawing_area();
    root.fill(&WHITE)?;
    let mut rest = root.clone();
    for ((kind, figures), height) in panels.iter().zip(heights) {
        let (panel, below) = rest.split_vertically(height);
        let head = format!("{}: {kind}", outcome.name);
        if figures.iter().any(|figure| figure.at.is_some()) {
            lines(&panel, &head, figures)?;
        } else {
            bars(&panel, &head, figures)?;
        }
        rest = below;
    }
    root.present()?;
    Ok(())
}

/// One bar per subject, as long as its median; the thin line is the middle half of the samples.
fn bars(area: &Area<'_>, head: &str, figures: &[&Figure]) -> Result<()> {
    let text = ("sans-serif", 14).into_font();
    area.draw(&Text::new(head.to_owned(), (10, 10), ("sans-serif", 16)))?;
    let most = figures.iter().map(|figure| figure.found.upper).fold(f64::MIN_POSITIVE, f64::max);
    let (left, right) = (150, WIDTH as i32 - 130);
    let place = |figure: f64| left + (f64::from(right - left) * figure / most) as i32;
    for (i, figure) in figures.iter().enumerate() {
        let top = HEAD as i32 + BAR as i32 * i as i32;
        let (bottom, middle) = (top + BAR as i32 - 6, top + BAR as i32 / 2 - 3);
        let colour = if figure.subject.starts_with("ours") {
            RGBColor(0, 110, 180)
        } else {
            RGBColor(170, 170, 170)
        };
        area.draw(&Text::new(figure.subject.clone(), (10, top + 3), text.clone()))?;
        area.draw(&Rectangle::new(
            [(left, top), (place(figure.found.median), bottom)],
            colour.filled(),
        ))?;
        area.draw(&PathElement::new(
            [(place(figure.found.lower), middle), (place(figure.found.upper), middle)],
            BLACK,
        ))?;
        let label = number(figure.found.median, &figure.unit);
        area.draw(&Text::new(label, (place(figure.found.upper) + 6, top + 3), text.clone()))?;
    }
    Ok(())
}

/// One line per subject, with logarithmic axes: a cost that is linear in the size is a straight
/// line with a slope of one.
fn lines(area: &Area<'_>, head: &str, figures: &[&Figure]) -> Result<()> {
    let found = || figures.iter().filter(|figure| figure.found.median > 0.0);
    let sizes = || figures.iter().filter_map(|figure| figure.at).filter(|at| *at > 0.0);
    let (low, high) = (sizes().fold(f64::MAX, f64::min), sizes().fold(f64::MIN_POSITIVE, f64::max));
    let bottom = found().map(|figure| figure.found.median).fold(f64::MAX, f64::min);
    let top = found().map(|figure| figure.found.median).fold(f64::MIN_POSITIVE, f64::max);
    let Some(first) = figures.first() else { return Ok(()) };
    let mut chart = ChartBuilder::on(area)
        .caption(head, ("sans-serif", 16))
        .margin(10)
        .margin_right(110)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(
            (low * 0.9..high * 1.1).log_scale(),
            (bottom * 0.7..top * 1.4).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc(&first.of)
        .y_desc(&first.unit)
        .x_label_formatter(&|size| format!("{size:.0}"))
        .y_label_formatter(&|figure| number(*figure, " "))
        .disable_mesh()
        .draw()?;
    for (i, subject) in subjects(figures).into_iter().enumerate() {
        let ours = subject.starts_with("ours");
        let colour =
            if ours { RGBColor(0, 110, 180).to_rgba() } else { Palette99::pick(i + 2).to_rgba() };
        let mut points: Vec<(f64, f64)> = found()
            .filter(|figure| figure.subject == subject)
            .filter_map(|figure| figure.at.map(|at| (at, figure.found.median)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart.draw_series(LineSeries::new(
            points.iter().copied(),
            colour.stroke_width(if ours { 3 } else { 1 }),
        ))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        if let Some(last) = points.last() {
            let label = EmptyElement::at(*last)
                + Text::new(
                    subject.to_owned(),
                    (8, -6),
                    ("sans-serif", 13).into_font().color(&colour),
                );
            chart.plotting_area().draw(&label)?;
        }
    }
    Ok(())
}
