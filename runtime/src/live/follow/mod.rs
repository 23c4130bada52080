//! Follows a source: reattaches changed resources while the process runs.

use std::any::TypeId;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use self::watcher::Watcher;
use crate::declare::manifest::Manifest;
use crate::live::generation::{DynResource, Handle};
use crate::live::reattach::{ReloadOutcome, Which, reattach};
use crate::load::Fingerprint;
use crate::net::tasks::{self, Tasks, Work, pauses};
use crate::report::error::{AttachError, Problem};
use crate::report::finding::FailureKind;
use crate::source::Source;

mod watcher;

/// A burst of changes is over when there was no change for this time: 200 ms, which is longer than
/// the pauses of a writer that writes a file in pieces.
const QUIET: Duration = Duration::from_millis(200);

/// The longest time to wait for the end of a burst: 2 s.
const LONGEST_BURST: Duration = Duration::from_secs(2);

/// The interval at which the source is read again without a signal: every minute, for file systems
/// that report no changes.
const ANYHOW: Duration = Duration::from_secs(60);

/// The number of events that are kept until they are fetched; beyond that, the oldest are lost.
const EVENTS: usize = 64;

/// The result of one reload of a followed source.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Followed {
    /// These resources, by field, were reattached with the source's current values.
    Reattached(Vec<String>),
    /// The source's current values are refused, or a service is unavailable. Everything stays as it
    /// was. This is reported once, until something changes.
    Refused(Arc<AttachError>),
    /// The task that follows the source panicked, in the source or in this crate. Everything stays
    /// as it was, and following starts again after a pause of at most two minutes.
    Panicked,
    /// This many events came before this one and were not fetched in time: at most 64 are kept.
    /// They are in the log.
    Missed(u64),
}

/// Follows a source until it is dropped.
///
/// It keeps no resource attached: following also ends when the last handle of the struct's
/// resources is dropped, or when they are detached.
#[must_use = "dropping it ends following"]
pub struct Following {
    events: broadcast::Receiver<Followed>,
    task: Option<AbortHandle>,
}

impl Following {
    /// Waits for the next event; `None` after detach. Polling is optional: every event is also
    /// logged.
    pub async fn next(&mut self) -> Option<Followed> {
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Followed::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").finish_non_exhaustive()
    }
}

