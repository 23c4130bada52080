//! The command line for operators (feature `cli`). It reports the resources of a struct, tries to
//! attach them, and writes templates for a deployment.
//!
//! An application adds one binary:
//!
//! ```no_run
//! # mod shop { #[derive(backing_services::BackingServices)] pub struct Services {} }
//! fn main() -> std::process::ExitCode { backing_services::cli::run::<shop::Services>() }
//! ```
//!
//! | command | does |
//! |---|---|
//! | `check` | loads and validates every value; opens no connection |
//! | `attach` | attaches to everything by all the rules, reports each result, and detaches |
//! | `posture` | the same, and prints everything that attaching observed |
//! | `manifest` | prints the program's resources, as JSON ([schema]) |
//! | `template KIND` | writes a file to begin with; see [Templates](#templates) |
//! | `grants FIELD` | prints the statements that create the account that a field needs |
//! | `dev` | starts servers for a developer's machine (feature `dev`) |
//! | `explain [NAME]` | explains a rule or a kind of failure; without a name, lists all |
//! | `completions SHELL` | prints completions for a shell |
//!
//! `check`, `attach` and `posture` read the environment of the process, or the source of
//! [`run_from`]. With `--env-file` they read a file instead, in any build. The variables that would
//! steer a driver are looked up in the environment of the process all the same. The `--format` is
//! `text`, `json`, `sarif`, `junit` or `html`.
//!
//! # Templates
//!
//! The kinds are `env`, `kubernetes`, `servicebinding`, `networkpolicy` and `systemd`. Another
//! kind, `compose`, is a compose file that starts a server for each resource.
//!
//! # Exit status
//!
//! - 0: nothing is refused. Warnings and waived findings are reported, and refuse nothing.
//! - 1: something is refused.
//! - 2: the command line is wrong, the file that it names cannot be read, or the output cannot be
//!   written (a full disk, or a standard output that is open for reading only).
//! - 129, 130, 131 and 143: the run was ended by SIGHUP, SIGINT, SIGQUIT or SIGTERM.
//!
//! `dev -- PROGRAM` ends with the program's exit status.
//!
//! # Formats
//!
//! - `text`: for a person.
//! - `json`: all data ([schema](SCHEMA)).
//! - `sarif`: SARIF 2.1.0, for code scanning. Each finding and each failure is a result. A waived
//!   finding is suppressed, with its reason. The rules link to ASVS 5.0 and CWE. The location of a
//!   result is its field and its variable. Code scanning shows nothing without a file, so the file
//!   is `environment/NAME`.
//! - `junit`: JUnit XML, for test viewers: a suite for each struct, a case for each field. A
//!   finding is a failure. An unreachable service is an error. An absent or untried field is
//!   skipped.
//! - `html`: one page to read, print or keep. It has no script, and loads nothing.
//!
//! ```sh
//! shop-services posture --format html >posture.html
//! ```
//!
//! # What is printed
//!
//! No secret is printed. A server's text is made [printable] when it comes in, and is escaped for
//! each format when it goes out. Results go to standard output. Progress goes to standard error,
//! and only if that is a terminal. Colours are for terminals, unless `NO_COLOR` or `--color`
//! decides otherwise.
//!
//! The exit status stays the same if the reader closes the pipe early, as `head` does. It also
//! stays the same if the process is started without a standard output (`>&-`): Rust's runtime opens
//! `/dev/null` in its place before `main`, and every write to that succeeds.
//!
//! [printable]: backing_services_runtime::posture::printable
//! [schema]: backing_services_runtime::manifest::SCHEMA

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt::Display;
#[cfg(unix)]
use std::future::poll_fn;
use std::io::{self, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
#[cfg(unix)]
use std::task::Poll;

use anstream::{AutoStream, ColorChoice};
pub use backing_services_dev::{Container, Containers};
use backing_services_runtime::__cli::run_until_cancelled;
use backing_services_runtime::preflight::Watch;
use backing_services_runtime::source::DotEnv;
use backing_services_runtime::{BackingServices, Environment, Manifest, Source};

use tokio::runtime::Runtime;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::arguments::{Arguments, Format, Task};
use self::live::{Lines, Live};
use self::output::Output;
use self::preflight::Preflight;
use self::report::{Command, FieldReport, Report};

mod arguments;
#[cfg(feature = "dev")]
mod dev;
mod explain;
mod html;
mod json;
mod junit;
mod live;
mod output;
mod preflight;
mod report;
mod sarif;
mod template;
mod text;

/// The JSON Schema (2020-12) of a report that `--format json` prints. It refers to the schema of a
/// [posture](backing_services_runtime::posture::SCHEMA) by its `$id`.
pub const SCHEMA: &str = include_str!("../schemas/report.json");

/// Nothing is refused.
const FINE: u8 = 0;
/// Something is refused.
const FINDINGS: u8 = 1;
/// The command line is wrong, a file that it names cannot be read, or the output cannot be written.
const USAGE: u8 = 2;

/// Runs the command line of a struct with the arguments of the process; see [the module](self).
#[must_use]
pub fn run<S: BackingServices>() -> ExitCode {
    run_from::<S>(&Environment::process())
}

/// Like [`run`], for a program that [attaches from](BackingServices::attach_from) another source:
/// the command line reads the same source as the program.
///
/// ```no_run
/// # mod shop { #[derive(backing_services::BackingServices)] pub struct Services {} }
/// use backing_services::source::{Environment, ServiceBindings, Sources};
///
/// fn main() -> std::process::ExitCode {
///     let sources = Sources::new().then(Environment::process()).then(ServiceBindings::process());
///     backing_services::cli::run_from::<shop::Services>(&sources)
/// }
/// ```
#[must_use]
pub fn run_from<S: BackingServices>(source: &(impl Source + Clone + 'static)) -> ExitCode {
    run_with::<S>(source, &Containers::new())
}

/// Like [`run_from`], with containers of your own: `template compose` writes a server for each
/// resource whose service is in the table, a service of your own included.
///
/// ```no_run
/// # mod shop { #[derive(backing_services::BackingServices)] pub struct Services {} }
/// use backing_services::Environment;
/// use backing_services::cli::{Container, Containers};
///
/// fn main() -> std::process::ExitCode {
///     let containers =
///         Containers::new().with_container("Gopher", |_| Some(Container::new("gopherd:3", 7070)));
///     backing_services::cli::run_with::<shop::Services>(&Environment::process(), &containers)
/// }
/// ```
#[must_use]
pub fn run_with<S: BackingServices>(
    source: &(impl Source + Clone + 'static),
    containers: &Containers,
) -> ExitCode {
    let source = Arc::new(source.clone());
    ExitCode::from(run_arguments(S::MANIFEST, source, containers, std::env::args_os()))
}

fn run_arguments(
    manifest: &'static Manifest,
    source: Arc<dyn Source>,
    containers: &Containers,
    arguments: impl IntoIterator<Item = OsString>,
) -> u8 {
    let (color, status) = match arguments::parse(manifest, arguments) {
        Ok(arguments) => (arguments.color, perform(manifest, source, containers, arguments)),
        Err((color, error)) => (color, explained(color, &error)),
    };
    match status {
        Ok(status) => status,
        Err(why) => {
            // Standard error is the last place to report to, so its own errors are ignored.
            let _ = writeln!(AutoStream::new(io::stderr(), color), "error: {why}");
            USAGE
        }
    }
}

/// Prints an error of the command line. Help and version are such errors of clap's, and end with 0.
fn explained(color: ColorChoice, error: &clap::Error) -> Result<u8, ExitReason> {
    let text = error.render();
    if error.use_stderr() {
        // Standard error is the last place to report to, so its own errors are ignored.
        let _ = write!(AutoStream::new(io::stderr(), color), "{}", text.ansi());
        return Ok(USAGE);
    }
    let mut out = Output::new(color)?;
    write!(out, "{}", text.ansi()).map_err(output::broken)?;
    out.finish()?;
    Ok(FINE)
}

/// The reason why a command could not be carried out.
type ExitReason = Box<dyn Display>;

fn perform(
    manifest: &'static Manifest,
    source: Arc<dyn Source>,
    containers: &Containers,
    arguments: Arguments,
) -> Result<u8, ExitReason> {
    let Arguments { program, line, color, task } = arguments;
    let program = program.as_str();
    let mut out = Output::new(color)?;
    let status = match task {
        Task::Report { command, env_file, only, deadline, format } => {
            let file = env_file
                .map(DotEnv::named)
                .transpose()
                .map_err(|why| Box::new(why) as ExitReason)?;
            let env_file = file.as_ref().map(DotEnv::printable_path);
            let source = file.map_or(source, |file| Arc::new(file));
            let preflight =
                Preflight { program, line, command, manifest, source, env_file, only, deadline };
            match watched(preflight, format, color)? {
                ControlFlow::Continue((report, is_told)) => {
                    print(&report, is_told, format, &mut out)?;
                    if report.has_passed() { FINE } else { FINDINGS }
                }
                ControlFlow::Break(status) => return Ok(status),
            }
        }
        Task::Manifest => {
            json::print(manifest, &mut out)?;
            FINE
        }
        Task::Template(kind) => {
            out.write_all(template::write(manifest, program, kind, containers)?.as_bytes())
                .map_err(output::broken)?;
            FINE
        }
        Task::Grants { field, account, database } => {
            write!(out, "{}", grants(manifest, &field, account, database)?)
                .map_err(output::broken)?;
            FINE
        }
        #[cfg(feature = "dev")]
        Task::Dev(options) => dev::dev(dev::Request { program, manifest, source, color, options })?,
        Task::Explain(rule) => {
            out.tell(&explain::explain(rule.as_deref())).map_err(output::broken)?;
            FINE
        }
        Task::Completions(shell) => {
            out.write_all(&arguments::completions(manifest, program, shell)?)
                .map_err(output::broken)?;
            FINE
        }
    };
    out.finish()?;
    Ok(status)
}

/// Carries out a preflight, and shows its progress. Returns the report, and true if a line was
/// printed for each finished resource.
fn watched(
    preflight: Preflight<'_>,
    format: Format,
    color: ColorChoice,
) -> Result<ControlFlow<u8, (Report, bool)>, ExitReason> {
    let is_watched =
        io::stderr().is_terminal() && (format != Format::Text || io::stdout().is_terminal());
    let is_told = !is_watched && format == Format::Text && preflight.command == Command::Attach;
    let live = OnceLock::new();
    let watch = |rows: &[FieldReport]| -> Option<Arc<dyn Watch>> {
        match (is_watched, is_told) {
            (true, _) => {
                Some(Arc::clone(live.get_or_init(|| Arc::new(Live::new(rows)))) as Arc<dyn Watch>)
            }
            (false, true) => Some(Arc::new(Lines::new(rows.to_vec(), color))),
            (false, false) => None,
        }
    };
    let carried_out = carried_out(preflight, watch);
    if let Some(live) = live.get() {
        live.clear();
    }
    Ok(carried_out?.map_continue(|report| (report, is_told)))
}

/// Prints a report in its format.
fn print(
    report: &Report,
    is_told: bool,
    format: Format,
    out: &mut Output,
) -> Result<(), ExitReason> {
    match format {
        Format::Text => out.tell(&text::report(report, is_told)).map_err(output::broken),
        Format::Json => json::print(report, out),
        Format::Sarif => json::print(&sarif::log(report), out),
        Format::Junit => out.write_all(junit::report(report)?.as_bytes()).map_err(output::broken),
        Format::Html => out.write_all(html::page(report)?.as_bytes()).map_err(output::broken),
    }
}

/// Attaches on its own runtime, as a program does, and on its own thread, so that a `main` with a
/// runtime may call it too. Breaks with the exit status of a signal that arrives meanwhile.
fn carried_out(
    preflight: Preflight<'_>,
    watch: impl FnOnce(&[FieldReport]) -> Option<Arc<dyn Watch>> + Send,
) -> Result<ControlFlow<u8, Report>, ExitReason> {
    on_own_thread(|runtime| {
        let status = Cell::new(FINE);
        let report = runtime.block_on(async {
            // Register for the signals before anything else. An earlier signal would end the
            // process, and a user who sees that work has begun may send one.
            let mut signals = Signals::register();
            let stopped = async { status.set(signals.next().await) };
            run_until_cancelled(stopped, preflight.run(watch)).await
        });
        // All work ends with its future. A driver's task that does not end must not delay the exit.
        runtime.shutdown_background();
        report.map_or_else(|| ControlFlow::Break(status.get()), ControlFlow::Continue)
    })
}

/// Does the work with a runtime of its own, on a thread of its own.
fn on_own_thread<T: Send>(work: impl FnOnce(Runtime) -> T + Send) -> Result<T, ExitReason> {
    if !has_files_left() {
        return Err(Box::new(
            "this process may open too few files to attach with: raise its limit (`ulimit -n`)",
        ));
    }
    let work = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().ok()?;
        Some(work(runtime))
    };
    let done = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, work).ok()?;
        // A panic of the thread goes on in the caller.
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    done.ok_or_else(|| Box::new("this machine gives no threads to attach with") as ExitReason)
}

/// True if enough file descriptors are left for the runtime. tokio panics if it cannot open the six
/// that it needs for polling and signals.
#[cfg(unix)]
fn has_files_left() -> bool {
    let pairs: Result<Vec<_>, _> = (0..4).map(|_| std::os::unix::net::UnixStream::pair()).collect();
    pairs.is_ok()
}

#[cfg(not(unix))]
const fn has_files_left() -> bool {
    true
}

/// The signals that ask the process to end. PID 1 of a container, such as an init container's,
/// ignores a signal that it does not handle.
#[cfg(unix)]
struct Signals(Vec<(Signal, u8)>);

#[cfg(unix)]
impl Signals {
    /// Registers for them: from now on, none is lost, and none ends the process by itself.
    fn register() -> Self {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()];
        if !ignores_hangup() {
            kinds.push(SignalKind::hangup());
        }
        let status = |kind: SignalKind| u8::try_from(128 + kind.as_raw_value()).ok();
        let register = |kind| Some((signal(kind).ok()?, status(kind)?));
        Self(kinds.into_iter().filter_map(register).collect())
    }

    /// Waits for the next one, and returns its exit status as a shell counts it: 128 plus the
    /// number of the signal.
    async fn next(&mut self) -> u8 {
        poll_fn(|context| {
            for (signal, status) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*status);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// True if `nohup` started this process: then a closed terminal does not end it. Linux alone shows
/// that.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is signal 1, and the lowest bit.
    ignored
        .and_then(|digits| digits.trim().chars().last()?.to_digit(16))
        .is_some_and(|d| d & 1 == 1)
}

/// On other systems every signal ends the process by itself.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    const fn register() -> Self {
        Self
    }

    async fn next(&mut self) -> u8 {
        std::future::pending().await
    }
}

