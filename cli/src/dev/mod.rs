//! `dev`: real servers for a developer's machine, and the variables that lead a program to them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;

use anstream::ColorChoice;
use backing_services_dev::{Builder, Dev};
use backing_services_runtime::__cli::{counted, run_until_cancelled};
use backing_services_runtime::manifest::{Category, Leaf, Role};
use backing_services_runtime::posture::printable;
use backing_services_runtime::secrecy::ExposeSecret as _;
use backing_services_runtime::{Manifest, Source};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use self::folder::Folder;
use self::lines::Lines;
use crate::{ExitReason, Signals, on_own_thread, template};

mod folder;
mod lines;

/// The exit status of a run that was interrupted.
const INTERRUPTED: u8 = 130;

/// The exit status of a run whose terminal was closed.
const HUNG_UP: u8 = 129;

/// The exit status of a run that was ended by Ctrl+\\.
const QUIT: u8 = 131;

/// The request.
pub(super) struct Request<'a> {
    pub(super) program: &'a str,
    pub(super) manifest: &'static Manifest,
    /// Values of the user's own: secrets, settings, and locators of resources without a server.
    pub(super) source: Arc<dyn Source>,
    pub(super) color: ColorChoice,
    pub(super) options: Options,
}

/// The options of the command.
pub(super) struct Options {
    pub(super) migration: Option<String>,
    /// True if the data are kept for the next run.
    pub(super) keeps: bool,
    pub(super) left_out: Vec<String>,
    /// The program to run, and its arguments.
    pub(super) command: Vec<OsString>,
}

/// Starts the servers, runs until a signal arrives or the program ends, and stops them. Returns the
/// exit status.
pub(super) fn dev(request: Request<'_>) -> Result<u8, ExitReason> {
    let failed = |error| Box::new(error) as ExitReason;
    let Request { program, manifest, source, color, options } = request;
    let folder = template::folder(manifest, program);
    let folder = Folder::take(folder, options.keeps).map_err(failed)?;
    let given = given(manifest, &*source).map_err(failed)?;
    let lines = Lines::of(manifest, color, !options.command.is_empty());
    let mut builder = builder(manifest, &given, &options, &lines);
    if options.keeps {
        builder = builder.__keeping(folder.data());
    }
    let work = Work { program, manifest, given, options, lines, folder };
    on_own_thread(|runtime| {
        let status = runtime.block_on(work.serve(builder));
        runtime.shutdown_background();
        status
    })?
    .map_err(failed)
}

/// All that the servers need while they run.
struct Work<'a> {
    program: &'a str,
    manifest: &'static Manifest,
    given: BTreeMap<String, String>,
    options: Options,
    lines: Lines,
    folder: Folder,
}

impl Work<'_> {
    /// Starts the servers, and stops them at the end. Returns the exit status.
    async fn serve(mut self, builder: Builder) -> Result<u8, String> {
        let mut signals = Signals::register();
        let dev = match until_signal(&mut signals, builder.start()).await {
            ControlFlow::Continue(dev) => dev.map_err(|error| error.to_string())?,
            ControlFlow::Break(status) => return Ok(status),
        };
        self.folder.write_env(dev.variables())?;
        let count = without_servers(self.manifest, &self.given, &dev, &self.lines);
        self.lines.print(&ready(self.program, self.manifest, count, &self.folder.env()));
        let status = match self.options.command.split_first() {
            Some((command, arguments)) => {
                run(&mut signals, self.manifest, &dev, command, arguments).await
            }
            None => {
                let status = signals.next().await;
                self.lines.print("\nstopping the servers\n");
                Ok(status)
            }
        };
        drop(dev);
        status
    }
}

/// The user's own values, by variable. Those of a resource count if they say where it is: otherwise
/// it gets a server, whose account has a password of its own.
fn given(manifest: &Manifest, source: &dyn Source) -> Result<BTreeMap<String, String>, String> {
    let mut given = BTreeMap::new();
    for leaf in leaves(manifest) {
        let (mut values, mut is_placed) = (Vec::new(), false);
        for variable in leaf.variables() {
            let is_place = matches!(variable.role, Role::Value | Role::Locator | Role::Host);
            for name in [format!("{}_FILE", variable.name), variable.name] {
                if let Some(value) = source.get(&name).map_err(|why| format!("`{name}`: {why}"))? {
                    values.push((name, value.text().expose_secret().to_owned()));
                    is_placed |= is_place;
                }
            }
        }
        if is_placed {
            given.extend(values);
        }
    }
    Ok(given)
}

