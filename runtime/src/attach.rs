//! The second half of attaching: connect to everything at once, probe, and keep all or nothing.

use std::any::TypeId;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use backing_services_rules::Date;

use crate::attached::Values;
use crate::backing_services::BackingServices;
use crate::check::{self, Content, Item, Loaded, waiver};
use crate::connected::{Connected, fetch_and_connect};
use crate::error::{AttachError, Problem, in_declaration_order};
use crate::finding::{Failure, FailureKind, Finding, Place};
use crate::generation::{Facts, Seat, Whole};
use crate::manifest::{Declaration, Manifest, ResourceEntry, Slot};
use crate::posture::Posture;
use crate::reattach::Fixed;
use crate::service::Refusal;
use crate::source::Source;
use crate::target::Target;
use crate::tasks::Tasks;
use crate::watch::{Watch, watched};

/// How long detaching may take: 10 s, a third of the grace that Kubernetes gives a pod. What is in
/// flight has 9 s of it.
pub(crate) const DETACH_DEADLINE: Duration = Duration::from_secs(10);

/// How long closing may take when a detach has waited for those who use a client, and waits for
/// them no more: 900 ms. With the 9 s before, that leaves 100 ms for a busy machine to keep
/// [`DETACH_DEADLINE`].
pub(crate) const CUT_DEADLINE: Duration = Duration::from_millis(900);

/// How long a client that was replaced by a reattach is kept for those who still use it: 30 s, the longest that a statement may take unless a locator
/// says otherwise.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// How long a client that is about to take another one's place may open connections, before it does as it is: 5 s, several times what all of them take together, which
/// is not much more than one takes.
pub(crate) const READY_DEADLINE: Duration = Duration::from_secs(5);

/// How long closing may take when there is no time left for it, or nothing in flight: 1 s. What takes longer is dropped.
pub(crate) const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// How long a service may take to say that it is well: 5 s, half of the usual interval between two probes.
pub(crate) const HEALTH_DEADLINE: Duration = Duration::from_secs(5);

/// Waits for `work`, at most as long as `limit`. Without a tokio runtime with time, that is a panic of tokio's own.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        Failure::new(FailureKind::TimedOut, "the service did not answer in time", "look at the service's load and at the network")
    })
}

