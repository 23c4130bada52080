//! Reconnecting: the pauses between attempts, and the end of them if the server rejects the
//! credentials.
//!
//! - [`Reconnector`] is for a client with one shared connection.
//! - [`ReconnectAttempts`] is for a pool, or for a driver that reconnects by itself.
//! - [`ReconnectBackoff`] is for a loop, which waits between its attempts.

use std::fmt;
use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::Instant;

use crate::net::tasks::{self, caught};
use crate::net::time::{panicked, run_until_cancelled, with_timeout};
use crate::report::finding::{Failure, FailureKind};
use crate::report::refusal::Refusal;
use crate::service::target::Target;

/// The longest pause, before jitter: 10 s.
const LONGEST: Duration = Duration::from_secs(10);

/// The time of the next attempt to connect.
#[derive(Debug)]
pub struct ReconnectBackoff {
    backoff: ExponentialBackoff,
    not_before: Option<Instant>,
    /// The server does not accept the credentials. Another attempt would only lock the account.
    given_up: bool,
    /// One of several servers does not accept the credentials. One attempt is made in each
    /// [`LONGEST`] pause.
    is_rejected: bool,
}

impl Default for ReconnectBackoff {
    fn default() -> Self {
        Self::new()
    }
}

impl ReconnectBackoff {
    /// A backoff before any attempt: the first one may begin at once.
    #[must_use]
    pub fn new() -> Self {
        Self { backoff: Self::backoff(), not_before: None, given_up: false, is_rejected: false }
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
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.not_before.is_some_and(|not_before| Instant::now() < not_before)
    }

    /// Returns true if there is no further attempt.
    #[must_use]
    pub const fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// Waits until the next attempt is allowed.
    pub async fn wait(&self) {
        wait_until(self.not_before).await;
    }

    /// Records a failed attempt. After a rejected login, there is no further attempt.
    pub fn failed(&mut self, refusal: &Refusal) {
        // A certificate that fails verification may be an attacker's. The real server may be back
        // later, so this case only waits.
        self.given_up |= is_rejection(refusal);
        // Several attempts that fail together count as one.
        if !self.is_waiting() {
            self.postpone();
        }
    }

    /// Records a failed attempt at several hosts. A rejected login may be the fault of one of them,
    /// and another one may take over later.
    fn failed_at_several(&mut self, refusal: &Refusal) {
        if is_rejection(refusal) {
            self.is_rejected = true;
            self.postpone_rejected();
        } else {
            self.failed(refusal);
        }
    }

    /// Delays the next attempt by the longest pause.
    fn postpone_rejected(&mut self) {
        self.not_before = Some(Instant::now() + LONGEST);
    }

    /// Delays the next attempt by a pause that is longer than the one before.
    pub fn postpone(&mut self) {
        let pause = self.backoff.next().unwrap_or(LONGEST);
        self.not_before = Some(Instant::now() + pause);
    }
}

/// True if the server does not accept the credentials.
fn is_rejection(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Failure(failure) if failure.kind() == FailureKind::AuthenticationFailed
    )
}

async fn wait_until(not_before: Option<Instant>) {
    if let Some(not_before) = not_before {
        tokio::time::sleep_until(not_before).await;
    }
}

/// The attempts of one client to connect again, of which several may run at once. It decides
/// whether the next one may begin, and logs how each of them ends.
#[derive(Debug)]
pub struct ReconnectAttempts {
    service: &'static str,
    /// Replaced when the credentials are renewed, under the lock of `backoff`.
    target: ArcSwap<Target>,
    backoff: Lock<ReconnectBackoff>,
}

impl ReconnectAttempts {
    /// Begins without a failed attempt. The service's name is for the log:
    /// [`Service::NAME`](crate::service::Service::NAME).
    #[must_use]
    pub fn new(service: &'static str, target: &Target) -> Self {
        let (target, backoff) = (target.clone(), ReconnectBackoff::new());
        Self { service, target: ArcSwap::from_pointee(target), backoff: Lock::new(backoff) }
    }

    /// The target of the next attempt.
    pub fn target(&self) -> Arc<Target> {
        self.target.load_full()
    }

