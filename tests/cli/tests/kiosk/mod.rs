//! Running the kiosk's command line, and its output.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};

use backing_services_tests::canary::{self, PASSWORD};

/// The program.
pub(crate) const KIOSK: &str = env!("CARGO_BIN_EXE_kiosk-services");

/// The program, in an environment with nothing but the path.
pub(crate) fn kiosk(arguments: &[&str]) -> Command {
    let mut command = Command::new(KIOSK);
    // A test that hangs is ended by the deadline of the program.
    command
        .arg0("kiosk-services")
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null());
    command
}

/// The version of the library, which is that of the workspace and not of these tests.
pub(crate) fn version_of_the_library() -> &'static str {
    let (_, behind) = include_str!("../../../../Cargo.toml")
        .split_once("[workspace.package]\nversion = \"")
        .expect("a version");
    let version = behind.split('"').next().expect("its end");
    assert_ne!(version, env!("CARGO_PKG_VERSION"));
    version
}

/// The values of all required fields, with which `check` passes. Nothing listens on the port.
pub(crate) const ENOUGH: [(&str, &str); 3] = [
    ("DATABASE_URL", "postgres://winkelier@localhost:1/shop"),
    ("DATABASE_PASSWORD", PASSWORD),
    ("KIOSK_RECEIPT_KEY", PASSWORD),
];

/// The output of a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it to its end, and checks that the output contains no secret and nothing that controls a
/// terminal.
#[track_caller]
pub(crate) fn said(command: &mut Command) -> Said {
    let said = heard(command.output().expect("the program runs"));
    canary::assert_harmless("standard output", &said.out);
    canary::assert_harmless("standard error", &said.err);
    said
}

/// The same for output that may have colours.
#[track_caller]
pub(crate) fn heard(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (out, err) = (text(output.stdout), text(output.stderr));
    canary::assert_silent("standard output", &out);
    canary::assert_silent("standard error", &err);
    assert!(!err.contains("panicked"), "{err}");
    // A program that is ended by a signal has no status.
    Said { status: output.status.code().unwrap_or(-1), out, err }
}

/// A terminal of 100 columns; see [`on_a_terminal_of`].
#[track_caller]
pub(crate) fn on_a_terminal(
    script: &str,
    environment: &[(&str, &str)],
    typed: Option<(&str, &[u8])>,
) -> Vec<u8> {
    on_a_terminal_of(100, script, environment, typed)
}

/// A terminal with this number of columns and 40 lines. A shell runs this script in it, with the
/// program as `$KIOSK`. The bytes of `typed` are sent as soon as its text is on the terminal.
#[track_caller]
pub(crate) fn on_a_terminal_of(
    columns: u16,
    script: &str,
    environment: &[(&str, &str)],
    typed: Option<(&str, &[u8])>,
) -> Vec<u8> {
    use std::io::Read as _;
    let mut command = Command::new("script");
    command.args([
        "--quiet",
        "--return",
        "--command",
        &format!("stty cols {columns} rows 40; {script}"),
        "/dev/null",
    ]);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh");
    command.env("KIOSK", KIOSK).envs(environment.iter().copied());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("script");
    let (mut input, mut output) =
        (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
    let (mut shown, mut some, mut typed) = (Vec::new(), [0; 4096], typed);
    while let Ok(count @ 1..) = output.read(&mut some) {
        shown.extend_from_slice(&some[..count]);
        if let Some((before, keys)) = typed
            && canary::position(&shown, before.as_bytes()).is_some()
        {
            input.write_all(keys).expect("the terminal reads");
            typed = None;
        }
    }
    drop(input);
    assert!(
        child.wait().expect("script").success() && typed.is_none(),
        "{}",
        String::from_utf8_lossy(&shown)
    );
    assert!(canary::find(&shown).is_none(), "the terminal shows the secret");
    shown
}

/// The screen after these bytes: its lines, without blanks at their ends.
pub(crate) fn screen(shown: &[u8]) -> String {
    let mut terminal = vt100::Parser::new(40, 100, 0);
    terminal.process(shown);
    assert!(!terminal.screen().hide_cursor(), "the cursor is hidden");
    let lines: Vec<_> =
        terminal.screen().rows(0, 100).map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n").trim_end().to_owned()
}

/// Every screen on the way, in order, without repetitions.
pub(crate) fn screens(shown: &[u8]) -> Vec<String> {
    let mut terminal = vt100::Parser::new(40, 100, 0);
    let mut screens = Vec::new();
    for byte in shown {
        terminal.process(&[*byte]);
        let screen = terminal.screen().contents();
        if screens.last() != Some(&screen) {
            screens.push(screen);
        }
    }
    screens
}

/// Replaces the port number by `PORT` and each time by `N ms`.
pub(crate) fn settled(text: &str, port: u16) -> String {
    let text = text.replace(&format!(":{port}"), ":PORT");
    let words: Vec<_> = text.split(' ').collect();
    let is_time = |index: usize| words.get(index + 1).is_some_and(|unit| unit.starts_with("ms"));
    let word = |(index, word): (usize, &&str)| {
        if is_time(index) && word.parse::<u32>().is_ok() {
            "N".to_owned()
        } else {
            (*word).to_owned()
        }
    };
    words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}
