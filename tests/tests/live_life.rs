//! The life of a resource on real servers: its posture is taken again, it is reattached under load,
//! and detached.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ::redis::AsyncCommands as _;
use backing_services::secrecy::SecretString;
use backing_services::{AttachError, BackingServices, Environment, Postgres, Redis, Resource};
use backing_services_tests::attempt::{attach, problems, rules};
use backing_services_tests::canary::{self, ADMIN_PASSWORD, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::Authority;
use backing_services_tests::relay::Relay;
use backing_services_tests::variables::{self, Variables};
use backing_services_tests::{journal, port, postgres, redis};
use sqlx::{PgPool, Row as _};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 10)]
struct Shop {
    orders: Resource<Postgres>,
}

/// Two servers that differ only in their ports and in the issuers of their certificates. Each test
/// has a role of its own.
static ONE: LazyLock<postgres::Postgres> = LazyLock::new(postgres::Postgres::start);
static TWO: LazyLock<postgres::Postgres> = LazyLock::new(postgres::Postgres::start);

fn role(name: &str) {
    for server in [&*ONE, &*TWO] {
        server.sql(&format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'"));
    }
}

fn locator(role: &str, port: u16) -> String {
    format!("postgres://{role}@localhost:{port}/{}", postgres::DATABASE)
}

fn shop(role: &str, server: &postgres::Postgres) -> Variables {
    variables::of("SHOP_ORDERS", locator(role, server.port), PASSWORD, server.authority.pem())
}

fn environment(variables: &[(&str, String)]) -> Environment {
    Environment::from_iter(variables.iter().map(|(name, value)| (*name, value.as_str())))
}

async fn attached<T: BackingServices>(variables: &[(&str, String)]) -> T {
    attach(variables).await.unwrap()
}

/// The port of the server that answers.
async fn port_of(pool: &PgPool) -> u16 {
    let port: i32 = sqlx::query("SELECT inet_server_port()").fetch_one(pool).await.unwrap().get(0);
    u16::try_from(port).unwrap()
}

fn silent(error: &AttachError) {
    canary::assert_error_silent(error);
    assert!(error.to_string().contains("` was not reattached, and stays as it was: "), "{error}");
}

#[tokio::test]
async fn the_next_calls_go_to_the_other_server_and_those_in_flight_finish() {
    role("mover");
    let services: Shop = attached(&shop("mover", &ONE)).await;
    let working = tokio::spawn({
        let orders = services.orders.clone();
        async move {
            let client = orders.client();
            // This takes longer than the swap, and another call follows it.
            sqlx::query("SELECT pg_sleep(1)").execute(&*client).await.unwrap();
            port_of(&client).await
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    services.orders.reattach(&environment(&shop("mover", &TWO))).await.unwrap();
    assert!(!working.is_finished(), "the swap does not wait for them");
    assert_eq!(port_of(&services.orders.client()).await, TWO.port);
    assert!(services.orders.posture().endpoint.contains(&TWO.port.to_string()));
    assert_eq!(working.await.unwrap(), ONE.port);
    ONE.assert_no_connection_of("mover").await;
    let detached = services.detach().await;
    assert!(detached.is_clean(), "{detached}");
    assert_eq!(detached.to_string(), "1 resource was detached");
    TWO.assert_no_connection_of("mover").await;
    journal::assert_silent();
}

#[tokio::test]
async fn after_any_refusal_the_old_client_keeps_serving() {
    role("stayer");
    TWO.sql(&format!("CREATE ROLE stayer_admin SUPERUSER LOGIN PASSWORD '{ADMIN_PASSWORD}'"));
    let services: Shop = attached(&shop("stayer", &ONE)).await;
    let hanging = Hostile::start(|peer| async { Ok(Some(peer)) });
    let stranger = Authority::new("a stranger");
    let two = locator("stayer", TWO.port);
    let base = |locator: &str, password: &str, authority: &Authority| {
        variables::of("SHOP_ORDERS", locator, password, authority.pem())
    };
    for (case, variables, problem) in [
        ("down", base(&locator("stayer", port::free()), PASSWORD, &TWO.authority), "unreachable"),
        ("wrong certificate", base(&two, PASSWORD, &stranger), "unverified_tls"),
        (
            "superuser",
            base(&locator("stayer_admin", TWO.port), ADMIN_PASSWORD, &TWO.authority),
            "superuser_account",
        ),
        ("wrong password", base(&two, WRONG_PASSWORD, &TWO.authority), "authentication_failed"),
        ("hangs", base(&locator("stayer", hanging.port), PASSWORD, &TWO.authority), "timed_out"),
        (
            "half written",
            base("postgres://stayer@localhost", PASSWORD, &TWO.authority),
            "unreachable",
        ),
        ("not a locator", base("postgres:/", PASSWORD, &TWO.authority), "malformed_locator"),
        ("vanished", Vec::new(), "missing_value"),
    ] {
        let error = services.reattach(&environment(&variables)).await.unwrap_err();
        silent(&error);
        assert_eq!(problems(&error), [problem], "{case}: {error}");
        assert!(error.to_string().contains("orders (SHOP_ORDERS_URL"), "{error}");
        let single = services.orders.reattach(&environment(&variables)).await.unwrap_err();
        silent(&single);
        assert_eq!(port_of(&services.orders.client()).await, ONE.port, "{case}");
        services.orders.health().await.unwrap();
    }
    TWO.assert_no_connection_of("stayer").await;
    TWO.assert_no_connection_of("stayer_admin").await;
    hanging.assert_all_closed().await;
    // A good value is accepted again.
    services.reattach(&environment(&shop("stayer", &TWO))).await.unwrap();
    assert_eq!(port_of(&services.orders.client()).await, TWO.port);
    ONE.assert_no_connection_of("stayer").await;
    assert!(services.detach().await.is_clean());
    journal::assert_silent();
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 10)]
struct Both {
    orders: Resource<Postgres>,
    sessions: Resource<Redis>,
    cache: Option<Resource<Redis>>,
    both_key: SecretString,
    archive: Archive,
}

#[derive(BackingServices)]
struct Archive {
    copies: Resource<Postgres>,
}

struct Redises(redis::Redis, redis::Redis);

impl Redises {
    fn both(&self, role: &str, which: usize) -> Variables {
        let (server, cache) = if which == 0 { (&*ONE, &self.0) } else { (&*TWO, &self.1) };
        let mut all = shop(role, server);
        all.extend(variables::of(
            "SHOP_ARCHIVE_COPIES",
            locator(role, server.port),
            PASSWORD,
            server.authority.pem(),
        ));
        all.extend(variables::of(
            "SHOP_SESSIONS",
            cache.locator(),
            PASSWORD,
            cache.authority.pem(),
        ));
        all.push(("SHOP_BOTH_KEY", PASSWORD.to_owned()));
        all
    }
}

fn set(variables: &mut Variables, name: &'static str, value: &str) {
    variables.retain(|(known, _)| *known != name);
    variables.push((name, value.to_owned()));
}

#[tokio::test]
async fn a_whole_struct_moves_at_once_or_not_at_all() {
    role("all_at_once");
    let pair = Redises(redis::Redis::start(), redis::Redis::start());
    let services: Both = attached(&pair.both("all_at_once", 0)).await;
    let () = services.sessions.client().set("greeting", "one").await.unwrap();

    let mut half = pair.both("all_at_once", 1);
    set(&mut half, "SHOP_SESSIONS_PASSWORD", WRONG_PASSWORD);
    let error = services.reattach(&environment(&half)).await.unwrap_err();
    silent(&error);
    assert_eq!(problems(&error), ["authentication_failed"]);
    assert_eq!(port_of(&services.orders.client()).await, ONE.port);
    assert_eq!(port_of(&services.archive.copies.client()).await, ONE.port);
    assert_eq!(services.sessions.client().get::<_, String>("greeting").await.unwrap(), "one");
    TWO.assert_no_connection_of("all_at_once").await;
    pair.1.assert_no_connection().await;

    services.reattach(&environment(&pair.both("all_at_once", 1))).await.unwrap();
    assert_eq!(port_of(&services.orders.client()).await, TWO.port);
    assert_eq!(port_of(&services.archive.copies.client()).await, TWO.port);
    assert!(
        services.sessions.client().get::<_, Option<String>>("greeting").await.unwrap().is_none()
    );
    ONE.assert_no_connection_of("all_at_once").await;
    pair.0.assert_no_connection().await;

    // A part of the struct alone, by the names that it has in the whole.
    services.archive.reattach(&environment(&pair.both("all_at_once", 0))).await.unwrap();
    assert_eq!(port_of(&services.archive.copies.client()).await, ONE.port);
    assert_eq!(port_of(&services.orders.client()).await, TWO.port);
    assert!(services.detach().await.is_clean());
    pair.1.assert_no_connection().await;
    journal::assert_silent();
}

#[tokio::test]
async fn only_changes_are_swapped_and_unswappable_ones_are_reported() {
    role("in_part");
    let pair = Redises(redis::Redis::start(), redis::Redis::start());
    let mut variables = pair.both("in_part", 0);
    let services: Both = attached(&variables).await;
    let accepted = pair.0.accepted();
    assert!(services.reattach_changed(&environment(&variables)).await.unwrap().is_empty());

    set(&mut variables, "SHOP_ARCHIVE_COPIES_URL", &locator("in_part", TWO.port));
    set(&mut variables, "SHOP_ARCHIVE_COPIES_CA", &TWO.authority.pem());
    assert_eq!(
        services.reattach_changed(&environment(&variables)).await.unwrap(),
        ["archive.copies"]
    );
    assert_eq!(port_of(&services.archive.copies.client()).await, TWO.port);
    assert_eq!(port_of(&services.orders.client()).await, ONE.port);
    // One connection is the administrator's, for the statistic itself.
    assert_eq!(pair.0.accepted(), accepted + 1, "what has not changed is not connected to");

    let told = |field: &str| {
        let text = journal::text();
        let of = |line: &&str| {
            line.contains(&format!("field=\"{field}\"")) && line.contains("rule=\"stale_value\"")
        };
        text.lines().filter(of).count()
    };
    assert_eq!((told("both_key"), told("cache")), (0, 0));
    set(&mut variables, "SHOP_BOTH_KEY", WRONG_PASSWORD);
    variables.extend(variables::of(
        "SHOP_CACHE",
        pair.1.locator(),
        PASSWORD,
        pair.1.authority.pem(),
    ));
    for _ in 0..3 {
        assert!(services.reattach_changed(&environment(&variables)).await.unwrap().is_empty());
        assert_eq!((told("both_key"), told("cache")), (1, 1), "once each");
    }
    assert!(services.detach().await.is_clean());
    journal::assert_silent();
}

/// The load takes its time, and the new generation has to connect beside it.
#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 60)]
struct Busy {
    orders: Resource<Postgres>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_while_it_is_swapped_under_full_load() {
    role("under_load");
    let services: Busy = attached(&shop("under_load", &ONE)).await;
    // Every connection is in use all the time, and other tasks wait for one. The tasks leave the
    // processors idle: at a login, sqlx yields to other tasks 800 times, which takes seconds in an
    // unoptimised build if all of them compute. The benchmark `swap` has computing tasks too.
    let statement = "SELECT pg_sleep(0.005)";
    let (stop, done) =
        (std::sync::Arc::new(AtomicBool::new(false)), std::sync::Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (orders, stop, done) = (services.orders.clone(), stop.clone(), done.clone());
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match sqlx::query(statement).execute(&*orders.client()).await {
                        Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.push(error.to_string()),
                    }
                }
                failed
            })
        })
        .collect();
    for swap in 0..50 {
        let server = if swap % 2 == 0 { &TWO } else { &ONE };
        services.orders.reattach(&environment(&shop("under_load", server))).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        assert_eq!(task.await.unwrap(), Vec::<String>::new());
    }
    assert!(done.load(Ordering::Relaxed) > 500, "{done:?} calls are no load");
    assert_eq!(port_of(&services.orders.client()).await, ONE.port);
    TWO.assert_no_connection_of("under_load").await;
    assert!(services.detach().await.is_clean());
    ONE.assert_no_connection_of("under_load").await;
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 10)]
struct Cached {
    sessions: Resource<Redis>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_is_swapped_under_load_and_refused_like_a_database() {
    let pair = Redises(redis::Redis::start(), redis::Redis::start());
    let good = |server: &redis::Redis| {
        variables::of("SHOP_SESSIONS", server.locator(), PASSWORD, server.authority.pem())
    };
    let services: Cached = attached(&good(&pair.0)).await;
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (sessions, stop) = (services.sessions.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut done, mut failed) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    match sessions.client().set::<_, _, ()>(format!("session:{task}"), "x").await {
                        Ok(()) => done += 1,
                        Err(error) => failed.push(error.to_string()),
                    }
                }
                (done, failed)
            })
        })
        .collect();
    for swap in 0..20 {
        let server = if swap % 2 == 0 { &pair.1 } else { &pair.0 };
        services.reattach(&environment(&good(server))).await.unwrap();
    }

    let hanging = Hostile::start(|peer| async { Ok(Some(peer)) });
    let at = |user: &str, port: u16| format!("rediss://{user}@localhost:{port}");
    let two = &pair.1;
    let (user, stranger) = (redis::USER, Authority::new("a stranger"));
    for (locator, password, authority, problem) in [
        (at(user, port::free()), PASSWORD, &two.authority, "unreachable"),
        (at(user, two.port), PASSWORD, &stranger, "unverified_tls"),
        (at(redis::ADMIN, two.port), ADMIN_PASSWORD, &two.authority, "superuser_account"),
        (at(user, two.port), WRONG_PASSWORD, &two.authority, "authentication_failed"),
        (at(user, hanging.port), PASSWORD, &two.authority, "timed_out"),
    ] {
        let bad = environment(&variables::of("SHOP_SESSIONS", &locator, password, authority.pem()));
        let error = services.reattach(&bad).await.unwrap_err();
        silent(&error);
        assert_eq!(problems(&error), [problem], "{error}");
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        let (done, failed) = task.await.unwrap();
        assert_eq!(failed, Vec::<String>::new());
        assert!(done > 50, "{done} calls are no load");
    }
    pair.1.assert_no_connection().await;
    assert!(services.detach().await.is_clean());
    pair.0.assert_no_connection().await;
    hanging.assert_all_closed().await;
    journal::assert_silent();
}