    fn backoff(&self) -> MutexGuard<'_, ReconnectBackoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the target of an attempt that may begin now.
    ///
    /// # Errors
    /// [`FailureKind::AuthenticationFailed`] after the server rejected the credentials, and
    /// [`FailureKind::Unreachable`] during the pause after a failed attempt.
    pub fn admit(&self) -> Result<Arc<Target>, Failure> {
        let mut backoff = self.backoff();
        if backoff.has_given_up() {
            return Err(Failure::new(
                FailureKind::AuthenticationFailed,
                "the server rejected the credentials, so there is no further attempt to connect",
                "check the user and the password, or the client certificate, and attach the \
                 resource again",
            ));
        }
        if backoff.is_waiting() {
            return Err(Failure::new(
                FailureKind::Unreachable,
                "the last attempt to connect failed a moment ago; the next one waits",
                "check the server's log and the network; the next attempt needs no help",
            ));
        }
        if backoff.is_rejected {
            // Only one of the attempts that wait begins: each tries the same credentials.
            backoff.postpone_rejected();
        }
        Ok(self.target())
    }

    /// Waits until the pause has passed.
    pub async fn wait(&self) {
        let not_before = self.backoff().not_before;
        wait_until(not_before).await;
    }

    /// Delays the next attempt by a pause that is longer than the one before.
    pub fn postpone(&self) {
        self.backoff().postpone();
    }

    /// Forgets all failed attempts: the connection works.
    pub fn reset(&self) {
        *self.backoff() = ReconnectBackoff::new();
    }

    /// Replaces the target, which has new credentials, and forgets all failed attempts.
    pub fn renew(&self, target: &Target) {
        let mut backoff = self.backoff();
        self.target.store(Arc::new(target.clone()));
        *backoff = ReconnectBackoff::new();
    }

    /// Changes the backoff by the end of an attempt. An attempt with credentials that were replaced
    /// meanwhile changes nothing.
    fn end(&self, target: &Arc<Target>, change: impl FnOnce(&mut ReconnectBackoff)) -> bool {
        let mut backoff = self.backoff();
        if Arc::ptr_eq(target, &self.target.load()) {
            change(&mut backoff);
        }
        backoff.has_given_up()
    }

    /// Returns true if an attempt has failed since the last one that succeeded.
    #[must_use]
    pub fn have_failed(&self) -> bool {
        let backoff = self.backoff();
        backoff.not_before.is_some() || backoff.has_given_up()
    }

    /// Records and logs an attempt that succeeded, with its target.
    pub fn succeeded(&self, target: &Arc<Target>) {
        self.end(target, |backoff| *backoff = ReconnectBackoff::new());
        tracing::info!(
            service = self.service,
            endpoint = %target.locator(),
            "connected again"
        );
    }

    /// Records and logs a failed attempt, with its target. Returns true if there is no further one.
    /// If the target has several hosts, a rejected login is followed by the longest pause, and then
    /// by one attempt for each such pause.
    pub fn failed(&self, target: &Arc<Target>, refusal: &Refusal) -> bool {
        let has_several = target.locator().hosts().count() > 1;
        let given_up = self.end(target, |backoff| {
            if has_several {
                backoff.failed_at_several(refusal);
            } else {
                backoff.failed(refusal);
            }
        });
        tracing::warn!(
            service = self.service,
            endpoint = %target.locator(),
            given_up,
            "not connected again: {refusal}"
        );
        given_up
    }
}

/// A connection that a [`Reconnector`] can replace.
pub trait Link: Sized + Send + Sync + 'static {
    /// The service's name in the log: [`Service::NAME`](crate::service::Service::NAME).
    const SERVICE: &'static str;

    /// Returns false once the connection broke.
    fn is_alive(&self) -> bool;

    /// Opens a connection by all rules of the first one. The future is dropped after
    /// [`Target::connect_timeout`], or when the resource is detached, and must then leave nothing
    /// open.
    ///
    /// # Errors
    /// As [`Service::connect`](crate::service::Service::connect).
    fn open(target: &Target) -> impl Future<Output = Result<Self, Refusal>> + Send;
}

/// A shared connection, which is opened again on demand after it broke. Clones share it.
///
/// One attempt runs at a time, and continues if its caller stops waiting: a server that is slower
/// than a caller's own time limit could never be reconnected to otherwise. Failed attempts are
/// followed by pauses: 100 ms at first and 10 s at last, with jitter. Calls during a pause fail at
/// once. After the server rejected the credentials, there is no further attempt until
/// [`Reconnector::renew`].
pub struct Reconnector<L>(Arc<Shared<L>>);

struct Shared<L> {
    current: ArcSwapOption<L>,
    /// True once the resource is detached, which ends an attempt.
    closed: watch::Sender<bool>,
    attempts: ReconnectAttempts,
    /// Held by the attempt, even if its caller has stopped waiting.
    turn: Arc<Mutex<()>>,
}

impl<L> Clone for Reconnector<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L> fmt::Debug for Reconnector<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reconnector({})", self.0.attempts.target().locator())
    }
}

