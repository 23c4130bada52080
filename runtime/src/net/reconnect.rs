//! Backoff for reconnecting: the pauses grow, and there are no more attempts after the server has
//! refused the credentials.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::report::finding::FailureKind;
use crate::report::refusal::Refusal;

/// The longest pause, before jitter.
const LONGEST: Duration = Duration::from_secs(10);

/// The time of the next attempt to connect.
#[derive(Debug)]
pub struct ReconnectBackoff {
    backoff: ExponentialBackoff,
    not_before: Option<Instant>,
    /// The server does not accept the credentials. Another attempt would only lock the account.
    given_up: bool,
}

impl Default for ReconnectBackoff {
    fn default() -> Self {
        Self::new()
    }
}

impl ReconnectBackoff {
    /// The first attempt is allowed now.
    pub fn new() -> Self {
        Self { backoff: Self::backoff(), not_before: None, given_up: false }
    }

    /// 100 ms, doubled up to 10 s, with up to 100 % jitter, so that a thousand processes do not
    /// reconnect in the same moment.
    fn backoff() -> ExponentialBackoff {
        let builder = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(LONGEST);
        builder.with_jitter().without_max_times().build()
    }

    /// Returns true while the pause after the last attempt lasts.
    pub fn is_waiting(&self) -> bool {
        self.not_before.is_some_and(|not_before| Instant::now() < not_before)
    }

    /// Returns true if there is no further attempt.
    pub const fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// Waits until the next attempt is allowed.
    pub async fn wait(&self) {
        if let Some(not_before) = self.not_before {
            tokio::time::sleep_until(not_before).await;
        }
    }

    /// Records a failed attempt.
    pub fn failed(&mut self, refusal: &Refusal) {
        // A certificate that fails verification may be an attacker's. The real server may be back
        // later, so this case only waits.
        self.given_up = matches!(
            refusal,
            Refusal::Failure(failure) if failure.kind() == FailureKind::AuthenticationFailed
        );
        self.postpone();
    }

    /// Delays the next attempt by a pause that is longer than the one before.
    pub fn postpone(&mut self) {
        let pause = self.backoff.next().unwrap_or(LONGEST);
        self.not_before = Some(Instant::now() + pause);
    }
}
