//! Time limits of attaching, of detaching, and of their steps.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::report::finding::{Failure, FailureKind};

/// Waits for `work` up to `limit`. Panics, in tokio, if the tokio runtime has no timer.
pub async fn with_timeout<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        Failure::new(
            FailureKind::TimedOut,
            "the service did not answer in time",
            "check the service's load and the network",
        )
    })
}

/// Runs the work until it ends or `stop` completes. Returns `None` if it was stopped.
pub async fn run_until_cancelled<T>(
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

/// Runs both at once, and returns the error of the first if it fails. If the other one fails, its
/// error is returned after the first has succeeded: the first one's error may be more precise.
pub async fn try_join_prefer_first<A, B, E>(
    first: impl Future<Output = Result<A, E>>,
    other: impl Future<Output = Result<B, E>>,
) -> Result<(A, B), E> {
    let (mut first, mut other) = (pin!(first), pin!(other));
    let mut of_other = None;
    let of_first = poll_fn(|context| {
        let polled = first.as_mut().poll(context);
        if polled.is_pending()
            && of_other.is_none()
            && let Poll::Ready(result) = other.as_mut().poll(context)
        {
            of_other = Some(result);
        }
        polled
    });
    let of_first = of_first.await?;
    let of_other = match of_other {
        Some(result) => result,
        None => other.await,
    };
    Ok((of_first, of_other?))
}

/// The limit for closing if no time is left for it, or nothing is in flight: 1 s. After that, the
/// client is dropped. Work that still holds a connection is reported as cut.
pub(crate) const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// The limit for detaching: 10 s, a third of the grace period that Kubernetes gives a pod. Work in
/// flight gets 9 s of it.
pub(crate) const DETACH_DEADLINE: Duration = Duration::from_secs(10);

/// The time for which a client that a reattach replaced is kept for its current users: 30 s, the
/// longest that a statement may take unless a locator sets another limit.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// The time that a replacement client has to open its connections before it takes over with what it
/// has: 5 s. All connections together take little longer than one, so this is several times what
/// they need.
pub const READY_DEADLINE: Duration = Duration::from_secs(5);

/// The limit for a health check: 5 s, half of the usual interval between two probes.
pub const HEALTH_DEADLINE: Duration = Duration::from_secs(5);

pub(crate) fn late(limit: Duration) -> Failure {
    let message = format!("it was not attached within {} s", limit.as_secs());
    Failure::new(
        FailureKind::TimedOut,
        message,
        "check the service's load and the network; `#[services(deadline = …)]` is the time \
         for everything, in seconds",
    )
}

/// The failure for a panic of a driver.
pub fn panicked() -> Failure {
    Failure::new(
        FailureKind::Protocol,
        "the driver panicked",
        "check what answers on the port; if it is the right service, report this as a bug",
    )
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn the_error_of_the_first_has_priority() {
        let late = |result: Result<u8, &'static str>| async move {
            yield_now().await;
            result
        };
        assert_eq!(try_join_prefer_first(late(Ok(1)), ready(Ok(2))).await, Ok((1, 2)));
        assert_eq!(try_join_prefer_first(ready(Ok(1)), late(Ok(2))).await, Ok((1, 2)));
        assert_eq!(
            try_join_prefer_first(late(Err("first")), pending::<Result<(), _>>()).await,
            Err("first")
        );
        assert_eq!(
            try_join_prefer_first(late(Err("first")), ready(Err::<u8, _>("other"))).await,
            Err("first")
        );
        assert_eq!(
            try_join_prefer_first(late(Ok(1)), ready(Err::<u8, _>("other"))).await,
            Err("other")
        );
    }
}

/// One deadline for loading and connecting.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// The whole duration.
    pub(crate) total: Duration,
    pub(crate) deadline: tokio::time::Instant,
}

impl Limit {
    /// A deadline that starts now.
    pub(crate) fn new(whole: Duration) -> Self {
        Self { total: whole, deadline: tokio::time::Instant::now() + whole }
    }
}

/// The limit for closing when a detach has stopped waiting for a client's users: 900 ms. With the
/// 9 s before, that leaves 100 ms for a busy machine to keep [`DETACH_DEADLINE`].
pub(crate) const CUT_DEADLINE: Duration = Duration::from_millis(900);

/// The failure for a panic in a service's own code, with the name of the function.
pub(crate) fn panicked_in(function: &'static str) -> Failure {
    Failure::new(
        FailureKind::Protocol,
        format!("`{function}` of its service panicked"),
        "read the message of the panic on standard error, and report it to the authors of the \
         service",
    )
}
