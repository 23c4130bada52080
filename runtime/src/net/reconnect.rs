//! When a connection that broke may be tried again: with pauses that grow, and not at all once the server has refused the credentials.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::report::finding::FailureKind;
use crate::report::refusal::Refusal;

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);

/// When the next attempt to connect may be.
pub(crate) struct ReconnectBackoff {
    backoff: ExponentialBackoff,
    not_before: Option<Instant>,
    /// The server does not accept the credentials: asking again would only lock the account.
    given_up: bool,
}

impl ReconnectBackoff {
    pub(crate) fn new() -> Self {
        Self { backoff: Self::backoff(), not_before: None, given_up: false }
    }

    /// 100 ms, doubled up to 10 s, with as much again at random: a thousand processes do not come back in the same moment.
    fn backoff() -> ExponentialBackoff {
        let builder = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(LONGEST);
        builder.with_jitter().without_max_times().build()
    }

    /// Whether the last attempt was a moment ago.
    #[cfg(any(feature = "amqp", feature = "redis", feature = "tokio-postgres"))]
    pub(crate) fn is_waiting(&self) -> bool {
        self.not_before.is_some_and(|not_before| Instant::now() < not_before)
    }

    /// Whether there is no next attempt.
    pub(crate) const fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// Waits until the next attempt may be.
    #[cfg(any(feature = "etcd", feature = "nats"))]
    pub(crate) async fn wait(&self) {
        if let Some(not_before) = self.not_before {
            tokio::time::sleep_until(not_before).await;
        }
    }

    /// Learns from an attempt that failed.
    pub(crate) fn failed(&mut self, refusal: &Refusal) {
        // A certificate that does not pass may be an attacker's, and pass again when the attacker is gone: that only waits.
        self.given_up = matches!(refusal, Refusal::Failure(failure) if failure.kind() == FailureKind::NotAdmitted);
        self.postpone();
    }

    /// The next attempt comes after a pause, longer than the one before.
    pub(crate) fn postpone(&mut self) {
        let pause = self.backoff.next().unwrap_or(LONGEST);
        self.not_before = Some(Instant::now() + pause);
    }
}