fn leaves(manifest: &Manifest) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    manifest.walk(&mut |leaf| leaves.push(leaf));
    leaves
}

fn builder(
    manifest: &'static Manifest,
    given: &BTreeMap<String, String>,
    options: &Options,
    lines: &Lines,
) -> Builder {
    let lines = lines.clone();
    let mut builder = Builder::__of_command_line(manifest);
    builder = builder.with_watch(move |progress| lines.progress(progress));
    for (name, value) in given {
        builder = builder.with_variable(name, value);
    }
    for field in &options.left_out {
        builder = builder.without(field);
    }
    match &options.migration {
        Some(command) => builder.with_migration(command),
        None => builder,
    }
}

/// Prints the resources without a server, and returns the number of the others.
fn without_servers(
    manifest: &Manifest,
    given: &BTreeMap<String, String>,
    dev: &Dev,
    lines: &Lines,
) -> usize {
    let started: BTreeSet<_> = dev.variables().map(|(name, _)| name.to_owned()).collect();
    let has_value = |name: &str| given.contains_key(name);
    let mut count = 0;
    for leaf in leaves(manifest) {
        if !matches!(leaf.field.category(), Category::Resource(_)) {
            continue;
        }
        let is_given = leaf.variables().iter().any(|variable| {
            has_value(&variable.name) || has_value(&format!("{}_FILE", variable.name))
        });
        if !is_given && started.contains(&leaf.variable) {
            count += 1;
        } else {
            lines.without_server(&leaf, is_given);
        }
    }
    count
}

/// The summary, with the next command.
fn ready(program: &str, manifest: &Manifest, count: usize, env: &str) -> String {
    format!(
        "\nrunning: `{}` has {}, until an interrupt. Its variables are in {env}:\n  \
         {program} attach --env-file {env}\n",
        manifest.struct_name(),
        counted(count, "server"),
    )
}

/// Does the work unless a signal arrives first. Breaks with the signal's exit status.
async fn until_signal<T>(
    signals: &mut Signals,
    work: impl Future<Output = T>,
) -> ControlFlow<u8, T> {
    let status = Cell::new(0);
    let done = run_until_cancelled(async { status.set(signals.next().await) }, work).await;
    done.map_or_else(|| ControlFlow::Break(status.get()), ControlFlow::Continue)
}

/// Runs the program with the variables of the servers, and returns its exit status as a shell
/// counts it.
///
/// A signal goes on to the program, which decides when to end. A second one kills it.
async fn run(
    signals: &mut Signals,
    manifest: &Manifest,
    dev: &Dev,
    program: &OsStr,
    arguments: &[OsString],
) -> Result<u8, String> {
    let mut command = Command::new(program);
    command.args(arguments);
    // A value from elsewhere must not lead the program past its server.
    for variable in leaves(manifest).iter().flat_map(Leaf::variables) {
        command.env_remove(format!("{}_FILE", variable.name)).env_remove(variable.name);
    }
    let mut child = command.envs(dev.variables()).spawn().map_err(|error| {
        format!("cannot start `{}`: {error}", printable(&program.to_string_lossy()))
    })?;
    let mut is_asked = false;
    loop {
        match until_signal(signals, child.wait()).await {
            ControlFlow::Continue(ended) => {
                return ended.map(status).map_err(|error| format!("the program is lost: {error}"));
            }
            // The system and the shell may both report a closed terminal.
            ControlFlow::Break(HUNG_UP) if is_asked => {}
            ControlFlow::Break(_) if is_asked => {
                let _ = child.start_kill();
            }
            ControlFlow::Break(status) => {
                pass_on(status, &child);
                is_asked = true;
            }
        }
    }
}

/// Sends the program the signal that this exit status means. A terminal sends its interrupts to
/// both. To many programs, SIGHUP means that they read their configuration again: SIGTERM ends
/// them.
fn pass_on(status: u8, child: &Child) {
    let is_terminal =
        io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
    let signal = match status {
        INTERRUPTED | QUIT if is_terminal => return,
        INTERRUPTED => Signal::INT,
        QUIT => Signal::QUIT,
        _ => Signal::TERM,
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by now.
        let _ = kill_process(pid, signal);
    }
}

/// The exit status as a shell counts it.
fn status(status: ExitStatus) -> u8 {
    let signal = status.signal().map(|signal| signal + 128);
    status.code().or(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
