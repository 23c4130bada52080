//! Jittered intervals.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

/// Shortens an interval by up to a tenth, at random, so that resources attached together are not
/// checked together.
pub(crate) fn jittered(interval: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 100;
    interval.max(SHORTEST).mul_f64(1.0 - random as f64 / 1000.0)
}

/// The default interval between two postures: 1 hour. Each costs a login, and a person has to fix
/// its findings.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The shortest interval: 1 s. Even a small server can handle a login per second.
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_interval_is_shortened_by_up_to_a_tenth_at_random() {
        let seconds = |interval| {
            let intervals = (0..100).map(|_| jittered(Duration::from_secs(interval)).as_millis());
            intervals.collect::<BTreeSet<_>>()
        };
        let minutes = seconds(100);
        assert!(minutes.len() > 10, "{minutes:?}");
        assert!(minutes.iter().all(|length| (90_000..=100_000).contains(length)), "{minutes:?}");
        assert_eq!(INTERVAL.as_secs(), 3_600);
        let shortest = seconds(0);
        assert!(shortest.iter().all(|length| (900..=1_000).contains(length)), "{shortest:?}");
    }
}
