//! Tasks of the runtime, which are all of one type.
//!
//! What runs a task is compiled by tokio for each type of future, and for each of its two schedulers: some 6 KiB of every program for each place that begins one. So
//! what a task does is boxed here, and so is what comes of it.

use std::any::Any;
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

/// The longest pause between two attempts: a minute.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What came of a task; its type is that of whoever began it.
type Outcome = Box<dyn Any + Send>;

/// Tasks that end with whoever waits for them.
pub(crate) struct Tasks<T> {
    running: JoinSet<Outcome>,
    outcome: PhantomData<fn() -> T>,
}

impl<T: Send + 'static> Tasks<T> {
    pub(crate) fn new() -> Self {
        Self { running: JoinSet::new(), outcome: PhantomData }
    }

    /// Begins one in the current runtime.
    pub(crate) fn spawn(&mut self, work: impl Future<Output = T> + Send + 'static) {
        self.running.spawn(boxed(work));
    }

    /// The next one that has ended, and what came of it: nothing where it panicked or was aborted. `None` where there is none left.
    pub(crate) async fn join_next(&mut self) -> Option<Option<T>> {
        let ended = self.running.join_next().await?;
        Some(ended.ok().and_then(unboxed))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn abort_all(&mut self) {
        self.running.abort_all();
    }

    /// Aborts them, and waits until they are gone.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(crate) async fn shutdown(&mut self) {
        self.running.shutdown().await;
    }
}

/// A task that goes on, whoever waits for it.
pub(crate) struct Task<T> {
    running: JoinHandle<Outcome>,
    outcome: PhantomData<fn() -> T>,
}

/// Begins a task that goes on, whoever waits for it.
pub(crate) fn spawn<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    Task { running: runtime.spawn(boxed(work)), outcome: PhantomData }
}

impl<T: Send + 'static> Task<T> {
    /// What came of it; `None` where it panicked.
    pub(crate) async fn join(self) -> Option<T> {
        self.running.await.ok().and_then(unboxed)
    }

    /// What ends it early.
    pub(crate) fn abort_handle(&self) -> tokio::task::AbortHandle {
        self.running.abort_handle()
    }
}

/// Does what may panic in a task of its own: it takes that with it, and no more. The task ends with whoever waits for it.
pub(crate) async fn apart<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Failure> {
    let mut tasks = Tasks::new();
    tasks.spawn(work);
    match tokio::time::timeout(limit, tasks.join_next()).await {
        Ok(outcome) => outcome.flatten().ok_or_else(panicked),
        Err(_) => Err(late(limit)),
    }
}

/// Does what may panic in the task that asks for it. `None` if it panicked: the panic ends neither
/// the task nor what the task does next.
///
/// A program that is built with `panic = "abort"` has no such second chance: there every panic ends
/// the process.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| match at_once(|| work.as_mut().poll(context)) {
        Some(poll) => poll.map(Some),
        None => Poll::Ready(None),
    })
    .await
}

/// Calls what may panic. `None` if it panicked. The message of the panic is on standard error,
/// where the panic hook of the process writes it.
pub(crate) fn at_once<T>(work: impl FnOnce() -> T) -> Option<T> {
    // What a panic leaves half done belongs to the code that panicked. Our own state is written
    // after `work` has returned.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// 1 s, doubled up to a minute, with as much again at random: for what is away, and comes back.
pub(crate) fn pauses() -> ExponentialBackoff {
    let builder = ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(LONGEST_PAUSE);
    builder.with_jitter().without_max_times().build()
}

/// Work that goes on for as long as what it is for.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Begins a task that ends with its work. If the work panics, the task reports that as an error and
/// by `panicked`, and begins the work again after a pause.
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
                "{name} panicked, and begins again after a pause: the message of the panic is on standard error"
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
#[allow(clippy::panic, reason = "a task that panics is what is tested")]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;
    use crate::report::finding::FailureKind;

    /// Ends the test where a task neither ends nor is let go of.
    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn what_came_of_each_is_given_and_nothing_of_one_that_panics() {
        let mut tasks = Tasks::new();
        tasks.spawn(async { Some(1) });
        tasks.spawn(async { panic!("a driver's") });
        tasks.spawn(async { None });
        let mut outcomes = Vec::new();
        while let Some(outcome) = tasks.join_next().await {
            outcomes.push(outcome);
        }
        outcomes.sort_unstable();
        assert_eq!(outcomes, [None, Some(None), Some(Some(1))]);
        assert!(tasks.is_empty());
    }

    #[tokio::test]
    async fn tasks_end_with_whoever_waits_and_a_task_goes_on() {
        let (ended, end) = oneshot::channel::<()>();
        let mut tasks = Tasks::new();
        tasks.spawn(async move {
            pending::<()>().await;
            drop(ended);
        });
        drop(tasks);
        // Its end is that the sender is gone.
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
    async fn a_panic_is_caught_whenever_it_comes() {
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
    async fn work_that_panics_is_reported_and_begun_again_after_pauses_that_grow() {
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
        // 1 s, 2 s and 4 s, and at most as much again.
        assert!((7..=14).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn apart_panics_and_delays_are_failures() {
        assert_eq!(apart(SOON, async { 1 }).await.unwrap(), 1);
        let panicked = apart::<()>(SOON, async { panic!("a driver's") }).await.unwrap_err();
        assert_eq!(panicked.kind(), FailureKind::Protocol);
        let late = apart(Duration::from_millis(10), pending::<()>()).await.unwrap_err();
        assert_eq!(late.kind(), FailureKind::TimedOut);
    }
}
