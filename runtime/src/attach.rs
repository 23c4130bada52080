//! The second half of attaching: connect to everything at once, probe, and keep all or nothing. And the way back.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use backing_services_rules::Date;
use tokio::task::JoinSet;

use crate::attached::Values;
use crate::backing_services::BackingServices;
use crate::check::{self, Item, Loaded, waiver};
use crate::error::{AttachError, Problem};
use crate::finding::{Failure, FailureKind};
use crate::manifest::{Declaration, Manifest, ResourceEntry, Slot};
use crate::resource::Identity;
use crate::service::{Closing, Connected, Refusal};
use crate::source::Source;

/// How long a resource may take to finish what is in flight when it is detached: 10 s, a third of the grace that Kubernetes gives a pod.
pub(crate) const DETACH_DEADLINE: Duration = Duration::from_secs(10);

/// How long what was connected may take to close when something else was refused: 1 s. Nobody was given it, so there is nothing in flight; what takes
/// longer is dropped.
const ABANDON_DEADLINE: Duration = Duration::from_secs(1);

/// How long a service may take to say that it is well: 5 s, half of the usual interval between two probes.
pub(crate) const HEALTH_DEADLINE: Duration = Duration::from_secs(5);

/// Waits for `work`, at most as long as `limit`. Without a tokio runtime with time, that is a panic of tokio's own.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        Failure::new(FailureKind::TimedOut, "the service did not answer in time", "look at the service's load and at the network")
    })
}

pub(crate) async fn attach<T: BackingServices>(source: &dyn Source) -> Result<T, AttachError> {
    let loaded = check::load(T::MANIFEST, source)?;
    let slots = connect(T::MANIFEST, loaded).await?;
    Ok(T::take(&mut Values(slots.into_iter())))
}

/// A resource that is being connected to.
struct Attempt {
    /// The field's place in declaration order.
    ordinal: usize,
    entry: &'static ResourceEntry,
    declaration: &'static Declaration,
    field: String,
    variable: String,
    /// Where the locator was, in words.
    origin: Option<Cow<'static, str>>,
    connected: Option<Connected>,
    /// Whether it has come back, with whatever result.
    done: bool,
}

/// A field on its way into the struct.
enum Part {
    Value(Slot),
    Attempt(Box<Attempt>),
}

/// Connects to every resource. Dropping this future ends all that it has begun: the tasks are the set's, and the connections are theirs.
async fn connect(manifest: &'static Manifest, loaded: Loaded) -> Result<Vec<Slot>, AttachError> {
    let Loaded { items, mut problems, fields, waivers, today, .. } = loaded;
    let deadline = tokio::time::Instant::now() + manifest.deadline();

    let mut parts = Vec::with_capacity(items.len());
    let mut connecting = JoinSet::new();
    for (ordinal, item) in items {
        parts.push(match item {
            Item::Value(slot) => Part::Value(slot),
            Item::Resource { entry, target: None, .. } => Part::Value((entry.wrap)(None)),
            Item::Resource { entry, declaration, field, variable, origin, target: Some(target) } => {
                let connect = (entry.service.connect)(Arc::from(target));
                let index = parts.len();
                connecting.spawn(async move { (index, connect.await) });
                Part::Attempt(Box::new(Attempt {
                    ordinal,
                    entry,
                    declaration,
                    field,
                    variable,
                    origin,
                    connected: None,
                    done: false,
                }))
            }
        });
    }

    while let Ok(Some(joined)) = tokio::time::timeout_at(deadline, connecting.join_next()).await {
        // A task that panicked is reported below, as one that did not come back.
        if let Ok((index, result)) = joined
            && let Some(Part::Attempt(attempt)) = parts.get_mut(index)
        {
            attempt.settle(result, today, &mut problems);
        }
    }
    let out_of_time = !connecting.is_empty();
    connecting.abort_all();
    for part in &parts {
        if let Part::Attempt(attempt) = part
            && !attempt.done
        {
            let failure = if out_of_time { late(manifest.deadline()) } else { panicked() };
            problems.push((
                attempt.ordinal,
                Problem::Failure(failure.at(&attempt.field, &attempt.variable).out_of(attempt.origin.clone())),
            ));
        }
    }

    // Resources come back in any order; the report is in declaration order.
    problems.sort_by_key(|(ordinal, _)| *ordinal);
    let problems: Vec<_> = problems.into_iter().map(|(_, problem)| problem).collect();
    if problems.iter().any(Problem::is_denied) {
        abandon(parts).await;
        return Err(AttachError::new(manifest.struct_name(), fields, problems));
    }
    check::report_warnings(&problems);
    waiver::report(&waivers);
    tracing::info!(services = manifest.struct_name(), fields, "attached");
    Ok(parts.into_iter().map(Part::into_slot).collect())
}

