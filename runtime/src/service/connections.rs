//! The connections of a client that opens several: a pool.
//!
//! A pool counts a connection once it is open. An opening that has begun would outlast the end of
//! closing, and log in after it. So it counts from its beginning, and closing ends it. Closing
//! waits for the connections that are in use, and cuts them if it is dropped before their end.

use std::fmt;

use tokio::sync::watch;

use crate::net::time::run_until_cancelled;
use crate::report::finding::Failure;
use crate::report::refusal::Refusal;

/// The connections that a client has, and those that it opens. Clones share the count.
#[derive(Clone)]
pub struct Connections {
    count: watch::Sender<Count>,
    /// True once closing has stopped waiting. Each connection waits for it, so it is apart from the
    /// count, which changes with each of them.
    cut: watch::Sender<bool>,
}

#[derive(Clone, Copy)]
struct Count {
    closed: bool,
    live: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self::new()
    }
}

impl Connections {
    /// No connection yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            count: watch::Sender::new(Count { closed: false, live: 0 }),
            cut: watch::Sender::new(false),
        }
    }

    /// Opens one more connection. It is counted until its [`CountedConnection`] is dropped.
    ///
    /// # Errors
    /// Those of `opening`, and [`Failure::detached`] once [`Connections::close`] is called. The
    /// opening is then dropped; a connection that it has just opened is dropped too.
    pub async fn open<T, F>(
        &self,
        opening: impl FnOnce(CountedConnection) -> F,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let counted = CountedConnection(self.clone());
        // One step: closing either sees this opening, or is seen by it.
        let begun = self.count.send_if_modified(|count| {
            count.live += 1;
            !count.closed
        });
        if !begun {
            return Err(Failure::detached().into());
        }
        self.run(opening(counted)).await
    }

    /// Runs work of the client that ends when the client is closed.
    ///
    /// # Errors
    /// Those of the work, and [`Failure::detached`] once [`Connections::close`] is called.
    pub fn run<T, W>(&self, work: W) -> impl Future<Output = Result<T, Refusal>> + use<'_, T, W>
    where
        W: Future<Output = Result<T, Refusal>>,
    {
        // On the heap: the caller's future has to hold it otherwise, once for each layer.
        let work = Box::pin(work);
        async move {
            let mut closed = self.count.subscribe();
            let closing = async {
                let _ = closed.wait_for(|count| count.closed).await;
            };
            let done = run_until_cancelled(closing, work).await;
            // Work that ends together with the client has ended too late.
            let done = done.filter(|_| !self.count.borrow().closed);
            done.unwrap_or_else(|| Err(Failure::detached().into()))
        }
    }

    /// Ends every opening at once, and begins no more. The future waits until no connection is
    /// left. If it is dropped before, it cuts the connections that are left: see
    /// [`CountedConnection::cut`].
    pub fn close(&self) -> impl Future<Output = ()> + Send + 'static {
        self.count.send_modify(|count| count.closed = true);
        let (mut live, cutting) = (self.count.subscribe(), CutOnDrop(self.clone()));
        async move {
            let _cutting = cutting;
            let _ = live.wait_for(|count| count.live == 0).await;
        }
    }

    /// Waits until they are closed and none is left, or until those that are left are cut.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let (mut count, mut cut) = (self.count.subscribe(), self.cut.subscribe());
        async move {
            let none_is_left = async {
                let _ = count.wait_for(|count| count.closed && count.live == 0).await;
            };
            let are_cut = async {
                let _ = cut.wait_for(|cut| *cut).await;
            };
            run_until_cancelled(are_cut, none_is_left).await;
        }
    }

    /// True once [`Connections::close`] was called.
    pub(crate) fn are_closed(&self) -> bool {
        self.count.borrow().closed
    }

    /// Closes them when the guard is dropped. The future of
    /// [`Service::close`](crate::Service::close) is dropped once its time is over.
    #[must_use]
    pub fn close_on_drop(&self) -> CloseOnDrop {
        CloseOnDrop(self.clone())
    }
}

/// Closes the [`Connections`] when it is dropped: see [`Connections::close_on_drop`].
#[derive(Debug)]
pub struct CloseOnDrop(Connections);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        drop(self.0.close());
    }
}

/// Held by the future of [`Connections::close`].
struct CutOnDrop(Connections);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut.send_replace(true);
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { closed, live, .. } = *self.count.borrow();
        f.debug_struct("Connections").field("closed", &closed).field("live", &live).finish()
    }
}

/// One of the [`Connections`] of a client, until it is dropped.
#[derive(Debug)]
pub struct CountedConnection(Connections);

impl CountedConnection {
    /// Waits until the connection has to end, although it is in use: the time for closing is over.
    /// The future does not borrow the connection.
    pub fn cut(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut cut = self.0.cut.subscribe();
        async move {
            // The sender lives in the connection. Its end does not count as a cut.
            if cut.wait_for(|cut| *cut).await.is_err() {
                std::future::pending().await
            }
        }
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| count.live = count.live.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Fails the test if closing does not end.
    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn closing_ends_an_opening_and_waits_for_a_connection() {
        let connections = Connections::new();
        let held = connections.open(|counted| async { Ok(counted) }).await.unwrap();
        let mut opening = pin!(connections.open(|counted| async {
            let _counted = counted;
            pending::<Result<(), Refusal>>().await
        }));
        assert!(timeout(Duration::from_millis(1), opening.as_mut()).await.is_err());
        let mut closing = pin!(connections.clone().close());
        let refusal = opening.await.unwrap_err();
        assert!(refusal.to_string().contains("the resource is detached"), "{refusal}");
        assert!(timeout(Duration::from_millis(1), closing.as_mut()).await.is_err());
        drop(held);
        timeout(SOON, closing).await.unwrap();
    }

    #[tokio::test]
    async fn closing_that_is_dropped_cuts_a_connection_in_use() {
        let connections = Connections::new();
        let held = connections.open(|counted| async { Ok(counted) }).await.unwrap();
        let mut cut = pin!(held.cut());
        let closing = connections.close();
        assert!(timeout(Duration::from_millis(1), cut.as_mut()).await.is_err());
        drop(closing);
        timeout(SOON, cut).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_was_opened_too_late_is_dropped() {
        let connections = Connections::new();
        let closing = connections.clone();
        let late = connections.open(|counted| async move {
            drop(closing.close());
            Ok(counted)
        });
        assert!(late.await.is_err());
        timeout(SOON, connections.close()).await.unwrap();
        let begun = connections.open(|_| async { Err::<(), _>(Failure::protocol().into()) }).await;
        let refusal = begun.unwrap_err();
        assert!(refusal.to_string().contains("the resource is detached"), "{refusal}");
        assert!(connections.run(async { Ok(()) }).await.is_err(), "no connection is used again");
    }
}
