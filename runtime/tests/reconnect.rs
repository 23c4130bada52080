//! Reconnecting, by a paused clock that only advances while every task waits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use backing_services::problem::FailureKind;
use backing_services::resource::ClientGuard;
use backing_services::rules::Scheme;
use backing_services::service::reconnect::{
    Link, ReconnectAttempts, ReconnectBackoff, Reconnector,
};
use backing_services::service::{Attachment, Attempt, Refusal, Target};
use backing_services::store;
use backing_services::{Environment, Failure, Posture, Service};
use tokio::time::{Instant, sleep, timeout};

/// The longest pause with its jitter, and a little more.
const LONG: Duration = Duration::from_secs(25);

/// A service that exists for its target alone.
struct Fake;

impl Service for Fake {
    type Client = ();
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "Fake";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("fakes").with_port(1)];
    const SEVERAL_HOSTS: bool = true;

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
        Ok(Attachment::new((), Posture::of::<Self>(target)))
    }

    async fn health(_: &()) -> Result<(), Refusal> {
        Ok(())
    }

    async fn close(_: &()) {}
}

/// The end of an attempt to connect.
#[derive(Clone, Copy, Default)]
enum End {
    #[default]
    Connected,
    Refused(FailureKind),
    Panicked,
    Never,
}

/// The server of one test, which the user of the locator identifies.
#[derive(Default)]
struct Server {
    end: Mutex<End>,
    /// The duration of an attempt.
    slow: Mutex<Duration>,
    asked: AtomicUsize,
    /// The attempts that have neither ended nor been dropped.
    running: AtomicUsize,
    /// The last step of an attempt.
    at_end: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

static SERVERS: LazyLock<Mutex<HashMap<String, Arc<Server>>>> = LazyLock::new(Mutex::default);

fn server(user: &str) -> Arc<Server> {
    Arc::clone(SERVERS.lock().unwrap().entry(user.to_owned()).or_default())
}

impl Server {
    fn ends(&self, end: End) {
        *self.end.lock().unwrap() = end;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct FakeLink {
    alive: AtomicBool,
}

impl FakeLink {
    fn new() -> Self {
        Self { alive: AtomicBool::new(true) }
    }

    fn cut(&self) {
        self.alive.store(false, Ordering::SeqCst);
    }
}

struct Running(Arc<Server>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Link for FakeLink {
    const SERVICE: &'static str = Fake::NAME;

    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    async fn open(target: &Target) -> Result<Self, Refusal> {
        let server = server(target.user().unwrap());
        server.asked.fetch_add(1, Ordering::SeqCst);
        server.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(Arc::clone(&server));
        let (slow, end) = (*server.slow.lock().unwrap(), *server.end.lock().unwrap());
        sleep(slow).await;
        let at_end = server.at_end.lock().unwrap().take();
        if let Some(at_end) = at_end {
            at_end.await;
        }
        match end {
            End::Connected => Ok(Self::new()),
            End::Refused(kind) => Err(Failure::new(kind, "it is down", "wait").into()),
            End::Panicked => panic!("a driver's"),
            End::Never => std::future::pending().await,
        }
    }
}

/// A client whose connection has just broken.
async fn broken(user: &str) -> (Reconnector<FakeLink>, Arc<Server>) {
    let link = FakeLink::new();
    link.cut();
    (Reconnector::new(&target(user).await, link), server(user))
}

async fn target(user: &str) -> Target {
    target_at(user, "fake.example").await
}

async fn target_at(user: &str, hosts: &str) -> Target {
    let locator = format!("fakes://{user}:hX2-vR9_wQ1z-kk8m@{hosts}");
    let source = Environment::from_iter([("FAKE_URL", locator.as_str())]);
    store::load::<Fake>("fake", Arc::new(source), "FAKE", LONG).await.unwrap().target().clone()
}

fn kind(refusal: &Refusal) -> FailureKind {
    match refusal {
        Refusal::Failure(failure) => failure.kind(),
        Refusal::Finding(finding) => panic!("{finding}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_connection_is_shared_and_a_broken_one_is_replaced() {
    let (client, server) = broken("replaced").await;
    assert!(client.live().is_none());
    let first = client.get().await.unwrap();
    assert!(Arc::ptr_eq(&first, &client.clone().get().await.unwrap()));
    assert_eq!(server.asked(), 1);
    first.cut();
    assert!(!Arc::ptr_eq(&first, &client.get().await.unwrap()));
    assert_eq!(server.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn callers_at_once_share_one_attempt() {
    let (client, server) = broken("shared").await;
    *server.slow.lock().unwrap() = Duration::from_secs(1);
    let (one, other) = tokio::join!(client.get(), client.get());
    assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_up_to_their_limit_and_calls_within_them_fail_at_once() {
    let (client, server) = broken("pauses").await;
    server.ends(End::Refused(FailureKind::Unavailable));
    let mut gaps = Vec::new();
    client.get().await.unwrap_err();
    for attempt in 1..=12 {
        let failed = Instant::now();
        while server.asked() == attempt {
            let asked = Instant::now();
            let refusal = client.get().await.unwrap_err();
            assert_eq!(asked.elapsed(), Duration::ZERO);
            let is_waiting = server.asked() == attempt;
            let expected =
                if is_waiting { FailureKind::Unreachable } else { FailureKind::Unavailable };
            assert_eq!(kind(&refusal), expected, "{refusal}");
            sleep(Duration::from_millis(1)).await;
        }
        gaps.push(failed.elapsed());
    }
    assert!((100..=202).contains(&gaps[0].as_millis()), "{gaps:?}");
    let longest = gaps.iter().max().unwrap();
    assert!((10..=20).contains(&longest.as_secs()), "{gaps:?}");
    sleep(LONG).await;
    // An attempt that succeeds begins with short pauses again.
    server.ends(End::Connected);
    client.get().await.unwrap().cut();
    server.ends(End::Refused(FailureKind::Unavailable));
    client.get().await.unwrap_err();
    sleep(Duration::from_millis(250)).await;
    let asked = server.asked();
    client.get().await.unwrap_err();
    assert_eq!(server.asked(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn rejected_credentials_end_the_attempts_until_there_are_new_ones() {
    let (client, server) = broken("rejected").await;
    server.ends(End::Refused(FailureKind::AuthenticationFailed));
    for _ in 0..5 {
        let refusal = client.get().await.unwrap_err();
        assert_eq!(kind(&refusal), FailureKind::AuthenticationFailed);
        sleep(LONG).await;
    }
    assert_eq!(server.asked(), 1, "another attempt would only lock the account");
    server.ends(End::Connected);
    let renewed = target("rejected").await;
    client.renew(&renewed, |_| async { panic!("no connection is open") }).await.unwrap();
    let link = client.get().await.unwrap();
    assert_eq!(server.asked(), 2);
    // On an open connection, the new credentials are tried first.
    let refused = || async { Err(Failure::server_error().into()) };
    assert!(client.renew(&target("other").await, |_| refused()).await.is_err());
    assert_eq!(client.target().user(), Some("rejected"), "the target is unchanged");
    let breaks = |link: Arc<FakeLink>| async move {
        link.cut();
        Err(Failure::closed().into())
    };
    client.renew(&target("other").await, breaks).await.unwrap();
    assert_eq!(client.target().user(), Some("other"), "the next connection logs in with it");
    assert!(!link.is_alive());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_goes_on_without_its_caller() {
    let (client, server) = broken("patient").await;
    *server.slow.lock().unwrap() = Duration::from_secs(3);
    assert!(timeout(Duration::from_secs(1), client.get()).await.is_err());
    sleep(Duration::from_secs(3)).await;
    assert!(client.live().is_some());
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_the_time_of_connect_timeout() {
    let (client, server) = broken("silent").await;
    server.ends(End::Never);
    let begin = Instant::now();
    assert_eq!(kind(&client.get().await.unwrap_err()), FailureKind::TimedOut);
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert_eq!(server.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt() {
    let (client, server) = broken("panics").await;
    server.ends(End::Panicked);
    assert_eq!(kind(&client.get().await.unwrap_err()), FailureKind::Protocol);
    assert_eq!(kind(&client.get().await.unwrap_err()), FailureKind::Unreachable);
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_an_attempt_and_leaves_nothing_open() {
    let (client, server) = broken("closed").await;
    server.ends(End::Never);
    let closing = async {
        sleep(Duration::from_secs(1)).await;
        client.close().await.is_none()
    };
    let begin = Instant::now();
    let (refused, has_no_link) = tokio::join!(client.get(), closing);
    assert_eq!(kind(&refused.unwrap_err()), FailureKind::Unavailable);
    assert!(has_no_link || client.live().is_none());
    assert_eq!((begin.elapsed().as_secs(), server.running.load(Ordering::SeqCst)), (1, 0));
    let refusal = client.get().await.unwrap_err();
    assert!(refusal.to_string().contains("the resource is detached"), "{refusal}");
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_a_renewal_that_hangs_and_leaves_no_connection_in_use() {
    let target = target("hangs").await;
    let client = Reconnector::new(&target, FakeLink::new());
    let link = Arc::downgrade(&client.get().await.unwrap());
    let hanging = client.clone();
    let renewing = tokio::spawn(async move {
        let hangs = |link: Arc<FakeLink>| async move {
            std::future::pending::<()>().await;
            drop(link);
            Ok(())
        };
        hanging.renew(&target, hangs).await
    });
    sleep(Duration::from_secs(1)).await;
    assert!(link.strong_count() > 1, "the renewal uses it");
    // The turn is the renewal's.
    cut_while_closing(&client).await;
    assert!(client.live().is_none());
    let refusal = client.get().await.unwrap_err();
    assert!(refusal.to_string().contains("the resource is detached"), "{refusal}");
    let refusal = timeout(LONG, renewing).await.expect("it ends").unwrap().unwrap_err();
    assert!(refusal.to_string().contains("the resource is detached"), "{refusal}");
    assert_eq!(link.strong_count(), 0, "nothing holds the connection");
    assert!(client.close().await.is_none());
    let renewed = client.renew(&self::target("other").await, |_| async { Ok(()) }).await;
    assert!(renewed.is_err() && client.target().user() == Some("hangs"));
}

/// Begins to close, and stops at once, as a service's own limit does.
async fn cut_while_closing(client: &Reconnector<FakeLink>) {
    let mut closing = Box::pin(client.close());
    let is_closed = std::future::poll_fn(|context| {
        std::task::Poll::Ready(closing.as_mut().poll(context).is_ready())
    });
    assert!(!is_closed.await, "it has to wait");
}

/// An attempt ends in the same moment as the resource.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_succeeds_too_late_leaves_nothing() {
    let (client, server) = broken("late").await;
    let closing = client.clone();
    *server.at_end.lock().unwrap() =
        Some(Box::pin(async move { cut_while_closing(&closing).await }));
    let refusal = client.get().await.unwrap_err();
    assert!(refusal.to_string().contains("the resource is detached"), "{refusal}");
    assert!(client.live().is_none());
    assert!(client.close().await.is_none(), "it is not kept");
}

#[tokio::test(start_paused = true)]
async fn attempts_that_fail_together_count_as_one() {
    let attempts = ReconnectAttempts::new("Fake", &target("together").await);
    let target = attempts.target();
    assert!(!attempts.have_failed());
    for _ in 0..20 {
        assert!(!attempts.failed(&target, &Failure::closed().into()));
    }
    assert!(attempts.have_failed() && attempts.admit().is_err());
    sleep(Duration::from_millis(201)).await;
    attempts.admit().unwrap();
    // Whichever of them the server rejects: no attempt follows.
    attempts.failed(&target, &Failure::closed().into());
    let rejected = Failure::new(FailureKind::AuthenticationFailed, "no", "check it");
    assert!(attempts.failed(&target, &rejected.into()));
    assert!(attempts.failed(&target, &Failure::closed().into()), "it stays given up");
    sleep(LONG).await;
    assert_eq!(attempts.admit().unwrap_err().kind(), FailureKind::AuthenticationFailed);
    attempts.succeeded(&target);
    assert!(!attempts.have_failed() && attempts.admit().is_ok());
}

/// One of the hosts may be wrong. None gets the same password often.
#[tokio::test(start_paused = true)]
async fn a_rejection_by_one_of_several_hosts_is_a_pause() {
    let hosts = target_at("several", "a.example,b.example").await;
    let attempts = ReconnectAttempts::new("Fake", &hosts);
    let rejected = Failure::new(FailureKind::AuthenticationFailed, "no", "check it").into();
    assert!(!attempts.failed(&attempts.target(), &rejected));
    for _ in 0..3 {
        sleep(Duration::from_millis(9_900)).await;
        assert_eq!(attempts.admit().unwrap_err().kind(), FailureKind::Unreachable);
        sleep(Duration::from_millis(200)).await;
        let target = attempts.admit().unwrap();
        assert!(attempts.admit().is_err(), "one attempt at a time");
        assert!(!attempts.failed(&target, &rejected));
    }
    // Another failure in between does not shorten the pauses.
    sleep(Duration::from_millis(10_100)).await;
    let target = attempts.admit().unwrap();
    attempts.failed(&target, &Failure::closed().into());
    sleep(Duration::from_millis(9_900)).await;
    assert!(attempts.admit().is_err());
    attempts.succeeded(&target);
    assert!(attempts.admit().is_ok() && attempts.admit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_with_replaced_credentials_does_not_end_those_with_the_new_ones() {
    let attempts = ReconnectAttempts::new("Fake", &target("replaced").await);
    let former = attempts.admit().unwrap();
    attempts.renew(&target("renewed").await);
    let rejected = Failure::new(FailureKind::AuthenticationFailed, "no", "check it").into();
    assert!(!attempts.failed(&former, &rejected) && !attempts.have_failed());
    let renewed = attempts.admit().unwrap();
    assert_eq!(renewed.user(), Some("renewed"));
    assert!(attempts.failed(&renewed, &rejected));
    attempts.succeeded(&former);
    assert!(attempts.admit().is_err(), "the server rejects the new ones nevertheless");
}

#[tokio::test(start_paused = true)]
async fn a_loop_waits_for_its_next_attempt() {
    let mut backoff = ReconnectBackoff::new();
    let begin = Instant::now();
    backoff.wait().await;
    assert_eq!(begin.elapsed(), Duration::ZERO, "the first attempt may begin at once");
    backoff.failed(&Failure::closed().into());
    assert!(backoff.is_waiting() && !backoff.has_given_up());
    backoff.wait().await;
    assert!(!backoff.is_waiting());
    assert!((100..=201).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
}
