//! Reattaching: make before break. The new ones are loaded, checked, connected and probed by all the rules; then all of them are published, or none.

use std::any::TypeId;
use std::collections::HashMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use backing_services_rules::rule::{MISSING_VALUE, STALE_VALUE};
use tokio::time::{Instant, timeout_at};

use crate::attach::{Attempt, READY_DEADLINE, abandon, connect, unless};
use crate::check::{self, Content, Fingerprint, Item, Loaded, Read};
use crate::error::{AttachError, Problem, in_declaration_order};
use crate::finding::{Finding, Place};
use crate::generation::{Facts, Handle};
use crate::manifest::Manifest;
use crate::retake::detached;
use crate::source::Source;

/// Which resources are reattached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Those whose values are no longer the ones that they were attached with.
    Changed,
    /// The one that was asked for: that there is none of it any more is an error.
    One,
}

/// What a struct holds and cannot be swapped in place: its secrets, its settings, and the optional resources that there were none of.
pub(crate) struct Fixed {
    attached: HashMap<String, Fingerprint>,
    /// The change that was told last.
    told: HashMap<String, Fingerprint>,
}

impl Fixed {
    pub(crate) fn new(attached: HashMap<String, Fingerprint>) -> Self {
        Self { attached, told: HashMap::new() }
    }

    /// Whether there is a change to tell.
    fn is_news(&mut self, field: &str, fingerprint: Fingerprint, is_attached: bool) -> bool {
        // A resource that was attached and whose last handle is gone is nothing that anybody holds.
        if !is_attached && !self.attached.contains_key(field) {
            return false;
        }
        if self.attached.get(field) == Some(&fingerprint) {
            self.told.remove(field);
            return false;
        }
        self.told.insert(field.to_owned(), fingerprint) != Some(fingerprint)
    }
}

