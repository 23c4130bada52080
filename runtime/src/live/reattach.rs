//! Reattaching, make before break. The new connections are loaded, checked, opened and probed by
//! all the rules. Then all of them are published, or none.

use std::any::TypeId;
use std::collections::HashMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use backing_services_rules::rule::{MISSING_VALUE, STALE_VALUE};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use crate::attach::connect::{PendingResource, abandon, connect};
use crate::declare::manifest::Manifest;
use crate::live::generation::{AttachedStruct, Handle, Turn, publish};
use crate::load::spec::ConnectionSpec;
use crate::load::{self, Content, Fingerprint, Loaded, LoadedField, Read};
use crate::net::tasks::{self, Tasks};
use crate::net::time::{Limit, READY_DEADLINE, run_until_cancelled};
use crate::report::error::{AttachError, Problem, in_declaration_order};
use crate::report::finding::{Failure, FailureKind, Finding, Place};
use crate::source::Source;

/// The resources to reattach.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// The resources whose values have changed since they were attached.
    Changed,
    /// The one resource that the caller asked for: an error if it no longer has a locator.
    One,
}

/// The values of a struct that cannot be swapped in place: its secrets, its settings, and its
/// absent optional resources.
pub(crate) struct ImmutableFields {
    attached: HashMap<String, Fingerprint>,
    /// The last change that was reported.
    stale_value: HashMap<String, Fingerprint>,
}

impl ImmutableFields {
    pub(crate) fn new(attached: HashMap<String, Fingerprint>) -> Self {
        Self { attached, stale_value: HashMap::new() }
    }

    /// Returns true if there is a change to report.
    fn is_news(&mut self, field: &str, fingerprint: Fingerprint, is_attached: bool) -> bool {
        // A resource that was attached, and whose last handle is gone, is not held by the struct
        // any more.
        if !is_attached && !self.attached.contains_key(field) {
            return false;
        }
        if self.attached.get(field) == Some(&fingerprint) {
            self.stale_value.remove(field);
            return false;
        }
        self.stale_value.insert(field.to_owned(), fingerprint) != Some(fingerprint)
    }
}