/// Starts to follow.
pub(crate) fn follow(
    of: (TypeId, &'static Manifest),
    resources: Vec<Handle>,
    source: impl Source + 'static,
) -> Following {
    let (sender, events) = broadcast::channel(EVENTS);
    let runtime = resources.first().map(|resource| resource.0.context().owner.runtime.clone());
    let resources = resources.iter().map(|resource| Arc::downgrade(&resource.0)).collect();
    let source = Arc::new(source);
    let follower = Arc::new(Follower { of, resources, source, events: sender.clone() });
    let begin = move || -> Work { Box::pin(Arc::clone(&follower).run(Known::default())) };
    let panicked = move || drop(sender.send(Followed::Panicked));
    let name = format!("the task that follows the source of `{}`", of.1.struct_name());
    // Without a resource, there is nothing to follow.
    let task = runtime.map(|runtime| tasks::keep(&runtime, name, begin, panicked).abort_handle());
    Following { events, task }
}

struct Follower {
    of: (TypeId, &'static Manifest),
    resources: Vec<Weak<dyn DynResource>>,
    source: Arc<dyn Source>,
    events: broadcast::Sender<Followed>,
}

/// The state from the last reload.
#[derive(Default)]
struct Known {
    /// The last refusal.
    refused: Option<Refused>,
    /// The pauses before an unavailable service is tried again.
    backoff: Option<ExponentialBackoff>,
}

/// Identifies a refusal, to recognise it.
#[derive(PartialEq, Eq)]
struct Refused {
    values: Fingerprint,
    why: u64,
    /// It may pass although no value changes.
    passes: bool,
}

/// Signals that it is time to reload.
#[derive(Default)]
struct Bell {
    rings: Notify,
    /// A SIGHUP asked for a reload: values that were refused are tried again, whatever the reason.
    asked: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        self.rings.notify_one();
    }
}

impl Follower {
    /// Dropping this future ends its helper tasks, and the watcher.
    async fn run(self: Arc<Self>, mut known: Known) {
        let bell = Arc::new(Bell::default());
        let changes = self.source.changes();
        let mut helpers = Tasks::new();
        for mut signal in changes.signals().iter().cloned() {
            let bell = Arc::clone(&bell);
            helpers.spawn(async move {
                while signal.changed().await {
                    bell.ring();
                }
                tracing::warn!(
                    "the source reports its changes no more: \
                     the source is checked every minute"
                );
            });
        }
        for resource in &self.resources {
            let Some(mut control) = resource.upgrade().map(|resource| resource.control()) else {
                continue;
            };
            let bell = Arc::clone(&bell);
            helpers.spawn(async move {
                drop(control.wait_for(|control| control.detached).await);
                bell.ring();
            });
        }
        #[cfg(unix)]
        helpers.spawn(listen_for_hangups(Arc::clone(&bell)));
        let mut watcher = Watcher::new({
            let bell = Arc::clone(&bell);
            move || bell.ring()
        });

        let folders: Vec<PathBuf> = changes.files().map(PathBuf::from).collect();
        let mut files = folders.clone();
        loop {
            // Watch before the reload, to hear of changes during it; and after it, to watch the
            // files that it found.
            watcher.watch(&files);
            let asked = bell.asked.swap(false, Ordering::AcqRel);
            let Some(found) = self.look(&mut known, asked).await else { return };
            files.clone_from(&folders);
            files.extend(found);
            if watcher.watch(&files) {
                bell.ring();
            }
            let pause = match &known.refused {
                Some(refused) if refused.passes => {
                    known.backoff.get_or_insert_with(pauses).next().unwrap_or(ANYHOW)
                }
                _ => ANYHOW,
            };
            if timeout(pause, bell.rings.notified()).await.is_ok() {
                let begin = Instant::now();
                while begin.elapsed() < LONGEST_BURST
                    && timeout(QUIET, bell.rings.notified()).await.is_ok()
                {}
            }
        }
    }

    /// Reloads the source, and reattaches changed resources. Returns the files that were read;
    /// `None` if there is nothing left to follow.
    async fn look(&self, known: &mut Known, asked: bool) -> Option<Vec<PathBuf>> {
        let resources: Vec<_> =
            self.resources.iter().filter_map(Weak::upgrade).map(Handle).collect();
        let is_over =
            || resources.is_empty() || resources.iter().any(|resource| resource.0.is_detached());
        if is_over() {
            return None;
        }
        // After a rejected login, the same password is not tried again: that would only lock the
        // account.
        let known_bad = known
            .refused
            .as_ref()
            .filter(|refused| !refused.passes && !asked)
            .map(|refused| refused.values);
        let source = Arc::clone(&self.source);
        let ReloadOutcome { result, files, values } =
            reattach(self.of, &resources, source, Which::Changed, known_bad).await;
        match result {
            None => {}
            Some(Ok(reattached)) => {
                (known.refused, known.backoff) = (None, None);
                if !reattached.is_empty() {
                    let _ = self.events.send(Followed::Reattached(reattached));
                }
            }
            Some(Err(_)) if is_over() => return None,
            Some(Err(error)) => {
                let refused = Refused::of(&error, values);
                if known.refused.as_ref() != Some(&refused) {
                    let services = self.of.1.struct_name();
                    let why = error.in_one_line();
                    tracing::warn!(
                        services,
                        "what the source has now is refused, and everything stays as it was: {why}"
                    );
                    let _ = self.events.send(Followed::Refused(Arc::new(error)));
                    (known.refused, known.backoff) = (Some(refused), None);
                }
            }
        }
        Some(files)
    }
}

impl Refused {
    fn of(error: &AttachError, values: Fingerprint) -> Self {
        let mut why = DefaultHasher::new();
        let mut passes = true;
        for problem in error.problems().filter(|problem| problem.is_denied()) {
            problem.field().hash(&mut why);
            match problem {
                Problem::Finding(finding) => {
                    passes = false;
                    (finding.rule().name, finding.message()).hash(&mut why);
                }
                // An unavailable service is one state, whatever the exact error.
                Problem::Failure(failure)
                    if failure.kind() != FailureKind::AuthenticationFailed => {}
                Problem::Failure(failure) => {
                    passes = false;
                    failure.kind().hash(&mut why);
                }
            }
        }
        Self { values, why: why.finish(), passes }
    }
}

/// A SIGHUP is the usual way to ask a daemon to reload its configuration.
#[cfg(unix)]
async fn listen_for_hangups(bell: Arc<Bell>) {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        Ok(mut hangups) => {
            while hangups.recv().await.is_some() {
                bell.asked.store(true, Ordering::Release);
                bell.ring();
            }
        }
        Err(_) => tracing::warn!(
            "SIGHUP cannot be listened for: \
             the source is checked when it changes, and every minute"
        ),
    }
}
