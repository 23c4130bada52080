//! Standard output: with colours where they are wanted, and without complaint where nobody reads to the end.

use std::io::{self, Stdout, Write};

use anstream::{AutoStream, ColorChoice};

use super::Why;

/// Standard output. Whoever stops reading has seen what they wanted: it changes nothing of the exit status.
pub(super) struct Output(AutoStream<Stdout>);

impl Output {
    pub(super) fn new(color: ColorChoice) -> Self {
        Self(AutoStream::new(io::stdout(), color))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_closed(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_closed(self.0.flush(), ())
    }
}

fn unless_closed<T>(result: io::Result<T>, done: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(done),
        result => result,
    }
}

/// That standard output is gone for another reason, such as a full disk.
pub(super) fn broken(_: io::Error) -> Why {
    Box::new("standard output cannot be written to")
}
