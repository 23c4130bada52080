//! Watching an attempt while it goes on: what each resource is doing, and what came of it.

use std::sync::Arc;

use crate::attach::connect::Attempt;
use crate::report::error::Problem;

/// What a resource that is being attached is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Fetching,
    Resolving,
    Connecting,
    Handshaking,
    /// The verified connection is the service's now: it logs in and asks who it is.
    LoggingIn,
}

/// Whoever wants to know. A field is told by its place in declaration order, which begins with 1.
pub(crate) trait Watch: Send + Sync {
    fn step(&self, ordinal: usize, step: Step);

    /// It has come back, whatever came of it.
    fn settled(&self, attempt: &Attempt, problems: &[(usize, Problem)]);
}

tokio::task_local! {
    /// Who watches this task's resource.
    static WATCHED: (usize, Arc<dyn Watch>);
}

/// Tells whoever watches what this task is doing now.
pub(crate) fn at(step: Step) {
    // Nobody watches.
    let _ = WATCHED.try_with(|(ordinal, watch)| watch.step(*ordinal, step));
}

/// The same work, watched.
pub(crate) async fn watched<T>(ordinal: usize, watch: Option<Arc<dyn Watch>>, work: impl Future<Output = T>) -> T {
    match watch {
        Some(watch) => WATCHED.scope((ordinal, watch), work).await,
        None => work.await,
    }
}
