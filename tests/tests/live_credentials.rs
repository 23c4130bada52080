//! Credentials that expire, on real servers: fetched when a resource is attached, and renewed while
//! it is used.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use ::redis::AsyncCommands as _;
use backing_services::credentials::{Credential, Credentials};
use backing_services::problem::FailureKind;
use backing_services::rules::Scheme;
use backing_services::secrecy::ExposeSecret as _;
use backing_services::service::{Attachment, Attempt, Refusal, Target};
use backing_services::source::{Sources, WithCredentials};
use backing_services::{
    AttachError, BackingServices, Environment, Failure, MySql, Postgres, Posture, Redis, Resource,
    Service, Source, TokioPostgres,
};
use backing_services_tests::attempt::{problems, rules};
use backing_services_tests::canary::{self, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::pki::Authority;
use backing_services_tests::{journal, mariadb, port, postgres, redis};
use sqlx::Row as _;

static SERVER: LazyLock<postgres::Postgres> = LazyLock::new(postgres::Postgres::start);

/// The lifetime of a token here. It is renewed after 1.8 to 2 s.
const LIFE: Duration = Duration::from_secs(3);

/// The next act of the issuer.
enum Step {
    Give(Credential),
    Fail,
    Hang,
    Panic,
}

/// Issues credentials by a script, which receives the number of the call, from 1 on.
struct Issuer {
    script: Box<dyn Fn(usize) -> Step + Send + Sync>,
    fetches: AtomicUsize,
}

impl Issuer {
    fn new(script: impl Fn(usize) -> Step + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), fetches: AtomicUsize::new(0) })
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    async fn fetched(&self, count: usize) {
        let begin = Instant::now();
        while self.fetches() < count {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "{} of {count} fetches",
                self.fetches()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Credentials for Issuer {
    async fn fetch(&self) -> Result<Credential, Failure> {
        match (self.script)(self.fetches.fetch_add(1, Ordering::SeqCst) + 1) {
            Step::Give(credential) => Ok(credential),
            Step::Fail => {
                Err(Failure::new(FailureKind::Unavailable, "the \u{1b}[2Jissuer is away", "wait"))
            }
            Step::Hang => std::future::pending().await,
            Step::Panic => panic!("the issuer panics"),
        }
    }
}

fn good_for(password: &str, life: Duration) -> Step {
    Step::Give(Credential::new(password).with_not_after(SystemTime::now() + life))
}

fn environment(base: &str, locator: &str, authority: &Authority) -> Environment {
    Environment::from_iter([
        (format!("{base}_URL"), locator.to_owned()),
        (format!("{base}_CA"), authority.pem()),
    ])
}

/// A resource's source, whose credentials are fetched.
fn source(
    base: &str,
    locator: &str,
    authority: &Authority,
    issuer: &Arc<Issuer>,
) -> WithCredentials<Environment> {
    WithCredentials::new(environment(base, locator, authority)).of(base, Arc::clone(issuer))
}

async fn attached<T: BackingServices>(source: &(impl Source + Clone + 'static)) -> T {
    journal::open();
    let services = T::attach_from(source).await.unwrap();
    for resource in services.resources() {
        canary::assert_debug_silent(&resource);
        canary::assert_debug_silent(&resource.posture());
    }
    services
}

fn locator(role: &str, parameters: &str) -> String {
    format!("postgres://{role}@localhost:{}/{}{parameters}", SERVER.port, postgres::DATABASE)
}

fn create_role(role: &str) {
    SERVER.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"));
}

/// Rotates the password of a role each time, so that the previous one is of no use any more.
fn rotating(role: &'static str) -> Arc<Issuer> {
    create_role(role);
    Issuer::new(move |count| {
        let password = format!("{PASSWORD}-{count}");
        SERVER.sql(&format!("ALTER ROLE {role} PASSWORD '{password}'"));
        good_for(&password, LIFE)
    })
}

/// The server's processes that serve a role.
fn backends(role: &str) -> BTreeSet<String> {
    let pids = SERVER.sql(&format!(
        "SELECT pid FROM pg_stat_activity WHERE usename = '{role}' AND application_name <> 'psql'"
    ));
    pids.lines().map(str::to_owned).collect()
}

/// Waits until credentials that were just fetched are in use. Meanwhile there was a second client.
async fn settled(role: &str, connections: usize) {
    tokio::time::sleep(Duration::from_millis(400)).await;
    for _ in 0..40 {
        if backends(role).len() == connections {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} connections", backends(role).len());
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 8)]
struct Shop {
    orders: Resource<Postgres>,
}

async fn attach_shop(
    role: &str,
    parameters: &str,
    issuer: &Arc<Issuer>,
) -> Result<Shop, AttachError> {
    journal::open();
    Shop::attach_from(&source("SHOP_ORDERS", &locator(role, parameters), &SERVER.authority, issuer))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_rotated_under_load_and_open_connections_stay() {
    let issuer = rotating("rotating");
    let services = attach_shop("rotating", "?max_connections=8", &issuer).await.unwrap();
    assert_eq!(issuer.fetches(), 1);
    let client = services.orders.client();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(client.acquire().await.unwrap());
    }
    drop((held, client));
    let before = backends("rotating");
    assert_eq!(before.len(), 8);

    let end = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (orders, end) = (services.orders.clone(), Arc::clone(&end));
            tokio::spawn(async move {
                let mut calls = 0_usize;
                while !end.load(Ordering::Relaxed) {
                    sqlx::query("SELECT pg_sleep(0.001)").execute(&*orders.client()).await.unwrap();
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    issuer.fetched(4).await;
    settled("rotating", 8).await;
    end.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for task in tasks {
        calls += task.await.expect("no call fails");
    }
    assert!(calls > 1000, "{calls}");
    // Beside them there may be a connection that tries the next password.
    assert!(before.is_subset(&backends("rotating")), "no connection was cut off");

    // Connections opened from now on log in with the last password. The earlier passwords are of no
    // use.
    let gone: Vec<_> = before.iter().take(3).cloned().collect();
    let rotation = issuer.fetches() + 1;
    issuer.fetched(rotation).await;
    settled("rotating", 8).await;
    SERVER.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[{}]) AS pid",
        gone.join(",")
    ));
    let client = services.orders.client();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(client.acquire().await.unwrap());
    }
    let after = backends("rotating");
    assert_eq!((after.len(), after.intersection(&before).count()), (8, 5));
    drop((held, client));

    // Taking the posture again logs in with it, too.
    services.orders.refresh_posture().await.unwrap();
    assert!(services.detach().await.is_clean());
    let fetches = issuer.fetches();
    tokio::time::sleep(LIFE).await;
    assert_eq!(issuer.fetches(), fetches, "it ends with the resource");
    journal::assert_silent();
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 15)]
struct StrictShop {
    orders: Resource<TokioPostgres>,
}

#[tokio::test]
async fn the_strict_pool_keeps_open_connections_too() {
    let issuer = rotating("strict_pool");
    let locator = locator("strict_pool", "?max_connections=6");
    let services: StrictShop =
        attached(&source("SHOP_ORDERS", &locator, &SERVER.authority, &issuer)).await;
    let pool = services.orders.client();
    let held = [pool.get().await.unwrap(), pool.get().await.unwrap()];
    let before = backends("strict_pool");
    assert_eq!(before.len(), 2);
    issuer.fetched(2).await;
    settled("strict_pool", 2).await;
    let more = [pool.get().await.unwrap(), pool.get().await.unwrap()];
    held[0].batch_execute("SELECT 1").await.unwrap();
    let after = backends("strict_pool");
    assert!(after.len() == 4 && after.is_superset(&before), "{before:?} {after:?}");
    drop((held, more, pool));
    // This was the last handle. Renewal ends with it.
    drop(services);
    let fetches = issuer.fetches();
    tokio::time::sleep(LIFE).await;
    assert_eq!(issuer.fetches(), fetches);
    journal::assert_silent();
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 10)]
struct Till {
    till: Resource<MySql>,
}

