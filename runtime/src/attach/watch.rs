//! Watches a running attempt: the step of each resource, and its result.

use std::sync::Arc;

use crate::attach::connect::PendingResource;
use crate::net::progress::{Progress, Step, reporting};
use crate::report::error::Problem;

/// Receives the progress of an attempt. A field is identified by its ordinal in declaration order,
/// which begins with 1.
pub(crate) trait Watch: Send + Sync {
    fn step(&self, ordinal: usize, step: Step);

    /// Connecting the resource has ended, with whatever result.
    fn settled(&self, resource: &PendingResource, problems: &[(usize, Problem)]);
}

/// One resource of a watched attempt.
struct Watched {
    ordinal: usize,
    watch: Arc<dyn Watch>,
}

impl Progress for Watched {
    fn step(&self, step: Step) {
        self.watch.step(self.ordinal, step);
    }
}

/// Runs the same work, and reports its progress.
pub(crate) async fn watched<T>(
    ordinal: usize,
    watch: Option<Arc<dyn Watch>>,
    work: impl Future<Output = T>,
) -> T {
    let progress = watch.map(|watch| Arc::new(Watched { ordinal, watch }) as Arc<dyn Progress>);
    reporting(progress, work).await
}