#[tokio::test]
async fn concurrent_reattaches_run_one_after_the_other() {
    role("by_turns");
    let services: Shop = attached(&shop("by_turns", &ONE)).await;
    let mut turns = Vec::new();
    for turn in 0..8 {
        let orders = services.orders.clone();
        let source = environment(&shop("by_turns", if turn % 2 == 0 { &TWO } else { &ONE }));
        turns.push(tokio::spawn(async move { orders.reattach(&source).await }));
        tokio::task::yield_now().await;
    }
    for turn in turns {
        turn.await.unwrap().unwrap();
    }
    // The last reattach in the queue decides.
    assert_eq!(port_of(&services.orders.client()).await, ONE.port);
    TWO.assert_no_connection_of("by_turns").await;
    assert!(services.detach().await.is_clean());
    ONE.assert_no_connection_of("by_turns").await;
}

#[tokio::test]
async fn dropping_a_reattach_leaves_nothing() {
    role("dropped_reattach");
    let services: Shop = attached(&shop("dropped_reattach", &ONE)).await;
    let two = environment(&shop("dropped_reattach", &TWO));
    let mut dropped = 0;
    for step in 0..16 {
        let port = port_of(&services.orders.client()).await;
        let turn = services.orders.reattach(&two);
        if tokio::time::timeout(Duration::from_millis(step * 6), turn).await.is_err() {
            dropped += 1;
            assert_eq!(port_of(&services.orders.client()).await, port);
        }
    }
    assert!(dropped > 0, "none was dropped on its way");
    services.reattach(&environment(&shop("dropped_reattach", &ONE))).await.unwrap();
    TWO.assert_no_connection_of("dropped_reattach").await;
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn detaching_reports_what_it_had_to_cut() {
    role("holder");
    let services: Shop = attached(&shop("holder", &ONE)).await;
    let orders = services.orders.clone();
    let former = orders.client();
    services.reattach(&environment(&shop("holder", &TWO))).await.unwrap();
    let (first, second) = (orders.client(), orders.client());
    let begin = Instant::now();
    let detached = services.detach().await;
    assert!(
        (Duration::from_secs(9)..=Duration::from_secs(10)).contains(&begin.elapsed()),
        "{:?}",
        begin.elapsed()
    );
    let [cut] = detached.cut() else { panic!("{detached}") };
    assert_eq!((cut.field(), cut.users(), cut.previous()), ("orders", 2, 1));
    assert_eq!(
        detached.to_string(),
        "1 resource was detached; `orders` was cut: 2 users were not done with it"
    );
    assert!(
        journal::text()
            .contains("closed before all users were done with it field=\"orders\" users=2")
    );
    for client in [former, first, second, orders.client()] {
        assert!(
            sqlx::query("SELECT 1").execute(&*client).await.is_err(),
            "it is closed all the same"
        );
    }
    let error = orders.reattach(&environment(&shop("holder", &ONE))).await.unwrap_err();
    assert_eq!(problems(&error), ["unavailable"]);
    assert!(error.to_string().contains("the resource is detached"), "{error}");
    assert!(orders.refresh_posture().await.is_err());
    ONE.assert_no_connection_of("holder").await;
    TWO.assert_no_connection_of("holder").await;
}

#[tokio::test]
async fn a_replaced_client_ends_even_if_a_guard_is_held() {
    role("left_behind");
    let services: Shop = attached(&shop("left_behind", &ONE)).await;
    let former = services.orders.client();
    services.reattach(&environment(&shop("left_behind", &TWO))).await.unwrap();
    assert_eq!(port_of(&former).await, ONE.port, "it still works");
    tokio::time::sleep(Duration::from_secs(28)).await;
    assert_eq!(port_of(&former).await, ONE.port, "it still works");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(sqlx::query("SELECT 1").execute(&*former).await.is_err());
    assert!(
        journal::text()
            .contains("closed before all users were done with it field=\"orders\" users=1")
    );
    ONE.assert_no_connection_of("left_behind").await;
    drop(former);
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn detaching_ends_a_reattach_in_progress() {
    role("in_progress");
    let services: Shop = attached(&shop("in_progress", &ONE)).await;
    let orders = services.orders.clone();
    let hanging = Hostile::start(|peer| async { Ok(Some(peer)) });
    let nowhere = environment(&variables::of(
        "SHOP_ORDERS",
        locator("in_progress", hanging.port),
        PASSWORD,
        TWO.authority.pem(),
    ));
    let turn = tokio::spawn(async move { orders.reattach(&nowhere).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begin = Instant::now();
    assert!(services.detach().await.is_clean());
    let error = turn.await.unwrap().unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(problems(&error), ["unavailable"]);
    hanging.assert_all_closed().await;
}

#[derive(BackingServices)]
struct Watched {
    #[service(env = "ORDERS_URL")]
    watched: Resource<Postgres>,
    #[service(env = "ORDERS_URL2", allow(superuser_account, reason = "one account"))]
    waived: Option<Resource<Postgres>>,
}

/// The number of warnings about a field with this text.
fn warned(field: &str, what: &str) -> usize {
    let text = journal::text();
    text.lines()
        .filter(|line| {
            line.contains("WARN")
                && line.contains(&format!("field=\"{field}\""))
                && line.contains(what)
        })
        .count()
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..100 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!(
        "it does not come to hold:\n{}",
        journal::text().lines().filter(|line| line.contains("WARN")).collect::<Vec<_>>().join("\n")
    );
}

#[tokio::test]
async fn added_privileges_are_found_and_reported_once() {
    role("grower");
    let relay = Relay::to(ONE.port);
    let mut all =
        variables::of("ORDERS", locator("grower", relay.port), PASSWORD, ONE.authority.pem());
    all.extend([
        ("ORDERS_URL2", locator("grower", ONE.port)),
        ("ORDERS_URL2_PASSWORD", PASSWORD.to_owned()),
        ("ORDERS_URL2_CA", ONE.authority.pem()),
    ]);
    let services: Watched = attached(&all).await;
    let (resource, waived) = (&services.watched, services.waived.as_ref().unwrap());
    let before = resource.posture();
    assert!(before.findings.is_empty());

    // On demand.
    let accepted = relay.accepted();
    let again = resource.refresh_posture().await.unwrap();
    assert!(relay.accepted() > accepted, "it connects again");
    assert!(again.taken_at > before.taken_at && again.findings.is_empty());

    // At the interval.
    services.posture_interval(Some(Duration::from_secs(1)));
    ONE.sql("ALTER ROLE grower CREATEROLE");
    eventually(|| rules(&resource.posture().findings) == ["superuser_account"]).await;
    eventually(|| !waived.posture().findings.is_empty()).await;
    assert_eq!(waived.posture().findings[0].waived_because(), Some("one account"));
    let taken = resource.posture().taken_at;
    eventually(|| resource.posture().taken_at > taken + Duration::from_secs(2)).await;
    assert_eq!(warned("watched", "superuser_account"), 1, "once");
    assert_eq!(warned("waived", "superuser_account"), 1, "once");
    sqlx::query("SELECT 1").execute(&*resource.client()).await.unwrap();

    // A further privilege is reported again.
    ONE.sql("ALTER ROLE grower SUPERUSER");
    eventually(|| warned("watched", "superuser_account") == 2).await;
    // A revoked privilege is gone. A privilege that is granted later is reported as new.
    ONE.sql("ALTER ROLE grower NOSUPERUSER NOCREATEROLE");
    eventually(|| resource.posture().findings.is_empty()).await;
    ONE.sql("GRANT pg_read_server_files TO grower");
    eventually(|| warned("watched", "superuser_account") == 3).await;

    // No interval, no re-check.
    services.posture_interval(None);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (taken, accepted) = (resource.posture().taken_at, relay.accepted());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((resource.posture().taken_at, relay.accepted()), (taken, accepted));
    assert!(services.detach().await.is_clean());
    ONE.assert_no_connection_of("grower").await;
    journal::assert_silent();
}

#[derive(BackingServices)]
struct Away {
    away: Resource<Redis>,
}

#[tokio::test]
async fn an_outage_keeps_the_posture_and_is_reported_once() {
    let mut server = redis::Redis::start();
    let services: Away =
        attached(&variables::of("AWAY", server.locator(), PASSWORD, server.authority.pem())).await;
    services.posture_interval(Some(Duration::from_secs(1)));
    let attached = services.away.posture().taken_at;
    eventually(|| services.away.posture().taken_at > attached).await;
    server.stop();
    eventually(|| warned("away", "could not be taken again") == 1).await;
    let taken = services.away.posture().taken_at;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(warned("away", "could not be taken again"), 1, "once");
    assert!(services.away.refresh_posture().await.is_err());
    assert_eq!(services.away.posture().taken_at, taken);
    server.restart();
    eventually(|| services.away.posture().taken_at > taken).await;
    server.stop();
    eventually(|| warned("away", "could not be taken again") == 2).await;
    server.restart();

    // When the last handle is dropped, re-checks end.
    drop(services);
    server.assert_no_connection().await;
    let accepted = server.accepted();
    tokio::time::sleep(Duration::from_secs(3)).await;
    // One connection is the administrator's, for the statistic.
    assert_eq!(server.accepted(), accepted + 1);
    journal::assert_silent();
}

#[tokio::test]
async fn a_posture_is_of_the_generation_that_it_was_taken_of() {
    role("replacement");
    let services: Shop = attached(&shop("replacement", &ONE)).await;
    services.reattach(&environment(&shop("replacement", &TWO))).await.unwrap();
    let posture = services.orders.refresh_posture().await.unwrap();
    assert!(posture.endpoint.contains(&TWO.port.to_string()), "{posture}");
    assert!(posture.taken_at <= SystemTime::now());
    assert!(services.detach().await.is_clean());
}
