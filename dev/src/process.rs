//! The process of a server. It runs as an unprivileged user, is awaited until it answers, and is
//! stopped however this process ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

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

/// Runs the server until its own input ends. Then it signals the server each second, because a
/// server that has just begun can miss a signal, and kills it after ten seconds. The status of the
/// server is written to the file [`ENDED`].
///
/// Its standard error is the file of a lock. This shell and the server hold it until they end.
const WATCH: &str = r#"
signal=$1; shift
exec 3<&0 </dev/null 4>&2 2>&1
"$@" 3<&- & server=$!
{
    read -r _ <&3
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -s "$signal" "$server"; sleep 1; done
    kill -s KILL 0
} 4>&- & last=$!
exec 3<&-
echo "$server" >server.pid
wait "$server"
echo "$?" >server.ended
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
        Self::locked(name, signal, folder, environment, command, None)
    }

    /// As [`start`](Self::start). The server has the locked file open until it ends, also if this
    /// process ends earlier.
    pub(crate) fn locked(
        name: &'static str,
        signal: &str,
        folder: &Path,
        environment: &[(&str, &OsStr)],
        command: impl IntoIterator<Item = impl AsRef<OsStr>>,
        lock: Option<&File>,
    ) -> Result<Self, DevError> {
        // Of an earlier start.
        let _ = fs::remove_file(folder.join(ENDED));
        let log = folder.join(LOG);
        let output = File::options()
            .create(true)
            .append(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&log)
            .and_then(|output| Ok((lock.unwrap_or(&output).try_clone()?, output)))
            .map_err(|error| DevError::path("cannot write", &log, &error))?;
        let mut shell = unprivileged("sh");
        shell.args(["-c", WATCH, name, signal]).args(command).current_dir(folder);
        for (variable, value) in environment {
            shell.env(variable, value);
        }
        let (lock, output) = output;
        shell.process_group(0).stdin(Stdio::piped()).stdout(output).stderr(lock);
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
            if let Ok(status) = folder::read(&self.folder.join(ENDED)) {
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
        folder::read(&self.folder.join(LOG)).unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A command that runs as the server account, without the variables of this process and the files
/// of its home folder that could steer it.
#[must_use]
pub fn unprivileged(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        // Without the variable, programs find the home folder in the list of users.
        .env("HOME", "/nonexistent");
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
    fn a_server_that_has_just_begun_ends_with_its_handle() {
        let folder = Folder::new("begins").unwrap();
        // It misses the first signal.
        let command = ["sh", "-c", "trap '' TERM; sleep 1; trap 'exit 0' TERM; sleep 600 & wait"];
        let begin = Instant::now();
        for _ in 0..3 {
            drop(Process::start("sleep", "TERM", folder.path(), &[], command).unwrap());
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        let begin = Instant::now();
        for _ in 0..10 {
            let command = ["sleep", "600"];
            drop(Process::start("sleep", "TERM", folder.path(), &[], command).unwrap());
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }

    #[test]
    fn a_log_is_not_written_through_a_link() {
        let (folder, other) = (Folder::new("log").unwrap(), Folder::new("other").unwrap());
        let file = other.write("file", "another's").unwrap();
        std::os::unix::fs::symlink(&file, folder.path().join(LOG)).unwrap();
        Process::start("true", "TERM", folder.path(), &[], ["true"]).unwrap_err();
        assert_eq!(fs::read_to_string(file).unwrap(), "another's");
    }

    #[test]
    fn a_program_gets_no_variable_of_this_process_and_no_home_folder() {
        let output = run(&mut unprivileged("env")).unwrap();
        let mut variables: Vec<_> = output.lines().collect();
        variables.sort_unstable();
        assert_eq!(variables[..2], ["HOME=/nonexistent", "LC_ALL=C"]);
        assert!(variables.len() == 3 && variables[2].starts_with("PATH=/usr/local/sbin:"));
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
