//! Tasks on the tokio runtime, with futures and results that are type-erased.
//!
//! tokio compiles its task harness for each type of future, and for each of its two schedulers:
//! some 6 KiB of every program for each place that spawns one. Futures and results are boxed here
//! to avoid that.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::net::time::{late, panicked};
use crate::report::finding::Failure;

/// The longest pause between two attempts, before jitter: 1 min.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The result of a task. The caller that spawned the task knows its type.
type Outcome = Box<dyn Any + Send>;

/// Tasks that are aborted when this set is dropped.
pub struct Tasks<T> {
    running: JoinSet<Outcome>,
    outcome: PhantomData<fn() -> T>,
}

impl<T: Send + 'static> Default for Tasks<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Tasks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("running", &self.running.len()).finish()
    }
}

impl<T: Send + 'static> Tasks<T> {
    /// An empty set.
    pub fn new() -> Self {
        Self { running: JoinSet::new(), outcome: PhantomData }
    }

    /// Spawns a task on the current runtime.
    pub fn spawn(&mut self, work: impl Future<Output = T> + Send + 'static) {
        self.running.spawn(boxed(work));
    }

    /// Waits for the next task to end, and returns its result; `None` if no task is left.
    pub async fn join_next(&mut self) -> Option<Result<T, Unfinished>> {
        let ended = self.running.join_next().await?;
        Some(ended.ok().and_then(unboxed).ok_or(Unfinished))
    }

    /// True if no task is left.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Aborts all tasks.
    pub fn abort_all(&mut self) {
        self.running.abort_all();
    }

    /// Aborts all tasks, and waits until they have ended.
    pub async fn shutdown(&mut self) {
        self.running.shutdown().await;
    }
}

/// A task that panicked or was aborted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Unfinished;

/// A handle of a task that continues when the handle is dropped.
pub struct Task<T> {
    running: JoinHandle<Outcome>,
    outcome: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("running", &!self.running.is_finished()).finish()
    }
}

/// Spawns a task that continues when its handle is dropped.
pub fn spawn<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    Task { running: runtime.spawn(boxed(work)), outcome: PhantomData }
}

impl<T: Send + 'static> Task<T> {
    /// Waits for the result; `None` if the task panicked or was aborted.
    pub async fn join(self) -> Option<T> {
        self.running.await.ok().and_then(unboxed)
    }

    /// A handle that aborts the task.
    pub fn abort_handle(&self) -> tokio::task::AbortHandle {
        self.running.abort_handle()
    }
}

/// Runs work that may panic in a separate task, so that a panic ends only that task. The task is
/// aborted if the caller is dropped.
pub(crate) async fn isolated<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Failure> {
    let mut tasks = Tasks::new();
    tasks.spawn(work);
    match tokio::time::timeout(limit, tasks.join_next()).await {
        Ok(outcome) => outcome.and_then(Result::ok).ok_or_else(panicked),
        Err(_) => Err(late(limit)),
    }
}

/// Runs work that may panic in the caller's task. Returns `None` if it panicked; the caller's task
/// continues.
///
/// In a program that is built with `panic = "abort"`, every panic ends the process.
pub async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| match at_once(|| work.as_mut().poll(context)) {
        Some(poll) => poll.map(Some),
        None => Poll::Ready(None),
    })
    .await
}

