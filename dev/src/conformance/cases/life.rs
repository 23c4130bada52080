//! The client is replaced and closed while it is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use backing_services_runtime::{BackingServices as _, Service};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::conformance::attempt::problems;
use crate::conformance::hostile::Hostile;
use crate::conformance::journal;
use crate::conformance::relay::{Flow, Relay};
use crate::conformance::stage::{self, Fixture, Patient, SOON, Stage};
use crate::conformance::subject::{PATIENCE, Subject};

/// The most connections of four generations. A pool has ten of them as a rule, and one is for the
/// check of the account.
const MOST_CONNECTIONS: usize = 4 * 12;

/// The number of tasks that use the client.
const TASKS: usize = 4;

pub(super) async fn reattach_good<S: Subject>(stage: &Stage<S>) {
    let (one, here) = stage.relayed();
    let (two, there) = stage.relayed();
    let shop: Arc<Patient<S::Service>> = Arc::new(stage::attach(&here).await.unwrap());
    let load = Load::begin::<S, _>(&shop);
    for variables in [&there, &here, &there] {
        load.more_calls().await;
        shop.reattach(&stage::environment(variables)).await.unwrap();
    }
    load.more_calls().await;
    load.end().await;
    one.assert_all_closed().await;
    shop.detach().await;
    two.assert_all_closed().await;
    let opened = one.accepted() + two.accepted();
    assert!(opened <= MOST_CONNECTIONS, "{opened} connections for {TASKS} tasks");
}

pub(super) async fn reattach_bad<S: Subject>(stage: &Stage<S>) {
    let shop: Arc<Patient<S::Service>> = Arc::new(stage::attach(&stage.variables()).await.unwrap());
    let load = Load::begin::<S, _>(&shop);
    let (pretender, variables) = stage.pretender(&stage.authority.expired());
    let error = shop.reattach(&stage::environment(&variables)).await.unwrap_err();
    assert_eq!(problems(&error), ["certificate_expiry"], "{error}");
    pretender.assert_all_closed().await;
    load.more_calls().await;
    load.end().await;
    shop.detach().await;
}

pub(super) async fn reattach_silent<S: Subject>(stage: &Stage<S>) {
    let shop: Arc<Patient<S::Service>> = Arc::new(stage::attach(&stage.variables()).await.unwrap());
    let load = Load::begin::<S, _>(&shop);
    let silent = Hostile::start(|peer| async { Ok(Some(peer)) });
    let begin = Instant::now();
    let variables = stage.at(silent.port).with_parameters(S::LIMITS);
    let elsewhere = stage::environment(&variables);
    let error = shop.reattach(&elsewhere).await.unwrap_err();
    assert_eq!(problems(&error), ["timed_out"], "{error}");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    silent.assert_all_closed().await;
    load.more_calls().await;
    load.end().await;
    shop.detach().await;
}

/// The call has a guard, for which the runtime waits. That a service waits for a call by a clone of
/// the client is a test of its own crate: only that knows a call that the server answers late.
pub(super) async fn detach_in_flight<S: Subject>(stage: &Stage<S>) {
    let (relay, variables) = stage.relayed();
    let shop: Arc<Patient<S::Service>> = Arc::new(stage::attach(&variables).await.unwrap());
    S::work(&shop.subject().client()).await.expect("a call works");
    relay.set(Flow::Slow(200));
    let user = Arc::clone(&shop);
    let working = tokio::spawn(async move { S::work(&user.subject().client()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!working.is_finished(), "it is in flight");
    let detached = shop.detach().await;
    assert!(detached.is_clean(), "{detached}");
    working.await.unwrap().expect("the call ends well");
    relay.set(Flow::Open);
    relay.assert_all_closed().await;
}

pub(super) async fn detach_opening<S: Subject>(stage: &Stage<S>) {
    let (relay, variables) = stage.relayed();
    let variables = variables.with_parameters(S::LIMITS);
    let shop: Patient<S::Service> = stage::attach(&variables).await.unwrap();
    let kept = shop.subject().client().clone();
    S::work(&kept).await.expect("a call works");
    // Every connection breaks, so that the next call opens one.
    relay.set(Flow::ForcedClose);
    tokio::time::sleep(Duration::from_millis(300)).await;
    relay.set(Flow::Silent);
    let waiting = opening::<S>(&relay, &kept).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begin = Instant::now();
    let detached = shop.detach().await;
    assert!(detached.is_clean(), "{detached}");
    assert!(begin.elapsed() < S::CLOSES_WITHIN, "{:?}", begin.elapsed());

    let accepted = relay.accepted();
    relay.set(Flow::Open);
    let ended = tokio::time::timeout(PATIENCE, waiting).await.expect("the call ends");
    ended.unwrap().expect_err("the opening ends with the client");
    S::work(&kept).await.expect_err("a clone opens no connection");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(relay.accepted(), accepted, "nothing connects after the end");
    relay.assert_all_closed().await;
    journal::assert_silent();
}

/// A call that has to open a connection, and waits for the server. An earlier call may fail,
/// because it finds the connection broken.
async fn opening<S: Subject>(
    relay: &Relay,
    client: &<S::Service as Service>::Client,
) -> JoinHandle<Result<(), String>> {
    let before = relay.accepted();
    let begin = Instant::now();
    loop {
        let client = client.clone();
        let call = tokio::spawn(async move { S::work(&client).await });
        while !call.is_finished() {
            if relay.accepted() > before {
                return call;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(
            begin.elapsed() < SOON,
            "no call connects again after a break: see `service::reconnect`"
        );
    }
}

/// Calls without a pause. None of them may fail.
struct Load {
    tasks: JoinSet<Vec<String>>,
    ends: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl Load {
    fn begin<S: Subject, F: Fixture<Service = S::Service>>(shop: &Arc<F>) -> Self {
        let (ends, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let (shop, ends, calls) = (Arc::clone(shop), Arc::clone(&ends), Arc::clone(&calls));
            tasks.spawn(async move {
                let mut failures = Vec::new();
                while !ends.load(Ordering::SeqCst) {
                    failures.extend(S::work(&shop.subject().client()).await.err());
                    calls.fetch_add(1, Ordering::SeqCst);
                }
                failures
            });
        }
        Self { tasks, ends, calls }
    }

    /// Waits for some more calls.
    async fn more_calls(&self) {
        let enough = self.calls.load(Ordering::SeqCst) + 2 * TASKS;
        let called = async {
            while self.calls.load(Ordering::SeqCst) < enough {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), called).await.expect("calls are answered");
    }

    async fn end(self) {
        self.ends.store(true, Ordering::SeqCst);
        let failures = self.tasks.join_all().await.concat();
        assert_eq!(failures, [""; 0], "no call fails");
    }
}
