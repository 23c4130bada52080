//! SQLite: valid and faulty files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backing_services::{BackingServices, Resource, Sqlite};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary;
use backing_services_tests::process::run;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode};
use sqlx::{ConnectOptions as _, Row as _};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 10)]
struct Shop {
    notes: Resource<Sqlite>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Hasty {
    notes: Resource<Sqlite>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 10)]
struct Waived {
    #[service(allow(readable_secret_file, reason = "one user, one machine"))]
    notes: Resource<Sqlite>,
}

const SOON: Duration = Duration::from_secs(5);

/// A folder that belongs to this process's user, unlike those of the test servers.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn locator(path: &Path, parameters: &str) -> String {
    format!("sqlite://{}{parameters}", path.display())
}

async fn attached(path: &Path, parameters: &str) -> Shop {
    attach(&[("SHOP_NOTES_URL", &locator(path, parameters))]).await.unwrap()
}

/// The rules and failures in the report.
async fn why_not(path: &Path, parameters: &str) -> Vec<&'static str> {
    let error = refused::<Shop>(&[("SHOP_NOTES_URL", &locator(path, parameters))], SOON).await;
    assert!(
        !error.to_string().contains(&path.display().to_string()),
        "values are not repeated: {error}"
    );
    problems(&error)
}

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let folder = folder();
    let path = folder.path().join("notes.db");
    let shop = attached(&path, "").await;
    let posture = shop.notes.posture();
    let notes = shop.notes.client();
    let version: String =
        sqlx::query("SELECT sqlite_version()").fetch_one(&*notes).await.unwrap().get(0);
    assert_eq!(
        posture.server.as_ref().map(ToString::to_string).as_deref(),
        Some(format!("SQLite {version}").as_str())
    );
    assert_eq!(posture.endpoint, format!("sqlite:{}", path.display()));
    assert!(posture.tls.is_none() && posture.account.is_none() && posture.authentication.is_none());
    assert_eq!(rules(&posture.findings), [""; 0]);
    // No other user can read it.
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    sqlx::raw_sql(
        "CREATE TABLE note (id INTEGER PRIMARY KEY); \
         CREATE TABLE word (note INTEGER REFERENCES note)",
    )
    .execute(&*notes)
    .await
    .unwrap();
    assert!(
        sqlx::query("INSERT INTO word VALUES (7)").execute(&*notes).await.is_err(),
        "foreign keys hold"
    );
    sqlx::query("INSERT INTO note VALUES (7)").execute(&*notes).await.unwrap();
    for (pragma, expected) in
        [("trusted_schema", 0), ("cell_size_check", 1), ("mmap_size", 0), ("foreign_keys", 1)]
    {
        // Some pragmas return no row when they are off.
        let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA {pragma}")))
            .fetch_all(&*notes)
            .await
            .unwrap();
        assert_eq!(rows.first().map_or(0, |row| row.get::<i64, _>(0)), expected, "{pragma}");
    }
    assert!(sqlx::query("SELECT load_extension('evil')").execute(&*notes).await.is_err());
    drop(notes);
    shop.notes.health().await.unwrap();

    // The journal beside the database is removed with the last connection.
    assert!(folder.path().join("notes.db-wal").exists());
    shop.detach().await;
    assert!(!folder.path().join("notes.db-wal").exists());

    // A read-only client sees the written data.
    let shop = attached(&path, "?mode=ro").await;
    let notes = shop.notes.client();
    assert_eq!(
        sqlx::query("SELECT id FROM note").fetch_one(&*notes).await.unwrap().get::<i64, _>(0),
        7
    );
    assert!(sqlx::query("INSERT INTO note VALUES (8)").execute(&*notes).await.is_err());
    drop(notes);
    shop.detach().await;
}

/// A process loses its locks on a file when it closes that file anywhere: without them, another
/// process would delete the log that this one writes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn attaching_a_database_again_does_not_release_its_locks() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = folder();
    let path = folder.path().join("notes.db");
    let shop = attached(&path, "?max_connections=1").await;
    sqlx::raw_sql("CREATE TABLE note (id INTEGER)").execute(&*shop.notes.client()).await.unwrap();
    let file = format!(":{} ", fs::metadata(&path).unwrap().ino());
    let locks = || {
        fs::read_to_string("/proc/locks")
            .unwrap()
            .lines()
            .filter(|line| line.contains(&file))
            .count()
    };
    assert_eq!(
        locks(),
        1,
        "in the mode that writes a log, a connection keeps one lock on the database"
    );
    for parameters in ["?mode=rw", "?mode=rwc", "?mode=ro"] {
        attached(&path, parameters).await.detach().await;
        assert_eq!(locks(), 1, "{parameters}");
    }
}

