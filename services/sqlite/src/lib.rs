//! SQLite, through [`sqlx::SqlitePool`]: a database in a file, in this process. No server, no TLS,
//! no account.
//!
//! # Locator
//! `sqlite:///absolute/path/of/the.db`. A relative path would depend on the working directory of
//! the process. A database in memory would be a different one for each connection of a pool.
//! Neither is accepted. Parameters:
//!
//! | parameter | meaning | default |
//! |---|---|---|
//! | `mode` | `ro` reads, `rw` writes, `rwc` creates the file if it does not exist | `rwc` |
//! | `max_connections` | size of the pool, 1 to 100 | 10, sqlx's own |
//! | `busy_timeout` | milliseconds to wait for another writer, 1 to 600 000 | 5000, sqlx's own |
//!
//! `vfs`, `immutable` and `cache` are refused. `vfs` replaces the file system below the database.
//! `immutable` switches its locks off. A shared `cache` has table locks for which no timeout
//! applies.
//!
//! # How it is attached
//! A file that this crate creates is readable by its owner only. The file itself, and each folder
//! and link on the path to it, from the root on, must belong to the user that this process runs as,
//! or to root, and no other user may have write access. Otherwise that is the finding
//! `readable_secret_file`, and the database is not opened. The file's folder may not even be a
//! sticky one that others can write, such as `/tmp`: SQLite rolls back a journal that it finds
//! beside the database, and any user could put one there. SQLite opens the file by its path, so the
//! check covers the path and everything that could change it.
//!
//! A locator from a store on the network is refused: anyone with write access to the store could
//! otherwise name any file of this machine.
//!
//! The database file may come from an untrusted author, so it is opened as [SQLite asks for
//! untrusted ones](https://www.sqlite.org/security.html): `trusted_schema` off, `cell_size_check`
//! on, no memory map. Foreign keys are enforced. The journal is a write-ahead log, unless `mode` is
//! `ro`.
//!
//! # Privileges
//! There are no accounts: a process that can open the file may do everything in it, and the file's
//! permissions are the only access control. So `needs` does not compile on such a field:
//!
//! ```compile_fail,E0080
//! # use backing_services::{BackingServices, Resource, Sqlite};
//! #[derive(BackingServices)]
//! struct Services {
//!     #[service(needs = "SELECT ON notes")]
//!     notes: Resource<Sqlite>,
//! }
//! ```
//!
//! Without `needs`, it compiles:
//!
//! ```
//! # use backing_services::{BackingServices, Resource, Sqlite};
//! #[derive(BackingServices)]
//! struct Services {
//!     notes: Resource<Sqlite>,
//! }
//! ```

use std::path::Path;
use std::time::Duration;

use backing_services_rules::Scheme;
use backing_services_rules::rule::{MALFORMED_LOCATOR, READABLE_SECRET_FILE};
use backing_services_runtime::posture::ServerPosture;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::thread::{NoResult, on_thread};
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Attachment, Attempt, Login, Parameter, Refusal, Target};
#[cfg(unix)]
use backing_services_runtime::source::Notice;
#[cfg(unix)]
use backing_services_runtime::source::file::{End, Way};
use backing_services_runtime::source::file::{Fault, OWN_IT};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use backing_services_sqlx as driver;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Row as _, SqlitePool};

pub use backing_services_sqlx::PoolGuard;
pub use sqlx;

/// SQLite. See [the module](self) for its locator, and for how it is attached.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Sqlite;

#[diagnostic::do_not_recommend]
impl Service for Sqlite {
    type Client = SqlitePool;
    type Guard = PoolGuard<Self>;