/// Reattaches resources of one struct, which were attached together. If the source's values are
/// known to be bad, it only loads them.
///
/// All of it runs in a task of the runtime that attached: a caller that stops polling this future
/// delays nothing. Dropping the future ends the task, unless the task is about to publish: then
/// everything is published.
pub(crate) async fn reattach(
    (of, manifest): (TypeId, &'static Manifest),
    resources: &[Handle],
    source: Arc<dyn Source>,
    which: Which,
    known_bad: Option<Fingerprint>,
) -> ReloadOutcome {
    let Some(owner) = resources.first().map(|first| Arc::clone(&first.0.context().owner)) else {
        let read = load::load(manifest, source, None, manifest.deadline()).await;
        return match read {
            Ok(Read { loaded, files, values }) => {
                ReloadOutcome::new(Some(loaded.judged(manifest).map(|_| Vec::new())), files, values)
            }
            Err(unread) => ReloadOutcome::unread(unread.into_error(manifest)),
        };
    };
    let (manifest, runtime) = (owner.manifest, owner.runtime.clone());
    let decided = Arc::new(AtomicBool::new(false));
    let work = Work {
        // A nested struct is attached with the outer one, whose manifest names its variables.
        is_part: which == Which::One || owner.of != of,
        owner,
        resources: resources.to_vec(),
        source,
        which,
        known_bad,
        decided: Arc::clone(&decided),
    };
    let task = tasks::spawn(&runtime, work.carry_out().in_current_span());
    let _wanted = AbortUnlessDecided { task: task.abort_handle(), decided };
    let done = task.join().await;
    done.unwrap_or_else(|| ReloadOutcome::unread(unfinished(manifest, resources)))
}

/// One reattach, from loading to publishing.
struct Work {
    owner: Arc<AttachedStruct>,
    resources: Vec<Handle>,
    source: Arc<dyn Source>,
    which: Which,
    /// True if some fields of the struct are reattached, and not all.
    is_part: bool,
    known_bad: Option<Fingerprint>,
    decided: Arc<AtomicBool>,
}

impl Work {
    async fn carry_out(self) -> ReloadOutcome {
        let Self { owner, resources, source, which, is_part, known_bad, decided } = self;
        // A second reattach starts from the values that the first one has published.
        let turn = owner.turn().await;
        let manifest = owner.manifest;
        let limit = Limit::new(manifest.deadline());
        let fields = resources.iter().map(|resource| resource.0.context().field.clone());
        let wanted = is_part.then(|| fields.collect());
        let Read { loaded, files, values } =
            match load::load(manifest, source, wanted, limit.total).await {
                Ok(read) => read,
                Err(unread) => return ReloadOutcome::unread(unread.into_error(manifest)),
            };
        let result = match loaded.judged(manifest) {
            Ok(_) if known_bad == Some(values) => None,
            Ok(loaded) => {
                let swap = Swap { resources, manifest, which, turn, limit, decided };
                Some(swap.carry_out(loaded).await)
            }
            Err(error) => Some(Err(error)),
        };
        ReloadOutcome::new(result, files, values)
    }
}

/// Shows that the caller still waits for a swap. Dropping it ends the swap.
struct AbortUnlessDecided {
    task: AbortHandle,
    decided: Arc<AtomicBool>,
}

impl Drop for AbortUnlessDecided {
    fn drop(&mut self) {
        if !self.decided.swap(true, Ordering::AcqRel) {
            self.task.abort();
        }
    }
}

/// The error for a task that ended before its work. It has published nothing: publishing cannot
/// stop in the middle.
fn unfinished(manifest: &'static Manifest, resources: &[Handle]) -> AttachError {
    let failure = |resource: &Handle| {
        let failure = Failure::new(
            FailureKind::Unavailable,
            "reattaching did not come to its end: it panicked, \
             or the runtime that had attached it does not run any more",
            "read the message of the panic on standard error, and report it; \
             keep the runtime that attaches for as long as the process runs",
        );
        Problem::Failure(failure.in_place(&resource.0.generation().spec().place))
    };
    AttachError::new(
        manifest.struct_name(),
        resources.len(),
        resources.iter().map(failure).collect(),
    )
}

/// The outcome of one reload.
pub(crate) struct ReloadOutcome {
    /// The fields that were reattached; `None` if the values are the ones that are known to be bad.
    pub(crate) result: Option<Result<Vec<String>, AttachError>>,
    /// Files referenced by `NAME_FILE`, readable or not.
    #[cfg_attr(not(feature = "follow"), allow(dead_code, reason = "`follow` watches them"))]
    pub(crate) files: Vec<PathBuf>,
    /// The fingerprint of all values that were read.
    #[cfg_attr(not(feature = "follow"), allow(dead_code, reason = "`follow` compares them"))]
    pub(crate) values: Fingerprint,
}

impl ReloadOutcome {
    fn new(
        result: Option<Result<Vec<String>, AttachError>>,
        files: Vec<PathBuf>,
        values: Fingerprint,
    ) -> Self {
        let result = result.map(|result| result.map_err(AttachError::of_reattaching));
        Self { result, files, values }
    }

    /// The source gave no values in time. Forget the values that were known before.
    fn unread(error: AttachError) -> Self {
        Self::new(Some(Err(error)), Vec::new(), Fingerprint::of_all(&[]))
    }

    pub(crate) fn done(self) -> Result<Vec<String>, AttachError> {
        self.result.unwrap_or_else(|| Ok(Vec::new()))
    }
}

/// A swap of resources by the task that has the turn.
struct Swap {
    resources: Vec<Handle>,
    manifest: &'static Manifest,
    which: Which,
    turn: Turn,
    limit: Limit,
    /// True once the outcome is decided. The first to set it decides: the task, which publishes; or
    /// the caller, who has dropped the future.
    decided: Arc<AtomicBool>,
}

/// The work to do for the loaded values, field by field.
struct Plan<'a> {
    pending: Vec<PendingResource>,
    /// The resource that each of them is for.
    swapped: Vec<&'a Handle>,
    /// Changed fields that cannot be swapped. They are reported after the swap.
    stale: Vec<(Place, Fingerprint, Content, bool)>,
}

impl Swap {
    async fn carry_out(mut self, loaded: Loaded) -> Result<Vec<String>, AttachError> {
        let Loaded { items, mut problems, fields, today, .. } = loaded;
        let resources = std::mem::take(&mut self.resources);
        let Plan { mut pending, swapped, stale } = self.plan(items, &resources, &mut problems);
        let is_refused =
            |problems: &[(usize, Problem)]| problems.iter().any(|(_, problem)| problem.is_denied());
        let mut is_whole = !is_refused(&problems);
        if is_whole {
            let deadline = self.limit.deadline;
            let connecting = async {
                connect(&mut pending, self.limit, today, &mut problems, None).await;
                if !is_refused(&problems) {
                    // A client that is not ready in time is published as it is.
                    let _ = timeout_at(
                        deadline.min(Instant::now() + READY_DEADLINE),
                        make_ready(&pending, &swapped),
                    )
                    .await;
                }
            };
            is_whole = run_until_cancelled(any_detached(&swapped), connecting).await.is_some()
                && !is_refused(&problems);
        }
        if is_whole && !self.decided.swap(true, Ordering::AcqRel) {
            let each = pending.iter_mut().zip(&swapped);
            let each = each.filter_map(|(next, resource)| {
                Some((*resource, next.connected.take()?, next.spec.clone()))
            });
            match publish(each.collect()) {
                Ok(()) => return Ok(self.report(pending, problems, stale)),
                Err(left) => abandon(left).await,
            }
        }
        for (next, resource) in pending.iter().zip(&swapped) {
            if resource.0.is_detached() {
                problems.push((
                    next.ordinal,
                    Problem::Failure(Failure::detached().in_place(&next.spec.place)),
                ));
            }
        }
        abandon(pending.into_iter().filter_map(|next| next.connected)).await;
        Err(AttachError::new(self.manifest.struct_name(), fields, in_declaration_order(problems)))
    }