#[tokio::test]
async fn mariadb_keeps_open_connections_too() {
    static SERVER: LazyLock<mariadb::MariaDb> = LazyLock::new(mariadb::MariaDb::start);
    let issuer = Issuer::new(|count| {
        let password = format!("{PASSWORD}-{count}");
        let _ = SERVER
            .sql(&format!("SET PASSWORD FOR '{}'@'%' = PASSWORD('{password}')", mariadb::USER));
        good_for(&password, LIFE)
    });
    let services: Till =
        attached(&source("SHOP_TILL", &SERVER.locator(), &SERVER.authority, &issuer)).await;
    let pool = services.till.client();
    let mut held = pool.acquire().await.unwrap();
    let id = |row: sqlx::mysql::MySqlRow| row.get::<u64, _>(0);
    let before = id(sqlx::query("SELECT CAST(connection_id() AS UNSIGNED)")
        .fetch_one(&mut *held)
        .await
        .unwrap());
    issuer.fetched(2).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut other = pool.acquire().await.unwrap();
    let after = id(sqlx::query("SELECT CAST(connection_id() AS UNSIGNED)")
        .fetch_one(&mut *held)
        .await
        .unwrap());
    assert_eq!(after, before);
    assert_ne!(
        id(sqlx::query("SELECT CAST(connection_id() AS UNSIGNED)")
            .fetch_one(&mut *other)
            .await
            .unwrap()),
        before
    );
    drop((held, other, pool));
    assert!(services.detach().await.is_clean());
    journal::assert_silent();
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 4)]
struct Sessions {
    sessions: Resource<Redis>,
}