impl<L: Link> Reconnector<L> {
    /// Begins with an open connection to the target.
    pub fn new(target: &Target, link: L) -> Self {
        Self(Arc::new(Shared {
            current: ArcSwapOption::from_pointee(link),
            closed: watch::Sender::new(false),
            attempts: ReconnectAttempts::new(L::SERVICE, target),
            turn: Arc::default(),
        }))
    }

    /// The target of the next connection.
    pub fn target(&self) -> Arc<Target> {
        self.0.attempts.target()
    }

    /// The connection; `None` if it broke, or [`Reconnector::close`] was called.
    pub fn live(&self) -> Option<Arc<L>> {
        let link = self.0.current.load_full().filter(|link| link.is_alive());
        link.filter(|_| !self.0.is_closed())
    }

    /// The connection, or a new one if it broke.
    ///
    /// # Errors
    /// [`Refusal`]: that of the attempt, or of [`ReconnectAttempts::admit`];
    /// [`FailureKind::Unavailable`] after [`Reconnector::close`].
    pub async fn get(&self) -> Result<Arc<L>, Refusal> {
        if let Some(link) = self.live() {
            return Ok(link);
        }
        let turn = Arc::clone(&self.0.turn).lock_owned().await;
        // The previous holder of the lock may have connected.
        if let Some(link) = self.live() {
            return Ok(link);
        }
        if self.0.is_closed() {
            return Err(Failure::detached().into());
        }
        let target = self.0.attempts.admit()?;
        let attempt = Arc::clone(&self.0).connect(target, turn);
        let attempt = tasks::spawn(&Handle::current(), attempt).join();
        attempt.await.unwrap_or_else(|| Err(panicked().into()))
    }

    /// Replaces the target, and begins again without failed attempts. If the connection is open,
    /// `log_in` uses the new credentials on it first. No attempt runs meanwhile.
    ///
    /// # Errors
    /// That of `log_in`, unless the connection broke: the next one then uses the new credentials.
    /// [`FailureKind::Unavailable`] after [`Reconnector::close`], which ends `log_in`. After an
    /// error, the target is unchanged.
    pub async fn renew<F: Future<Output = Result<(), Refusal>>>(
        &self,
        target: &Target,
        log_in: impl FnOnce(Arc<L>) -> F,
    ) -> Result<(), Refusal> {
        let _turn = self.0.turn.lock().await;
        let logged_in = match self.live() {
            Some(link) => run_until_cancelled(self.0.closing(), log_in(link)).await,
            None => Some(Ok(())),
        };
        if self.0.is_closed() {
            return Err(Failure::detached().into());
        }
        if let Some(Err(refusal)) = logged_in
            && self.live().is_some()
        {
            return Err(refusal);
        }
        self.0.attempts.renew(target);
        Ok(())
    }

    /// Ends reconnecting, and returns the last connection. A running attempt or renewal ends at
    /// once, and leaves nothing open.
    ///
    /// No connection is left, even if the future is dropped before it ends.
    pub async fn close(&self) -> Option<Arc<L>> {
        self.0.closed.send_replace(true);
        let link = self.0.current.swap(None);
        let _turn = self.0.turn.lock().await;
        link
    }
}

impl<L: Link> Shared<L> {
    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Completes once the resource is detached.
    async fn closing(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Makes the link the current one, unless the resource is detached: it is dropped then. This is
    /// one step for [`Reconnector::close`], which sees the link or prevents it.
    fn publish(&self, link: &Arc<L>) -> bool {
        let mut is_current = false;
        // Dropped after the lock of `closed` is released: a link's drop is not ours.
        let mut former = None;
        self.closed.send_if_modified(|closed| {
            if !*closed {
                former = self.current.swap(Some(Arc::clone(link)));
                is_current = true;
            }
            false
        });
        drop(former);
        is_current
    }

    /// One attempt, within `connect_timeout`.
    async fn connect(
        self: Arc<Self>,
        target: Arc<Target>,
        _turn: OwnedMutexGuard<()>,
    ) -> Result<Arc<L>, Refusal> {
        let opening = caught(with_timeout(target.connect_timeout(), L::open(&target)));
        let opened = match run_until_cancelled(self.closing(), opening).await {
            None => return Err(Failure::detached().into()),
            Some(None) => Err(panicked().into()),
            Some(Some(in_time)) => in_time.unwrap_or_else(|timed_out| Err(timed_out.into())),
        };
        match opened {
            Ok(link) => {
                let link = Arc::new(link);
                if !self.publish(&link) {
                    return Err(Failure::detached().into());
                }
                self.attempts.succeeded(&target);
                Ok(link)
            }
            Err(refusal) => {
                self.attempts.failed(&target, &refusal);
                Err(refusal)
            }
        }
    }
}
