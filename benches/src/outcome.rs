//! The result of a benchmark, as data: `benches/results/NAME.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::measure::{Summary, ratio};

/// The result of a benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The benchmark's name.
    pub name: String,
    /// A sentence that describes the measurement.
    pub about: String,
    /// The comparisons and their targets.
    pub targets: Vec<Target>,
    /// All figures, in the order of the table.
    pub figures: Vec<Figure>,
    /// Remarks: how cost grows, where the curve bends and why, and other explanations.
    pub remarks: Vec<String>,
}

/// One comparison, and its target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The names of the compared subjects: "`check` / hand-written".
    pub what: String,
    /// The measured value.
    pub found: Summary,
    /// The largest permitted value.
    pub at_most: f64,
    /// The unit; empty for a ratio.
    pub unit: String,
}

impl Target {
    /// A ratio, round by round.
    #[must_use]
    pub fn ratio(what: impl Into<String>, ours: &[f64], theirs: &[f64], at_most: f64) -> Self {
        Self { what: what.into(), found: ratio(ours, theirs), at_most, unit: String::new() }
    }

    /// A figure that is not a ratio.
    #[must_use]
    pub fn figure(
        what: impl Into<String>,
        found: Summary,
        at_most: f64,
        unit: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), found, at_most, unit: unit.into() }
    }

    /// Returns true if the target is met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.found.median <= self.at_most
    }
}

/// One figure of one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The kind of figure: "time", "allocations". Figures of the same kind share a table and a
    /// panel of the plot.
    pub kind: String,
    /// Its unit: "ns".
    pub unit: String,
    /// The subject: "ours", "figment".
    pub subject: String,
    /// The size, if it was measured at several: 500 fields. Then the plot is a line.
    pub at: Option<f64>,
    /// The unit of `at`: "fields".
    pub of: String,
    /// The measured value.
    pub found: Summary,
}

impl Figure {
    /// A figure that is not measured at several sizes.
    #[must_use]
    pub fn new(kind: &str, unit: &str, subject: &str, found: Summary) -> Self {
        Self {
            kind: kind.into(),
            unit: unit.into(),
            subject: subject.into(),
            at: None,
            of: String::new(),
            found,
        }
    }

    /// Sets the size: `.at(500.0, "fields")`.
    #[must_use]
    pub fn at(mut self, at: f64, of: &str) -> Self {
        self.at = Some(at);
        self.of = of.into();
        self
    }
}

/// The folder of this crate in the source tree.
#[must_use]
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Outcome {
    /// An outcome without figures.
    #[must_use]
    pub fn new(name: &str, about: &str) -> Self {
        Self {
            name: name.into(),
            about: about.into(),
            targets: Vec::new(),
            figures: Vec::new(),
            remarks: Vec::new(),
        }
    }

    fn path(name: &str) -> PathBuf {
        folder().join("results").join(format!("{name}.json"))
    }

    /// Reads the stored outcome.
    ///
    /// # Errors
    /// If there is none.
    pub fn load(name: &str) -> Result<Self> {
        Ok(serde_json::from_str(&std::fs::read_to_string(Self::path(name))?)?)
    }

    /// Stores the outcome, and replaces the previous one of the same benchmark.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self) -> Result<()> {
        let path = Self::path(&self.name);
        std::fs::create_dir_all(folder().join("results"))?;
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(())
    }
}
