//! `memory`: the memory that a resource uses, and the memory that remains after a thousand swaps.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use backing_services::{BackingServices, Environment, Postgres, Resource, Sqlite};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::postgres;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use stats_alloc::{Region, StatsAlloc};

use super::{counted, on_a_runtime};
use crate::measure::Summary;
use crate::outcome::{Figure, Outcome, Target};
use crate::{Options, Result};

/// The numbers of resources to measure.
const RESOURCES: [usize; 5] = [1, 2, 4, 8, 16];

/// The number of swaps for the warm-up of the allocator and the runtime, and the number of measured
/// swaps.
const SWAPS: [usize; 2] = [100, 1000];

/// The names of the [`variables`].
const PORT: &str = "BENCHES_PORT";
const CA: &str = "BENCHES_CA";

macro_rules! structs {
    ($($name:ident { $($field:ident)* })*) => {$(
        #[derive(BackingServices)]
        #[services(prefix = "SHOP")]
        #[allow(dead_code, reason = "it is attached, and nothing more")]
        struct $name { $($field: Resource<Postgres>),* }
    )*};
}

structs! {
    One { p1 }
    Two { p1 p2 }
    Four { p1 p2 p3 p4 }
    Eight { p1 p2 p3 p4 p5 p6 p7 p8 }
    Sixteen { p1 p2 p3 p4 p5 p6 p7 p8 p9 p10 p11 p12 p13 p14 p15 p16 }
}

#[derive(BackingServices)]
#[services(prefix = "SHOP")]
struct Notes {
    notes: Resource<Sqlite>,
}

/// The allocator that counts the bytes on the heap.
pub type Allocator = &'static StatsAlloc<std::alloc::System>;

/// Bytes in use: on the heap, and resident ones of the process.
#[derive(Clone, Copy, Debug)]
struct Used {
    heap: f64,
    resident: f64,
}

impl Used {
    fn now(allocator: Allocator) -> Result<Self> {
        let all = allocator.stats();
        let heap = all.bytes_allocated as f64 - all.bytes_deallocated as f64;
        // `statm` is late by some pages on each core.
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
        let line = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Rss:"))
            .ok_or("no `Rss` in smaps_rollup")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(Self { heap, resident: kibibytes * 1024.0 })
    }

    fn since(self, before: Self) -> [f64; 2] {
        [self.heap - before.heap, self.resident - before.resident]
    }
}

/// Waits for connections, files and tasks that are still closing.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// `guard client`: the allocations of a thousand calls.
///
/// # Errors
/// If attaching to the file fails.
pub fn allocations_of_client(allocator: Allocator) -> Result<usize> {
    with_notes(|notes| {
        drop(notes.client());
        // SQLite has a thread of its own, which may still work on the attach. Each round counts the
        // allocations of `client`, so the smallest count is that of `client` alone.
        let rounds = std::iter::repeat_with(|| {
            let region = Region::new(allocator);
            for _ in 0..1000 {
                std::hint::black_box(&*notes.client());
            }
            let change = region.change();
            change.allocations + change.reallocations
        });
        rounds.take(5).min().unwrap_or_default()
    })
}

fn with_notes<T>(act: impl FnOnce(&Resource<Sqlite>) -> T) -> Result<T> {
    let folder = tempfile::tempdir()?;
    // With one thread, only the calls below are counted.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let notes = Notes::attach_from(&notes(folder.path(), 0)).await?;
        let done = act(&notes.notes);
        notes.detach().await;
        Ok(done)
    })
}

fn notes(folder: &Path, which: usize) -> Environment {
    Environment::from_iter([(
        "SHOP_NOTES_URL",
        format!("sqlite://{}/{which}.db", folder.display()),
    )])
}

