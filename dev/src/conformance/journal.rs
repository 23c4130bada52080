//! The journal of the process: every event of `tracing` and `log` at every level, and every panic.
//! All of it is searched for the secret.

use std::io::{self, Write};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::conformance::canary;

#[derive(Default)]
struct Journal {
    text: Vec<u8>,
    /// The length of the part that was already searched.
    checked: usize,
}

static JOURNAL: LazyLock<Mutex<Journal>> = LazyLock::new(|| {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(Pen)
        .init();
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = writeln!(Pen, "panic: {panic}");
        print(panic);
    }));
    Mutex::default()
});

/// Begins to record. A second call does nothing.
pub fn open() {
    drop(lock());
}

/// All that was recorded so far.
#[must_use]
pub fn text() -> String {
    String::from_utf8_lossy(&lock().text).into_owned()
}

/// Fails if any part of this process has logged the secret since the last call.
///
/// # Panics
/// On failure.
#[track_caller]
pub fn assert_silent() {
    let new = {
        let mut journal = lock();
        // The end of the part that was already searched is searched again, because a word may have
        // been cut in two.
        let from = journal.checked.saturating_sub(200);
        journal.checked = journal.text.len();
        String::from_utf8_lossy(&journal.text[from..]).into_owned()
    };
    canary::assert_silent("the log", &new);
}

fn lock() -> MutexGuard<'static, Journal> {
    JOURNAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes into the journal.
struct Pen;

impl Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock().text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Pen {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}
