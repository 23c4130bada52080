//! Pauses between two attempts, and the answer of a resource that has none left.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use crate::report::finding::{Failure, FailureKind};

/// Up to a tenth less, at random: what was attached at once does not come back at once.
pub(crate) fn jittered(interval: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 100;
    interval.max(SHORTEST).mul_f64(1.0 - random as f64 / 1000.0)
}

/// How often a posture is taken again, unless somebody says otherwise: every hour. It costs a login each time, and what it finds has to be mended by a person.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The shortest interval: a login a second is what the least of servers can bear.
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);

pub(crate) fn detached() -> Failure {
    Failure::new(FailureKind::Unavailable, "the resource is detached", "attach it again")
}
