//! The life of a resource whose service, source or caller misbehaves: a panic ends no task, a
//! reattach is all or nothing, and a caller that stops polling blocks nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, and what panics is what is tested"
)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use backing_services::credentials::{Credential, Credentials};
use backing_services::resource::{AnyResource as _, Followed, Following};
use backing_services::rules::Scheme;
use backing_services::service::{Attachment, Attempt, Refusal, Target};
use backing_services::source::{ChangeSignal, Changes, Unreadable, Value, WithCredentials};
use backing_services::{
    BackingServices, Environment, Failure, Finding, Posture, Resource, Service, Source,
};
use backing_services_tests::attempt::{problems, rules};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::journal;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Ends a test that hangs.
const SOON: Duration = Duration::from_secs(10);

/// A third-party service whose behaviour a test scripts. The user of the locator selects the
/// script.
struct Stage;

type Act = Box<dyn Fn(usize) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Per function: the scripted act, and the number of calls.
type Acts = HashMap<&'static str, (Arc<Act>, Arc<AtomicUsize>)>;

/// The acts that run before a function of the service does its work. An act receives the number of
/// the call, from 1 on.
#[derive(Default)]
struct Script {
    acts: Mutex<Acts>,
    connected: AtomicUsize,
    /// The numbers of the clients that were closed.
    closed: Mutex<Vec<usize>>,
}

static SCRIPTS: LazyLock<Mutex<HashMap<String, Arc<Script>>>> = LazyLock::new(Mutex::default);

/// The script of a user.
fn script(user: &str) -> Arc<Script> {
    let mut scripts = SCRIPTS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(scripts.entry(user.to_owned()).or_default())
}

impl Script {
    fn on<F: Future<Output = ()> + Send + 'static>(
        &self,
        function: &'static str,
        act: impl Fn(usize) -> F + Send + Sync + 'static,
    ) {
        let act: Act = Box::new(move |count| Box::pin(act(count)));
        self.acts.lock().unwrap().insert(function, (Arc::new(act), Arc::default()));
    }

    /// The number of calls of a function since its act was set.
    fn calls(&self, function: &str) -> usize {
        self.acts.lock().unwrap().get(function).map_or(0, |(_, calls)| calls.load(Ordering::SeqCst))
    }

    async fn act(&self, function: &str) {
        let Some((act, calls)) = self.acts.lock().unwrap().get(function).cloned() else { return };
        act(calls.fetch_add(1, Ordering::SeqCst) + 1).await;
    }

    fn connected(&self) -> usize {
        self.connected.load(Ordering::SeqCst)
    }
}

/// A client is its number, from 1 on.
struct Actor {
    script: Arc<Script>,
    number: usize,
}

impl Service for Stage {
    type Client = Actor;
    type Guard = backing_services::resource::ClientGuard<Self>;
    const NAME: &'static str = "Stage";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("stage").with_port(1)];

    fn check(target: &Target) -> Vec<Finding> {
        let script = script(target.user().unwrap_or_default());
        let Some((act, calls)) = script.acts.lock().unwrap().get("check").cloned() else {
            return Vec::new();
        };
        let mut act = act(calls.fetch_add(1, Ordering::SeqCst) + 1);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(act.as_mut().poll(&mut context).is_ready(), "`check` waits for nothing");
        Vec::new()
    }

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<Actor>, Refusal> {
        let script = script(target.user().unwrap_or_default());
        script.act("connect").await;
        let number = script.connected.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(Attachment::new(Actor { script, number }, Posture::of::<Self>(target)))
    }

    async fn make_ready(client: &Actor, _: &Actor) {
        client.script.act("make_ready").await;
    }

    async fn renew(client: &Actor, _: &Target) -> Result<bool, Refusal> {
        client.script.act("renew").await;
        Ok(true)
    }

    async fn health(client: &Actor) -> Result<(), Refusal> {
        client.script.act("health").await;
        Ok(())
    }

    async fn close(client: &Actor) {
        client.script.closed.lock().unwrap().push(client.number);
        client.script.act("close").await;
    }
}

#[derive(BackingServices)]
#[services(prefix = "PLAY", deadline = 4)]
struct Play {
    first: Resource<Stage>,
    second: Resource<Stage>,
}

#[derive(BackingServices)]
#[services(prefix = "SOLO", deadline = 4)]
struct Solo {
    solo: Resource<Stage>,
}

impl Play {
    fn numbers(&self) -> (usize, usize) {
        (self.first.client().number, self.second.client().number)
    }
}

