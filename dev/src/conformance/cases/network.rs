//! The network and the server stall, flood and disappear.

use std::time::Duration;

use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::Refusal;
use backing_services_runtime::{AttachError, BackingServices as _, Resource};
use tokio::time::Instant;

use crate::conformance::attempt::problems;
use crate::conformance::canary;
use crate::conformance::cases::identity::later_is_refused;
use crate::conformance::hostile::{Hostile, Peer};
use crate::conformance::pki::Authority;
use crate::conformance::relay::Flow;
use crate::conformance::stage::{self, Fixture as _, Hasty, LIMIT, Patient, SOON, Stage, refused};
use crate::conformance::subject::Subject;
use crate::port;

/// The bytes of a server that arrive before it falls silent: within the messages before TLS, within
/// the handshake, and within the answers after it.
const SILENT_AFTER: [usize; 7] = [1, 30, 100, 400, 1000, 1400, 2000];

/// The bytes of a flood that a client may take, with those in the buffers of the network: those of
/// the loopback interface hold some 6 MiB.
const MOST_OF_A_FLOOD: usize = 32 * 1024 * 1024;

/// The number of moments at which an attempt is dropped.
const STEPS: u32 = 24;

pub(super) async fn silent<S: Subject>(stage: &Stage<S>) {
    let silent = Hostile::start(|peer| async { Ok(Some(peer)) });
    let begin = Instant::now();
    let variables = stage.at(silent.port);
    let error = refused::<Hasty<S::Service>>(&variables, LIMIT).await;
    assert!(begin.elapsed() >= Duration::from_secs(2), "it has the time that it was given");
    assert_eq!(problems(&error), ["timed_out"], "{error}");
    silent.assert_all_closed().await;
    for heard in silent.heard() {
        variables.assert_none_in(&heard.plain);
    }
    let attempts = SILENT_AFTER.map(|bytes| async move {
        let (relay, variables) = stage.relayed();
        relay.set(Flow::SilentAfter(bytes));
        match stage::attach::<Hasty<S::Service>>(&variables).await {
            // The server has sent less in all.
            Ok(shop) => drop(shop.detach().await),
            Err(error) => assert_eq!(problems(&error), ["timed_out"], "{bytes} bytes: {error}"),
        }
        relay.set(Flow::Open);
        relay.assert_all_closed().await;
    });
    futures_util::future::join_all(attempts).await;
}

pub(super) async fn drip<S: Subject>(stage: &Stage<S>) {
    let (relay, variables) = stage.relayed();
    relay.set(Flow::Drip(Duration::from_millis(20)));
    let error = refused::<Hasty<S::Service>>(&variables, LIMIT).await;
    assert_eq!(problems(&error), ["timed_out"], "{error}");
    relay.set(Flow::Open);
    relay.assert_all_closed().await;
}

pub(super) async fn flood<S: Subject>(stage: &Stage<S>) {
    for bytes in [&b"\0"[..], b"a", b"\r\n"] {
        let before = Hostile::start(move |mut peer: Peer| async move { peer.flood(bytes).await });
        let error = refused::<Hasty<S::Service>>(&stage.at(before.port), LIMIT).await;
        assert_ends(&error, "before TLS");
        assert_bounded(&before).await;

        let leaf = stage.authority.server();
        let under = Hostile::start(move |peer| {
            let leaf = leaf.clone();
            async move { S::before_tls(peer).await?.encrypt(&leaf).await?.flood(bytes).await }
        });
        let error = refused::<Hasty<S::Service>>(&stage.at(under.port), LIMIT).await;
        assert_ends(&error, "under TLS");
        assert_bounded(&under).await;
    }
}

/// A limit of bytes ends it, and not the deadline.
fn assert_ends(error: &AttachError, place: &str) {
    let problems = problems(error);
    assert!(problems.len() == 1 && problems != ["timed_out"], "{place}: {error}");
}

async fn assert_bounded(flood: &Hostile) {
    flood.assert_all_closed().await;
    for heard in flood.heard() {
        assert!(heard.flooded <= MOST_OF_A_FLOOD, "it took {} bytes", heard.flooded);
    }
}

pub(super) async fn nothing_listens<S: Subject>(stage: &Stage<S>) {
    let variables = stage.at(port::free().unwrap());
    let error = refused::<Patient<S::Service>>(&variables, SOON).await;
    assert_eq!(problems(&error), ["unreachable"], "{error}");
    assert!(error.to_string().contains("nothing listens on the host's port"), "{error}");
}

pub(super) async fn dropped_attempt<S: Subject>(stage: &Stage<S>) {
    let (relay, variables) = stage.relayed();
    let begin = Instant::now();
    let shop: Patient<S::Service> = stage::attach(&variables).await.unwrap();
    // The journal is searched after it, which takes a part of the time.
    let whole = begin.elapsed();
    shop.detach().await;
    let mut dropped = 0;
    for step in 0..STEPS {
        let attempt = stage::attach::<Patient<S::Service>>(&variables);
        match tokio::time::timeout(whole * step / STEPS, attempt).await {
            Ok(attached) => drop(attached.unwrap().detach().await),
            Err(_) => dropped += 1,
        }
    }
    assert!(dropped >= STEPS / 4 && relay.accepted() > 1, "{dropped} attempts were dropped");
    relay.assert_all_closed().await;
}

pub(super) async fn health<S: Subject>(stage: &Stage<S>) {
    let (relay, variables) = stage.relayed();
    let variables = variables.with_parameters(S::LIMITS);
    let shop: Patient<S::Service> = stage::attach(&variables).await.unwrap();
    shop.subject().health().await.expect("it is healthy");
    for flow in [Flow::Silent, Flow::ForcedClose] {
        relay.set(flow);
        let begin = Instant::now();
        let error = shop.subject().health().await.expect_err("it is away");
        canary::assert_error_silent(&error);
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        let Refusal::Failure(failure) = error else { panic!("{error}") };
        if flow == Flow::Silent {
            assert_eq!(failure.kind(), FailureKind::TimedOut);
        }
    }
    relay.set(Flow::Open);
    comes_back::<S>(shop.subject()).await;
    shop.detach().await;
    relay.assert_all_closed().await;
}

pub(super) async fn every_connection<S: Subject>(stage: &Stage<S>) {
    let other = Authority::new("the suite's authority").server();
    let leaves = [other, stage.authority.expired(), stage.authority.other_host()];
    let refused = leaves.map(|leaf| async move {
        let (relay, variables) = stage.relayed();
        let variables = variables.with_parameters(S::LIMITS);
        let shop: Patient<S::Service> = stage::attach(&variables).await.unwrap();
        let (pretender, _) = stage.pretender(&leaf);
        later_is_refused::<S>(shop.subject(), &relay, &pretender, &variables).await;
        relay.lead_to(S::port(stage.server()));
        comes_back::<S>(shop.subject()).await;
        shop.detach().await;
        relay.assert_all_closed().await;
    });
    futures_util::future::join_all(refused).await;
}

/// The client finds its server again.
async fn comes_back<S: Subject>(subject: &Resource<S::Service>) {
    let back = async {
        while subject.health().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), back).await.expect("it comes back");
    S::work(&subject.client()).await.expect("a call works again");
}
