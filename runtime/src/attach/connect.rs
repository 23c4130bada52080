//! The second half of attaching: connects to all resources at once, probes them, and keeps all or
//! none.

use std::sync::Arc;
use std::time::Duration;

use backing_services_rules::Date;

use crate::attach::fetch::fetch_and_connect;
use crate::attach::watch::{Ended, Watch, watched};
use crate::declare::manifest::{Declaration, ResourceEntry};
use crate::load::spec::ConnectionSpec;
use crate::load::waiver;
use crate::net::tasks::Tasks;
use crate::net::time::{CLOSE_DEADLINE, Limit, late, panicked, with_timeout};
use crate::report::error::Problem;
use crate::report::finding::{FailureKind, Finding, Place};
use crate::report::posture::Posture;
use crate::report::refusal::Refusal;
use crate::service::erased::Connected;
use crate::service::target::{Attempt, Target};

/// A resource that is being connected to.
pub(crate) struct PendingResource {
    /// The field's ordinal in declaration order.
    pub(crate) ordinal: usize,
    pub(crate) entry: &'static ResourceEntry,
    pub(crate) declaration: &'static Declaration,
    /// The data for the next generation.
    pub(crate) spec: ConnectionSpec,
    pub(crate) connected: Option<Connected>,
    /// The time until connecting ended, with whatever result, or until the deadline.
    pub(crate) took: Option<Duration>,
}

/// Connects to all resources at once, under one deadline. Dropping this future ends all that it has
/// started: the set owns the tasks, and the tasks own the connections.
pub(crate) async fn connect(
    pending: &mut [PendingResource],
    limit: Limit,
    today: Date,
    problems: &mut Vec<(usize, Problem)>,
    watch: Option<Arc<dyn Watch>>,
) {
    let begun = tokio::time::Instant::now();
    let mut connecting = Tasks::new();
    let attempt = Attempt::new(limit.deadline);
    for (index, resource) in pending.iter().enumerate() {
        let target = Arc::clone(&resource.spec.target);
        let connect = fetch_and_connect(resource.entry.service, target, attempt);
        let connect = watched(resource.ordinal, watch.clone(), connect);
        connecting.spawn(async move { (index, connect.await) });
    }
    let told = |resource: &PendingResource, problems: &[(usize, Problem)]| {
        if let Some(watch) = &watch {
            watch.ended(&resource.ended(problems));
        }
    };
    while let Ok(Some(joined)) =
        tokio::time::timeout_at(limit.deadline, connecting.join_next()).await
    {
        // A task that panicked is reported below, as one that did not finish.
        if let Ok((index, result)) = joined
            && let Some(resource) = pending.get_mut(index)
        {
            let earlier = problems.len();
            resource.took = Some(begun.elapsed());
            resource.record(result, today, problems);
            told(resource, &problems[earlier..]);
        }
    }
    let out_of_time = !connecting.is_empty();
    connecting.abort_all();
    for resource in pending.iter_mut().filter(|resource| resource.took.is_none()) {
        let failure = if out_of_time { late(limit.total) } else { panicked() };
        resource.took = Some(begun.elapsed());
        problems.push((resource.ordinal, Problem::Failure(failure.in_place(&resource.spec.place))));
        told(resource, &problems[problems.len() - 1..]);
    }
}

impl PendingResource {
    pub(crate) const fn new(
        ordinal: usize,
        entry: &'static ResourceEntry,
        declaration: &'static Declaration,
        spec: ConnectionSpec,
    ) -> Self {
        Self { ordinal, entry, declaration, spec, connected: None, took: None }
    }

    /// The result, for a display.
    pub(crate) fn ended<'a>(&'a self, problems: &'a [(usize, Problem)]) -> Ended<'a> {
        Ended {
            ordinal: self.ordinal,
            endpoint: self.spec.target.locator().to_string(),
            posture: self.connected.as_ref().map(|connected| &connected.posture),
            took: self.took,
            problems,
        }
    }

    /// Takes the result, and checks it against the rules.
    fn record(
        &mut self,
        result: Result<(Arc<Target>, Connected), Refusal>,
        today: Date,
        problems: &mut Vec<(usize, Problem)>,
    ) {
        match result {
            Ok((target, mut connected)) => {
                self.spec.target = target;
                let findings = std::mem::take(&mut connected.findings);
                apply_rules(
                    &mut connected.posture, findings, self.declaration, today, &self.spec.place,
                );
                // Loading has reported some of them already, such as the dates in a `_CA` variable,
                // which may be a file's.
                let is_known = |finding: &Finding, (ordinal, problem): &(usize, Problem)| {
                    *ordinal == self.ordinal
                        && problem.name() == finding.rule().name
                        && problem.message().replacen("_FILE`", "`", 1) == finding.message()
                };
                let is_new =
                    |finding: &&Finding| !problems.iter().any(|problem| is_known(finding, problem));
                let news: Vec<_> =
                    connected.posture.findings.iter().filter(is_new).cloned().collect();
                problems.extend(
                    news.into_iter().map(|finding| (self.ordinal, Problem::Finding(finding))),
                );
                tracing::debug!(field = self.spec.place.field, "connected: {}", connected.posture);
                self.connected = Some(connected);
            }
            Err(Refusal::Finding(finding)) => {
                problems.push((self.ordinal, Problem::Finding(finding.in_place(&self.spec.place))))
            }
            Err(Refusal::Failure(failure)) => {
                // It ended before the deadline of the whole attempt, so the limit of this
                // connection expired.
                let is_the_limit = failure.kind() == FailureKind::TimedOut
                    && self.took >= Some(self.spec.target.connect_timeout());
                let failure = if self.entry.service.is_dialled() && is_the_limit {
                    failure.also(
                        "; `connect_timeout` in the locator, 10 s unless it is there, \
                         is the time for one connection",
                    )
                } else {
                    failure
                };
                problems.push((self.ordinal, Problem::Failure(failure.in_place(&self.spec.place))))
            }
        }
    }
}

/// Evaluates the connection's findings against the rules and the field's waivers, and stores the
/// result in `posture.findings`.
pub(crate) fn apply_rules(
    posture: &mut Posture,
    mut findings: Vec<Finding>,
    declaration: &'static Declaration,
    today: Date,
    place: &Place,
) {
    findings.extend(
        posture
            .tls
            .as_ref()
            .and_then(|tls| crate::net::tls::expiry_notice(&tls.certificate, posture.taken_at)),
    );
    findings.extend(posture.server.as_ref().and_then(|server| server.finding(today)));
    waiver::apply(&mut findings, declaration.waived_rules(), today);
    posture.findings = findings.into_iter().map(|finding| finding.in_place(place)).collect();
    posture.waivers = waiver::in_force(declaration.waived_rules(), today).collect();
}

/// Closes the connections of an attempt that was refused. They were never handed out, so nothing is
/// in flight.
pub(crate) async fn abandon(connected: impl IntoIterator<Item = Connected>) {
    let mut closing = Tasks::new();
    for connected in connected {
        closing.spawn(with_timeout(CLOSE_DEADLINE, connected.abandon()));
    }
    while closing.join_next().await.is_some() {}
}
