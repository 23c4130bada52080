//! Takes the posture again while a resource stays attached: certificates expire, and privileges
//! grow.
//!
//! All services are re-checked the same way: connect again to the same target by the same rules, as
//! attaching does, and close that second client.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tokio::sync::watch;

use crate::attach::connect::judge;
use crate::attach::fetch;
use crate::live::generation::{AnyGeneration, Life, Orders, Seat};
use crate::load;
use crate::load::facts::Facts;
use crate::net::backoff::{detached, jittered};
use crate::net::tasks::{self, Work};
use crate::net::time::{CLOSE_DEADLINE, unless, within};
use crate::report::error::Problem;
use crate::report::finding::Finding;
use crate::report::posture::Posture;
use crate::report::refusal::Refusal;

/// Starts the task that takes the posture again. It ends when the last handle of the resource is
/// dropped, or when the resource is detached.
pub(crate) fn begin(shared: &Arc<dyn Life>) {
    let (resource, orders) = (Arc::downgrade(shared), shared.orders());
    let begin =
        move || -> Work { Box::pin(take_again_and_again(Weak::clone(&resource), orders.clone())) };
    let name = format!("the task that takes the posture of `{}` again", shared.seat().field);
    tasks::keep(&shared.seat().whole.runtime, name, begin, || {});
}

async fn take_again_and_again(shared: Weak<dyn Life>, mut orders: watch::Receiver<Orders>) {
    loop {
        let Orders { interval, detached, .. } = *orders.borrow_and_update();
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
        let other_orders = async { drop(orders.changed().await) };
        if unless(other_orders, pause).await.is_none() {
            if shared.strong_count() == 0 {
                return;
            }
            continue;
        }
        // Hold only the generation's target meanwhile: a handle or a user would keep the resource
        // or the generation alive.
        let Some(retaking) = shared.upgrade().map(|shared| Retaking::of(&*shared)) else { return };
        let Some(taken) = retaking.unless_detached(&mut orders).await else { return };
        let Some(shared) = shared.upgrade() else { return };
        // Whatever the result, it has been reported.
        drop(retaking.settle(&*shared, taken));
    }
}

/// Takes the posture now.
pub(crate) async fn now(shared: &Arc<dyn Life>) -> Result<Arc<Posture>, Refusal> {
    let retaking = Retaking::of(&**shared);
    match retaking.unless_detached(&mut shared.orders()).await {
        Some(taken) => retaking.settle(&**shared, taken),
        None => Err(detached().into()),
    }
}

/// One re-check of the posture.
struct Retaking {
    seat: Arc<Seat>,
    generation: Weak<dyn AnyGeneration>,
    facts: Facts,
}

impl Retaking {
    fn of(shared: &dyn Life) -> Self {
        let generation = shared.generation();
        Self {
            seat: Arc::clone(shared.seat()),
            facts: (*generation.facts()).clone(),
            generation: Arc::downgrade(&generation),
        }
    }

    /// Detaching does not wait for a re-check, and a re-check does not outlive the last handle.
    async fn unless_detached(
        &self,
        orders: &mut watch::Receiver<Orders>,
    ) -> Option<Result<Posture, Refusal>> {
        let end = async { drop(orders.wait_for(|orders| orders.detached).await) };
        unless(end, self.take()).await
    }

    async fn take(&self) -> Result<Posture, Refusal> {
        let Seat { service, declaration, .. } = &*self.seat;
        let (target, limit) = self.seat.again(&self.facts.target);
        let connect = (service.connect)(Arc::new(target));
        // A driver may panic.
        let taken = tasks::apart(limit, async move {
            let (posture, findings, closing) = connect.await?.into_closing();
            let _ = within(CLOSE_DEADLINE, closing).await;
            Ok::<_, Refusal>((posture, findings))
        });
        let (mut posture, mut findings) = taken.await??;
        // A server may still accept expired credentials, or accept them for a while.
        findings.extend(fetch::expired(&self.facts.target));
        judge(&mut posture, findings, declaration, load::today(), &self.facts.place);
        Ok(posture)
    }

    /// Stores the posture, and reports each new finding once.
    fn settle(
        &self,
        shared: &dyn Life,
        taken: Result<Posture, Refusal>,
    ) -> Result<Arc<Posture>, Refusal> {
        let field = self.seat.field.as_str();
        // A generation that was replaced is not re-checked any more.
        let generation =
            self.generation.upgrade().filter(|generation| shared.is_current(generation));
        let Some(generation) = generation else {
            return taken.map(|_| shared.generation().posture());
        };
        let known = generation.posture();
        match taken {
            Ok(posture) => {
                if shared.retaking_fails().swap(false, Ordering::AcqRel) {
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
                let finding = finding.in_place(&self.facts.place);
                if !known.findings.iter().any(|known| is_same(known, &finding)) {
                    let mut posture = (*known).clone();
                    posture.findings.push(finding.clone());
                    report_news(&known.findings, &posture.findings);
                    generation.set_posture(Arc::new(posture));
                }
                Err(finding.into())
            }
            Err(Refusal::Failure(failure)) => {
                if !shared.retaking_fails().swap(true, Ordering::AcqRel) {
                    let kind = failure.kind().name();
                    tracing::warn!(
                        field,
                        kind,
                        "its posture could not be taken again, and stays what it was: {}",
                        failure.message()
                    );
                }
                Err(failure.in_place(&self.facts.place).into())
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