/// Calls a function that may panic. Returns `None` if it panicked. The panic hook of the process
/// prints the message, by default to standard error.
pub(crate) fn at_once<T>(work: impl FnOnce() -> T) -> Option<T> {
    // Half-finished state belongs to the code that panicked. Our own state is written after `work`
    // has returned.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The pauses of retries: 1 s, doubled up to 1 min, with up to 100 % jitter.
pub(crate) fn pauses() -> ExponentialBackoff {
    let builder = ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(LONGEST_PAUSE);
    builder.with_jitter().without_max_times().build()
}

/// The work of a supervised task.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns a task that ends when its work ends. If the work panics, the task logs an error, calls
/// `panicked`, and starts the work again after a pause.
pub(crate) fn keep(
    runtime: &Handle,
    name: String,
    mut begin: impl FnMut() -> Work + Send + 'static,
    mut panicked: impl FnMut() + Send + 'static,
) -> Task<()> {
    spawn(runtime, async move {
        let mut pause = pauses();
        loop {
            let begun = Instant::now();
            if caught(async { begin().await }).await.is_some() {
                return;
            }
            if begun.elapsed() > LONGEST_PAUSE {
                pause = pauses();
            }
            tracing::error!(
                "{name} panicked, and begins again after a pause: the message of the panic is on \
                 standard error"
            );
            panicked();
            tokio::time::sleep(pause.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    })
}

fn boxed<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
    Box::pin(async move { Box::new(work.await) as Outcome })
}

fn unboxed<T: 'static>(outcome: Outcome) -> Option<T> {
    outcome.downcast().ok().map(|outcome| *outcome)
}

#[cfg(test)]
#[allow(clippy::panic, reason = "the tests need tasks that panic")]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;
    use crate::report::finding::FailureKind;

    /// Fails the test if a task neither ends nor is aborted.
    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn results_are_returned_and_a_panic_has_none() {
        let mut tasks = Tasks::new();
        tasks.spawn(async { Some(1) });
        tasks.spawn(async { panic!("a driver's") });
        tasks.spawn(async { None });
        let mut outcomes = Vec::new();
        while let Some(outcome) = tasks.join_next().await {
            outcomes.push(outcome.ok());
        }
        outcomes.sort_unstable();
        assert_eq!(outcomes, [None, Some(None), Some(Some(1))]);
        assert!(tasks.is_empty());
    }

    #[tokio::test]
    async fn dropping_a_set_aborts_its_tasks_and_dropping_a_handle_does_not() {
        let (ended, end) = oneshot::channel::<()>();
        let mut tasks = Tasks::new();
        tasks.spawn(async move {
            pending::<()>().await;
            drop(ended);
        });
        drop(tasks);
        // The receiver fails once the task has dropped its sender.
        assert!(tokio::time::timeout(SOON, end).await.unwrap().is_err());

        let (done, told) = oneshot::channel();
        drop(spawn(&Handle::current(), async move { done.send(2) }));
        assert_eq!(tokio::time::timeout(SOON, told).await.unwrap(), Ok(2));
        assert_eq!(spawn(&Handle::current(), async { 3 }).join().await, Some(3));
        assert_eq!(
            spawn(&Handle::current(), async { panic!("a driver's") }).join().await,
            None::<()>
        );
    }

    #[tokio::test]
    async fn aborted_tasks_are_unfinished() {
        let mut tasks = Tasks::<()>::new();
        tasks.spawn(pending());
        assert!(!tasks.is_empty());
        tasks.abort_all();
        let outcome = tokio::time::timeout(SOON, tasks.join_next()).await.unwrap();
        assert!(outcome.is_some_and(|outcome| outcome.is_err()));
        tasks.spawn(pending());
        tasks.shutdown().await;
        assert!(tasks.is_empty());
    }

    /// Work that ran longer than the longest pause starts with the shortest pause again.
    #[tokio::test(start_paused = true)]
    async fn pauses_grow_for_work_that_panics_soon_only() {
        for (lasts, pauses) in [(59, 1 + 2 + 4 + 8 + 16 + 32), (61, 6)] {
            let (start, mut count) = (Instant::now(), 0);
            let begin = move || -> Work {
                count += 1;
                Box::pin(async move {
                    tokio::time::sleep(Duration::from_secs(lasts)).await;
                    assert!(count > 6, "it panics");
                })
            };
            keep(&Handle::current(), "a test".to_owned(), begin, || ()).join().await.unwrap();
            let paused = start.elapsed().as_secs() - 7 * lasts;
            assert!((pauses..=2 * pauses).contains(&paused), "{lasts}: {paused}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_caught_at_once_and_after_a_yield() {
        assert_eq!(caught(async { 1 }).await, Some(1));
        assert_eq!(caught(async { panic!("at once") }).await, None::<()>);
        let later = async {
            tokio::task::yield_now().await;
            panic!("later")
        };
        assert_eq!(caught(later).await, None::<()>);
        assert_eq!(at_once(|| panic!("a source's")), None::<()>);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_restarts_with_growing_pauses() {
        let (reported, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let start = Instant::now();
        let work = Arc::clone(&begun);
        let begin = move || -> Work {
            let count = work.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(count > 1, "it panics before there is a future");
            Box::pin(async move { assert!(count > 3, "it panics in the future") })
        };
        let report = Arc::clone(&reported);
        let panicked = move || {
            report.fetch_add(1, Ordering::Relaxed);
        };
        keep(&Handle::current(), "a test".to_owned(), begin, panicked).join().await.unwrap();
        assert_eq!((begun.load(Ordering::Relaxed), reported.load(Ordering::Relaxed)), (4, 3));
        // 1 s, 2 s and 4 s, each with up to 100 % jitter.
        assert!((7..=14).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn apart_panics_and_delays_are_failures() {
        assert_eq!(isolated(SOON, async { 1 }).await.unwrap(), 1);
        let panicked = isolated::<()>(SOON, async { panic!("a driver's") }).await.unwrap_err();
        assert_eq!(panicked.kind(), FailureKind::Protocol);
        let late = isolated(Duration::from_millis(10), pending::<()>()).await.unwrap_err();
        assert_eq!(late.kind(), FailureKind::TimedOut);
    }
}