/// The variables of a `Play` whose resources have the users `NAME-1` and `NAME-2`.
fn play(name: &str) -> Environment {
    Environment::from_iter(["FIRST", "SECOND"].into_iter().zip(1..).flat_map(|(field, number)| {
        [
            (format!("PLAY_{field}_URL"), format!("stage://{name}-{number}@localhost")),
            (format!("PLAY_{field}_PASSWORD"), PASSWORD.to_owned()),
        ]
    }))
}

fn solo(name: &str) -> Environment {
    Environment::from_iter([
        ("SOLO_SOLO_URL", format!("stage://{name}@localhost")),
        ("SOLO_SOLO_PASSWORD", PASSWORD.to_owned()),
    ])
}

async fn attached<T: BackingServices>(source: &(impl Source + Clone + 'static)) -> T {
    journal::open();
    T::attach_from(source).await.unwrap()
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The number of log lines that contain all of these parts.
fn logged(parts: &[&str]) -> usize {
    journal::text().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

/// Polls a future once.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

// A reattach is all or nothing.

/// Detaches the first resource at the last moment: when everything is connected and checked, and
/// the second resource is about to become ready.
async fn play_whose_first_is_detached_at_the_last_moment(name: &str) -> (Play, Resource<Stage>) {
    let services: Play = attached(&play(name)).await;
    let first = services.first.clone();
    let detached = first.clone();
    script(&format!("{name}-2")).on("make_ready", move |_| {
        let first = detached.clone();
        // This happens within one poll, so that nothing can notice it before the swap continues.
        async move {
            drop(tokio::task::block_in_place(|| Handle::current().block_on(first.close())));
        }
    });
    (services, first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detach_at_the_last_moment_leaves_the_whole_struct_as_it_was() {
    let (services, _) = play_whose_first_is_detached_at_the_last_moment("last-moment").await;
    let error = services.reattach(&play("last-moment")).await.unwrap_err();
    assert_eq!(problems(&error), ["unavailable"], "{error}");
    assert!(
        error.to_string().contains("first (PLAY_FIRST_URL")
            && error.to_string().contains("and stays as it was"),
        "{error}"
    );
    assert_eq!(script("last-moment-2").calls("make_ready"), 1, "it came to the last moment");
    assert_eq!(services.numbers(), (1, 1), "what is said to stay stays");
    assert_eq!(
        *script("last-moment-2").closed.lock().unwrap(),
        [2],
        "and what was connected for it is closed"
    );
    // The resource that is still attached can be moved alone.
    script("last-moment-2").on("make_ready", |_| async {});
    services.second.reattach(&play("last-moment")).await.unwrap();
    assert_eq!(services.numbers(), (1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_does_not_move_a_part_either() {
    let (services, _) = play_whose_first_is_detached_at_the_last_moment("followers").await;
    let source = Told::new(play("followers"));
    let mut following = services.follow(source.clone());
    eventually("it looks once", || source.asked() > 0).await;
    script("followers-2").connected.store(1, Ordering::SeqCst);
    // Both resources have other values now.
    let changed = Environment::from_iter(["FIRST", "SECOND"].into_iter().zip(1..).flat_map(
        |(field, number)| {
            let password = format!("{PASSWORD}-other");
            [
                (format!("PLAY_{field}_URL"), format!("stage://followers-{number}@localhost")),
                (format!("PLAY_{field}_PASSWORD"), password),
            ]
        },
    ));
    source.set(changed);
    assert!(
        timeout(SOON, following.next()).await.unwrap().is_none(),
        "following ends with the resource"
    );
    assert_eq!(script("followers-2").calls("make_ready"), 1, "it came to the last moment");
    assert_eq!(services.numbers(), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reattach_that_is_dropped_has_moved_all_or_nothing() {
    let services: Play = attached(&play("dropped")).await;
    let (mut moved, mut stayed) = (0, 0);
    // It approaches the moment at which the resources move, however fast the machine is.
    let mut delay = Duration::ZERO;
    for round in 0..300 {
        let before = services.numbers();
        {
            let source = play("dropped");
            let mut turn = std::pin::pin!(services.reattach(&source));
            // Meanwhile the task connects on another thread, and may be done already.
            poll_once(turn.as_mut()).await;
            std::thread::sleep(delay);
        }
        // The next reattach runs after the dropped one.
        assert_eq!(
            services.reattach_changed(&play("dropped")).await.unwrap(),
            Vec::<String>::new()
        );
        let (first, second) = services.numbers();
        assert_eq!(
            (first == before.0, second == before.1),
            (first == before.0, first == before.0),
            "round {round}"
        );
        if first == before.0 {
            stayed += 1;
            delay = (delay * 5 / 4 + Duration::from_micros(10)).min(Duration::from_millis(100));
        } else {
            moved += 1;
            delay = delay * 3 / 4;
        }
    }
    assert!(moved > 0 && stayed > 0, "{moved} moved, {stayed} stayed");
}

#[tokio::test]
async fn one_resource_and_the_whole_struct_are_reattached_by_turns() {
    let services: Play = attached(&play("turns")).await;
    let gate = Arc::new(Notify::new());
    let waiting = Arc::clone(&gate);
    script("turns-1").on("make_ready", move |_| {
        let gate = Arc::clone(&waiting);
        async move { gate.notified().await }
    });
    let (first, second) = (services.first.clone(), services.second.clone());
    let source = play("turns");
    let mut whole = Box::pin(services.reattach(&source));
    eventually("the struct's is on its way", || {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(whole.as_mut().poll(&mut context).is_pending());
        script("turns-1").calls("make_ready") == 1
    })
    .await;
    let one = tokio::spawn(async move { second.reattach(&play("turns")).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(script("turns-2").connected(), 2, "the one waits for its turn");
    gate.notify_one();
    whole.await.unwrap();
    one.await.unwrap().unwrap();
    assert_eq!((first.client().number, services.second.client().number), (2, 3));
}

#[tokio::test]
async fn a_panic_in_make_ready_is_reported_and_the_client_takes_its_place() {
    let services: Play = attached(&play("panic-ready")).await;
    script("panic-ready-2").on("make_ready", |_| async { panic!("in make_ready") });
    services.reattach(&play("panic-ready")).await.unwrap();
    assert_eq!(services.numbers(), (2, 2));
    assert_eq!(logged(&["WARN", "`make_ready` of its service panicked", "field=\"second\""]), 1);
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn a_panic_while_reading_is_an_error_at_its_field_and_moves_nothing() {
    let services: Play = attached(&play("panic-check")).await;
    script("panic-check-2").on("check", |_| async { panic!("in check") });
    for error in [
        services.reattach(&play("panic-check")).await.unwrap_err(),
        services.second.reattach(&play("panic-check")).await.unwrap_err(),
        Play::check(&play("panic-check")).unwrap_err(),
        Play::attach_from(&play("panic-check")).await.err().unwrap(),
    ] {
        assert_eq!(problems(&error), ["protocol"], "{error}");
        assert!(
            error
                .to_string()
                .contains("second (PLAY_SECOND_URL)\n  error[protocol]: reading it panicked"),
            "{error}"
        );
    }
    assert_eq!(services.numbers(), (1, 1));
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn a_panic_in_health_is_a_failure() {
    let services: Solo = attached(&solo("panic-health")).await;
    script("panic-health").on("health", |_| async { panic!("in health") });
    let refusal = services.solo.health().await.unwrap_err();
    assert_eq!(refusal.to_string(), "`health` of its service panicked [protocol]");
}

#[tokio::test]
async fn a_panic_in_close_is_reported_as_unfinished() {
    let services: Solo = attached(&solo("panic-close")).await;
    script("panic-close").on("close", |_| async { panic!("in close") });
    services.reattach(&solo("panic-close")).await.unwrap();
    eventually("the former one's end", || {
        logged(&["WARN", "closed before all users were done", "field=\"solo\"", "unfinished=true"])
            == 1
    })
    .await;
    let detached = services.detach().await;
    let [cut] = detached.cut() else { panic!("{detached}") };
    assert_eq!((cut.field(), cut.users(), cut.previous()), ("solo", 0, 0));
    assert_eq!(*script("panic-close").closed.lock().unwrap(), [1, 2]);
}

// Renewal continues.

/// The lifetime of a token here. It is renewed after 1.8 to 2 s.
const LIFE: Duration = Duration::from_secs(3);

/// Issues another token each time.
#[derive(Default)]
struct Issuer(AtomicUsize);

impl Credentials for Issuer {
    async fn fetch(&self) -> Result<Credential, Failure> {
        let count = self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Credential::new(format!("{PASSWORD}-{count}")).with_not_after(SystemTime::now() + LIFE))
    }
}

fn leased(name: &str) -> WithCredentials<Environment> {
    WithCredentials::new(Environment::from_iter([(
        "SOLO_SOLO_URL",
        format!("stage://{name}@localhost"),
    )]))
    .of("SOLO_SOLO", Issuer::default())
}

#[tokio::test]
async fn a_panic_in_renew_is_reported_and_renewal_is_tried_again() {
    script("panic-renew")
        .on("renew", |count| async move { assert!(count > 2, "in renew, for the {count}. time") });
    let services: Solo = attached(&leased("panic-renew")).await;
    let renewed = || script("panic-renew").calls("renew");
    eventually("it is renewed", || renewed() >= 1).await;
    eventually("the log has it", || {
        logged(&["WARN", "its credentials are not renewed", "`renew` of its service panicked"]) == 1
    })
    .await;
    let begun = Instant::now();
    eventually("it is renewed again", || renewed() >= 2).await;
    assert!(begun.elapsed() > Duration::from_millis(900), "after a pause: {:?}", begun.elapsed());
    // The lease ends before the third attempt, which is two seconds or more later.
    eventually("the end of the lease is a finding", || {
        rules(&services.solo.posture().findings) == ["stale_value"]
    })
    .await;
    eventually("it is renewed", || renewed() >= 3).await;
    eventually("the finding goes", || services.solo.posture().findings.is_empty()).await;
    eventually("the log has it", || {
        logged(&["INFO", "its credentials are renewed again", "field=\"solo\""]) >= 1
    })
    .await;
    assert_eq!(services.solo.client().number, 1, "the client has taken them on");
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn the_end_of_a_lease_is_reported_when_it_comes_however_long_an_attempt_takes() {
    // The first attempt to renew hangs until its own deadline, which is later than the end of the
    // lease.
    script("slow").on("connect", |count| async move {
        if count == 2 {
            std::future::pending::<()>().await;
        }
    });
    let services: Solo = attached(&leased("slow")).await;
    let begun = Instant::now();
    eventually("it is a finding", || rules(&services.solo.posture().findings) == ["stale_value"])
        .await;
    let took = begun.elapsed();
    assert!(
        (LIFE - Duration::from_millis(100)..LIFE + Duration::from_secs(1)).contains(&took),
        "{took:?}"
    );
    assert_eq!(script("slow").calls("connect"), 2, "that attempt is still on its way");
    let told = || {
        logged(&[
            "WARN",
            "its credentials have expired, and no others can be had",
            "rule=\"stale_value\"",
            "field=\"solo\"",
        ])
    };
    let count = told();
    // Taking the posture again succeeds, and has the finding, too. It is not logged a second time.
    let posture = services.solo.refresh_posture().await.unwrap();
    assert_eq!(rules(&posture.findings), ["stale_value"]);
    assert_eq!(told(), count);
    eventually("it is renewed", || services.solo.posture().findings.is_empty()).await;
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn a_caller_that_stops_polling_its_reattach_blocks_no_renewal() {
    let gate = Arc::new(AtomicBool::new(false));
    let slow = Arc::clone(&gate);
    // The reattach takes a second to connect. Its caller stops polling it.
    script("halfway").on("connect", move |_| {
        let is_slow = slow.swap(false, Ordering::SeqCst);
        async move {
            if is_slow {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    });
    script("halfway").on("renew", |_| async {});
    let source = leased("halfway");
    let services: Solo = attached(&source).await;
    gate.store(true, Ordering::SeqCst);
    let mut parked = Box::pin(services.solo.reattach(&source));
    assert!(!poll_once(parked.as_mut()).await);
    // It completed without another poll.
    eventually("it is published", || services.solo.client().number == 2).await;
    eventually("it is renewed", || script("halfway").calls("renew") >= 1).await;
    assert!(services.solo.posture().findings.is_empty());
    parked.await.unwrap();
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn a_caller_that_stops_polling_while_queued_blocks_nothing() {
    let services: Solo = attached(&solo("queue")).await;
    let gate = Arc::new(Notify::new());
    let waiting = Arc::clone(&gate);
    script("queue").on("make_ready", move |count| {
        let gate = Arc::clone(&waiting);
        async move {
            if count == 1 {
                gate.notified().await;
            }
        }
    });
    let source = solo("queue");
    let (mut one, mut parked) =
        (Box::pin(services.solo.reattach(&source)), Box::pin(services.solo.reattach(&source)));
    assert!(!poll_once(one.as_mut()).await && !poll_once(parked.as_mut()).await);
    eventually("the first is on its way", || script("queue").calls("make_ready") == 1).await;
    gate.notify_one();
    one.await.unwrap();
    // It is the turn of the parked reattach, which does not use it.
    timeout(SOON, services.solo.reattach(&source)).await.expect("the turn passes on").unwrap();
    parked.await.unwrap();
    assert_eq!(services.solo.client().number, 4);
}

// Following continues.

/// A source that reports its changes, and counts the calls of its methods.
#[derive(Clone)]
struct Told {
    values: Arc<Mutex<Environment>>,
    asked: Arc<AtomicUsize>,
    /// The number of calls for its changes that still have to panic.
    panics: Arc<AtomicUsize>,
    signal: ChangeSignal,
}

impl Told {
    fn new(values: Environment) -> Self {
        Self {
            values: Arc::new(Mutex::new(values)),
            asked: Arc::default(),
            panics: Arc::default(),
            signal: ChangeSignal::new(),
        }
    }

    fn set(&self, values: Environment) {
        *self.values.lock().unwrap() = values;
        self.signal.send();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Source for Told {
    fn name(&self) -> Cow<'_, str> {
        "a store".into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let value = self.values.lock().unwrap().get(variable)?;
        assert!(variable != "SOLO_SOLO_URL" || value.is_some(), "the store panics");
        Ok(value)
    }

    fn changes(&self) -> Changes {
        let left = self.panics.load(Ordering::SeqCst);
        self.panics.store(left.saturating_sub(1), Ordering::SeqCst);
        assert_eq!(left, 0, "the store panics");
        Changes::signalled(&self.signal)
    }
}

async fn next(following: &mut Following) -> Followed {
    timeout(SOON, following.next()).await.expect("an event").expect("it is still followed")
}

fn moved(event: &Followed) -> bool {
    matches!(event, Followed::Reattached(fields) if fields == &["solo"])
}

#[tokio::test]
async fn a_panic_in_a_source_or_in_check_is_refused_once_and_following_goes_on() {
    let services: Solo = attached(&solo("watcher-1")).await;
    let source = Told::new(solo("watcher-1"));
    let mut following = services.follow(source.clone());
    eventually("it looks once", || source.asked() > 0).await;

    source.set(Environment::from_iter([("SOLO_SOLO_PASSWORD", PASSWORD)]));
    let Followed::Refused(error) = next(&mut following).await else { panic!("it is taken") };
    assert_eq!(problems(&error), ["protocol"]);
    assert!(error.to_string().contains("reading it panicked"), "{error}");
    // It is tried again without a change, and not logged again.
    let asked = source.asked();
    eventually("it is tried again", || source.asked() > asked).await;

    source.set(solo("watcher-2"));
    assert!(moved(&next(&mut following).await));
    assert_eq!(
        logged(&["WARN", "what the source has now is refused", "solo: reading it panicked"]),
        1
    );

    script("watcher-3").on("check", |count| async move { assert!(count > 1, "in check") });
    source.set(solo("watcher-3"));
    let Followed::Refused(error) = next(&mut following).await else { panic!("it is taken") };
    assert_eq!(problems(&error), ["protocol"]);
    assert!(moved(&next(&mut following).await), "tried again after a pause, and it panics no more");
    assert!(services.detach().await.is_clean());
    assert!(timeout(SOON, following.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_follower_that_panics_reports_it_and_restarts() {
    let services: Solo = attached(&solo("panic-follow-1")).await;
    let source = Told::new(solo("panic-follow-2"));
    source.panics.store(2, Ordering::SeqCst);
    let mut following = services.follow(source.clone());
    for _ in 0..2 {
        assert!(matches!(next(&mut following).await, Followed::Panicked));
    }
    assert!(moved(&next(&mut following).await));
    assert_eq!(logged(&["ERROR", "the task that follows the source of `Solo` panicked"]), 2);
    assert_eq!(services.solo.client().number, 1, "the other user's first client");
    source.set(solo("panic-follow-3"));
    assert!(moved(&next(&mut following).await));
    // Dropping the `Following` ends restarts, too.
    source.panics.store(usize::MAX, Ordering::SeqCst);
    drop(following);
    let asked = source.asked();
    source.set(solo("panic-follow-1"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(source.asked(), asked);
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn events_that_are_lost_are_counted() {
    let services: Solo = attached(&solo("busy-0")).await;
    let source = Told::new(solo("busy-0"));
    let mut following = services.follow(source.clone());
    eventually("it looks once", || source.asked() > 0).await;
    for round in 1..=66 {
        let name = format!("busy-{round}");
        source.set(solo(&name));
        eventually("it is moved", || {
            script(&name).connected() == 1
                && Arc::ptr_eq(&services.solo.client().script, &script(&name))
        })
        .await;
    }
    // The event of the last move may arrive a moment later.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(matches!(next(&mut following).await, Followed::Missed(2)));
    for _ in 0..64 {
        assert!(moved(&next(&mut following).await));
    }
    assert!(services.detach().await.is_clean());
}