    const NAME: &'static str = "SQLite";
    const SCHEMES: &'static [Scheme] = &[Scheme::embedded("sqlite")];
    const PATH: Option<&'static str> = Some("the absolute path of the file");
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::choice("mode", &["ro", "rw", "rwc"]),
        Parameter::number("max_connections", 1, 100),
        Parameter::number("busy_timeout", 1, 600_000),
        Parameter::refused("vfs", "remove it: it swaps the file system below the database"),
        Parameter::refused(
            "immutable",
            "remove it: without locks, readers see half of what is written",
        ),
        Parameter::refused(
            "cache",
            "remove it: a shared cache has table locks of its own, which no timeout waits for",
        ),
    ];
    const LOGIN: Login = Login::None;

    fn check(target: &Target) -> Vec<Finding> {
        // The locator's own grammar refuses a relative path, and one with `..`.
        if !target.locator().path().ends_with('/') {
            return Vec::new();
        }
        vec![Finding::new(&MALFORMED_LOCATOR, "its path is not that of a file").with_help(
            "write `sqlite:///absolute/path/of/the.db`; for a test, a file in a temporary folder",
        )]
    }

    async fn connect(target: &Target, attempt: Attempt) -> Result<Attachment<SqlitePool>, Refusal> {
        let locator = target.locator();
        let mode = locator.parameter("mode").unwrap_or("rwc");
        let path = locator.path().to_owned();
        let creates = mode == "rwc";
        let is_waived = target.waives(&READABLE_SECRET_FILE);
        let prepared =
            on_thread(attempt.time_left(), move || prepare(Path::new(&path), creates, is_waived))
                .await;
        let exposed = prepared.map_err(NoResult::into_failure)??;
        let exposed = exposed.map(|why| {
            Finding::new(&READABLE_SECRET_FILE, format!("the database is a file of which {why}"))
                .with_help(OWN_IT)
        });
        if let Some(finding) = exposed.clone().filter(|_| !is_waived) {
            return Err(finding.into());
        }

        let options = SqliteConnectOptions::new()
            .filename(locator.path())
            .create_if_missing(false)
            .read_only(mode == "ro")
            .foreign_keys(true)
            .busy_timeout(Duration::from_millis(locator.number("busy_timeout").unwrap_or(5000)))
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON")
            .pragma("mmap_size", "0");
        let options =
            if mode == "ro" { options } else { options.journal_mode(SqliteJournalMode::Wal) };
        let most = locator.number("max_connections").unwrap_or(10);
        let pool = SqlitePoolOptions::new()
            .max_connections(u32::try_from(most).unwrap_or(u32::MAX))
            .connect_lazy_with(options);

        let mut posture = Posture::of::<Self>(target);
        posture.server = Some(with_timeout(attempt.time_left(), probe(&pool)).await??);
        Ok(Attachment::new(pool, posture).with_findings(exposed))
    }

    async fn health(pool: &SqlitePool) -> Result<(), Refusal> {
        probe(pool).await.map(drop)
    }

    async fn close(pool: &SqlitePool) {
        pool.close().await;
    }
}

/// Checks each step of the path to the file, and creates the file if that is allowed, in such a way
/// that only its owner can ever read it. Returns the reason why other users may have access to the
/// file, if there is one.
#[cfg(unix)]
fn prepare(path: &Path, creates: bool, is_waived: bool) -> Result<Option<&'static str>, Failure> {
    let mut way = Way::root().map_err(unopened)?;
    let (name, is_there) = match way.follow(path).map_err(unopened)? {
        End::Folder => return Err(unopened(Fault::NotRegular)),
        End::Entry(name) => (name, true),
        // A link that leads nowhere: this crate does not create the file that it names.
        End::Nothing(name) => (name, false),
    };
    let of_the_way = way.doubt().and_then(Notice::why_not_ours);
    // The names of journals are predictable: permission to add an entry is enough.
    let of_the_folder =
        way.others_add().then_some("other users of this machine can add a journal to the folder");
    let doubt = of_the_way.or(of_the_folder);
    if doubt.is_some() && !is_waived {
        return Ok(doubt);
    }
    if !is_there {
        if !creates || way.links() > 0 && std::fs::symlink_metadata(path).is_ok() {
            return Err(unopened(Fault::Absent));
        }
        way.create(&name).map_err(|error| unopened(error.into()))?;
    }
    let exposure = way.exposure_of(&name).map_err(unopened)?;
    Ok(exposure.and_then(Notice::why_not_ours).or(doubt))
}

