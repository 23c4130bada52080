//! Following a source on real servers: changes are reattached, a bad value is refused once, and the
//! last good one keeps serving.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use backing_services::resource::{Followed, Following};
use backing_services::source::{ChangeSignal, Changes, ServiceBindings, Unreadable, Value};
use backing_services::{BackingServices, Environment, Postgres, Redis, Resource, Source};
use backing_services_tests::attempt::problems;
use backing_services_tests::canary::{self, ADMIN_PASSWORD, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::folder::Folder;
use backing_services_tests::variables;
use backing_services_tests::{journal, postgres, redis};
use sqlx::Row as _;
use tokio::time::timeout;

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 5)]
struct Shop {
    orders: Resource<Postgres>,
}

/// Two servers. Each test has a role of its own.
static ONE: LazyLock<postgres::Postgres> = LazyLock::new(postgres::Postgres::start);
static TWO: LazyLock<postgres::Postgres> = LazyLock::new(postgres::Postgres::start);

fn role(name: &str) {
    for server in [&*ONE, &*TWO] {
        server.sql(&format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'"));
    }
}

fn locator(role: &str, server: &postgres::Postgres) -> String {
    format!("postgres://{role}@localhost:{}/{}", server.port, postgres::DATABASE)
}

/// The authorities of both servers.
fn authorities() -> String {
    ONE.authority.pem() + &TWO.authority.pem()
}

/// A folder with the values of the one resource, a file each, and the environment that names them.
struct Files(Folder);

impl Files {
    fn new(role: &str) -> Self {
        self::role(role);
        let folder = Folder::of_values("values");
        folder.write("url", &locator(role, &ONE));
        folder.write("password", PASSWORD);
        folder.write("ca", &authorities());
        Self(folder)
    }

    fn source(&self) -> Environment {
        let file = |name: &str| self.0.path().join(name).into_os_string();
        Environment::from_iter([
            ("SHOP_ORDERS_URL_FILE", file("url")),
            ("SHOP_ORDERS_PASSWORD_FILE", file("password")),
            ("SHOP_ORDERS_CA_FILE", file("ca")),
        ])
    }

    async fn attach(&self) -> (Shop, Following) {
        journal::open();
        let services = Shop::attach_from(&self.source()).await.unwrap();
        let following = services.follow(self.source());
        // Following reads the source once at the beginning, and would find anything written before
        // that.
        tokio::time::sleep(Duration::from_millis(300)).await;
        (services, following)
    }
}

async fn port_of(services: &Shop) -> u16 {
    let client = services.orders.client();
    let port: i32 =
        sqlx::query("SELECT inet_server_port()").fetch_one(&*client).await.unwrap().get(0);
    u16::try_from(port).unwrap()
}

async fn next(following: &mut Following) -> Followed {
    let event = timeout(Duration::from_secs(10), following.next())
        .await
        .expect("an event")
        .expect("it is still followed");
    canary::assert_debug_silent(&event);
    event
}

async fn moved(following: &mut Following) {
    match next(following).await {
        Followed::Reattached(fields) => assert_eq!(fields, ["orders"]),
        other => panic!("{other:?}"),
    }
}

/// The one event of a bad value.
async fn refused(following: &mut Following) -> Vec<&'static str> {
    let Followed::Refused(error) = next(following).await else { panic!("it was taken") };
    canary::assert_error_silent(&*error);
    problems(&error)
}

async fn nothing_more(following: &mut Following) {
    if let Ok(event) = timeout(Duration::from_secs(2), following.next()).await {
        panic!("{event:?}");
    }
}

