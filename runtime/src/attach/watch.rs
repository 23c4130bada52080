//! Watches a running attempt: the step of each resource, and its result.

use std::sync::Arc;
use std::time::Duration;

use crate::net::progress::{Progress, Step, reporting};
use crate::report::error::Problem;
use crate::report::posture::Posture;

/// Receives the progress of an attempt. A field is identified by its ordinal in declaration order,
/// which begins with 1.
pub trait Watch: Send + Sync {
    /// The resource has reached this step.
    fn step(&self, ordinal: usize, step: Step);

    /// Connecting the resource has ended, with whatever result.
    fn ended(&self, ended: &Ended<'_>);
}

/// The result of connecting to one resource.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended<'a> {
    /// The field's ordinal in declaration order, which begins with 1.
    pub ordinal: usize,
    /// The locator, without the user, the secret, and a path that may be secret.
    pub endpoint: String,
    /// The posture; `None` if the resource could not be connected to.
    pub posture: Option<&'a Posture>,
    /// The time that connecting took.
    pub took: Option<Duration>,
    /// The findings and the failures.
    pub problems: &'a [(usize, Problem)],
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