impl Attempt {
    /// Takes what came back, and holds it against the rules.
    fn settle(&mut self, result: Result<Connected, Refusal>, today: Date, problems: &mut Vec<(usize, Problem)>) {
        self.done = true;
        match result {
            Ok(mut connected) => {
                let mut findings = std::mem::take(&mut connected.findings);
                findings.extend(connected.posture().tls.as_ref().and_then(|tls| crate::tls::expiry_notice(&tls.certificate)));
                findings.extend(connected.posture().server.as_ref().and_then(|server| server.finding(today)));
                waiver::apply(&mut findings, self.declaration.waived_rules(), today);
                let findings: Vec<_> = findings
                    .into_iter()
                    .map(|finding| finding.at(&self.field, &self.variable).out_of(self.origin.clone()))
                    .collect();
                problems.extend(findings.iter().map(|finding| (self.ordinal, Problem::Finding(finding.clone()))));
                connected.posture().findings = findings;
                connected.posture().waivers = waiver::in_force(self.declaration.waived_rules(), today).collect();
                tracing::debug!(field = self.field, "connected: {}", connected.posture());
                self.connected = Some(connected);
            }
            Err(Refusal::Finding(finding)) => problems
                .push((self.ordinal, Problem::Finding(finding.at(&self.field, &self.variable).out_of(self.origin.clone())))),
            Err(Refusal::Failure(failure)) => problems
                .push((self.ordinal, Problem::Failure(failure.at(&self.field, &self.variable).out_of(self.origin.clone())))),
        }
    }
}

fn late(limit: Duration) -> Failure {
    let message = format!("it was not attached within {} s", limit.as_secs());
    Failure::new(
        FailureKind::TimedOut,
        message,
        "look at the service's load and at the network; `#[services(deadline = …)]` is the time for everything, in seconds",
    )
}

fn panicked() -> Failure {
    Failure::new(
        FailureKind::Protocol,
        "the driver panicked",
        "look at what answers on the port; if it is the right service, report this as a bug",
    )
}

impl Part {
    /// The field's value. Only called when nothing was refused, so every attempt has connected.
    fn into_slot(self) -> Slot {
        match self {
            Self::Value(slot) => slot,
            Self::Attempt(attempt) => {
                let Attempt { entry, field, connected, .. } = *attempt;
                (entry.wrap)(connected.map(|connected| connected.into_resource(Identity { field })))
            }
        }
    }
}

/// Closes what was connected although something else was refused: all or nothing.
async fn abandon(parts: Vec<Part>) {
    let mut closing = JoinSet::new();
    for part in parts {
        if let Part::Attempt(attempt) = part
            && let Some(connected) = attempt.connected
        {
            closing.spawn(within(ABANDON_DEADLINE, connected.abandon()));
        }
    }
    while closing.join_next().await.is_some() {}
}

/// Finishes what is in flight and closes everything, all resources at once.
pub(crate) async fn detach(resources: Vec<Closing>) {
    let mut closing = JoinSet::new();
    for close in resources {
        closing.spawn(within(DETACH_DEADLINE, close));
    }
    while closing.join_next().await.is_some() {}
}
