//! The figures of `backing_services::manual::defaults`, each from both sides of its limit, by a
//! paused clock that only advances while every task waits.
//!
//! Figures that depend on the wall clock (certificates, waivers, the ends of leases) are tested
//! where they are decided.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use backing_services::credentials::{Credential, Credentials};
use backing_services::resource::AnyResource as _;
use backing_services::rules::Scheme;
use backing_services::service::{Attachment, Attempt, Refusal, Target};
use backing_services::source::WithCredentials;
use backing_services::{
    AttachError, BackingServices, Environment, Failure, Posture, Resource, Service,
};
use tokio::time::{Instant, sleep, timeout};

/// A service whose functions take as long as a test says. A test is identified by the user of the
/// locator.
struct Slow;

/// The duration of each function.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    connect: Duration,
    make_ready: Duration,
    health: Duration,
    close: Duration,
}

#[derive(Default)]
struct Script {
    times: Mutex<Times>,
    connected: AtomicUsize,
}

static SCRIPTS: LazyLock<Mutex<HashMap<String, Arc<Script>>>> = LazyLock::new(Mutex::default);

fn script(user: &str) -> Arc<Script> {
    Arc::clone(SCRIPTS.lock().unwrap().entry(user.to_owned()).or_default())
}

impl Script {
    fn times(&self) -> Times {
        *self.times.lock().unwrap()
    }

    fn take(&self, times: Times) {
        *self.times.lock().unwrap() = times;
    }

    fn connected(&self) -> usize {
        self.connected.load(Ordering::SeqCst)
    }
}

struct SlowClient {
    script: Arc<Script>,
    number: usize,
    is_closed: AtomicBool,
}

impl Service for Slow {
    type Client = SlowClient;
    type Guard = backing_services::resource::ClientGuard<Self>;
    const NAME: &'static str = "Slow";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("slow").with_port(1)];

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<SlowClient>, Refusal> {
        let script = script(target.user().unwrap_or_default());
        sleep(script.times().connect).await;
        let number = script.connected.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(Attachment::new(
            SlowClient { script, number, is_closed: AtomicBool::new(false) },
            Posture::of::<Self>(target),
        ))
    }

    async fn make_ready(client: &SlowClient, _: &SlowClient) {
        sleep(client.script.times().make_ready).await;
    }

    async fn health(client: &SlowClient) -> Result<(), Refusal> {
        sleep(client.script.times().health).await;
        Ok(())
    }

    async fn close(client: &SlowClient) {
        client.is_closed.store(true, Ordering::SeqCst);
        sleep(client.script.times().close).await;
    }
}

/// With the default deadline.
#[derive(BackingServices)]
#[services(prefix = "APP")]
struct App {
    slow: Resource<Slow>,
}

const PASSWORD: &str = "hX2-vR9_wQ1z-kk8m";

fn environment(user: &str) -> Environment {
    Environment::from_iter([
        ("APP_SLOW_URL", format!("slow://{user}@localhost").as_str()),
        ("APP_SLOW_PASSWORD", PASSWORD),
    ])
}

async fn attached(user: &str) -> (App, Arc<Script>) {
    (App::attach_from(&environment(user)).await.unwrap(), script(user))
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Asserts that the elapsed time is this figure. The timer of tokio counts in milliseconds, and
/// rounds up.
#[track_caller]
fn assert_took(begun: Instant, figure: Duration) {
    let took = begun.elapsed();
    assert!((figure..figure + ms(10)).contains(&took), "{took:?}, and not {figure:?}");
}

fn kinds(error: &AttachError) -> Vec<&'static str> {
    error.failures().map(|failure| failure.kind().name()).collect()
}

#[tokio::test(start_paused = true)]
async fn attaching_has_30_seconds() {
    script("start").take(Times { connect: ms(29_990), ..Times::default() });
    App::attach_from(&environment("start")).await.unwrap();
    script("start").take(Times { connect: ms(30_010), ..Times::default() });
    let begun = Instant::now();
    let error = App::attach_from(&environment("start")).await.err().unwrap();
    assert_eq!(kinds(&error), ["timed_out"]);
    assert_took(begun, ms(30_000));
}

