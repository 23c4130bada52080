//! What came of a benchmark, as data: `benches/results/NAME.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::measure::{Summary, ratio};

/// What came of a benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The benchmark's name.
    pub name: String,
    /// What is measured, in a sentence.
    pub about: String,
    /// What is compared with what, and what it should be.
    pub targets: Vec<Target>,
    /// All that was measured, in the order of the table.
    pub figures: Vec<Figure>,
    /// How cost grows, where the curve bends and why, and whatever else is to be said.
    pub remarks: Vec<String>,
}

/// One comparison, and what it should be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// What is compared: "`check` / hand-written".
    pub what: String,
    /// What came of it.
    pub found: Summary,
    /// What it may be at most.
    pub at_most: f64,
    /// In what; empty for a ratio.
    pub unit: String,
}

impl Target {
    /// A ratio, round by round.
    #[must_use]
    pub fn ratio(what: impl Into<String>, ours: &[f64], theirs: &[f64], at_most: f64) -> Self {
        Self { what: what.into(), found: ratio(ours, theirs), at_most, unit: String::new() }
    }

    /// A figure that is no ratio.
    #[must_use]
    pub fn figure(
        what: impl Into<String>,
        found: Summary,
        at_most: f64,
        unit: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), found, at_most, unit: unit.into() }
    }

    /// Whether it is what it should be.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.found.median <= self.at_most
    }
}

/// One thing that was measured of one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured: "time", "allocations". Figures of the same kind share a table and a panel of the plot.
    pub kind: String,
    /// Its unit: "ns".
    pub unit: String,
    /// Of whom: "ours", "figment".
    pub subject: String,
    /// At which size, where it was measured at several: 500 fields. Then the plot is a line.
    pub at: Option<f64>,
    /// What `at` counts: "fields".
    pub of: String,
    /// What came of it.
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

    /// At a size: `.at(500.0, "fields")`.
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
    /// An outcome with nothing in it yet.
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

    /// Reads what was kept.
    ///
    /// # Errors
    /// Where there is none.
    pub fn load(name: &str) -> Result<Self> {
        Ok(serde_json::from_str(&std::fs::read_to_string(Self::path(name))?)?)
    }

    /// Keeps it, in place of what came of the same benchmark before.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&self) -> Result<()> {
        let path = Self::path(&self.name);
        std::fs::create_dir_all(folder().join("results"))?;
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(())
    }
}
