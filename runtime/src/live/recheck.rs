//! Takes the posture again while a resource stays attached: certificates expire, and privileges
//! grow.
//!
//! All services are re-checked the same way: connect again to the same target by the same rules, as
//! attaching does, and close that second client.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tokio::sync::watch;

use crate::attach::connect::apply_rules;
use crate::attach::fetch;
use crate::live::generation::{Control, DynGeneration, DynResource, FieldContext};
use crate::load;
use crate::load::spec::ConnectionSpec;
use crate::net::backoff::jittered;
use crate::net::tasks::{self, Work};
use crate::net::time::{CLOSE_DEADLINE, run_until_cancelled, with_timeout};
use crate::report::error::Problem;
use crate::report::finding::{Failure, Finding};
use crate::report::posture::Posture;
use crate::report::refusal::Refusal;
use crate::service::target::Attempt;

/// Starts the task that takes the posture again. It ends when the last handle of the resource is
/// dropped, or when the resource is detached.
pub(crate) fn begin(shared: &Arc<dyn DynResource>) {
    let (resource, control) = (Arc::downgrade(shared), shared.control());
    let begin =
        move || -> Work { Box::pin(take_again_and_again(Weak::clone(&resource), control.clone())) };
    let name = format!("the task that takes the posture of `{}` again", shared.context().field);
    tasks::keep(&shared.context().owner.runtime, name, begin, || {});
}

async fn take_again_and_again(
    shared: Weak<dyn DynResource>,
    mut control: watch::Receiver<Control>,
) {
    loop {
        let Control { interval, detached, .. } = *control.borrow_and_update();
        if detached {
            return;
        }
        let pause = async {
            match interval {
                Some(interval) => tokio::time::sleep(jittered(interval)).await,
                None => std::future::pending().await,
            }
        };
        // An error means that the last handle is gone.
        let other_orders = async { drop(control.changed().await) };
        if run_until_cancelled(other_orders, pause).await.is_none() {
            if shared.strong_count() == 0 {
                return;
            }
            continue;
        }
        // Hold only the generation's target meanwhile: a handle or a user would keep the resource
        // or the generation alive.
        let Some(retaking) = shared.upgrade().map(|shared| Retaking::of(&*shared)) else { return };
        let Some(taken) = retaking.unless_detached(&mut control).await else { return };
        let Some(shared) = shared.upgrade() else { return };
        // Whatever the result, it has been reported.
        drop(retaking.record(&*shared, taken));
    }
}

/// Takes the posture now.
pub(crate) async fn now(shared: &Arc<dyn DynResource>) -> Result<Arc<Posture>, Refusal> {
    let retaking = Retaking::of(&**shared);
    match retaking.unless_detached(&mut shared.control()).await {
        Some(taken) => retaking.record(&**shared, taken),
        None => Err(Failure::detached().into()),
    }
}

/// One re-check of the posture.
struct Retaking {
    context: Arc<FieldContext>,
    generation: Weak<dyn DynGeneration>,
    spec: ConnectionSpec,
}

impl Retaking {
    fn of(shared: &dyn DynResource) -> Self {
        let generation = shared.generation();
        Self {
            context: Arc::clone(shared.context()),
            spec: (*generation.spec()).clone(),
            generation: Arc::downgrade(&generation),
        }
    }

    /// Detaching does not wait for a re-check, and a re-check does not outlive the last handle.
    async fn unless_detached(
        &self,
        control: &mut watch::Receiver<Control>,
    ) -> Option<Result<Posture, Refusal>> {
        let end = async { drop(control.wait_for(|control| control.detached).await) };
        run_until_cancelled(end, self.take()).await
    }

    async fn take(&self) -> Result<Posture, Refusal> {
        let FieldContext { service, declaration, .. } = &*self.context;
        let limit = self.context.limit();
        let attempt = Attempt::new(limit.deadline);
        let connect = (service.connect)(Arc::clone(&self.spec.target), attempt);
        // A driver may panic.
        let taken = tasks::isolated(limit.total, async move {
            let (posture, findings, closing) = connect.await?.into_closing();
            let _ = with_timeout(CLOSE_DEADLINE, closing).await;
            Ok::<_, Refusal>((posture, findings))
        });
        let (mut posture, mut findings) = taken.await??;
        // A server may still accept expired credentials, or accept them for a while.
        findings.extend(fetch::expired(&self.spec.target));
        apply_rules(&mut posture, findings, declaration, load::today(), &self.spec.place);
        Ok(posture)
    }

    /// Stores the posture, and reports each new finding once.
    fn record(
        &self,
        shared: &dyn DynResource,
        taken: Result<Posture, Refusal>,
    ) -> Result<Arc<Posture>, Refusal> {
        let field = self.context.field.as_str();
        // A generation that was replaced is not re-checked any more.
        let generation =
            self.generation.upgrade().filter(|generation| shared.is_current(generation));
        let Some(generation) = generation else {
            return taken.map(|_| shared.generation().posture());
        };
        let known = generation.posture();
        match taken {
            Ok(posture) => {
                if shared.refresh_fails().swap(false, Ordering::AcqRel) {
                    tracing::info!(field, "its posture is taken again");
                }
                report_news(&known.findings, &posture.findings);
                tracing::debug!(field, "taken again: {posture}");
                let posture = Arc::new(posture);
                generation.set_posture(Arc::clone(&posture));
                Ok(posture)
            }
            // Our own rules refused the connection: the rest of the posture stays as it was, and
            // this finding is added.
            Err(Refusal::Finding(finding)) => {
                let finding = finding.in_place(&self.spec.place);
                if !known.findings.iter().any(|known| is_same(known, &finding)) {
                    let mut posture = (*known).clone();
                    posture.findings.push(finding.clone());
                    report_news(&known.findings, &posture.findings);
                    generation.set_posture(Arc::new(posture));
                }
                Err(finding.into())
            }
            Err(Refusal::Failure(failure)) => {
                if !shared.refresh_fails().swap(true, Ordering::AcqRel) {
                    let kind = failure.kind().name();
                    tracing::warn!(
                        field,
                        kind,
                        "its posture could not be taken again, and stays what it was: {}",
                        failure.message()
                    );
                }
                Err(failure.in_place(&self.spec.place).into())
            }
        }
    }
}

/// Reports the findings that were not there before. A finding whose waiver has ended is not the
/// same.
fn report_news(known: &[Finding], findings: &[Finding]) {
    let news = findings.iter().filter(|finding| !known.iter().any(|known| is_same(known, finding)));
    load::report_warnings(&news.cloned().map(Problem::Finding).collect::<Vec<_>>());
}

fn is_same(one: &Finding, other: &Finding) -> bool {
    one.rule() == other.rule()
        && one.message() == other.message()
        && one.waived_because() == other.waived_because()
}
