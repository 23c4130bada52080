//! The suite as a test target.

use std::collections::HashMap;
use std::fmt;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::conformance::case::Case;
use crate::conformance::stage::Stage;
use crate::conformance::subject::{Exception, Subject};
use crate::conformance::{cases, journal, table};

/// The number of cases that run at once, if `--test-threads` does not set it. Most of them wait.
const THREADS: usize = 8;

/// The limit for a case. Most take a second, and those that wait for limits take ten.
const LONGEST: Duration = Duration::from_secs(180);

type Run = Arc<dyn Fn(Case) + Send + Sync>;

/// The cases of one service.
pub struct Suite {
    pub(crate) name: &'static str,
    pub(crate) exceptions: &'static [Exception],
    run: Run,
}

impl Suite {
    /// The cases of this service.
    ///
    /// # Panics
    /// If two exceptions are about one case.
    #[must_use]
    pub fn of<S: Subject>() -> Self {
        let name = std::any::type_name::<S::Service>();
        let name = name.rsplit("::").next().unwrap_or(name);
        for (index, exception) in S::EXCEPTIONS.iter().enumerate() {
            let twice = S::EXCEPTIONS[..index].iter().any(|other| other.case == exception.case);
            assert!(!twice, "{name}: two exceptions are about {:?}", exception.case);
        }
        let stage = Arc::new(Stage::<S>::new());
        let run: Run = Arc::new(move |case| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            let ended = runtime
                .block_on(async { tokio::time::timeout(LONGEST, cases::run(case, &stage)).await });
            runtime.shutdown_background();
            assert!(ended.is_ok(), "the case has not ended within {LONGEST:?}");
        });
        Self { name, exceptions: S::EXCEPTIONS, run }
    }

    /// The text of the service's documentation, which states the reason of each exception.
    ///
    /// # Panics
    /// If it lacks one.
    #[must_use]
    pub fn documented_in(self, text: &str) -> Self {
        let words = |text: &str| {
            let words = text.split_whitespace().filter(|word| *word != "//!" && *word != "///");
            words.collect::<Vec<_>>().join(" ").to_lowercase()
        };
        let documented = words(text);
        for Exception { case, reason } in self.exceptions {
            let known = documented.contains(&words(reason));
            assert!(known, "{}: its documentation lacks, about {case:?}: {reason}", self.name);
        }
        self
    }

    /// Runs one case.
    ///
    /// # Errors
    /// The message of the failure.
    pub fn run(&self, case: Case) -> Result<(), String> {
        let run = AssertUnwindSafe(|| (self.run)(case));
        std::panic::catch_unwind(run).map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_default()
        })
    }

    /// The exception that is about this case.
    pub(crate) fn exception(&self, case: Case) -> Option<&'static str> {
        let mut exceptions = self.exceptions.iter();
        exceptions.find_map(|exception| (exception.case == case).then_some(exception.reason))
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The result of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Failed,
    Passed,
}

/// The results so far, by the place of the service and the case.
pub(crate) type Outcomes = HashMap<(usize, Case), Outcome>;

/// The `main` of a test target: runs the cases of these services that the arguments select, and
/// prints the table. The exit code is 0 if none of them fails.
pub fn main(suites: impl IntoIterator<Item = Suite>) -> ExitCode {
    let suites: Vec<_> = suites.into_iter().collect();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let outcomes = Arc::new(Mutex::new(Outcomes::new()));
    let mut trials = Vec::new();
    for (index, suite) in suites.iter().enumerate() {
        for &case in Case::ALL.iter().filter(|case| suite.exception(**case).is_none()) {
            let (run, outcomes) = (Arc::clone(&suite.run), Arc::clone(&outcomes));
            let name = format!("{}::{}", table::snake_case(suite.name), case.name());
            trials.push(Trial::test(name, move || {
                let note = |outcome| {
                    let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                    outcomes.insert((index, case), outcome);
                };
                note(Outcome::Failed);
                run(case);
                note(Outcome::Passed);
                Ok::<(), Failed>(())
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    // What was logged after the last case had searched the log.
    journal::assert_silent();
    let outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
    if !outcomes.is_empty() {
        let _ = writeln!(std::io::stdout(), "{}", table::of(&suites, &outcomes));
    }
    conclusion.exit_code()
}