#[tokio::test]
async fn a_file_that_changes_moves_the_resource() {
    let files = Files::new("follower");
    let (services, mut following) = files.attach().await;
    assert_eq!(port_of(&services).await, ONE.port);
    files.0.write("url", &locator("follower", &TWO));
    moved(&mut following).await;
    assert_eq!(port_of(&services).await, TWO.port);
    ONE.assert_no_connection_of("follower").await;
    // Editors save like this: another file of the same name.
    let other = files.0.write("url.new", &locator("follower", &ONE));
    fs::rename(other, files.0.path().join("url")).unwrap();
    moved(&mut following).await;
    assert_eq!(port_of(&services).await, ONE.port);
    // A change to a neighbour is not a change.
    files.0.write("neighbour", "x");
    nothing_more(&mut following).await;
    assert!(services.detach().await.is_clean());
    assert!(
        timeout(Duration::from_secs(5), following.next()).await.unwrap().is_none(),
        "following ends with the resource"
    );
    ONE.assert_no_connection_of("follower").await;
    TWO.assert_no_connection_of("follower").await;
    journal::assert_silent();
}

#[tokio::test]
async fn a_bad_value_is_refused_once_and_the_last_good_one_keeps_serving() {
    let files = Files::new("checked");
    TWO.sql(&format!("CREATE ROLE checked_admin SUPERUSER LOGIN PASSWORD '{ADMIN_PASSWORD}'"));
    let (services, mut following) = files.attach().await;
    let url = files.0.path().join("url");

    fs::remove_file(&url).unwrap();
    assert_eq!(refused(&mut following).await, ["malformed_value"]);
    nothing_more(&mut following).await;
    assert_eq!(port_of(&services).await, ONE.port);

    files.0.write("url", "");
    assert_eq!(refused(&mut following).await, ["missing_value"]);
    nothing_more(&mut following).await;

    files.0.write("url", "postgres://checked@");
    assert_eq!(refused(&mut following).await, ["malformed_locator"]);
    // The file is touched, but not changed.
    files.0.write("url", "postgres://checked@");
    nothing_more(&mut following).await;
    assert_eq!(port_of(&services).await, ONE.port);

    files.0.write("url", &locator("checked_admin", &TWO));
    files.0.write("password", ADMIN_PASSWORD);
    assert_eq!(refused(&mut following).await, ["superuser_account"]);
    nothing_more(&mut following).await;
    assert_eq!(port_of(&services).await, ONE.port);
    TWO.assert_no_connection_of("checked_admin").await;

    // Back to the current value: there is nothing to do.
    files.0.write("url", &locator("checked", &ONE));
    files.0.write("password", PASSWORD);
    nothing_more(&mut following).await;
    files.0.write("url", &locator("checked", &TWO));
    moved(&mut following).await;
    assert_eq!(port_of(&services).await, TWO.port);
    let said = |line: &&str| {
        line.contains("what the source has now is refused") && line.contains("orders: ")
    };
    let text = journal::text();
    assert!(text.lines().filter(said).count() >= 4);
    assert!(services.detach().await.is_clean());
    journal::assert_silent();
}