    fn plan<'a>(
        &mut self,
        items: Vec<LoadedField>,
        resources: &'a [Handle],
        problems: &mut Vec<(usize, Problem)>,
    ) -> Plan<'a> {
        let mut plan = Plan { pending: Vec::new(), swapped: Vec::new(), stale: Vec::new() };
        for LoadedField { ordinal, place, fingerprint, declaration, content } in items {
            let resource =
                resources.iter().find(|resource| resource.0.context().field == place.field);
            match (content, resource) {
                (Content::Resource { entry, target }, Some(resource)) => {
                    if resource.0.is_detached() {
                        problems.push((
                            ordinal,
                            Problem::Failure(Failure::detached().in_place(&place)),
                        ));
                    } else if self.which != Which::Changed
                        || resource.0.fingerprint() != fingerprint
                    {
                        resource.0.context().guard(&target);
                        let spec = ConnectionSpec { target, place, fingerprint };
                        plan.pending.push(PendingResource::new(ordinal, entry, declaration, spec));
                        plan.swapped.push(resource);
                    } else if let Some(immutable) = self.turn.immutable() {
                        immutable.stale_value.remove(&place.field);
                    }
                }
                (Content::Absent, Some(_)) if self.which == Which::One => {
                    let finding =
                        Finding::new(&MISSING_VALUE, "there is no locator for it any more")
                            .with_help("set it again");
                    problems.push((ordinal, Problem::Finding(finding.in_place(&place))));
                }
                (content, resource) => {
                    plan.stale.push((place, fingerprint, content, resource.is_some()))
                }
            }
        }
        plan
    }

    /// Reports the published fields, and those that could not be swapped. Returns the published
    /// ones.
    fn report(
        &mut self,
        pending: Vec<PendingResource>,
        problems: Vec<(usize, Problem)>,
        stale: Vec<(Place, Fingerprint, Content, bool)>,
    ) -> Vec<String> {
        let is_of_those = |ordinal| pending.iter().any(|next| next.ordinal == ordinal);
        let problems = problems.into_iter().filter(|(ordinal, _)| is_of_those(*ordinal));
        load::report_warnings(&problems.map(|(_, problem)| problem).collect::<Vec<_>>());
        if let Some(immutable) = self.turn.immutable() {
            let mut is_news = |place: &Place, fingerprint, is_attached| {
                immutable.is_news(&place.field, fingerprint, is_attached)
            };
            let news = stale.into_iter().filter(|(place, fingerprint, _, is_attached)| {
                is_news(place, *fingerprint, *is_attached)
            });
            let news = news
                .map(|(place, _, content, is_attached)| stale_value(&place, &content, is_attached));
            load::report_warnings(&news.collect::<Vec<_>>());
        }
        let published: Vec<_> = pending.into_iter().map(|next| next.spec.place.field).collect();
        for field in &published {
            tracing::info!(field, "reattached");
        }
        published
    }
}

/// Prepares all clients at once, so that this takes no longer than the slowest.
async fn make_ready(pending: &[PendingResource], resources: &[&Handle]) {
    let each = pending.iter().zip(resources);
    let mut waiting: Vec<_> = each
        .filter_map(|(next, resource)| {
            next.connected.as_ref().map(|connected| resource.0.make_ready(connected))
        })
        .collect();
    poll_fn(|context| {
        waiting.retain_mut(|ready| ready.as_mut().poll(context).is_pending());
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn stale_value(place: &Place, content: &Content, is_attached: bool) -> Problem {
    let message = match (content, is_attached) {
        (Content::Value(_), _) => "its value has changed, and the struct holds the one from before",
        (_, false) => "there is one now, and the struct was attached without it",
        (_, true) => "there is none any more, and the struct keeps the one that it has",
    };
    Problem::Finding(Finding::new(&STALE_VALUE, message).in_place(place))
}

/// Completes when one of them is detached.
async fn any_detached(resources: &[&Handle]) {
    let mut waiting = Tasks::new();
    for resource in resources {
        let mut control = resource.0.control();
        waiting.spawn(async move { drop(control.wait_for(|control| control.detached).await) });
    }
    if waiting.join_next().await.is_none() {
        // There is none of them.
        std::future::pending::<()>().await;
    }
}