/// `guard resources ours 4`: bytes of the heap and resident ones that four resources take, with a
/// connection each.
///
/// # Errors
/// If attaching to the server, whose variables are in the environment, fails.
pub fn resources(allocator: Allocator, who: &str, count: usize) -> Result<[f64; 2]> {
    let (port, ca) = (std::env::var(PORT)?, std::env::var(CA)?);
    on_a_runtime(async {
        if who == "ours" {
            let source = Environment::from_iter((1..=count).flat_map(|i| {
                [
                    (format!("SHOP_P{i}_URL"), locator(&port)),
                    (format!("SHOP_P{i}_PASSWORD"), PASSWORD.to_owned()),
                    (format!("SHOP_P{i}_CA"), ca.clone()),
                ]
            }));
            return match count {
                1 => attached::<One>(allocator, &source).await,
                2 => attached::<Two>(allocator, &source).await,
                4 => attached::<Four>(allocator, &source).await,
                8 => attached::<Eight>(allocator, &source).await,
                _ => attached::<Sixteen>(allocator, &source).await,
            };
        }
        let port = port.parse()?;
        let connect = || PgPoolOptions::new().connect_with(with_sqlx(port, &ca));
        // Allocates everything that is allocated once per process.
        connect().await?.close().await;
        settle().await;
        let before = Used::now(allocator)?;
        let mut pools = Vec::new();
        for _ in 0..count {
            pools.push(connect().await?);
        }
        settle().await;
        let found = Used::now(allocator)?.since(before);
        drop(pools);
        Ok(found)
    })
}

fn locator(port: &str) -> String {
    format!("postgres://{}@localhost:{port}/{}", postgres::USER, postgres::DATABASE)
}

fn with_sqlx(port: u16, ca: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("localhost")
        .port(port)
        .username(postgres::USER)
        .password(PASSWORD)
        .database(postgres::DATABASE)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(ca.to_owned().into_bytes())
}

async fn attached<T: BackingServices + Send + Sync>(
    allocator: Allocator,
    source: &Environment,
) -> Result<[f64; 2]> {
    let _ = One::attach_from(source).await?.detach().await;
    settle().await;
    let before = Used::now(allocator)?;
    let services = T::attach_from(source).await?;
    settle().await;
    let found = Used::now(allocator)?.since(before);
    services.detach().await;
    Ok(found)
}

/// `guard connections ours 200`: bytes of the heap and resident ones that so many idle connections
/// take, beside the first one.
///
/// # Errors
/// If a connection to the server, whose variables are in the environment, fails.
pub fn connections(allocator: Allocator, who: &str, count: usize) -> Result<[f64; 2]> {
    let (port, ca) = (std::env::var(PORT)?, std::env::var(CA)?);
    on_a_runtime(async {
        if who == "ours" {
            let locator = locator(&port);
            let source = Environment::from_iter([
                ("SHOP_P1_URL", format!("{locator}?max_connections={}", count + 1)),
                ("SHOP_P1_PASSWORD", PASSWORD.to_owned()),
                ("SHOP_P1_CA", ca),
            ]);
            let services = One::attach_from(&source).await?;
            let found = opened(allocator, &services.p1.client(), count).await;
            services.detach().await;
            return found;
        }
        let most = u32::try_from(count + 1)?;
        let options = with_sqlx(port.parse()?, &ca);
        let pool = PgPoolOptions::new().max_connections(most).connect_with(options).await?;
        opened(allocator, &pool, count).await
    })
}

/// The bytes of so many more connections of a pool, once they are idle. They are opened one after
/// the other: the memory of many handshakes at once would remain in the process.
async fn opened(allocator: Allocator, pool: &PgPool, count: usize) -> Result<[f64; 2]> {
    let mut held = vec![pool.acquire().await?];
    settle().await;
    let before = Used::now(allocator)?;
    while held.len() <= count {
        held.push(pool.acquire().await?);
    }
    drop(held);
    settle().await;
    Ok(Used::now(allocator)?.since(before))
}

