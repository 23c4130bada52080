//! Renews expiring credentials while a resource stays attached.
//!
//! Fetched credentials are checked against the rules and tried, as attaching does. Then the client
//! adopts them and keeps its open connections. If it cannot, the client that was connected to try
//! them replaces it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use backing_services_rules::rule::STALE_VALUE;
use tokio::sync::watch;

use crate::attach::connect::{abandon, apply_rules};
use crate::attach::fetch;
use crate::live::generation::{Control, DynGeneration, DynResource, FieldContext, Handle, publish};
use crate::load;
use crate::load::spec::ConnectionSpec;
use crate::net::backoff::jittered;
use crate::net::tasks::{self, LONGEST_PAUSE, Work, pauses};
use crate::net::time::{READY_DEADLINE, run_until_cancelled, with_timeout};
use crate::report::error::Problem;
use crate::report::finding::FailureKind;
use crate::report::refusal::Refusal;
use crate::service::credentials::FETCH_DEADLINE;
use crate::service::erased::Connected;
use crate::service::target::{Attempt, Target};

/// The part of their lifetime after which credentials are fetched again: two thirds. Of one hour,
/// that leaves twenty minutes for failed attempts; of the 15 minutes of an RDS token, five.
const DUE: f64 = 2.0 / 3.0;

/// The interval at which the clock is checked: a machine that slept, or whose clock was set,
/// notices it within a minute.
const LOOK: Duration = Duration::from_secs(60);

/// Starts the task that renews credentials. It ends when the last handle of the resource is
/// dropped, or when the resource is detached.
pub(crate) fn begin(shared: &Arc<dyn DynResource>) {
    let (resource, control) = (Arc::downgrade(shared), shared.control());
    let begin = move || -> Work {
        Box::pin(renew_each_generation(Weak::clone(&resource), control.clone()))
    };
    let name = format!("the task that renews the credentials of `{}`", shared.context().field);
    tasks::keep(&shared.context().owner.runtime, name, begin, || {});
}

async fn renew_each_generation(
    shared: Weak<dyn DynResource>,
    mut control: watch::Receiver<Control>,
) {
    loop {
        if control.borrow_and_update().detached {
            return;
        }
        let Some(mut renewing) = shared.upgrade().map(|shared| Renewing::of(&*shared)) else {
            return;
        };
        // Orders also announce a new generation and the detach. An error means that the last handle
        // is gone.
        let other_orders = async { drop(control.changed().await) };
        run_until_cancelled(other_orders, renewing.again_and_again(&shared)).await;
    }
}

/// The state of the credentials of one generation. It keeps neither the generation nor the resource
/// alive.
struct Renewing {
    context: Arc<FieldContext>,
    generation: Weak<dyn DynGeneration>,
    spec: ConnectionSpec,
    /// Credentials the server rejected, with the error. Never retried, so the account is not locked
    /// out.
    authentication_failed: Option<(Arc<Target>, Refusal)>,
}

/// The outcome of trying credentials.
enum RenewalAttempt {
    /// They are the ones in use, valid for another period.
    Same(Arc<Target>),
    Other(Arc<Target>, Box<Connected>),
    Refused(Option<Arc<Target>>, Refusal),
}

impl Renewing {
    fn of(shared: &dyn DynResource) -> Self {
        let generation = shared.generation();
        let spec = (*generation.spec()).clone();
        Self {
            context: Arc::clone(shared.context()),
            generation: Arc::downgrade(&generation),
            spec,
            authentication_failed: None,
        }
    }

    async fn again_and_again(&mut self, shared: &Weak<dyn DynResource>) {
        while let Some(due) = self.due() {
            // The end of the lease is reported when it comes, however long the renewal takes.
            let end = end_of_lease(
                Weak::clone(shared),
                Weak::clone(&self.generation),
                Arc::clone(&self.spec.target),
            );
            run_until_cancelled(end, self.when_due(shared, due)).await;
        }
        // These credentials do not expire. Those of another generation may.
        std::future::pending::<()>().await;
    }

