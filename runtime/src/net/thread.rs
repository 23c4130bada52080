//! Work that may block without a limit: a file on a network that is down, a source from another
//! crate. It runs on a separate thread, and the caller waits for it up to a limit.
//!
//! A blocked thread cannot be stopped. So it is not a thread of the tokio runtime, which waits for
//! its threads when it shuts down: the process would not exit. There are at most 8 such
//! threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::report::finding::{Failure, FailureKind};

/// The maximum number of threads at once: 8. Loading takes a millisecond, so this many exist only
/// if they are blocked; and `follow` starts new work each minute.
const MOST: usize = 8;

static FREE: Semaphore = Semaphore::const_new(MOST);

/// The reason why the work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoResult {
    /// The work took longer than the limit.
    Late,
    /// The work panicked, or no thread could be started.
    Broken,
}

impl NoResult {
    /// The failure, if the work was opening a file.
    pub fn into_failure(self) -> Failure {
        let message = match self {
            Self::Late => "its file was not found in time",
            Self::Broken => "its file could not be checked",
        };
        Failure::new(
            FailureKind::TimedOut,
            message,
            "check the file system that it is on: one on a network may be away",
        )
    }
}

/// Runs the work and waits for it up to the limit. After that the work continues, and its result is
/// dropped.
pub async fn on_thread<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoResult> {
    let deadline = Instant::now() + limit;
    let free = timeout_at(deadline, FREE.acquire()).await.map_err(|_| NoResult::Late)?;
    let free = free.map_err(|_| NoResult::Broken)?;
    let runtime = Handle::current();
    let (sender, done) = mpsc::channel();
    let given_up = GivenUp(sender.clone());
    let work = move || {
        let _runtime = runtime.enter();
        let outcome = catch_unwind(AssertUnwindSafe(work)).ok();
        // Release the permit before the caller continues: it may need a thread again.
        drop(free);
        let _ = sender.send(outcome);
    };
    thread::Builder::new()
        .name("backing-services".to_owned())
        .spawn(work)
        .map_err(|_| NoResult::Broken)?;
    // A blocking thread of the runtime waits too: while it does, a paused clock in a test does not
    // advance.
    let waiting = tokio::task::spawn_blocking(move || done.recv().ok().flatten());
    let outcome = timeout_at(deadline, waiting).await.map_err(|_| NoResult::Late)?;
    drop(given_up);
    outcome.ok().flatten().ok_or(NoResult::Broken)
}

/// Ends the wait of the runtime's blocking thread when the caller has gone.
struct GivenUp<T>(mpsc::Sender<Option<T>>);

impl<T> Drop for GivenUp<T> {
    fn drop(&mut self) {
        let _ = self.0.send(None);
    }
}

#[cfg(test)]
#[allow(clippy::panic, reason = "the tests need work that panics")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_result_is_returned_unless_the_work_panics() {
        const SOON: Duration = Duration::from_secs(10);
        assert_eq!(
            on_thread(SOON, || Handle::try_current().is_ok()).await,
            Ok(true),
            "it is in the runtime"
        );
        assert_eq!(on_thread(SOON, || -> u8 { panic!("a source's") }).await, Err(NoResult::Broken));
    }

    /// The runtime shuts down although work that it started is blocked.
    #[test]
    fn blocked_work_blocks_neither_its_caller_nor_the_runtime() {
        let (stuck, release) = mpsc::channel::<()>();
        let begun = std::time::Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome =
            runtime.block_on(on_thread(Duration::from_millis(50), move || release.recv().is_ok()));
        assert_eq!(outcome, Err(NoResult::Late));
        drop(runtime);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(stuck);
    }
}
