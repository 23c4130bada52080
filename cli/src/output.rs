//! Standard output: coloured if that is wanted, and without an error if the reader closes it early.

use std::fs::File;
use std::io::{self, Write};

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use textwrap::core::display_width;
use textwrap::{Options, WordSplitter};

use super::ExitReason;

/// Standard output. If the reader closes it early, the exit status stays the same.
///
/// It is written through a `File`. The standard library's `Stdout` ignores a descriptor that cannot
/// be written to.
pub(super) struct Output {
    stream: AutoStream<File>,
}

impl Output {
    pub(super) fn new(color: ColorChoice) -> Result<Self, ExitReason> {
        let file = standard_output().map_err(broken)?;
        Ok(Self { stream: AutoStream::new(file, color) })
    }

    /// Reports whether everything was written. A network file system may report a full disk only at
    /// the end.
    pub(super) fn finish(mut self) -> Result<(), ExitReason> {
        self.flush().map_err(broken)?;
        let file = self.stream.into_inner();
        let is_regular = file.metadata().is_ok_and(|file| file.is_file());
        match is_regular.then(|| file.sync_data()) {
            // The file system does not support it.
            Some(Err(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            Some(Err(error)) => Err(broken(error)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Writes text for a person: on a terminal, lines are folded to its width.
    pub(super) fn tell(&mut self, text: &str) -> io::Result<()> {
        match console::Term::stdout().size_checked() {
            Some((_, columns)) if columns >= NARROWEST => {
                self.write_all(folded(text, columns.into()).as_bytes())
            }
            _ => self.write_all(text.as_bytes()),
        }
    }
}

#[cfg(unix)]
fn standard_output() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(windows)]
fn standard_output() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    io::stdout().as_handle().try_clone_to_owned().map(File::from)
}

/// A narrower terminal has no room to align anything.
const NARROWEST: u16 = 40;

/// Folds long lines between two words. The rest of a line is indented to its last column, which
/// begins behind the last two blanks.
fn folded(text: &str, columns: usize) -> String {
    let mut folded = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let plain = strip_str(line).to_string();
        let margin = plain.len() - plain.trim_start().len();
        let column = plain.trim_end().rfind("  ").map_or(0, |gap| display_width(&plain[..gap + 2]));
        let column = if column > margin && column <= columns * 2 / 3 { column } else { margin + 2 };
        let indent = " ".repeat(column);
        let options = Options::new(columns)
            .subsequent_indent(&indent)
            .word_splitter(WordSplitter::NoHyphenation);
        folded.push_str(&textwrap::fill(line, options.break_words(false)));
    }
    folded
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_closed(self.stream.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_closed(self.stream.flush(), ())
    }
}

fn unless_closed<T>(result: io::Result<T>, done: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(done),
        result => result,
    }
}

/// The error for a standard output that cannot be written to for another reason, such as a full
/// disk, or a descriptor that is closed or only open for reading.
pub(super) fn broken(_: io::Error) -> ExitReason {
    Box::new("standard output cannot be written to")
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn what_is_too_long_goes_on_below_its_column() {
        for (text, expected) in [
            ("short\n\nshort\n", "short\n\nshort\n"),
            (
                "passed   orders  one, two three\n",
                "passed   orders  one, two\n                 three\n",
            ),
            (
                "\u{1b}[1;32mpassed\u{1b}[0m   orders  one, two\n",
                "\u{1b}[1;32mpassed\u{1b}[0m   orders  one, two\n",
            ),
            (
                "  error[rule]: one two three four five\n",
                "  error[rule]: one two\n    three four five\n",
            ),
            ("    help: one two three four five\n", "    help: one two three\n      four five\n"),
            (
                "a line with one-word-that-is-wider-than-that\n",
                "a line with\n  one-word-that-is-wider-than-that\n",
            ),
            (
                "\u{4e00}\u{4e8c}\u{4e09} \u{56db}\u{4e94}\u{516d} \u{4e03}\u{516b}\u{4e5d} \
                 \u{5341}",
                "\u{4e00}\u{4e8c}\u{4e09} \u{56db}\u{4e94}\u{516d} \u{4e03}\u{516b}\u{4e5d}\n  \
                 \u{5341}",
            ),
        ] {
            assert_eq!(folded(text, if text.is_ascii() { 26 } else { 20 }), expected);
        }
    }
}