/// The variables by which `guard` finds a server.
pub(super) fn variables(server: &postgres::Postgres) -> [(&'static str, String); 2] {
    [(PORT, server.port.to_string()), (CA, server.authority.pem())]
}

/// `guard swaps ours`: bytes of the heap and resident ones that remain after the swaps.
///
/// # Errors
/// If attaching to a file fails.
pub fn swaps(allocator: Allocator, who: &str, count: usize) -> Result<[f64; 2]> {
    let folder = tempfile::tempdir()?;
    on_a_runtime(async {
        if who == "ours" {
            let services = Notes::attach_from(&notes(folder.path(), 0)).await?;
            let mut before = Used::now(allocator)?;
            for swap in 1..=SWAPS[0] + count {
                services.notes.reattach(&notes(folder.path(), swap % 2)).await?;
                if swap == SWAPS[0] {
                    settle().await;
                    before = Used::now(allocator)?;
                }
            }
            settle().await;
            let found = Used::now(allocator)?.since(before);
            services.detach().await;
            return Ok(found);
        }
        let connect = async |swap: usize| {
            let options = SqliteConnectOptions::new()
                .filename(folder.path().join(format!("{}.db", swap % 2)))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal);
            SqlitePoolOptions::new().connect_with(options).await
        };
        let pool = tokio::sync::RwLock::new(connect(0).await?);
        let mut before = Used::now(allocator)?;
        for swap in 1..=SWAPS[0] + count {
            let next = connect(swap).await?;
            let former = std::mem::replace(&mut *pool.write().await, next);
            former.close().await;
            if swap == SWAPS[0] {
                settle().await;
                before = Used::now(allocator)?;
            }
        }
        settle().await;
        Ok(Used::now(allocator)?.since(before))
    })
}

/// Runs the benchmark `memory`.
///
/// # Errors
/// If `guard` fails.
pub fn run(options: Options) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "memory",
        "What resources take, each a PostgreSQL with one connection over TLS, beside bare pools; \
         and what is left of 1000 swaps between two SQLite files, after 100 that are \
         not counted: bytes of the heap that are in use, and resident bytes of the process.",
    );
    let server = postgres::Postgres::start();
    let variables = variables(&server);
    let subjects = [("ours", "ours"), ("bare pool", "bare")];
    for count in RESOURCES {
        let mut found = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
        for _ in 0..options.rounds(3) {
            for ((_, who), found) in subjects.iter().zip(&mut found) {
                let bytes = counted::taken("resources", &[who, &count.to_string()], &variables)?;
                for (found, bytes) in found.iter_mut().zip(bytes) {
                    found.push(bytes / 1024.0);
                }
            }
        }
        for ((name, _), [heap, resident]) in subjects.iter().zip(&found) {
            outcome.figures.push(
                Figure::new("heap", "KiB", name, Summary::of(heap)).at(count as f64, "resources"),
            );
            outcome.figures.push(
                Figure::new("resident", "KiB", name, Summary::of(resident))
                    .at(count as f64, "resources"),
            );
        }
    }
    outcome.remarks.push(
        "Linear in the resources, and there is no bend: each has its pool, its connection with a \
         TLS session, and its own roots to trust. Ours adds to that its posture, its \
         target and two tasks. A swap leaves nothing: a generation that was replaced goes with its \
         last guard."
            .into(),
    );
    for (name, who) in subjects {
        let found = counted::taken("swaps", &[who, &SWAPS[1].to_string()], &[])?;
        let [heap, resident] = found[..] else {
            return Err("`guard swaps` gives two numbers".into());
        };
        outcome.figures.push(Figure::new(
            "heap left of 1000 swaps",
            "KiB",
            name,
            Summary::exactly(heap / 1024.0),
        ));
        outcome.figures.push(Figure::new(
            "resident left of 1000 swaps",
            "KiB",
            name,
            Summary::exactly(resident / 1024.0),
        ));
        if who == "ours" {
            let heap = Summary::exactly(heap / SWAPS[1] as f64);
            outcome
                .targets
                .push(Target::figure("heap left of a swap, of 1000", heap, 16.0, "bytes"));
        }
    }
    Ok(outcome)
}