    /// Renews the credentials once, with as many attempts as that takes.
    async fn when_due(&mut self, shared: &Weak<dyn DynResource>, due: SystemTime) {
        until(due).await;
        let mut pauses = pauses();
        let mut is_told = false;
        while let Err(refusal) = self.renew(shared).await {
            let field = self.context.field.as_str();
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(
                    field,
                    "its credentials are not renewed, and stay what they were: {refusal}"
                );
            }
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
        }
        if is_told {
            tracing::info!(field = self.context.field, "its credentials are renewed again");
        }
    }

    /// The time at which to fetch the credentials again.
    fn due(&self) -> Option<SystemTime> {
        let lease = self.spec.target.fetched.as_ref()?.lease?;
        let life = lease.not_after.duration_since(lease.fetched).unwrap_or_default();
        lease.fetched.checked_add(jittered(life.mul_f64(DUE)))
    }

    async fn renew(&mut self, shared: &Weak<dyn DynResource>) -> Result<(), Refusal> {
        match self.fetch_and_try().await? {
            RenewalAttempt::Same(target) => {
                self.prolong(target);
                Ok(())
            }
            RenewalAttempt::Refused(target, refusal) => {
                if let (Some(target), Refusal::Failure(failure)) = (target, &refusal)
                    && failure.kind() == FailureKind::AuthenticationFailed
                {
                    self.authentication_failed = Some((target, refusal.clone()));
                }
                Err(refusal)
            }
            RenewalAttempt::Other(target, connected) => {
                let connected = self.check(*connected).await?;
                self.adopt(shared, target, connected).await
            }
        }
    }

    /// The credentials in use are valid for another period.
    fn prolong(&mut self, target: Arc<Target>) {
        let Some(generation) = self.generation.upgrade() else { return };
        self.spec.target = target;
        let mut posture = (*generation.posture()).clone();
        // They may have expired, and are valid again.
        posture.findings.retain(|finding| finding.rule() != &STALE_VALUE);
        generation.renewed(self.spec.clone(), Arc::new(posture));
    }

    /// Checks the connection that has tested the credentials against the rules.
    async fn check(&self, mut connected: Connected) -> Result<Connected, Refusal> {
        let findings = std::mem::take(&mut connected.findings);
        let declaration = self.context.declaration;
        let place = &self.spec.place;
        apply_rules(&mut connected.posture, findings, declaration, load::today(), place);
        let denied = connected.posture.findings.iter().find(|finding| finding.is_denied());
        let Some(finding) = denied.cloned() else { return Ok(connected) };
        abandon([connected]).await;
        Err(finding.into())
    }

    /// Lets the client adopt the target's credentials. If it cannot, the client that has tested
    /// them replaces it.
    async fn adopt(
        &mut self,
        shared: &Weak<dyn DynResource>,
        target: Arc<Target>,
        connected: Connected,
    ) -> Result<(), Refusal> {
        // A reattach runs before or after this, and starts from its result.
        let owner = Arc::clone(&self.context.owner);
        let turn = owner.turn().await;
        let spec = ConnectionSpec { target, ..self.spec.clone() };
        let is_current = |generation: &Arc<dyn DynGeneration>| {
            shared.upgrade().is_some_and(|shared| shared.is_current(generation))
        };
        let Some(generation) = self.generation.upgrade().filter(is_current) else {
            drop(turn);
            abandon([connected]).await;
            return Ok(());
        };
        let taken = with_timeout(FETCH_DEADLINE, generation.renew(&spec.target)).await;
        let is_in_place = match taken.unwrap_or_else(|timed_out| Err(timed_out.into())) {
            Ok(is_in_place) => is_in_place,
            Err(refusal) => {
                drop((turn, generation));
                abandon([connected]).await;
                return Err(refusal);
            }
        };
        self.spec = spec;
        let left = if is_in_place {
            generation.renewed(self.spec.clone(), Arc::new(connected.posture.clone()));
            Some(connected)
        } else {
            self.replace(shared, connected).await
        };
        drop((turn, generation));
        tracing::info!(field = self.context.field, is_in_place, "its credentials are renewed");
        if let Some(connected) = left {
            abandon([connected]).await;
        }
        Ok(())
    }

    /// Publishes a client with the renewed credentials. Returns it if the resource is gone.
    async fn replace(
        &self,
        shared: &Weak<dyn DynResource>,
        connected: Connected,
    ) -> Option<Connected> {
        let Some(shared) = shared.upgrade() else { return Some(connected) };
        // A client that is not ready in time is published as it is.
        let _ = with_timeout(READY_DEADLINE, shared.make_ready(&connected)).await;
        let published = publish(vec![(&Handle(shared), connected, self.spec.clone())]);
        published.err().and_then(|mut left| left.pop())
    }

    async fn fetch_and_try(&self) -> Result<RenewalAttempt, Refusal> {
        let service = self.context.service;
        let limit = self.context.limit();
        let attempt = Attempt::new(limit.deadline);
        let (known, authentication_failed) =
            (Arc::clone(&self.spec.target), self.authentication_failed.clone());
        let context = Arc::clone(&self.context);
        // Fetching may panic, and so may a driver.
        let tried = tasks::isolated(limit.total, async move {
            let fetched = match fetch::fetch(&known, attempt).await {
                Ok(Some(fetched)) => Arc::new(fetched),
                Ok(None) => Arc::clone(&known),
                Err(refusal) => return RenewalAttempt::Refused(None, refusal),
            };
            if fetch::is_same_login(&fetched, &known) {
                return RenewalAttempt::Same(fetched);
            }
            context.guard(&fetched);
            if let Some((target, refusal)) = authentication_failed
                && fetch::is_same_login(&fetched, &target)
            {
                return RenewalAttempt::Refused(None, refusal);
            }
            let connected = match fetch::check_fetched(service, &fetched) {
                Ok(findings) => (service.connect)(Arc::clone(&fetched), attempt)
                    .await
                    .map(|connected| connected.with_findings(findings)),
                Err(refusal) => Err(refusal),
            };
            match connected {
                Ok(connected) => RenewalAttempt::Other(fetched, Box::new(connected)),
                Err(refusal) => RenewalAttempt::Refused(Some(fetched), refusal),
            }
        });
        Ok(tried.await?)
    }
}