#[tokio::test]
async fn a_path_that_cannot_hold_a_database_is_refused() {
    let folder = folder();
    let missing = folder.path().join("missing.db");
    assert_eq!(why_not(&missing, "?mode=ro").await, ["unreachable"]);
    assert_eq!(why_not(&missing, "?mode=rw").await, ["unreachable"]);
    assert!(!missing.exists(), "nothing is made that was not asked for");
    assert_eq!(why_not(&folder.path().join("no/such/folder.db"), "").await, ["unreachable"]);
    assert_eq!(why_not(folder.path(), "").await, ["unreachable"], "a folder");

    // Opening a pipe would block for ever.
    let pipe = folder.path().join("pipe");
    run(std::process::Command::new("mkfifo").arg(&pipe));
    assert_eq!(why_not(&pipe, "").await, ["unreachable"]);
    assert_eq!(why_not(Path::new("/dev/zero"), "").await, ["unreachable"]);
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused() {
    let folder = folder();
    let path = folder.path().join("text.db");
    let text = format!("{} \u{1b}[2J owned", canary::PASSWORD).repeat(200);
    fs::write(&path, &text).unwrap();
    assert_eq!(why_not(&path, "?mode=rw").await, ["protocol"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is as it was");

    // A database with a corrupted schema.
    let path = folder.path().join("broken.db");
    attached(&path, "").await.detach().await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let error = refused::<Shop>(&[("SHOP_NOTES_URL", &locator(&path, ""))], SOON).await;
    assert_eq!(error.failures().count(), 1, "{error}");
}

#[tokio::test]
async fn a_file_that_others_can_write_is_refused_and_waived() {
    let folder = folder();
    let path = folder.path().join("notes.db");
    attached(&path, "").await.detach().await;
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(why_not(&path, "").await, ["readable_secret_file"]);
    let shop: Waived = attach(&[("SHOP_NOTES_URL", &locator(&path, ""))]).await.unwrap();
    assert_eq!(rules(&shop.notes.posture().findings), ["readable_secret_file"]);
    shop.detach().await;

    // A file that other users can replace is refused too.
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    assert_eq!(why_not(&path, "").await, ["readable_secret_file"]);
    let link = self::folder();
    let through: PathBuf = link.path().join("link.db");
    std::os::unix::fs::symlink(&path, &through).unwrap();
    assert_eq!(why_not(&through, "").await, ["readable_secret_file"], "a link hides nothing");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn a_locator_that_weakens_or_wanders_is_refused() {
    for (text, rule) in [
        ("sqlite:///tmp/notes.db?vfs=unix-none", "unknown_parameter"),
        ("sqlite:///tmp/notes.db?immutable=true", "unknown_parameter"),
        ("sqlite:///tmp/notes.db?cache=shared", "unknown_parameter"),
        ("sqlite:///tmp/notes.db?mode=memory", "malformed_locator"),
        ("sqlite:///tmp/notes.db?password=kanarie-7f3a-Wk0qShopZx84", "secret_in_parameter"),
        ("sqlite::memory:", "malformed_locator"),
        ("sqlite://notes.db", "malformed_locator"),
        ("sqlite:notes.db", "malformed_locator"),
        ("sqlite:///tmp/../etc/notes.db", "malformed_locator"),
        ("sqlite:///tmp/%2e%2e/etc/notes.db", "malformed_locator"),
        ("sqlite:///tmp/", "malformed_locator"),
        ("sqlite://db.example.com/notes.db", "malformed_locator"),
        ("sqlite://user:kanarie-7f3a-Wk0qShopZx84@/tmp/notes.db", "malformed_locator"),
        ("file:///tmp/notes.db", "unknown_scheme"),
    ] {
        let error = refused::<Shop>(&[("SHOP_NOTES_URL", text)], SOON).await;
        assert_eq!(problems(&error).len(), 1, "{text}: {error}");
        assert_eq!(problems(&error), [rule], "{text}: {error}");
    }
    assert!(!Path::new("/tmp/notes.db").exists());
}

#[tokio::test]
async fn a_locked_database_is_an_error_in_time() {
    let folder = folder();
    let path = folder.path().join("notes.db");
    // Another connection that uses no write-ahead log and holds an exclusive lock.
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .locking_mode(SqliteLockingMode::Exclusive);
    let mut holder = options.journal_mode(SqliteJournalMode::Delete).connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE held (id); BEGIN EXCLUSIVE; INSERT INTO held VALUES (1)")
        .execute(&mut holder)
        .await
        .unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();

    let error =
        refused::<Shop>(&[("SHOP_NOTES_URL", &locator(&path, "?busy_timeout=200"))], SOON).await;
    assert_eq!(problems(&error), ["unavailable"]);
    // `busy_timeout` is longer than the deadline: the deadline applies.
    let error = refused::<Hasty>(
        &[("SHOP_NOTES_URL", &locator(&path, "?busy_timeout=60000"))],
        Duration::from_secs(3),
    )
    .await;
    assert_eq!(problems(&error).len(), 1, "{error}");
    drop(holder);
}

#[tokio::test]
async fn a_writer_waits_as_long_as_the_locator_says() {
    let folder = folder();
    let path = folder.path().join("notes.db");
    let shop = attached(&path, "?busy_timeout=200").await;
    let pool = shop.notes.client();
    let mut writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("CREATE TABLE mine (id)").execute(&mut *writer).await.unwrap();
    let begin = Instant::now();
    assert!(sqlx::query("CREATE TABLE other (id)").execute(&*pool).await.is_err());
    assert!(
        (Duration::from_millis(150)..Duration::from_secs(2)).contains(&begin.elapsed()),
        "{:?}",
        begin.elapsed()
    );
    drop(writer);
    drop(pool);
    shop.detach().await;
}

/// The file is not even opened: no journal appears beside it, and an existing one is not rolled
/// back.
#[tokio::test]
async fn a_database_in_a_folder_of_others_is_not_opened() {
    let root = folder();
    let above = root.path().join("above");
    let inner = above.join("inner");
    fs::create_dir_all(&inner).unwrap();
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let path = inner.join("notes.db");
    attached(&path, "").await.detach().await;
    let listed = || {
        let names = fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    let before = listed();
    let refused = ["readable_secret_file"];
    for (folder, mode, why) in [
        (&above, 0o777, "a folder above that others can write"),
        (&inner, 0o777, "its folder, which others can write"),
        (&inner, 0o1777, "a sticky one: anybody could put a journal beside it"),
    ] {
        set(folder, mode);
        assert_eq!(why_not(&path, "").await, refused, "{why}");
        assert_eq!(why_not(&path, "?mode=ro").await, refused, "{why}");
        assert_eq!(why_not(&inner.join("new.db"), "").await, refused, "{why}");
        assert_eq!(listed(), before, "{why}");
        set(folder, 0o755);
    }
    // Above its own folder, a sticky folder is accepted: other users cannot replace our entries in
    // it.
    set(&above, 0o1777);
    attached(&path, "").await.detach().await;
    set(&above, 0o755);

    // Only an administrator can change the owner of a file.
    let give = |path: &Path, owner| std::os::unix::fs::chown(path, Some(owner), None);
    if give(&path, 54_321).is_ok() {
        assert_eq!(why_not(&path, "").await, refused, "another user's file");
        give(&path, 0).unwrap();
        give(&inner, 54_321).unwrap();
        assert_eq!(why_not(&path, "").await, refused, "another user's folder");
        assert_eq!(why_not(&inner.join("new.db"), "").await, refused, "another user's folder");
        give(&inner, 0).unwrap();
        let link = above.join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        attached(&link, "").await.detach().await;
        std::os::unix::fs::lchown(&link, Some(54_321), None).unwrap();
        assert_eq!(why_not(&link, "").await, refused, "another user's link");
        give(&path, 0).unwrap();
    }
    assert_eq!(listed(), before);
}

#[tokio::test]
async fn a_special_file_is_not_opened() {
    let folder = folder();
    let pipe = folder.path().join("pipe.db");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&pipe, Path::new("/proc/self/environ"), Path::new("/dev/zero"), folder.path()] {
        assert_eq!(why_not(path, "?mode=rw").await, ["unreachable"], "{}", path.display());
    }
    let dangling = folder.path().join("dangling.db");
    std::os::unix::fs::symlink(folder.path().join("nothing.db"), &dangling).unwrap();
    assert_eq!(
        why_not(&dangling, "").await,
        ["unreachable"],
        "where a link leads to is not for us to make"
    );
    assert!(!folder.path().join("nothing.db").exists());
}

/// A clone of the pool opens no connection after the detach, and a statement that runs is waited
/// for.
#[tokio::test]
async fn a_clone_ends_with_the_resource() {
    let folder = folder();
    let path = folder.path().join("notes.db");
    let shop = attached(&path, "?mode=rwc").await;
    let pool = shop.notes.client().clone();
    sqlx::raw_sql("CREATE TABLE note (text TEXT)").execute(&pool).await.unwrap();
    let mut held = pool.acquire().await.unwrap();
    let opening = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(drop) }
    });
    let detaching = tokio::spawn(shop.detach());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!detaching.is_finished(), "the connection is in use");
    sqlx::raw_sql("INSERT INTO note VALUES ('late')").execute(&mut *held).await.unwrap();
    drop(held);
    let detached = tokio::time::timeout(SOON, detaching).await.unwrap().unwrap();
    assert!(detached.is_clean(), "{detached}");
    // It began before or after the end: either way it has ended.
    let _ = tokio::time::timeout(SOON, opening).await.expect("it ends").unwrap();
    assert!(matches!(pool.acquire().await, Err(sqlx::Error::PoolClosed)));
    assert_eq!(pool.size(), 0);
}
