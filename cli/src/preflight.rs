//! Runs a preflight for a command, and collects what its report needs.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use backing_services_runtime::preflight::{self, Watch};
use backing_services_runtime::{Manifest, Source};

use crate::report::{Command, FieldReport, Report};

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
    /// Loads, checks, and connects if the command does.
    ///
    /// `watch` returns the observer of the progress. It is called before connecting, with the
    /// fields as they are then: those to connect are untried.
    pub(crate) async fn run(
        self,
        watch: impl FnOnce(&[FieldReport]) -> Option<Arc<dyn Watch>>,
    ) -> Report {
        let Self { program, line, command, manifest, source, env_file, only, deadline } = self;
        let (begun, taken_at) = (Instant::now(), SystemTime::now());
        let mut declared = 0;
        manifest.walk(&mut |_| declared += 1);
        let preflight = preflight::Preflight::new(manifest, source)
            .with_only(only.clone())
            .with_deadline(deadline);
        let preflight = if command.connects() { preflight } else { preflight.without_connecting() };
        let rows = preflight.run(watch).await;
        let (program, took) = (program.to_owned(), begun.elapsed());
        Report { program, line, command, manifest, env_file, only, declared, rows, taken_at, took }
    }
}