fn grants(
    manifest: &'static Manifest,
    field: &str,
    account: Option<String>,
    database: Option<String>,
) -> Result<String, ExitReason> {
    let Some(mut grants) = manifest.grants().into_iter().find(|grants| grants.field() == field)
    else {
        return Err(Box::new(format!(
            "`{field}` does not say what its account needs: write `#[service(needs = \"…\")]` \
             above it, or there is nothing to grant"
        )));
    };
    let named = |what: &'static str, name: &str| {
        let (name, fault) = (
            backing_services_runtime::posture::printable(name),
            backing_services_runtime::__cli::fault(name).unwrap_or_default(),
        );
        move |_| Box::new(format!("`{name}` is no name of {what}: {fault}")) as ExitReason
    };
    if let Some(account) = account {
        grants = grants.with_account(&account).map_err(named("an account", &account))?;
    }
    if let Some(database) = database {
        grants = grants.with_database(&database).map_err(named("a database", &database))?;
    }
    Ok(grants.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signal reaches every test of this process that waits for one, so they run by turns.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    /// Without a registration by then, this signal would end the process.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_signal_that_comes_before_anything_has_begun_is_not_lost() {
        let _turn = TURN.lock().await;
        let mut signals = Signals::register();
        let kill = format!("kill -TERM {}", std::process::id());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(
            tokio::time::timeout(std::time::Duration::from_secs(10), signals.next()).await.unwrap(),
            143
        );
    }

    #[tokio::test]
    async fn a_main_that_has_a_runtime_may_call_it_too() {
        let _turn = TURN.lock().await;
        static NOTHING: Manifest = Manifest::new("Nothing", &[]);
        let arguments = ["nothing", "attach"].map(OsString::from);
        let source = Arc::new(Environment::process());
        assert_eq!(run_arguments(&NOTHING, source, &Containers::new(), arguments), FINE);
    }
}
