//! The process of a server. It runs as an unprivileged user, is awaited until it answers, and is
//! stopped however the test ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::folder;

/// The time that a server may take until it answers. Most take half a second, and RabbitMQ ten. A
/// busy machine needs more.
const START: Duration = Duration::from_secs(90);

/// A running server.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    /// A shell that has the server as its child.
    shell: Child,
    log: PathBuf,
}

/// Runs the server until its own input ends. The other end of that pipe is held by the test
/// process, so the server ends with it, even if the process is killed, or if the handle is a
/// `static` and is never dropped.
const WATCH: &str = r#"
signal=$1; shift
"$@" </dev/null & server=$!
read -r _
kill -s "$signal" "$server"
(sleep 10; kill -s KILL 0) & last=$!
wait "$server"
kill "$last"
"#;

impl Process {
    /// Starts `command` in `folder`, with its log in that folder. `signal` stops it quickly.
    #[must_use]
    pub fn start(
        name: &'static str,
        signal: &str,
        folder: &Path,
        environment: &[(&str, &OsStr)],
        command: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let log = folder.join("log");
        let output =
            File::options().create(true).append(true).open(&log).expect("the server's log");
        let mut shell = unprivileged("sh");
        shell.args(["-c", WATCH, name, signal]).args(command).current_dir(folder);
        for (variable, value) in environment {
            shell.env(variable, value);
        }
        shell
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("the server's log"))
            .stderr(output);
        Self { name, shell: shell.spawn().expect("sh"), log }
    }

    /// Waits until the server answers.
    ///
    /// # Panics
    /// With the server's log, if it does not answer.
    pub fn wait_until(&self, mut answers: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !answers() {
            assert!(
                begin.elapsed() < START,
                "{} does not answer. Its log:\n{}",
                self.name,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
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

/// Runs a command to its end, and returns its output.
///
/// # Panics
/// With all output, if it fails.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{:?}: {}\n{text}", command.get_program(), output.status);
    text
}

/// The path of a program: in one of `folders`, or on the path.
///
/// # Panics
/// If it is not installed, with the command that installs it. The tests are not skipped.
#[must_use]
pub fn find(program: &str, folders: &[PathBuf]) -> PathBuf {
    let path = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/opt/homebrew/bin"]
        .map(PathBuf::from);
    folders
        .iter()
        .chain(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "`{program}` is not installed, and these tests need it: apt-get install postgresql \
                 redis-server mariadb-server nats-server rabbitmq-server exim4-daemon-light \
                 etcd-server etcd-client openssl wget chromium"
            )
        })
}
