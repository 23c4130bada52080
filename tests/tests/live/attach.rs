//! Whole structs on real servers: all or nothing, all at once, in one report.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ::redis::AsyncCommands as _;
use backing_services::secrecy::{ExposeSecret as _, SecretString};
use backing_services::{BackingServices, Postgres, Redis, Resource, Sqlite};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary::{self, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::relay::Relay;
use backing_services_tests::{journal, postgres, redis};
use sqlx::Row as _;

/// A struct with one field of each kind.
#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    /// Orders and customers.
    #[service(env = "DATABASE_URL")]
    orders: Resource<Postgres>,
    sessions: Resource<Redis>,
    /// Only some deployments have a cache.
    cache: Option<Resource<Redis>>,
    stripe_key: SecretString,
    #[setting(default = 8080)]
    port: u16,
    archive: Archive,
}

#[derive(BackingServices)]
struct Archive {
    notes: Resource<Sqlite>,
    /// A second role of the same server.
    copies: Resource<Postgres>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Hasty {
    orders: Resource<Postgres>,
    sessions: Resource<Redis>,
    copies: Resource<Postgres>,
}

const SOON: Duration = Duration::from_secs(10);

/// Each test has roles of its own, so that it can count their connections.
static POSTGRES: LazyLock<postgres::Postgres> = LazyLock::new(postgres::Postgres::start);

/// The servers of one test, and the variables that lead to them.
struct World {
    redis: redis::Redis,
    folder: tempfile::TempDir,
    role: &'static str,
}

impl World {
    fn new(role: &'static str) -> Self {
        POSTGRES.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"));
        Self { redis: redis::Redis::start(), folder: tempfile::tempdir().unwrap(), role }
    }

    fn orders(&self, port: u16) -> String {
        format!("postgres://{}@localhost:{port}/{}", self.role, postgres::DATABASE)
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.orders(POSTGRES.port)),
            ("DATABASE_PASSWORD", PASSWORD.to_owned()),
            ("DATABASE_CA", POSTGRES.authority.pem()),
            ("SHOP_SESSIONS_URL", self.redis.locator()),
            ("SHOP_SESSIONS_PASSWORD", PASSWORD.to_owned()),
            ("SHOP_SESSIONS_CA", self.redis.authority.pem()),
            ("SHOP_STRIPE_KEY", PASSWORD.to_owned()),
            (
                "SHOP_ARCHIVE_NOTES_URL",
                format!("sqlite://{}/notes.db", self.folder.path().display()),
            ),
            ("SHOP_ARCHIVE_COPIES_URL", self.orders(POSTGRES.port)),
            ("SHOP_ARCHIVE_COPIES_PASSWORD", PASSWORD.to_owned()),
            ("SHOP_ARCHIVE_COPIES_CA", POSTGRES.authority.pem()),
        ]
    }

    /// The same variables, with some of them changed.
    fn with(&self, changes: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let mut variables = self.variables();
        for (name, value) in changes {
            variables.retain(|(known, _)| known != name);
            variables.push((name, (*value).to_owned()));
        }
        variables
    }

    /// No connection of this test is left.
    async fn assert_detached(&self) {
        POSTGRES.assert_no_connection_of(self.role).await;
        self.redis.assert_no_connection().await;
        // SQLite deletes the journal with the last connection.
        assert!(!self.folder.path().join("notes.db-wal").exists(), "SQLite is still open");
    }
}