/// Does the work, unless it is stopped before.
pub(crate) async fn unless<T>(stop: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut stop, mut work) = (pin!(stop), pin!(work));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => stop.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Does both at once. Where the first fails, that is the end; where the other one fails, the first is waited for, which may know better why.
#[cfg(any(feature = "nats", feature = "s3"))]
pub(crate) async fn both<A, B, E>(
    first: impl Future<Output = Result<A, E>>,
    other: impl Future<Output = Result<B, E>>,
) -> Result<(A, B), E> {
    let (mut first, mut other) = (pin!(first), pin!(other));
    let (mut of_first, mut of_other) = (None, None);
    poll_fn(|context| {
        if of_first.is_none()
            && let Poll::Ready(result) = first.as_mut().poll(context)
        {
            match result {
                Ok(done) => of_first = Some(done),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if of_other.is_none()
            && let Poll::Ready(result) = other.as_mut().poll(context)
        {
            of_other = Some(result);
        }
        if of_first.is_none() || of_other.is_none() {
            return Poll::Pending;
        }
        match (of_first.take(), of_other.take()) {
            (Some(first), Some(other)) => Poll::Ready(other.map(|other| (first, other))),
            _ => Poll::Pending,
        }
    })
    .await
}

pub(crate) async fn attach<T: BackingServices>(source: Arc<dyn Source>) -> Result<T, AttachError> {
    let limit = Limit::new(T::MANIFEST.deadline());
    let read = check::load(T::MANIFEST, source, None, limit.whole).await;
    let loaded = read.map_err(|unread| unread.into_error(T::MANIFEST))?.loaded.judged(T::MANIFEST)?;
    let slots = attach_loaded(TypeId::of::<T>(), T::MANIFEST, loaded, limit).await?;
    Ok(T::take(&mut Values(slots.into_iter())))
}

/// One deadline for loading and connecting.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// How long it was in the beginning.
    pub(crate) whole: Duration,
    pub(crate) deadline: tokio::time::Instant,
}

impl Limit {
    /// From now on.
    pub(crate) fn new(whole: Duration) -> Self {
        Self { whole, deadline: tokio::time::Instant::now() + whole }
    }
}

/// A field on its way into the struct.
enum Part {
    Value(Slot),
    /// The next attempt's.
    Attempt,
}

/// Connects to every resource: all or nothing. Dropping this future ends all that it has begun.
async fn attach_loaded(of: TypeId, manifest: &'static Manifest, loaded: Loaded, limit: Limit) -> Result<Vec<Slot>, AttachError> {
    let Loaded { items, mut problems, fields, waivers, today } = loaded;
    let mut parts = Vec::with_capacity(items.len());
    let mut attempts = Vec::new();
    let mut fixed = HashMap::new();
    for Item { ordinal, place, fingerprint, declaration, content } in items {
        parts.push(match content {
            Content::Value(slot) => {
                fixed.insert(place.field, fingerprint);
                Part::Value(slot)
            }
            Content::Resource { entry, target: None } => {
                fixed.insert(place.field, fingerprint);
                Part::Value((entry.wrap)(None))
            }
            Content::Resource { entry, target: Some(target) } => {
                let facts = Facts { target: Arc::from(target), place, fingerprint };
                attempts.push(Attempt::new(ordinal, entry, declaration, facts));
                Part::Attempt
            }
        });
    }
    connect(&mut attempts, limit, today, &mut problems, None).await;

    let problems = in_declaration_order(problems);
    if problems.iter().any(Problem::is_denied) {
        abandon(attempts.into_iter().filter_map(|attempt| attempt.connected)).await;
        return Err(AttachError::new(manifest.struct_name(), fields, problems));
    }
    check::report_warnings(&problems);
    waiver::report(&waivers);
    tracing::info!(services = manifest.struct_name(), fields, "attached");

    let whole = Arc::new(Whole::new(of, manifest, tokio::runtime::Handle::current(), Fixed::new(fixed)));
    let mut attempts = attempts.into_iter();
    let slot = |part| match part {
        Part::Value(slot) => Some(slot),
        Part::Attempt => attempts.next().map(|attempt| attempt.into_slot(&whole)),
    };
    Ok(parts.into_iter().filter_map(slot).collect())
}

/// A resource that is being connected to.
pub(crate) struct Attempt {
    /// The field's place in declaration order.
    pub(crate) ordinal: usize,
    entry: &'static ResourceEntry,
    declaration: &'static Declaration,
    /// What the next generation is made of.
    pub(crate) facts: Facts,
    pub(crate) connected: Option<Connected>,
    /// How long it took to come back, with whatever result; or how long it was waited for.
    pub(crate) took: Option<Duration>,
}

/// Connects to all at once, under one deadline. Dropping this future ends all that it has begun: the tasks are the set's, and the connections are theirs.
pub(crate) async fn connect(
    attempts: &mut [Attempt],
    limit: Limit,
    today: Date,
    problems: &mut Vec<(usize, Problem)>,
    watch: Option<Arc<dyn Watch>>,
) {
    let begun = tokio::time::Instant::now();
    let mut connecting = Tasks::new();
    for (index, attempt) in attempts.iter().enumerate() {
        let connect = fetch_and_connect(attempt.entry.service, Arc::clone(&attempt.facts.target));
        let connect = watched(attempt.ordinal, watch.clone(), connect);
        connecting.spawn(async move { (index, connect.await) });
    }
    let told = |attempt: &Attempt, problems: &[(usize, Problem)]| {
        if let Some(watch) = &watch {
            watch.settled(attempt, problems);
        }
    };
    while let Ok(Some(joined)) = tokio::time::timeout_at(limit.deadline, connecting.join_next()).await {
        // A task that panicked is reported below, as one that did not come back.
        if let Some((index, result)) = joined
            && let Some(attempt) = attempts.get_mut(index)
        {
            let earlier = problems.len();
            attempt.took = Some(begun.elapsed());
            attempt.settle(result, today, problems);
            told(attempt, &problems[earlier..]);
        }
    }
    let out_of_time = !connecting.is_empty();
    connecting.abort_all();
    for attempt in attempts.iter_mut().filter(|attempt| attempt.took.is_none()) {
        let failure = if out_of_time { late(limit.whole) } else { panicked() };
        attempt.took = Some(begun.elapsed());
        problems.push((attempt.ordinal, Problem::Failure(failure.in_place(&attempt.facts.place))));
        told(attempt, &problems[problems.len() - 1..]);
    }
}

impl Attempt {
    pub(crate) const fn new(
        ordinal: usize,
        entry: &'static ResourceEntry,
        declaration: &'static Declaration,
        facts: Facts,
    ) -> Self {
        Self { ordinal, entry, declaration, facts, connected: None, took: None }
    }

    /// Takes what came back, and holds it against the rules.
    fn settle(&mut self, result: Result<(Arc<Target>, Connected), Refusal>, today: Date, problems: &mut Vec<(usize, Problem)>) {
        match result {
            Ok((target, mut connected)) => {
                self.facts.target = target;
                let findings = std::mem::take(&mut connected.findings);
                judge(&mut connected.posture, findings, self.declaration, today, &self.facts.place);
                // Loading has reported some of them: what a `_CA` variable says of its dates.
                let is_known = |finding: &Finding, (ordinal, problem): &(usize, Problem)| {
                    *ordinal == self.ordinal && problem.name() == finding.rule().name && problem.message() == finding.message()
                };
                let is_new = |finding: &&Finding| !problems.iter().any(|problem| is_known(finding, problem));
                let news: Vec<_> = connected.posture.findings.iter().filter(is_new).cloned().collect();
                problems.extend(news.into_iter().map(|finding| (self.ordinal, Problem::Finding(finding))));
                tracing::debug!(field = self.facts.place.field, "connected: {}", connected.posture);
                self.connected = Some(connected);
            }
            Err(Refusal::Finding(finding)) => {
                problems.push((self.ordinal, Problem::Finding(finding.in_place(&self.facts.place))))
            }
            Err(Refusal::Failure(failure)) => {
                let target = &self.facts.target;
                let has_limit = self.entry.service.parameters.iter().any(|parameter| parameter.name == "connect_timeout");
                // It ended before the deadline for everything: it is the connection's own time that was up.
                let is_the_limit = failure.kind() == FailureKind::TimedOut && self.took >= Some(target.connect_timeout());
                let failure = if has_limit && is_the_limit {
                    failure.also("; `connect_timeout` in the locator, 10 s unless it is there, is the time for one connection")
                } else {
                    failure
                };
                problems.push((self.ordinal, Problem::Failure(failure.in_place(&self.facts.place))))
            }
        }
    }

    /// The field's value. Only called when nothing was refused, so every attempt has connected.
    fn into_slot(self, whole: &Arc<Whole>) -> Slot {
        let Self { entry, declaration, facts, connected, .. } = self;
        let (field, service) = (facts.place.field.clone(), entry.service);
        let seat = Arc::new(Seat::new(field, service, declaration, Arc::clone(whole)));
        (entry.wrap)(connected.map(|connected| connected.into_resource(facts, seat)))
    }
}

/// Holds what connecting taught against the rules and the field's waivers: the posture's findings are what came of it.
pub(crate) fn judge(
    posture: &mut Posture,
    mut findings: Vec<Finding>,
    declaration: &'static Declaration,
    today: Date,
    place: &Place,
) {
    findings.extend(posture.tls.as_ref().and_then(|tls| crate::tls::expiry_notice(&tls.certificate, posture.taken_at)));
    findings.extend(posture.server.as_ref().and_then(|server| server.finding(today)));
    waiver::apply(&mut findings, declaration.waived_rules(), today);
    posture.findings = findings.into_iter().map(|finding| finding.in_place(place)).collect();
    posture.waivers = waiver::in_force(declaration.waived_rules(), today).collect();
}

pub(crate) fn late(limit: Duration) -> Failure {
    let message = format!("it was not attached within {} s", limit.as_secs());
    Failure::new(
        FailureKind::TimedOut,
        message,
        "look at the service's load and at the network; `#[services(deadline = …)]` is the time for everything, in seconds",
    )
}

pub(crate) fn panicked() -> Failure {
    Failure::new(
        FailureKind::Protocol,
        "the driver panicked",
        "look at what answers on the port; if it is the right service, report this as a bug",
    )
}

/// That a service's own code panicked, by the name of the function.
pub(crate) fn panicked_in(function: &'static str) -> Failure {
    Failure::new(
        FailureKind::Protocol,
        format!("`{function}` of its service panicked"),
        "read the message of the panic on standard error, and report it to the authors of the service",
    )
}

/// Closes what was connected although something else was refused. Nobody was given it, so there is nothing in flight.
pub(crate) async fn abandon(connected: impl IntoIterator<Item = Connected>) {
    let mut closing = Tasks::new();
    for connected in connected {
        closing.spawn(within(CLOSE_DEADLINE, connected.abandon()));
    }
    while closing.join_next().await.is_some() {}
}

#[cfg(all(test, any(feature = "https", feature = "nats", feature = "s3")))]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn of_two_the_first_is_believed() {
        let late = |result: Result<u8, &'static str>| async move {
            yield_now().await;
            result
        };
        assert_eq!(both(late(Ok(1)), ready(Ok(2))).await, Ok((1, 2)));
        assert_eq!(both(ready(Ok(1)), late(Ok(2))).await, Ok((1, 2)));
        assert_eq!(both(late(Err("first")), pending::<Result<(), _>>()).await, Err("first"));
        assert_eq!(both(late(Err("first")), ready(Err::<u8, _>("other"))).await, Err("first"));
        assert_eq!(both(late(Ok(1)), ready(Err::<u8, _>("other"))).await, Err("other"));
    }
}