/// The number and the user of each connection whose user has this prefix.
fn clients(server: &redis::Redis, user: &str) -> Vec<(String, String)> {
    let list = server.command(&["CLIENT", "LIST"]);
    let word = |line: &str, name: &str| {
        line.split(' ')
            .find_map(|word| word.strip_prefix(name).map(str::to_owned))
            .unwrap_or_default()
    };
    let clients = list.lines().map(|line| (word(line, "id="), word(line, "user=")));
    clients.filter(|(_, who)| who.starts_with(user)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_logs_in_again_on_the_open_connection() {
    static SERVER: LazyLock<redis::Redis> = LazyLock::new(redis::Redis::start);
    // Each lease has another user, as leases of a secret store do.
    let issuer = Issuer::new(|count| {
        let (user, password) = (format!("tenant-{count}"), format!("{PASSWORD}-{count}"));
        let rule = "resetchannels ~greeting -@all +get +set +ping +hello +acl|whoami";
        let mut words = vec!["ACL", "SETUSER", &user, "reset", "on"];
        let password_rule = format!(">{password}");
        words.push(&password_rule);
        words.extend(rule.split(' '));
        assert_eq!(SERVER.command(&words), "OK");
        Step::Give(
            Credential::new(password).with_user(user).with_not_after(SystemTime::now() + LIFE),
        )
    });
    let locator = format!("rediss://localhost:{}", SERVER.port);
    let services: Sessions =
        attached(&source("SHOP_SESSIONS", &locator, &SERVER.authority, &issuer)).await;
    let before = clients(&SERVER, "tenant-");
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].1, "tenant-1");

    let end = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let (sessions, end) = (services.sessions.clone(), Arc::clone(&end));
            tokio::spawn(async move {
                let mut calls = 0_usize;
                while !end.load(Ordering::Relaxed) {
                    let () = sessions.client().set("greeting", task).await.unwrap();
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    issuer.fetched(4).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(
        clients(&SERVER, "tenant-"),
        [(before[0].0.clone(), "tenant-4".to_owned())],
        "the same connection"
    );
    end.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for task in tasks {
        calls += task.await.expect("no command fails");
    }
    assert!(calls > 1000, "{calls}");
    assert_eq!(&*services.sessions.posture().account.clone().unwrap(), "tenant-4");

    // A connection that is opened again logs in with the last user.
    issuer.fetched(5).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    SERVER.command(&["ACL", "DELUSER", "tenant-1", "tenant-2", "tenant-3", "tenant-4"]);
    SERVER.command(&["CLIENT", "KILL", "ID", &before[0].0]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let _: Option<String> = services.sessions.client().get("greeting").await.unwrap();
    let after = clients(&SERVER, "tenant-");
    assert!(after.len() == 1 && after[0].0 != before[0].0 && after[0].1 == "tenant-5", "{after:?}");
    assert!(services.detach().await.is_clean());
    journal::assert_silent();
}

/// A service that cannot adopt other credentials: its client is the password that it was connected
/// with.
struct Fixed;

impl Service for Fixed {
    type Client = String;
    type Guard = backing_services::resource::ClientGuard<Self>;
    const NAME: &'static str = "Fixed";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("fixed").with_port(1)];

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<String>, Refusal> {
        let password = target.password().expect("a password").expose_secret();
        Ok(Attachment::new(
            password.rsplit('-').next().expect("a number").to_owned(),
            Posture::of::<Self>(target),
        ))
    }

    async fn health(_: &String) -> Result<(), Refusal> {
        Ok(())
    }

    async fn close(_: &String) {}
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 4)]
struct Vault {
    vault: Resource<Fixed>,
}

fn vault(issuer: &Arc<Issuer>) -> WithCredentials<Environment> {
    WithCredentials::new(Environment::from_iter([("SHOP_VAULT_URL", "fixed://ada@localhost")]))
        .of("SHOP_VAULT", Arc::clone(issuer))
}

fn numbered(count: usize, life: Duration) -> Step {
    good_for(&format!("{PASSWORD}-{count}"), life)
}

#[tokio::test]
async fn a_client_that_cannot_be_renewed_is_replaced() {
    let issuer = Issuer::new(|count| numbered(count, LIFE));
    // Credentials of one of several sources are fetched, too.
    let services: Vault =
        attached(&Sources::new().then(Arc::new(vault(&issuer))).then(Environment::process())).await;
    let working = services.vault.client();
    assert_eq!(*working, "1");
    issuer.fetched(2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        (&**working, &**services.vault.client()),
        ("1", "2"),
        "a guard that is held keeps the previous client"
    );
    drop(working);
    // The next generation's credentials are renewed, too.
    issuer.fetched(3).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*services.vault.client(), "3");

    // Reattaching fetches credentials, and from then on those are renewed.
    services.reattach(&vault(&issuer)).await.unwrap();
    assert_eq!((&**services.vault.client(), issuer.fetches()), ("4", 4));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(issuer.fetches(), 4);
    issuer.fetched(5).await;
    assert!(services.detach().await.is_clean());
    journal::assert_silent();
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 4)]
struct Safe {
    safe: Resource<Fixed>,
}

#[tokio::test]
async fn the_issuer_may_be_away_for_a_while() {
    let issuer = Issuer::new(|count| match count {
        3 | 4 => Step::Fail,
        5 => Step::Panic,
        _ => numbered(count, LIFE),
    });
    let environment = Environment::from_iter([("SHOP_SAFE_URL", "fixed://ada@localhost")]);
    let services: Safe =
        attached(&WithCredentials::new(environment).of("SHOP_SAFE", Arc::clone(&issuer))).await;
    issuer.fetched(3).await;
    assert_eq!(*services.safe.client(), "2");
    let begin = Instant::now();
    issuer.fetched(5).await;
    // The pauses are 1 to 2 s, and 2 to 4 s.
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(2900), "{took:?}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The second credentials have expired. It is reported once.
    assert_eq!(rules(&services.safe.posture().findings), ["stale_value"]);
    assert_eq!(*services.safe.client(), "2");
    assert_eq!(issuer.fetches(), 5);
    issuer.fetched(6).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*services.safe.client(), "6");
    assert!(rules(&services.safe.posture().findings).is_empty());
    let log = journal::text();
    for once in [
        "its credentials are not renewed, and stay what they were: \
         its credentials could not be fetched: the \\u{1b}[2Jissuer is away [unavailable]",
        "its credentials have expired, and no others can be had",
        "its credentials are renewed again",
    ] {
        let lines = log.lines().filter(|line| line.contains("safe") && line.contains(once));
        assert_eq!(lines.count(), 1, "{once}");
    }
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn an_issuer_that_hangs_is_given_up() {
    let issuer = Issuer::new(|count| if count == 2 { Step::Hang } else { numbered(count, LIFE) });
    let services: Vault = attached(&vault(&issuer)).await;
    issuer.fetched(2).await;
    let begin = Instant::now();
    issuer.fetched(3).await;
    // Half of the struct's deadline, and the first pause.
    assert!((2900..5000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*services.vault.client(), "3");
}

#[tokio::test]
async fn a_new_password_that_is_refused_leaves_the_old_one() {
    create_role("refusing");
    let issuer = Issuer::new(|count| match count {
        1 => good_for(PASSWORD, LIFE),
        // The same password is issued twice, and not tried twice.
        2 | 3 => good_for(WRONG_PASSWORD, LIFE),
        4 => good_for("sparrow", LIFE),
        _ => good_for(PASSWORD, Duration::from_secs(600)),
    });
    let services = attach_shop("refusing", "", &issuer).await.unwrap();
    issuer.fetched(5).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        SERVER.log().matches("password authentication failed for user \"refusing\"").count(),
        1
    );
    // Three connections, so one is new. It logs in with the old password, too.
    let client = services.orders.client();
    let held = (
        client.acquire().await.unwrap(),
        client.acquire().await.unwrap(),
        client.acquire().await.unwrap(),
    );
    drop((held, client));
    assert!(services.detach().await.is_clean());
    let log = journal::text();
    assert!(log.lines().any(|line| line.contains("its credentials are not renewed")
        && line.contains("[authentication_failed]")));
    journal::assert_silent();
}

#[tokio::test]
async fn fetched_credentials_are_checked_before_use() {
    create_role("fetching");
    let now = SystemTime::now();
    let credential = || Credential::new(PASSWORD);
    let cases: [(Step, &str, &str); 8] = [
        (
            Step::Fail,
            "unavailable",
            "its credentials could not be fetched: the \\u{1b}[2Jissuer is away",
        ),
        (Step::Hang, "timed_out", "its credentials were not fetched in time"),
        (
            Step::Give(credential().with_not_after(now)),
            "unavailable",
            "its credentials were fetched, and have expired already",
        ),
        (
            Step::Give(Credential::new("sparrow")),
            "weak_password",
            "of the credentials that were fetched: its password has fewer",
        ),
        (
            Step::Give(Credential::new("")),
            "missing_credentials",
            "of the credentials that were fetched: it has no password",
        ),
        (
            Step::Give(Credential::new("vault://secret/db")),
            "placeholder_value",
            "a reference to a secret store",
        ),
        (
            Step::Give(credential().with_user("ada")),
            "ambiguous_locator",
            "another user's than its own",
        ),
        (Step::Give(Credential::new(WRONG_PASSWORD)), "authentication_failed", "does not accept"),
    ];
    for (step, problem, message) in cases {
        let step = std::sync::Mutex::new(Some(step));
        let issuer = Issuer::new(move |_| step.lock().unwrap().take().expect("once"));
        let begin = Instant::now();
        let error = attach_shop("fetching", "", &issuer).await.err().expect("it is refused");
        assert!(begin.elapsed() < Duration::from_secs(5));
        canary::assert_error_silent(&error);
        assert_eq!(problems(&error), [problem], "{error}");
        assert!(
            error.to_string().contains(message)
                && error.to_string().contains("orders (SHOP_ORDERS_URL"),
            "{error}"
        );
    }
    let issuer = Issuer::new(|_| Step::Give(Credential::new(PASSWORD).with_user("fet\nching")));
    let anonymous = format!("postgres://localhost:{}/{}", SERVER.port, postgres::DATABASE);
    let error = Shop::attach_from(&source("SHOP_ORDERS", &anonymous, &SERVER.authority, &issuer))
        .await
        .err()
        .unwrap();
    assert_eq!(problems(&error), ["malformed_value"], "{error}");
    // A password that would begin another line in the protocol, or end its text.
    for control in ["\n", "\r\n", "\0", "\t"] {
        let issuer =
            Issuer::new(move |_| Step::Give(Credential::new(format!("{PASSWORD}{control}QUIT"))));
        let error = attach_shop("fetching", "", &issuer).await.err().expect("it is refused");
        canary::assert_error_silent(&error);
        assert_eq!(problems(&error), ["malformed_value"], "{error}");
        assert!(error.to_string().contains(
            "of the credentials that were fetched: its password holds a control character"
        ));
    }
    SERVER.assert_no_connection_of("fetching").await;

    // Loading fetches no user and no password. It accepts no configured password beside the fetched
    // one.
    let issuer = Issuer::new(|_| good_for(PASSWORD, LIFE));
    Shop::check(&source("SHOP_ORDERS", &anonymous, &SERVER.authority, &issuer)).unwrap();
    let both = Environment::from_iter([
        ("SHOP_ORDERS_URL", anonymous.as_str()),
        ("SHOP_ORDERS_PASSWORD", PASSWORD),
    ]);
    let error = Shop::check(&WithCredentials::new(both).of("SHOP_ORDERS", Arc::clone(&issuer)))
        .unwrap_err();
    canary::assert_error_silent(&error);
    assert_eq!(problems(&error), ["ambiguous_locator"], "{error}");
    assert_eq!(issuer.fetches(), 0);
    // The credentials of another resource do not count for this one.
    let error = Shop::check(
        &WithCredentials::new(environment("SHOP_ORDERS", &anonymous, &SERVER.authority))
            .of("SHOP_TILL", issuer),
    );
    assert_eq!(problems(&error.unwrap_err()), ["missing_credentials"]);
    canary::assert_debug_silent(&Credential::new(PASSWORD).with_user(PASSWORD));
    journal::assert_silent();
}

#[tokio::test]
async fn a_server_that_is_away_costs_no_more_than_its_pause() {
    // Nothing listens: the credentials are fetched at attach, which fails as a whole.
    let issuer = Issuer::new(|_| good_for(PASSWORD, LIFE));
    let locator = format!("postgres://ada@localhost:{}/x", port::free());
    let error = Shop::attach_from(&source("SHOP_ORDERS", &locator, &SERVER.authority, &issuer))
        .await
        .err()
        .unwrap();
    assert_eq!(problems(&error), ["unreachable"]);
    tokio::time::sleep(LIFE).await;
    assert_eq!(issuer.fetches(), 1, "what was not attached is not renewed");
}
