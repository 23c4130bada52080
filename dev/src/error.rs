//! Errors.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::Output;

use backing_services_runtime::posture::printable;

/// The longest log in an error, in lines: the cause is near the end.
const LONGEST_LOG: usize = 30;

/// The reason why a server does not run, or why a resource has none. The message is for the
/// developer whose machine this is: it names the program, the file or the field, and what to do.
#[derive(Clone, PartialEq, Eq)]
pub struct DevError {
    message: String,
}

impl DevError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// The operating system refuses something: a file, a process, a port.
    pub(crate) fn system(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(format!("{what}: {error}"))
    }

    pub(crate) fn path(what: &str, path: &Path, error: &io::Error) -> Self {
        Self::system(format_args!("{what} {}", path.display()), error)
    }

    pub(crate) fn certificate(error: impl fmt::Display) -> Self {
        Self::new(format!("no certificate could be made: {error}"))
    }

    /// A program ended with an error.
    pub(crate) fn failed(program: &str, output: &Output) -> Self {
        let said = said(output);
        Self::new(format!("`{program}` failed ({}):\n{}", output.status, last_lines(&said)))
    }

    pub(crate) fn ended(server: &str, status: &str, log: &str) -> Self {
        Self::new(format!("{server} has ended (status {status}). Its log:\n{}", last_lines(log)))
    }

    pub(crate) fn no_answer(server: &str, log: &str) -> Self {
        Self::new(format!("{server} does not answer. Its log:\n{}", last_lines(log)))
    }
}

/// All output of a program.
pub(crate) fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

/// The end of a text, in which nothing controls a terminal.
fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LONGEST_LOG)..];
    last.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for DevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// As `Display`: a test that unwraps shows the message as it is.
impl fmt::Debug for DevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DevError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_shown_and_controls_no_terminal() {
        let log: String = (1..=100).map(|line| format!("line {line}\u{1b}[2J\n")).collect();
        let error = DevError::no_answer("a server", &log).to_string();
        assert!(error.starts_with("a server does not answer. Its log:\nline 71\\u{1b}[2J\n"));
        assert!(error.ends_with("line 100\\u{1b}[2J"), "{error}");
    }
}
