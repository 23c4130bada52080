//! Work that may block for as long as it likes: a file on a network that is away, a source that
//! somebody else wrote. It has a thread of its own, and who waits for it waits no longer than a limit.
//!
//! A thread that is stuck cannot be ended. So it is none of the runtime's: that one waits for its
//! threads when it ends, and the process would wait with it. And there are at most [`MOST`] of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

#[cfg(feature = "sqlite")]
use crate::report::finding::{Failure, FailureKind};

/// The most threads at once: 8. Loading takes a millisecond, so that many are only there if they are
/// stuck; and following asks again each minute.
const MOST: usize = 8;

static FREE: Semaphore = Semaphore::const_new(MOST);

/// Why nothing came of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Apart {
    /// It took longer than the limit.
    Late,
    /// It panicked, or there was no thread for it.
    Broken,
}

impl Apart {
    /// What it is if it was a file that was looked at.
    #[cfg(feature = "sqlite")]
    pub(crate) fn into_failure(self) -> Failure {
        let message = match self {
            Self::Late => "its file was not found in time",
            Self::Broken => "its file could not be looked at",
        };
        Failure::new(
            FailureKind::TimedOut,
            message,
            "look at the file system that it is on: one on a network may be away",
        )
    }
}

/// Does the work, and waits for it as long as the limit says. The work goes on after that, for nobody.
pub(crate) async fn apart<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Apart> {
    let deadline = Instant::now() + limit;
    let free = timeout_at(deadline, FREE.acquire()).await.map_err(|_| Apart::Late)?;
    let free = free.map_err(|_| Apart::Broken)?;
    let runtime = Handle::current();
    let (sender, done) = mpsc::channel();
    let given_up = GivenUp(sender.clone());
    let work = move || {
        let _runtime = runtime.enter();
        let outcome = catch_unwind(AssertUnwindSafe(work)).ok();
        // Before the one who waits goes on, and perhaps needs a thread again.
        drop(free);
        let _ = sender.send(outcome);
    };
    thread::Builder::new()
        .name("backing-services".to_owned())
        .spawn(work)
        .map_err(|_| Apart::Broken)?;
    // A thread of the runtime's waits, too: where time is paused, in a test, it stays so meanwhile.
    let waiting = tokio::task::spawn_blocking(move || done.recv().ok().flatten());
    let outcome = timeout_at(deadline, waiting).await.map_err(|_| Apart::Late)?;
    drop(given_up);
    outcome.ok().flatten().ok_or(Apart::Broken)
}

/// Ends the wait of the runtime's thread, when nobody waits for it any more.
struct GivenUp<T>(mpsc::Sender<Option<T>>);

impl<T> Drop for GivenUp<T> {
    fn drop(&mut self) {
        let _ = self.0.send(None);
    }
}

#[cfg(test)]
#[allow(clippy::panic, reason = "work that panics is what is tested")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_of_the_work_is_given_unless_it_panics() {
        const SOON: Duration = Duration::from_secs(10);
        assert_eq!(
            apart(SOON, || Handle::try_current().is_ok()).await,
            Ok(true),
            "it is in the runtime"
        );
        assert_eq!(apart(SOON, || -> u8 { panic!("a source's") }).await, Err(Apart::Broken));
    }

    /// The runtime ends, although what was begun in it is stuck.
    #[test]
    fn what_is_stuck_holds_up_neither_its_caller_nor_the_runtime() {
        let (stuck, release) = mpsc::channel::<()>();
        let begun = std::time::Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome =
            runtime.block_on(apart(Duration::from_millis(50), move || release.recv().is_ok()));
        assert_eq!(outcome, Err(Apart::Late));
        drop(runtime);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(stuck);
    }
}
