//! Time limits: of an attach, of a detach, and of the steps between.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::report::finding::{Failure, FailureKind};

/// Waits for `work`, at most as long as `limit`. Without a tokio runtime with time, that is a panic of tokio's own.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        Failure::new(
            FailureKind::TimedOut,
            "the service did not answer in time",
            "look at the service's load and at the network",
        )
    })
}

/// Does the work, unless it is stopped before.
pub(crate) async fn unless<T>(
    stop: impl Future<Output = ()>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let (mut stop, mut work) = (pin!(stop), pin!(work));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => stop.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Does both at once. Where the first fails, that is the end; where the other one fails, the first is waited for, which may know better why.
#[cfg(any(feature = "nats", feature = "s3"))]
pub(crate) async fn both<A, B, E>(
    first: impl Future<Output = Result<A, E>>,
    other: impl Future<Output = Result<B, E>>,
) -> Result<(A, B), E> {
    let (mut first, mut other) = (pin!(first), pin!(other));
    let (mut of_first, mut of_other) = (None, None);
    poll_fn(|context| {
        if of_first.is_none()
            && let Poll::Ready(result) = first.as_mut().poll(context)
        {
            match result {
                Ok(done) => of_first = Some(done),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if of_other.is_none()
            && let Poll::Ready(result) = other.as_mut().poll(context)
        {
            of_other = Some(result);
        }
        if of_first.is_none() || of_other.is_none() {
            return Poll::Pending;
        }
        match (of_first.take(), of_other.take()) {
            (Some(first), Some(other)) => Poll::Ready(other.map(|other| (first, other))),
            _ => Poll::Pending,
        }
    })
    .await
}

/// How long closing may take when there is no time left for it, or nothing in flight: 1 s. What takes longer is dropped.
pub(crate) const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// How long detaching may take: 10 s, a third of the grace that Kubernetes gives a pod. What is in
/// flight has 9 s of it.
pub(crate) const DETACH_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client that was replaced by a reattach is kept for those who still use it: 30 s, the longest that a statement may take unless a locator
/// says otherwise.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// How long a client that is about to take another one's place may open connections, before it does as it is: 5 s, several times what all of them take together, which
/// is not much more than one takes.
pub(crate) const READY_DEADLINE: Duration = Duration::from_secs(5);

/// How long a service may take to say that it is well: 5 s, half of the usual interval between two probes.
pub(crate) const HEALTH_DEADLINE: Duration = Duration::from_secs(5);

pub(crate) fn late(limit: Duration) -> Failure {
    let message = format!("it was not attached within {} s", limit.as_secs());
    Failure::new(
        FailureKind::TimedOut,
        message,
        "look at the service's load and at the network; `#[services(deadline = …)]` is the time for everything, in seconds",
    )
}

pub(crate) fn panicked() -> Failure {
    Failure::new(
        FailureKind::Protocol,
        "the driver panicked",
        "look at what answers on the port; if it is the right service, report this as a bug",
    )
}

#[cfg(all(test, any(feature = "https", feature = "nats", feature = "s3")))]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn of_two_the_first_is_believed() {
        let late = |result: Result<u8, &'static str>| async move {
            yield_now().await;
            result
        };
        assert_eq!(both(late(Ok(1)), ready(Ok(2))).await, Ok((1, 2)));
        assert_eq!(both(ready(Ok(1)), late(Ok(2))).await, Ok((1, 2)));
        assert_eq!(both(late(Err("first")), pending::<Result<(), _>>()).await, Err("first"));
        assert_eq!(both(late(Err("first")), ready(Err::<u8, _>("other"))).await, Err("first"));
        assert_eq!(both(late(Ok(1)), ready(Err::<u8, _>("other"))).await, Err("other"));
    }
}

/// One deadline for loading and connecting.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// How long it was in the beginning.
    pub(crate) whole: Duration,
    pub(crate) deadline: tokio::time::Instant,
}

impl Limit {
    /// From now on.
    pub(crate) fn new(whole: Duration) -> Self {
        Self { whole, deadline: tokio::time::Instant::now() + whole }
    }
}

/// How long closing may take when a detach has waited for those who use a client, and waits for
/// them no more: 900 ms. With the 9 s before, that leaves 100 ms for a busy machine to keep
/// [`DETACH_DEADLINE`].
pub(crate) const CUT_DEADLINE: Duration = Duration::from_millis(900);

/// That a service's own code panicked, by the name of the function.
pub(crate) fn panicked_in(function: &'static str) -> Failure {
    Failure::new(
        FailureKind::Protocol,
        format!("`{function}` of its service panicked"),
        "read the message of the panic on standard error, and report it to the authors of the service",
    )
}