#[tokio::test(start_paused = true)]
async fn health_has_5_seconds() {
    let (services, script) = attached("health").await;
    script.take(Times { health: ms(4_990), ..Times::default() });
    services.slow.health().await.unwrap();
    script.take(Times { health: ms(5_010), ..Times::default() });
    let begun = Instant::now();
    let refusal = services.slow.health().await.unwrap_err();
    assert!(refusal.to_string().ends_with("[timed_out]"), "{refusal}");
    assert_took(begun, ms(5_000));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_replaced_is_kept_for_30_seconds() {
    let (services, _) = attached("replaced").await;
    let former = services.slow.client();
    services.slow.reattach(&environment("replaced")).await.unwrap();
    assert_eq!((former.number, services.slow.client().number), (1, 2));
    sleep(ms(29_990)).await;
    assert!(!former.is_closed.load(Ordering::SeqCst));
    sleep(ms(20)).await;
    assert!(former.is_closed.load(Ordering::SeqCst));
    assert!(!services.slow.client().is_closed.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_place_has_5_seconds_to_get_ready() {
    let (services, script) = attached("warm-up").await;
    for (ready, took) in [(ms(4_990), ms(4_990)), (ms(5_010), ms(5_000))] {
        script.take(Times { make_ready: ready, ..Times::default() });
        let begun = Instant::now();
        services.slow.reattach(&environment("warm-up")).await.unwrap();
        assert_took(begun, took);
    }
    // The deadline of attaching leaves less.
    script.take(Times { connect: ms(27_000), make_ready: ms(60_000), ..Times::default() });
    let begun = Instant::now();
    services.slow.reattach(&environment("warm-up")).await.unwrap();
    assert_took(begun, ms(30_000));
}

/// Whatever is still in use, and however long it takes to close it.
#[tokio::test(start_paused = true)]
async fn detaching_has_10_seconds_with_all_that_it_does() {
    // No guard is held, and the calls in flight take 9 s.
    let (services, script) = attached("end").await;
    script.take(Times { close: ms(9_000), ..Times::default() });
    let begun = Instant::now();
    assert!(services.detach().await.is_clean());
    assert_took(begun, ms(9_000));

    // A guard is dropped at the last moment.
    let (services, _) = attached("end-2").await;
    let guard = services.slow.client();
    let holding = tokio::spawn(async move {
        sleep(ms(8_990)).await;
        assert!(!guard.is_closed.load(Ordering::SeqCst));
    });
    let begun = Instant::now();
    assert!(services.detach().await.is_clean());
    assert_took(begun, ms(8_990));
    holding.await.unwrap();

    // Guards on all of its generations are held, and none of the clients can be closed.
    let (services, script) = attached("end-3").await;
    script.take(Times { close: ms(600_000), ..Times::default() });
    let mut guards = vec![services.slow.client()];
    for _ in 0..3 {
        services.slow.reattach(&environment("end-3")).await.unwrap();
        guards.push(services.slow.client());
    }
    let second = services.slow.clone();
    let begun = Instant::now();
    // A second caller waits for the first.
    let first = tokio::spawn(services.detach());
    tokio::task::yield_now().await;
    let second = tokio::spawn(async move { second.close().await });
    let detached = first.await.unwrap();
    assert!(begun.elapsed() < ms(10_000), "{:?}", begun.elapsed());
    assert!(begun.elapsed() > ms(9_000), "those who use it have 9 s: {:?}", begun.elapsed());
    second.await.unwrap();
    assert!(begun.elapsed() < ms(10_000), "{:?}", begun.elapsed());
    let [cut] = detached.cut() else { panic!("{detached}") };
    assert_eq!((cut.users(), cut.previous()), (1, 3), "{detached}");
    assert!(guards.iter().all(|guard| guard.is_closed.load(Ordering::SeqCst)));

    // A replaced client whose closing has started gets no more time than that either.
    let (services, script) = attached("end-4").await;
    script.take(Times { close: ms(600_000), ..Times::default() });
    services.slow.reattach(&environment("end-4")).await.unwrap();
    sleep(ms(1_000)).await;
    let begun = Instant::now();
    let detached = services.detach().await;
    assert!(!detached.is_clean());
    assert!(begun.elapsed() < ms(10_000), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_posture_is_taken_again_every_hour_or_a_tenth_sooner() {
    let (services, script) = attached("hourly").await;
    sleep(ms(54 * 60_000 - 1_000)).await;
    assert_eq!(script.connected(), 1, "not before 54 minutes");
    sleep(ms(6 * 60_000 + 2_000)).await;
    assert_eq!(script.connected(), 2, "within an hour");
    // Less than a second counts as a second.
    services.posture_interval(Some(ms(1)));
    let before = script.connected();
    sleep(ms(10_000)).await;
    assert!(
        (before + 9..=before + 12).contains(&script.connected()),
        "{} times in 10 s",
        script.connected() - before
    );
}

/// Never returns credentials.
struct Never;

impl Credentials for Never {
    async fn fetch(&self) -> Result<Credential, Failure> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn fetching_credentials_has_10_seconds() {
    let source = WithCredentials::new(Environment::from_iter([(
        "APP_SLOW_URL", "slow://fetched@localhost",
    )]));
    let begun = Instant::now();
    let error = App::attach_from(&source.of("APP_SLOW", Never)).await.err().unwrap();
    assert!(error.to_string().contains("its credentials were not fetched in time"), "{error}");
    assert_took(begun, ms(10_000));
}

#[cfg(feature = "follow")]
mod following {
    use std::borrow::Cow;

    use backing_services::Source;
    use backing_services::resource::Followed;
    use backing_services::source::{ChangeSignal, Changes, Unreadable, Value};

    use super::*;

    /// A source that counts how often it is read.
    #[derive(Clone)]
    struct Counted {
        values: Arc<Mutex<Environment>>,
        reads: Arc<AtomicUsize>,
        signal: ChangeSignal,
    }

    impl Counted {
        fn new(user: &str) -> Self {
            Self {
                values: Arc::new(Mutex::new(environment(user))),
                reads: Arc::default(),
                signal: ChangeSignal::new(),
            }
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::SeqCst)
        }

        fn ring(&self) {
            self.signal.send();
        }
    }

    impl Source for Counted {
        fn name(&self) -> Cow<'_, str> {
            "a store".into()
        }

        fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
            self.reads.fetch_add(usize::from(variable == "APP_SLOW_URL"), Ordering::SeqCst);
            self.values.lock().unwrap().get(variable)
        }

        fn changes(&self) -> Changes {
            Changes::signalled(&self.signal)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_is_read_every_minute_and_200_ms_after_a_change() {
        let source = Counted::new("minute");
        let services = App::attach_from(&source).await.unwrap();
        let before = source.reads();
        let _following = services.follow(source.clone());
        sleep(ms(10)).await;
        assert_eq!(source.reads(), before + 1, "at once");
        sleep(ms(59_900)).await;
        assert_eq!(source.reads(), before + 1);
        sleep(ms(200)).await;
        assert_eq!(source.reads(), before + 2, "after a minute");

        // A burst is over when nothing has changed for 200 ms.
        for _ in 0..5 {
            source.ring();
            sleep(ms(190)).await;
        }
        assert_eq!(source.reads(), before + 2);
        sleep(ms(20)).await;
        assert_eq!(source.reads(), before + 3, "once for all of them");

        // Or when it has lasted for 2 s.
        let begun = Instant::now();
        while source.reads() == before + 3 {
            source.ring();
            sleep(ms(100)).await;
            assert!(begun.elapsed() < ms(2_500), "a writer who never rests stops it");
        }
        assert!(begun.elapsed() >= ms(1_900), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_away_is_tried_again_after_pauses_that_double_up_to_a_minute() {
        let source = Counted::new("away");
        let services = App::attach_from(&source).await.unwrap();
        let mut following = services.follow(source.clone());
        sleep(ms(10)).await;
        // It never comes back: connecting exceeds its limit, which is half a minute, each time.
        script("elsewhere").take(Times { connect: ms(600_000), ..Times::default() });
        *source.values.lock().unwrap() = environment("elsewhere");
        source.ring();
        assert!(matches!(
            timeout(ms(60_000), following.next()).await,
            Ok(Some(Followed::Refused(_)))
        ));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let (begun, reads) = (Instant::now(), source.reads());
            while source.reads() == reads {
                sleep(ms(50)).await;
            }
            // Each pause but the first one is measured with the time of connecting.
            pauses.push(begun.elapsed().saturating_sub(if pauses.is_empty() {
                Duration::ZERO
            } else {
                ms(30_000)
            }));
        }
        for (pause, least) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
            let least = ms(least * 1_000);
            assert!((least..=2 * least + ms(200)).contains(pause), "{pauses:?}");
        }
    }
}
