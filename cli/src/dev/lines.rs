//! A line for each resource, as `attach` prints them.

use std::io::{self, Write as _};

use anstream::{AutoStream, ColorChoice};
use backing_services_dev::Progress;
use backing_services_runtime::__cli::Paint;
use backing_services_runtime::Manifest;
use backing_services_runtime::manifest::{Category, Leaf};
use backing_services_runtime::posture::printable;

use crate::output::Output;

/// Colours are always written. The output strips them if they are not wanted.
const PAINT: Paint = Paint(true);

/// The resources of a struct, aligned.
#[derive(Clone)]
pub(super) struct Lines {
    /// The path and the service of each resource.
    rows: Vec<(String, &'static str)>,
    color: ColorChoice,
    /// Standard output belongs to the program that is run.
    is_beside_a_program: bool,
}

impl Lines {
    pub(super) fn of(manifest: &Manifest, color: ColorChoice, is_beside_a_program: bool) -> Self {
        let mut rows = Vec::new();
        manifest.walk(&mut |leaf| {
            if let Category::Resource(entry) = leaf.field.category() {
                rows.push((leaf.path.to_string(), entry.service()));
            }
        });
        Self { rows, color, is_beside_a_program }
    }

    /// The line of a server that is up, or of the migrations.
    pub(super) fn progress(&self, progress: Progress<'_>) {
        match progress {
            Progress::Started { field, locator, account } => {
                let account = account.map_or_else(String::new, |name| format!(", as {name}"));
                self.row("running", "1;32", field, &format!("{locator}{account}"));
            }
            Progress::Migrating => self.print("migrating\n"),
            Progress::Output { line } => {
                self.print(&format!("         {}\n", printable(line.trim_end())));
            }
            Progress::Migrated => {
                self.print(&format!("{}\n", PAINT.with("1;32", "migrated")));
            }
            _ => {}
        }
    }

    /// The line of a resource without a server.
    pub(super) fn without_server(&self, leaf: &Leaf, is_given: bool) {
        let (state, colour) = if is_given { ("given", "1;32") } else { ("absent", "2") };
        self.row(state, colour, &leaf.path, &leaf.variable);
    }

    fn row(&self, state: &str, colour: &'static str, field: &str, detail: &str) {
        let width = |column: fn(&(String, &'static str)) -> usize| {
            self.rows.iter().map(column).max().unwrap_or_default()
        };
        let (paths, services) = (width(|row| row.0.len()), width(|row| row.1.len()));
        let service = self.rows.iter().find(|row| row.0 == field).map_or("", |row| row.1);
        let gap = " ".repeat("running".len() - state.len());
        let service = printable(service);
        let state = PAINT.with(colour, state);
        self.print(&format!("{state}{gap}  {field:paths$}  {service:services$}  {detail}\n"));
    }

    /// Prints text. An error of the output must not stop the servers.
    pub(super) fn print(&self, text: &str) {
        if self.is_beside_a_program {
            let _ = AutoStream::new(io::stderr(), self.color).write_all(text.as_bytes());
        } else if let Ok(mut out) = Output::new(self.color) {
            let _ = out.tell(text).and_then(|()| out.flush());
        }
    }
}
