//! The process of a server. It runs as an unprivileged user, is awaited until it answers, and is
//! stopped however this process ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::{DevError, error, folder};

/// The time that a server may take until it answers. Most take half a second, and RabbitMQ ten. A
/// busy machine needs more.
const START: Duration = Duration::from_secs(90);

/// The log of a server, in its folder.
const LOG: &str = "log";

/// A running server.
///
/// The server is the child of a shell that waits for the end of its own input. The other end of
/// that pipe is held by this process, and by no other. So the server is stopped if the handle is
/// dropped, and also if this process ends without that: by a panic, by a signal, or with the handle
/// in a `static`.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    /// A shell that has the server as its child.
    shell: Child,
    folder: PathBuf,
}

/// Runs the server until its own input ends. A server that does not end within ten seconds is
/// killed. If the server ends by itself, its status is written to the file [`ENDED`].
const WATCH: &str = r#"
signal=$1; shift
{ sh -c 'echo $$ >server.pid; exec "$@"' sh "$@" </dev/null; echo $? >server.ended; } & server=$!
read -r _
kill -s "$signal" "$(cat server.pid)"
(sleep 10; kill -s KILL 0) & last=$!
wait "$server"
kill "$last"
"#;

/// The file with the status of a server that has ended.
const ENDED: &str = "server.ended";

impl Process {
    /// Starts `command` in `folder`, with its log in that folder. `signal` stops it quickly.
    ///
    /// # Errors
    /// If a log cannot be written there, or if there is no shell.
    pub fn start(
        name: &'static str,
        signal: &str,
        folder: &Path,
        environment: &[(&str, &OsStr)],
        command: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self, DevError> {
        // Of an earlier start.
        let _ = fs::remove_file(folder.join(ENDED));
        let log = folder.join(LOG);
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .and_then(|output| Ok((output.try_clone()?, output)))
            .map_err(|error| DevError::path("cannot write", &log, &error))?;
        let mut shell = unprivileged("sh");
        shell.args(["-c", WATCH, name, signal]).args(command).current_dir(folder);
        for (variable, value) in environment {
            shell.env(variable, value);
        }
        shell.process_group(0).stdin(Stdio::piped()).stdout(output.0).stderr(output.1);
        let shell = shell.spawn().map_err(|error| DevError::system("cannot start `sh`", &error))?;
        Ok(Self { name, shell, folder: folder.to_owned() })
    }

    /// Waits until the server answers, for 90 seconds at most.
    ///
    /// # Errors
    /// With the end of the server's log, if it ends, or if it does not answer.
    pub fn wait_until(&self, mut answers: impl FnMut() -> bool) -> Result<(), DevError> {
        let begin = Instant::now();
        while !answers() {
            if let Ok(status) = fs::read_to_string(self.folder.join(ENDED)) {
                return Err(DevError::ended(self.name, status.trim(), &self.log()));
            }
            if begin.elapsed() > START {
                return Err(DevError::no_answer(self.name, &self.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.folder.join(LOG)).map_or_else(
            |error| error.to_string(),
            |log| String::from_utf8_lossy(&log).into_owned(),
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A command that runs as the server account, without the variables of this process that could
/// steer it.
#[must_use]
pub fn unprivileged(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C");
    if let Some((user, group)) = folder::account() {
        command.uid(user).gid(group);
    }
    command
}

/// Runs a command to its end, and returns all of its output.
///
/// # Errors
/// With all output, if it fails.
pub fn run(command: &mut Command) -> Result<String, DevError> {
    let output = command.stdin(Stdio::null()).output();
    succeeded(command, output)
}

/// The same for a command with standard input.
///
/// # Errors
/// With all output, if it fails.
pub fn run_with(command: &mut Command, input: &str) -> Result<String, DevError> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let output = child.and_then(|mut child| {
        let stdin = child.stdin.take();
        std::thread::scope(|scope| {
            // A program that has ended already does not read; its status says why.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
            child.wait_with_output()
        })
    });
    succeeded(command, output)
}

fn succeeded(command: &Command, output: std::io::Result<Output>) -> Result<String, DevError> {
    let program = command.get_program().to_string_lossy();
    let output = output
        .map_err(|error| DevError::system(format_args!("cannot start `{program}`"), &error))?;
    if !output.status.success() {
        return Err(DevError::failed(&program, &output));
    }
    Ok(error::said(&output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn a_server_that_ends_at_once_is_noticed_at_once() {
        let folder = Folder::new("ends").unwrap();
        let command = ["sh", "-c", "echo 'no such option: --frobnicate'; exit 3"];
        let process = Process::start("gopherd", "TERM", folder.path(), &[], command).unwrap();
        let begin = Instant::now();
        assert_eq!(
            process.wait_until(|| false).unwrap_err().to_string(),
            "gopherd has ended (status 3). Its log:\nno such option: --frobnicate"
        );
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_server_ends_with_its_handle() {
        let folder = Folder::new("server").unwrap();
        let command = ["sleep", "600"];
        let process = Process::start("sleep", "TERM", folder.path(), &[], command).unwrap();
        let pid = folder.path().join("server.pid");
        let read = || fs::read_to_string(&pid).unwrap_or_default().trim().to_owned();
        process.wait_until(|| !read().is_empty()).unwrap();
        let is_there = |pid: &str| Command::new("kill").args(["-0", pid]).output().unwrap();
        assert!(is_there(&read()).status.success());
        drop(process);
        assert!(!is_there(&read()).status.success());
    }

    #[test]
    fn a_program_reads_its_input_and_its_output_is_in_the_error() {
        let mut long = "x".repeat(1 << 20);
        long.push('\n');
        let said = run_with(&mut unprivileged("cat"), &long).unwrap();
        assert_eq!(said, long);
        let mut fails = unprivileged("sh");
        let error = run(fails.args(["-c", "echo said; echo more >&2; exit 7"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed (exit status: 7):\nsaid\nmore");
        let error = run(&mut unprivileged("/nonexistent")).unwrap_err().to_string();
        assert!(error.starts_with("cannot start `/nonexistent`: "), "{error}");
    }
}