#[tokio::test]
async fn a_password_that_is_refused_is_not_tried_again() {
    let files = Files::new("outsider");
    let (services, mut following) = files.attach().await;
    let tried =
        || TWO.log().matches("password authentication failed for user \"outsider\"").count();
    files.0.write("password", WRONG_PASSWORD);
    files.0.write("url", &locator("outsider", &TWO));
    assert_eq!(refused(&mut following).await, ["authentication_failed"]);
    let once = tried();
    assert!(once > 0);
    for _ in 0..3 {
        files.0.write("password", WRONG_PASSWORD);
        nothing_more(&mut following).await;
    }
    assert_eq!(tried(), once, "to ask again would lock the account");
    assert_eq!(port_of(&services).await, ONE.port);
    files.0.write("password", PASSWORD);
    moved(&mut following).await;
    assert_eq!(port_of(&services).await, TWO.port);
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn a_burst_is_collected() {
    let files = Files::new("fast_writer");
    let (services, mut following) = files.attach().await;
    for change in 0..11 {
        files.0.write("url", &locator("fast_writer", if change % 2 == 0 { &TWO } else { &ONE }));
        tokio::time::sleep(Duration::from_millis(90)).await;
    }
    let mut moves = 0;
    while let Ok(event) = timeout(Duration::from_secs(4), following.next()).await {
        assert!(matches!(event, Some(Followed::Reattached(_))), "{event:?}");
        moves += 1;
    }
    assert!((1..=3).contains(&moves), "{moves} moves");
    assert_eq!(port_of(&services).await, TWO.port, "the last one is what counts");
    assert!(services.detach().await.is_clean());
    ONE.assert_no_connection_of("fast_writer").await;
}

/// Writes a volume as Kubernetes does: a new folder, and a link that is renamed over the old one.
fn project(volume: &Path, generation: usize, values: &[(&str, &str)]) {
    let folder = volume.join(format!("..2026_11_24_{generation}"));
    fs::create_dir(&folder).unwrap();
    for (name, value) in values {
        fs::write(folder.join(name), value).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o640)).unwrap();
        if generation == 0 {
            symlink(format!("..data/{name}"), volume.join(name)).unwrap();
        }
    }
    symlink(folder.file_name().unwrap(), volume.join("..data_tmp")).unwrap();
    let former = fs::read_link(volume.join("..data")).ok();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if let Some(former) = former {
        fs::remove_dir_all(volume.join(former)).unwrap();
    }
}

#[tokio::test]
async fn kubernetes_swaps_a_whole_volume() {
    role("kubernetes");
    let volume = Folder::of_values("volume");
    let values = |server: &postgres::Postgres| {
        [
            ("url", locator("kubernetes", server)),
            ("password", PASSWORD.to_owned()),
            ("ca", server.authority.pem()),
        ]
    };
    let write = |generation, server| {
        let values = values(server);
        project(
            volume.path(),
            generation,
            &values.each_ref().map(|(name, value)| (*name, value.as_str())),
        );
    };
    write(0, &ONE);
    let files = Files(volume);
    let (services, mut following) = files.attach().await;
    for generation in 1..5 {
        let server = if generation % 2 == 1 { &*TWO } else { &*ONE };
        let values = values(server);
        project(
            files.0.path(),
            generation,
            &values.each_ref().map(|(name, value)| (*name, value.as_str())),
        );
        moved(&mut following).await;
        assert_eq!(port_of(&services).await, server.port);
    }
    nothing_more(&mut following).await;
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn a_binding_that_is_swapped_is_followed_by_its_folder() {
    role("binder");
    let root = Folder::of_values("bindings");
    let binding = root.path().join("shop-orders");
    fs::create_dir(&binding).unwrap();
    let write = |generation, server: &postgres::Postgres| {
        let url = locator("binder", server);
        let values = [
            ("type", "postgresql"),
            ("uri", &url),
            ("password", PASSWORD),
            ("ca.crt", &server.authority.pem()),
        ];
        project(&binding, generation, &values);
    };
    write(0, &ONE);
    let source = || {
        ServiceBindings::of(Environment::from_iter([(
            "SERVICE_BINDING_ROOT",
            root.path().as_os_str(),
        )]))
    };
    journal::open();
    let services = Shop::attach_from(&source()).await.unwrap();
    let mut following = services.follow(source());
    tokio::time::sleep(Duration::from_millis(300)).await;
    write(1, &TWO);
    moved(&mut following).await;
    assert_eq!(port_of(&services).await, TWO.port);
    assert!(services.detach().await.is_clean());
}

#[tokio::test]
async fn the_private_authority_is_followed_too() {
    let files = Files::new("private_authority");
    let (services, mut following) = files.attach().await;
    // An authority that did not issue the server's certificate is refused. A bundle with both is
    // accepted.
    files.0.write("ca", &TWO.authority.pem());
    assert_eq!(refused(&mut following).await, ["unverified_tls"]);
    assert_eq!(port_of(&services).await, ONE.port);
    files.0.write("ca", &ONE.authority.pem());
    moved(&mut following).await;
    nothing_more(&mut following).await;
    assert!(services.detach().await.is_clean());
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 5)]
struct Cached {
    sessions: Resource<Redis>,
}

