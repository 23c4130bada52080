//! A server's process: started as an unprivileged user, watched until it answers, and stopped whatever happens to the test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::folder;

/// How long a server may take until it answers. They take half a second, and RabbitMQ ten; a machine that builds something else meanwhile, more.
const START: Duration = Duration::from_secs(90);

/// A running server.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    /// A shell that has the server as its child.
    shell: Child,
    log: PathBuf,
}

/// Runs the server, and waits for the end of its own input. Whoever holds the other end of it holds the server's life: it ends when they do, even if
/// they are killed, and even if they are a `static`, which nobody drops.
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
    /// Starts `command` in `folder`, and lets it write its log there. `signal` is what ends it quickly.
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
    /// With the server's log, where it does not.
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

    /// What the server has written so far.
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

/// A command that runs as the account of the servers, and sees nothing of this process's environment that could steer it.
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

/// Runs a command to its end, and gives what it printed.
///
/// # Panics
/// With all that it printed, where it fails.
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

/// Where a program is: in one of `folders`, or on the path.
///
/// # Panics
/// With the command that installs it, where it is not there. The tests are not skipped.
#[must_use]
pub fn find(program: &str, folders: &[PathBuf]) -> PathBuf {
    let path = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/opt/homebrew/bin"]
        .map(PathBuf::from);
    folders.iter().chain(&path).map(|folder| folder.join(program)).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("`{program}` is not installed, and these tests need it: apt-get install postgresql redis-server mariadb-server nats-server rabbitmq-server exim4-daemon-light etcd-server etcd-client openssl wget chromium")
    })
}