/// Reattaches resources of one struct, which were attached at once; where the source has values that are known to be bad, it only looks at them.
///
/// Dropping this future leaves everything as it was.
pub(crate) async fn reattach(
    (of, manifest): (TypeId, &'static Manifest),
    resources: &[Handle],
    source: &dyn Source,
    which: Which,
    known_bad: Option<Fingerprint>,
) -> Look {
    // Held until all is published: who comes second finds what the first has made.
    let whole = resources.first().map(|first| Arc::clone(&first.0.seat().whole));
    let mut turn = match &whole {
        Some(whole) => Some(whole.turn.lock().await),
        None => None,
    };
    // A struct within a struct is attached with that one, whose manifest says what its variables are called.
    let is_part = which == Which::One || whole.as_ref().is_some_and(|whole| whole.of != of);
    let manifest = whole.as_ref().map_or(manifest, |whole| whole.manifest);
    let fields: Vec<_> = resources.iter().map(|resource| resource.0.seat().field.clone()).collect();
    let wanted = is_part.then_some(fields.as_slice());
    let Read { loaded, files, values } = check::load_fields(manifest, source, wanted, manifest.deadline());
    let result = match (loaded.judged(manifest), &mut turn) {
        (Ok(_), _) if known_bad == Some(values) => None,
        (Ok(loaded), Some(fixed)) => Some(swap(resources, manifest, loaded, which, fixed).await),
        (Ok(_), None) => Some(Ok(Vec::new())),
        (Err(error), _) => Some(Err(error)),
    };
    Look { result: result.map(|result| result.map_err(AttachError::of_reattaching)), files, values }
}

/// What came of looking at a source.
pub(crate) struct Look {
    /// The fields that were reattached; `None` where the values are the ones that are known to be bad.
    pub(crate) result: Option<Result<Vec<String>, AttachError>>,
    /// The files that were read, or should have been.
    #[cfg_attr(not(feature = "follow"), allow(dead_code, reason = "who follows watches them"))]
    pub(crate) files: Vec<PathBuf>,
    /// Of all that was read.
    #[cfg_attr(not(feature = "follow"), allow(dead_code, reason = "who follows knows them again"))]
    pub(crate) values: Fingerprint,
}

impl Look {
    pub(crate) fn done(self) -> Result<Vec<String>, AttachError> {
        self.result.unwrap_or_else(|| Ok(Vec::new()))
    }
}

async fn swap(
    resources: &[Handle],
    manifest: &'static Manifest,
    loaded: Loaded,
    which: Which,
    fixed: &mut Fixed,
) -> Result<Vec<String>, AttachError> {
    let Loaded { items, mut problems, fields, today, .. } = loaded;
    let (mut attempts, mut swapped) = (Vec::new(), Vec::new());
    // What cannot be swapped: said once all else has been.
    let mut stale = Vec::new();
    for Item { ordinal, place, fingerprint, declaration, content } in items {
        let resource = resources.iter().find(|resource| resource.0.seat().field == place.field);
        match (content, resource) {
            (Content::Resource { entry, target: Some(target) }, Some(resource)) => {
                if resource.0.is_detached() {
                    problems.push((ordinal, Problem::Failure(detached().in_place(&place))));
                } else if which != Which::Changed || resource.0.fingerprint() != fingerprint {
                    resource.0.seat().guard(&target);
                    let facts = Facts { target: Arc::from(target), place, fingerprint };
                    attempts.push(Attempt::new(ordinal, entry, declaration, facts));
                    swapped.push(resource);
                } else {
                    fixed.told.remove(&place.field);
                }
            }
            (Content::Resource { target: None, .. }, Some(_)) if which == Which::One => {
                let finding = Finding::new(&MISSING_VALUE, "there is no locator for it any more").help("set it again");
                problems.push((ordinal, Problem::Finding(finding.in_place(&place))));
            }
            (content, resource) => stale.push((place, fingerprint, content, resource.is_some())),
        }
    }
    let is_refused = |problems: &[(usize, Problem)]| problems.iter().any(|(_, problem)| problem.is_denied());
    let mut is_whole = !is_refused(&problems);
    if is_whole {
        let deadline = Instant::now() + manifest.deadline();
        let connecting = async {
            connect(&mut attempts, manifest.deadline(), today, &mut problems, None).await;
            if !is_refused(&problems) {
                // What is not ready in time is published as it is.
                let _ = timeout_at(deadline.min(Instant::now() + READY_DEADLINE), make_ready(&attempts, &swapped)).await;
            }
        };
        is_whole = unless(any_detached(&swapped), connecting).await.is_some() && !is_refused(&problems);
    }
    if is_whole {
        // Nothing is waited for from here on: they are all published at once.
        let mut left = Vec::new();
        let mut published = Vec::new();
        for (attempt, resource) in attempts.iter_mut().zip(&swapped) {
            let Some(connected) = attempt.connected.take() else { continue };
            match resource.0.publish(connected, attempt.facts.clone()) {
                None => published.push(attempt.facts.place.field.clone()),
                Some(connected) => left.push(connected),
            }
        }
        if left.is_empty() {
            let is_of_those = |ordinal| attempts.iter().any(|attempt| attempt.ordinal == ordinal);
            let problems = problems.into_iter().filter(|(ordinal, _)| is_of_those(*ordinal));
            check::report_warnings(&problems.map(|(_, problem)| problem).collect::<Vec<_>>());
            let news = stale
                .into_iter()
                .filter(|(place, fingerprint, _, is_attached)| fixed.is_news(&place.field, *fingerprint, *is_attached));
            check::report_warnings(
                &news.map(|(place, _, content, is_attached)| told(&place, &content, is_attached)).collect::<Vec<_>>(),
            );
            for field in &published {
                tracing::info!(field, "reattached");
            }
            return Ok(published);
        }
        abandon(left).await;
    }
    for (attempt, resource) in attempts.iter().zip(&swapped) {
        if resource.0.is_detached() {
            problems.push((attempt.ordinal, Problem::Failure(detached().in_place(&attempt.facts.place))));
        }
    }
    abandon(attempts.into_iter().filter_map(|attempt| attempt.connected)).await;
    Err(AttachError::new(manifest.struct_name(), fields, in_declaration_order(problems)))
}

/// All at once, so that this takes no longer than the slowest.
async fn make_ready(attempts: &[Attempt], resources: &[&Handle]) {
    let each = attempts.iter().zip(resources);
    let mut waiting: Vec<_> = each
        .filter_map(|(attempt, resource)| attempt.connected.as_ref().map(|connected| resource.0.make_ready(connected)))
        .collect();
    poll_fn(|context| {
        waiting.retain_mut(|ready| ready.as_mut().poll(context).is_pending());
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn told(place: &Place, content: &Content, is_attached: bool) -> Problem {
    let message = match (content, is_attached) {
        (Content::Value(_), _) => "its value has changed, and the struct holds the one from before",
        (_, false) => "there is one now, and the struct was attached without it",
        (_, true) => "there is none any more, and the struct keeps the one that it has",
    };
    Problem::Finding(Finding::new(&STALE_VALUE, message).in_place(place))
}

/// Comes when one of them is detached.
async fn any_detached(resources: &[&Handle]) {
    let waiting = |resource: &&Handle| {
        let mut orders = resource.0.orders();
        Box::pin(async move { drop(orders.wait_for(|orders| orders.detached).await) }) as Pin<Box<dyn Future<Output = ()> + Send>>
    };
    let mut waiting: Vec<_> = resources.iter().map(waiting).collect();
    poll_fn(|context| {
        let is_one = waiting.iter_mut().any(|detached| detached.as_mut().poll(context).is_ready());
        if is_one { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