/// File modes and owners exist only on Unix.
#[cfg(not(unix))]
fn prepare(path: &Path, creates: bool, _: bool) -> Result<Option<&'static str>, Failure> {
    if creates {
        match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unopened(error.into())),
        }
    }
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(None),
        Ok(_) => Err(unopened(Fault::NotRegular)),
        Err(error) => Err(unopened(error.into())),
    }
}

/// Converts a fault of the file. The error's own text is not repeated: it names the path, which is
/// a value.
fn unopened(fault: Fault) -> Failure {
    let message = match fault {
        Fault::Absent => "the file, or the folder that it is to be in, does not exist",
        Fault::Forbidden => "this process may not open the file, or not make it",
        Fault::NotRegular => "its path does not lead to a regular file",
        Fault::OfTheKernel => "its path leads to a file of the kernel's",
        _ => "the file cannot be opened",
    };
    Failure::new(
        FailureKind::Unreachable,
        message,
        "correct the path, or create the folder, for the user that this process runs as",
    )
}

/// Reads the schema's version, and with it the file's header. A file that is not a database is
/// detected here.
async fn probe(pool: &SqlitePool) -> Result<ServerPosture, Refusal> {
    let rows = sqlx::raw_sql("PRAGMA schema_version; SELECT sqlite_version()")
        .fetch_all(pool)
        .await
        .map_err(|error| refusal(&error))?;
    let version: String =
        rows.last().and_then(|row| row.try_get(0).ok()).ok_or_else(|| unopened(Fault::Broken))?;
    Ok(ServerPosture::new("SQLite", &version))
}

/// Converts an error of the driver. SQLite's result code decides
/// (<https://www.sqlite.org/rescode.html>); its text is not repeated.
fn refusal(error: &sqlx::Error) -> Refusal {
    let sqlx::Error::Database(database) = error else { return driver::failure(error).into() };
    // The lower byte of an extended code is the primary one.
    let code = database.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default() & 0xff;
    match code {
        5 | 6 => Failure::new(
            FailureKind::Unavailable,
            "the database is locked by another process",
            "look for what holds a write transaction open",
        ),
        8 => Failure::new(
            FailureKind::Unavailable,
            "the database can only be read",
            "check the modes of the file and its folder, or write `mode=ro`",
        ),
        11 => Failure::new(
            FailureKind::Protocol,
            "the database is damaged",
            "restore it from a backup",
        ),
        13 => Failure::new(FailureKind::Unavailable, "the disk is full", "make room on it"),
        14 => return unopened(Fault::Broken).into(),
        26 => Failure::new(
            FailureKind::Protocol,
            "the file is no SQLite database, or an encrypted one",
            "check the path",
        ),
        _ => Failure::new(
            FailureKind::Unavailable,
            "SQLite cannot serve this file",
            "check the file and its folder",
        ),
    }
    .into()
}

#[cfg(test)]
mod fuzz {
    use std::path::Path;

    use backing_services_fuzz::{check, target};

    use super::*;

    const LOCATORS: &[&str] = &[
        "sqlite:///var/lib/a%20b.db?mode=ro",
        "sqlite:/a.db",
        "SQLite:///%C3%BC/%2525/a:b",
        "sqlite:///:memory:/a%3Fb",
    ];

    /// If we accept a locator, the driver reads it with the same file.
    #[test]
    fn the_driver_reads_the_same_locator() {
        check!(LOCATORS, |input| {
            let text = input.text();
            let Some(target) = target::<Sqlite>(&text) else { return };
            let path = target.locator().path();
            assert!(path.starts_with('/') && !path.ends_with('/'), "{text}");
            // The driver knows the scheme in lower case only.
            let (_, rest) = text.split('?').next().and_then(|text| text.split_once(':')).unwrap();
            let theirs = format!("sqlite:{rest}").parse::<SqliteConnectOptions>();
            let theirs = theirs.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(theirs.get_filename(), Path::new(path), "{text}");
        });
    }
}