/// Reports the end of a lease when it comes, unless other credentials have been adopted by then. It
/// does not complete by itself.
///
/// Open connections may go on, but no new login succeeds.
async fn end_of_lease(
    shared: Weak<dyn DynResource>,
    generation: Weak<dyn DynGeneration>,
    target: Arc<Target>,
) {
    if let Some(lease) = target.fetched.as_ref().and_then(|fetched| fetched.lease) {
        until(lease.not_after).await;
    }
    if let (Some(shared), Some(generation)) = (shared.upgrade(), generation.upgrade())
        && shared.is_current(&generation)
        && let spec = generation.spec()
        && let Some(finding) = fetch::expired(&spec.target)
    {
        let mut posture = (*generation.posture()).clone();
        if posture.findings.iter().all(|known| known.rule() != finding.rule()) {
            let finding = finding.in_place(&spec.place);
            load::report_warnings(&[Problem::Finding(finding.clone())]);
            posture.findings.push(finding);
            generation.set_posture(Arc::new(posture));
        }
    }
    std::future::pending::<()>().await;
}

/// Waits by both clocks: the wall clock, by which credentials expire, and the monotonic clock,
/// which cannot be set.
async fn until(due: SystemTime) {
    let latest = Instant::now() + due.duration_since(SystemTime::now()).unwrap_or_default();
    loop {
        let left = due
            .duration_since(SystemTime::now())
            .unwrap_or_default()
            .min(latest.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}
