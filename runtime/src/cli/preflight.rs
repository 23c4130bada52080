//! The preflight: it attaches as the program does, reports each field instead of returning a
//! struct, and closes every connection.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::attach::connect::{PendingResource, abandon, connect};
use crate::attach::watch::Watch;
use crate::cli::report::{Command, Report, Row, State};
use crate::declare::manifest::Manifest;
use crate::load::spec::ConnectionSpec;
use crate::load::{self, Content, Loaded, LoadedField};
use crate::net::time::Limit;
use crate::report::error::Problem;
use crate::source::Source;

/// The request.
pub(crate) struct Preflight<'a> {
    pub(crate) program: &'a str,
    /// The command line as it was given.
    pub(crate) line: String,
    pub(crate) command: Command,
    pub(crate) manifest: &'static Manifest,
    pub(crate) source: Arc<dyn Source>,
    /// The printable path of the file that is read instead of the environment.
    pub(crate) env_file: Option<String>,
    /// The path of the only field to check.
    pub(crate) only: Option<String>,
    pub(crate) deadline: Duration,
}

impl Preflight<'_> {
    /// Every selected field, with nothing known about it yet, and the number of declared fields.
    fn rows(&self) -> (Vec<Row>, usize) {
        let (mut rows, mut declared) = (Vec::new(), 0);
        self.manifest.walk(&mut |leaf| {
            declared += 1;
            if self.only.as_ref().is_none_or(|only| *only == leaf.path) {
                rows.push(Row {
                    variable: leaf.variable,
                    path: leaf.path.into_owned(),
                    field: leaf.field,
                    state: State::Untried,
                    origin: None,
                    endpoint: None,
                    posture: None,
                    problems: Vec::new(),
                    took: None,
                });
            }
        });
        (rows, declared)
    }

    /// Loads, checks, and connects if the command does. All resources are connected at once, under
    /// one deadline, and are closed at the end in any case.
    ///
    /// `watch` returns the observer of the progress. It is called before connecting, with the rows
    /// as they are then: those to connect are untried.
    pub(crate) async fn run(self, watch: impl FnOnce(&[Row]) -> Option<Arc<dyn Watch>>) -> Report {
        let (begun, taken_at) = (Instant::now(), SystemTime::now());
        let (mut rows, declared) = self.rows();
        let wanted: Vec<_> = rows.iter().map(|row| row.path.clone()).collect();
        let limit = Limit::new(self.deadline);
        let read =
            load::load(self.manifest, Arc::clone(&self.source), Some(wanted), self.deadline).await;
        let loaded = read.map_or_else(load::Unread::into_loaded, |read| read.loaded);
        let is_refused = loaded.is_denied();
        let Loaded { items, problems, today, .. } = loaded;

        let mut pending = Vec::new();
        for LoadedField { ordinal, place, fingerprint, declaration, content } in items {
            // Declaration order begins with 1.
            let Some(row) = rows.get_mut(ordinal.wrapping_sub(1)) else { continue };
            row.origin = place.origin.as_deref().map(str::to_owned);
            if let Content::Resource { target, .. } = &content {
                row.endpoint = Some(target.locator().to_string());
            }
            row.state = match content {
                Content::Resource { entry, target } if self.command.connects() => {
                    pending.push(PendingResource::new(
                        ordinal,
                        entry,
                        declaration,
                        ConnectionSpec { target, place, fingerprint },
                    ));
                    State::Untried
                }
                Content::Resource { .. } => State::Passed,
                Content::Absent => State::Absent,
                Content::Value(_) if row.origin.is_some() => State::Passed,
                Content::Value(_) if declaration.default_text().is_some() => State::Default,
                Content::Value(_) => State::Absent,
            };
        }
        let tell = |rows: &mut [Row], problems: Vec<(usize, Problem)>| {
            for (ordinal, problem) in problems {
                if let Some(row) = rows.get_mut(ordinal.wrapping_sub(1)) {
                    row.add(problem);
                }
            }
        };
        tell(&mut rows, problems);
        if !is_refused && !pending.is_empty() {
            let mut problems = Vec::new();
            connect(&mut pending, limit, today, &mut problems, watch(&rows)).await;
            for resource in &pending {
                if let Some(row) = rows.get_mut(resource.ordinal.wrapping_sub(1)) {
                    row.record(resource);
                }
            }
            tell(&mut rows, problems);
            abandon(pending.into_iter().filter_map(|resource| resource.connected)).await;
        }
        let Self { program, line, command, manifest, env_file, only, .. } = self;
        let took = begun.elapsed();
        Report {
            program: program.to_owned(),
            line,
            command,
            manifest,
            env_file,
            only,
            declared,
            rows,
            taken_at,
            took,
        }
    }
}
