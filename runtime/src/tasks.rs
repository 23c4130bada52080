//! Tasks of the runtime, which are all of one type.
//!
//! What runs a task is compiled by tokio for each type of future, and for each of its two schedulers: some 6 KiB of every program for each place that begins one. So
//! what a task does is boxed here, and so is what comes of it.

use std::any::Any;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

use crate::attach::{late, panicked};
use crate::finding::Failure;

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
pub(crate) fn spawn<T: Send + 'static>(runtime: &Handle, work: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task { running: runtime.spawn(boxed(work)), outcome: PhantomData }
}

impl<T: Send + 'static> Task<T> {
    /// What came of it; `None` where it panicked.
    pub(crate) async fn join(self) -> Option<T> {
        self.running.await.ok().and_then(unboxed)
    }

    /// What ends it early.
    #[cfg(any(feature = "etcd", feature = "follow", feature = "nats"))]
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

fn boxed<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
    Box::pin(async move { Box::new(work.await) as Outcome })
}

fn unboxed<T: 'static>(outcome: Outcome) -> Option<T> {
    outcome.downcast().ok().map(|outcome| *outcome)
}

#[cfg(test)]
#[allow(clippy::panic, reason = "a task that panics is what is tested")]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;
    use crate::finding::FailureKind;

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
        assert_eq!(spawn(&Handle::current(), async { panic!("a driver's") }).join().await, None::<()>);
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