#[tokio::test]
async fn everything_attaches_works_and_detaches() {
    let world = World::new("everything");
    let shop: Shop = attach(&world.variables()).await.unwrap();
    let names: Vec<_> = shop
        .resources()
        .iter()
        .map(|resource| (resource.name().to_owned(), resource.service()))
        .collect();
    assert_eq!(
        names,
        [
            ("orders", "PostgreSQL"),
            ("sessions", "Redis"),
            ("archive.notes", "SQLite"),
            ("archive.copies", "PostgreSQL")
        ]
        .map(|(name, service)| (name.to_owned(), service))
    );
    assert!(shop.cache.is_none());
    assert_eq!(shop.port, 8080);
    assert_eq!(shop.stripe_key.expose_secret(), PASSWORD);
    canary::assert_debug_silent(&shop.stripe_key);
    for resource in shop.resources() {
        resource.health().await.unwrap();
    }
    let () = shop.sessions.client().set("greeting", "hello").await.unwrap();
    sqlx::query("SELECT 1").execute(&*shop.archive.copies.client()).await.unwrap();

    shop.detach().await;
    world.assert_detached().await;
    journal::assert_silent();
}

#[tokio::test]
async fn an_optional_resource_is_attached_if_it_is_configured() {
    let world = World::new("optional");
    let locator = world.redis.locator();
    let ca = world.redis.authority.pem();
    let changes = [
        ("SHOP_CACHE_URL", locator.as_str()),
        ("SHOP_CACHE_PASSWORD", PASSWORD),
        ("SHOP_CACHE_CA", &ca),
    ];
    let shop: Shop = attach(&world.with(&changes)).await.unwrap();
    assert_eq!(shop.resources().len(), 5);
    shop.cache.as_ref().unwrap().health().await.unwrap();
    shop.detach().await;
    world.assert_detached().await;

    // If its variables are set and the server refuses the login, that is an error like any other.
    let changes = [
        ("SHOP_CACHE_URL", locator.as_str()),
        ("SHOP_CACHE_PASSWORD", WRONG_PASSWORD),
        ("SHOP_CACHE_CA", &ca),
    ];
    let error = refused::<Shop>(&world.with(&changes), SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"]);
    world.assert_detached().await;
}

#[tokio::test]
async fn if_half_of_them_fail_the_others_are_detached() {
    let world = World::new("half_fails");
    let relay = Relay::to(POSTGRES.port);
    let through = world.orders(relay.port);
    let changes = [
        ("DATABASE_URL", through.as_str()),
        ("SHOP_SESSIONS_PASSWORD", WRONG_PASSWORD),
        ("SHOP_ARCHIVE_COPIES_PASSWORD", WRONG_PASSWORD),
    ];
    let error = refused::<Shop>(&world.with(&changes), SOON).await;
    assert_eq!(problems(&error), ["authentication_failed", "authentication_failed"]);
    let fields: Vec<_> = error.failures().map(|failure| failure.field().to_owned()).collect();
    assert_eq!(fields, ["sessions", "archive.copies"], "in declaration order");
    assert!(
        error.to_string().starts_with("`Shop` was not attached: 2 problems in 2 of 7 fields"),
        "{error}"
    );
    assert!(relay.accepted() > 0, "what was good was attached");
    assert!(world.folder.path().join("notes.db").exists(), "what was good was attached");
    world.assert_detached().await;
}

#[tokio::test]
async fn a_refusal_at_load_opens_no_connection() {
    let world = World::new("refused_at_load");
    let (to_postgres, to_redis) = (Relay::to(POSTGRES.port), Relay::to(world.redis.port));
    let orders = world.orders(to_postgres.port);
    let sessions = format!("rediss://{}@localhost:{}", redis::USER, to_redis.port);
    for bad in [
        ("SHOP_PORT", "many"),
        ("SHOP_STRIPE_KEY", "changeme"),
        ("SHOP_ARCHIVE_COPIES_PASSWORD", "short"),
        ("SHOP_ARCHIVE_COPIES_URL", "postgres://localhost/x?sslmode=prefer"),
        ("SHOP_CACHE_URL", "http://169.254.169.254/"),
    ] {
        let changes = [("DATABASE_URL", orders.as_str()), ("SHOP_SESSIONS_URL", &sessions), bad];
        let error = refused::<Shop>(&world.with(&changes), SOON).await;
        assert!(!problems(&error).is_empty(), "{bad:?}");
        assert!(error.to_string().contains(bad.0), "{error}");
    }
    assert_eq!((to_postgres.accepted(), to_redis.accepted()), (0, 0));
    assert!(!world.folder.path().join("notes.db").exists());
}

#[tokio::test]
async fn all_share_one_deadline() {
    let silent = Hostile::start(|peer| async { Ok(Some(peer)) });
    let orders = format!("postgres://shopkeeper@localhost:{}/shop", silent.port);
    let sessions = format!("rediss://shopkeeper@localhost:{}", silent.port);
    let mut variables = Vec::new();
    for (name, locator) in [("ORDERS", &orders), ("SESSIONS", &sessions), ("COPIES", &orders)] {
        variables.push((format!("SHOP_{name}_URL"), locator.clone()));
        variables.push((format!("SHOP_{name}_PASSWORD"), PASSWORD.to_owned()));
        variables.push((format!("SHOP_{name}_CA"), POSTGRES.authority.pem()));
    }
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let begin = Instant::now();
    let error = refused::<Hasty>(&variables, Duration::from_secs(3)).await;
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!(problems(&error), ["timed_out"; 3]);
    assert_eq!(
        error.failures().map(|failure| failure.field().to_owned()).collect::<Vec<_>>(),
        ["orders", "sessions", "copies"]
    );
    assert_eq!(silent.heard().len(), 3, "each has begun");
    silent.assert_all_closed().await;
}

#[tokio::test]
async fn dropping_the_attempt_leaves_nothing_open() {
    let world = World::new("dropped_attempt");
    let variables = world.variables();
    let mut done = 0;
    for step in 0..16 {
        if let Ok(attached) =
            tokio::time::timeout(Duration::from_millis(step * 8), attach::<Shop>(&variables)).await
        {
            done += 1;
            attached.unwrap().detach().await;
        }
    }
    assert!(done < 16, "none was dropped on its way");
    world.redis.assert_no_connection().await;
    POSTGRES.assert_no_connection_of("dropped_attempt").await;
}

#[tokio::test]
async fn detaching_waits_for_what_is_in_flight() {
    let world = World::new("in_flight");
    let shop: Shop = attach(&world.variables()).await.unwrap();
    let orders = shop.orders.clone();
    let working = tokio::spawn(async move {
        let client = orders.client();
        sqlx::query("SELECT pg_sleep(0.5), 7")
            .fetch_one(&*client)
            .await
            .map(|row| row.get::<i32, _>(1))
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begin = Instant::now();
    shop.detach().await;
    assert!(begin.elapsed() > Duration::from_millis(200), "it did not wait");
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert_eq!(working.await.unwrap().unwrap(), 7);
    world.assert_detached().await;
}

#[tokio::test]
async fn a_detached_resource_reports_it_and_does_not_reconnect() {
    let world = World::new("detached");
    let shop: Shop = attach(&world.variables()).await.unwrap();
    let (orders, sessions, notes) =
        (shop.orders.clone(), shop.sessions.clone(), shop.archive.notes.clone());
    shop.detach().await;
    for refusal in [orders.health().await, sessions.health().await, notes.health().await] {
        canary::assert_error_silent(&refusal.unwrap_err());
    }
    assert!(sessions.client().get::<_, String>("greeting").await.is_err());
    assert!(sqlx::query("SELECT 1").execute(&*orders.client()).await.is_err());
    world.assert_detached().await;
}

#[tokio::test]
async fn checking_opens_no_connection() {
    let world = World::new("checking");
    let (to_postgres, to_redis) = (Relay::to(POSTGRES.port), Relay::to(world.redis.port));
    let orders = world.orders(to_postgres.port);
    let sessions = format!("rediss://{}@localhost:{}", redis::USER, to_redis.port);
    let variables =
        world.with(&[("DATABASE_URL", orders.as_str()), ("SHOP_SESSIONS_URL", &sessions)]);
    Shop::check(&backing_services::Environment::from_iter(variables)).unwrap();
    assert_eq!((to_postgres.accepted(), to_redis.accepted()), (0, 0));
    assert!(!world.folder.path().join("notes.db").exists());
}