/// A source that reports its own changes.
#[derive(Clone)]
struct Told {
    values: Arc<Mutex<HashMap<&'static str, String>>>,
    signal: ChangeSignal,
}

impl Told {
    fn new(server: &redis::Redis) -> Self {
        let told = Self { values: Arc::default(), signal: ChangeSignal::new() };
        told.set(server);
        told
    }

    fn set(&self, server: &redis::Redis) {
        *self.values.lock().unwrap() =
            variables::of("SHOP_SESSIONS", server.locator(), PASSWORD, server.authority.pem())
                .into_iter()
                .collect();
        self.signal.send();
    }
}

impl Source for Told {
    fn name(&self) -> Cow<'_, str> {
        "a store".into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        Ok(self
            .values
            .lock()
            .unwrap()
            .get(variable)
            .map(|text| Value::new(text.clone(), "a store")))
    }

    fn changes(&self) -> Changes {
        Changes::signalled(&self.signal)
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again_and_reported_once() {
    let (one, mut two) = (redis::Redis::start(), redis::Redis::start());
    let store = Told::new(&one);
    journal::open();
    let services = Cached::attach_from(&store).await.unwrap();
    let mut following = services.follow(store.clone());
    tokio::time::sleep(Duration::from_millis(300)).await;
    two.stop();
    store.set(&two);
    assert_eq!(refused(&mut following).await, ["unreachable"]);
    if let Ok(event) = timeout(Duration::from_secs(4), following.next()).await {
        panic!("{event:?}");
    }
    services.sessions.health().await.unwrap();
    two.restart();
    assert!(
        matches!(next(&mut following).await, Followed::Reattached(_)),
        "nothing has changed but the server"
    );
    one.assert_no_connection().await;
    services.sessions.health().await.unwrap();

    // Dropping the `Following` ends following, and nothing else.
    drop(following);
    store.set(&one);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(one.connections(), 0);
    services.sessions.health().await.unwrap();
    assert!(services.detach().await.is_clean());
    two.assert_no_connection().await;
    journal::assert_silent();
}

#[tokio::test]
async fn following_keeps_nothing_attached() {
    let server = redis::Redis::start();
    let store = Told::new(&server);
    let services = Cached::attach_from(&store).await.unwrap();
    let mut following = services.follow(store.clone());
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(services);
    server.assert_no_connection().await;
    let begin = Instant::now();
    assert!(timeout(Duration::from_secs(5), following.next()).await.unwrap().is_none());
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_file_may_appear_in_a_folder_that_did_not_exist() {
    let files = Files::new("folder_builder");
    let (services, following) = files.attach().await;
    drop(following);
    let folder = files.0.path().join("deep/inner");
    let path = |name: &str| -> PathBuf {
        if name == "url" { folder.join(name) } else { files.0.path().join(name) }
    };
    let source = Environment::from_iter(["url", "password", "ca"].map(|name| {
        (format!("SHOP_ORDERS_{}_FILE", name.to_uppercase()), path(name).into_os_string())
    }));
    let mut following = services.follow(source);
    assert_eq!(refused(&mut following).await, ["malformed_value"]);
    fs::create_dir_all(&folder).unwrap();
    for folder in ["deep", "deep/inner"] {
        fs::set_permissions(files.0.path().join(folder), fs::Permissions::from_mode(0o755))
            .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    fs::write(folder.join("url"), locator("folder_builder", &TWO)).unwrap();
    fs::set_permissions(folder.join("url"), fs::Permissions::from_mode(0o600)).unwrap();
    moved(&mut following).await;
    assert_eq!(port_of(&services).await, TWO.port);
    assert!(services.detach().await.is_clean());
}
