//! Following a source: what changed there is reattached, while the process runs.

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
use crate::live::generation::{Handle, Life};
use crate::live::reattach::{Look, Which, reattach};
use crate::load::Fingerprint;
use crate::net::tasks::{self, Tasks, Work, pauses};
use crate::report::error::{AttachError, Problem};
use crate::report::finding::FailureKind;
use crate::source::Source;

mod watcher;

/// A burst of changes is over when there was none for so long: 200 ms, which whoever writes a file in pieces stays below.
const QUIET: Duration = Duration::from_millis(200);

/// A burst is not waited for longer than that: 2 s.
const LONGEST_BURST: Duration = Duration::from_secs(2);

/// How often the source is looked at though nothing has told of a change: every minute, for file systems that do not tell.
const ANYHOW: Duration = Duration::from_secs(60);

/// How many events are kept for whoever does not fetch them; of more than that, the oldest are lost.
const EVENTS: usize = 64;

/// What came of looking at a source that is followed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Followed {
    /// These resources, by their fields, were reattached with what the source has now.
    Reattached(Vec<String>),
    /// What the source has now is refused, or a service is away. Everything stays as it was. It is said once, until something changes.
    Refused(Arc<AttachError>),
    /// What follows the source panicked, in the source or in this crate. Everything stays as it
    /// was, and following begins again after a pause, of at most two minutes.
    Panicked,
    /// So many events came before this one and were not fetched in time: at most 64 are kept. They
    /// are in the log.
    Missed(u64),
}

/// A source is followed as long as this lives.
///
/// It keeps no resource attached: with the last handle of the struct's resources, or when they are detached, following ends too.
#[must_use = "dropping it ends following"]
pub struct Following {
    events: broadcast::Receiver<Followed>,
    task: Option<AbortHandle>,
}

impl Following {
    /// What came of it next; `None` when following has ended, as the resources are detached. Who does not ask misses nothing but this: it is in the log too.
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

/// Begins to follow.
pub(crate) fn follow(
    of: (TypeId, &'static Manifest),
    resources: Vec<Handle>,
    source: impl Source + 'static,
) -> Following {
    let (sender, events) = broadcast::channel(EVENTS);
    let runtime = resources.first().map(|resource| resource.0.seat().whole.runtime.clone());
    let resources = resources.iter().map(|resource| Arc::downgrade(&resource.0)).collect();
    let source = Arc::new(source);
    let follower = Arc::new(Follower { of, resources, source, events: sender.clone() });
    let begin = move || -> Work { Box::pin(Arc::clone(&follower).run(Known::default())) };
    let panicked = move || drop(sender.send(Followed::Panicked));
    let name = format!("the task that follows the source of `{}`", of.1.struct_name());
    // Without a resource there is nothing to follow.
    let task = runtime.map(|runtime| tasks::keep(&runtime, name, begin, panicked).abort_handle());
    Following { events, task }
}

struct Follower {
    of: (TypeId, &'static Manifest),
    resources: Vec<Weak<dyn Life>>,
    source: Arc<dyn Source>,
    events: broadcast::Sender<Followed>,
}

/// What is known from the last time that the source was looked at.
#[derive(Default)]
struct Known {
    /// What was refused last.
    refused: Option<Refused>,
    /// When a service that is away is tried again.
    backoff: Option<ExponentialBackoff>,
}

/// What was refused, to know it again.
#[derive(PartialEq, Eq)]
struct Refused {
    values: Fingerprint,
    why: u64,
    /// It may pass without anybody changing a value.
    passes: bool,
}

/// What says that it is time to look.
#[derive(Default)]
struct Bell {
    rings: Notify,
    /// Somebody asked for it in person, with a SIGHUP: what was refused is tried again, whatever it was.
    asked: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        self.rings.notify_one();
    }
}

impl Follower {
    /// Dropping this future ends its helpers, and the watcher.
    async fn run(self: Arc<Self>, mut known: Known) {
        let bell = Arc::new(Bell::default());
        let changes = self.source.changes();
        let mut helpers = Tasks::new();
        for mut signal in changes.signals().iter().cloned() {
            let bell = Arc::clone(&bell);
            helpers.spawn(async move {
                while signal.changed().await.is_ok() {
                    bell.ring();
                }
                tracing::warn!("what told of changes of the source is gone: the source is looked at every minute");
            });
        }
        for resource in &self.resources {
            let Some(mut orders) = resource.upgrade().map(|resource| resource.orders()) else {
                continue;
            };
            let bell = Arc::clone(&bell);
            helpers.spawn(async move {
                drop(orders.wait_for(|orders| orders.detached).await);
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
            // Before looking, so that what changes meanwhile is told; after it, so that what was found is watched.
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

    /// Looks at the source, and reattaches what changed. Gives the files that were read; `None` when there is nothing to follow for any more.
    async fn look(&self, known: &mut Known, asked: bool) -> Option<Vec<PathBuf>> {
        let resources: Vec<_> =
            self.resources.iter().filter_map(Weak::upgrade).map(Handle).collect();
        let is_over =
            || resources.is_empty() || resources.iter().any(|resource| resource.0.is_detached());
        if is_over() {
            return None;
        }
        // A server that did not let us in is not asked again with the same password: that would only lock the account.
        let known_bad = known
            .refused
            .as_ref()
            .filter(|refused| !refused.passes && !asked)
            .map(|refused| refused.values);
        let source = Arc::clone(&self.source);
        let Look { result, files, values } =
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
                // A service that is away is away, in whatever way.
                Problem::Failure(failure) if failure.kind() != FailureKind::NotAdmitted => {}
                Problem::Failure(failure) => {
                    passes = false;
                    failure.kind().hash(&mut why);
                }
            }
        }
        Self { values, why: why.finish(), passes }
    }
}

/// A SIGHUP is how one asks a daemon to look at its configuration again.
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
            "SIGHUP cannot be listened for: the source is looked at when it changes, and every minute"
        ),
    }
}
