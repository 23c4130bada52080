//! `bulk`: large results, COPY in both directions, and the memory of idle connections: through our
//! `Postgres`, and through sqlx with its own TLS.

use std::future::poll_fn;
use std::time::Instant;

use backing_services::{BackingServices as _, Environment};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::pki::Authority;
use backing_services_tests::postgres::{self, Options as ServerOptions};
use rustix::time::{ClockId, clock_gettime};
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Row as _};

use super::{Shop, bare, counted, memory, on_a_runtime};
use crate::measure::{Summary, ratio};
use crate::outcome::{Figure, Outcome, Target};
use crate::{Options, Result};

const ROUNDS: usize = 7;

/// The bytes of a row's only column.
const COLUMN: usize = 1000;

/// The rows of a result, and the lines of a COPY: 200 MB.
const ROWS: usize = 200_000;

/// The bytes that one call sends to a COPY: a common size of a buffer.
const CHUNK: usize = 64 * 1024;

/// The idle connections whose memory is measured.
const CONNECTIONS: usize = 200;

/// The measured quantity.
#[derive(Clone, Copy)]
enum Work {
    Rows,
    CopyOut,
    CopyIn,
}

const ALL: [(Work, &str); 3] = [
    (Work::Rows, "200 MB of rows"),
    (Work::CopyOut, "COPY out of 200 MB"),
    (Work::CopyIn, "COPY in of 200 MB"),
];

/// One sample: wall time, and CPU time of this process, in milliseconds.
#[derive(Clone, Copy, Default)]
struct Taken {
    wall: f64,
    cpu: f64,
}

/// The CPU time of all threads of this process so far.
fn cpu() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 * 1e3 + used.tv_nsec as f64 / 1e6
}

/// Does the work, and checks that nothing of the 200 MB is missing.
async fn taken(pool: &PgPool, work: Work, lines: &[u8]) -> Result<Taken> {
    let mut connection = pool.acquire().await?;
    let (used, begun) = (cpu(), Instant::now());
    let bytes = match work {
        Work::Rows => read_rows(&mut connection).await?,
        Work::CopyOut => copy_out(&mut connection).await? - ROWS,
        Work::CopyIn => copy_in(&mut connection, lines).await? - ROWS,
    };
    let taken = Taken { wall: begun.elapsed().as_secs_f64() * 1e3, cpu: cpu() - used };
    if bytes != ROWS * COLUMN {
        return Err(format!("{bytes} bytes, and not {}", ROWS * COLUMN).into());
    }
    Ok(taken)
}

async fn read_rows(connection: &mut PoolConnection<Postgres>) -> Result<usize> {
    let statement = "SELECT repeat('x', $1) FROM generate_series(1, $2)";
    let query = sqlx::query(statement).bind(COLUMN as i32).bind(ROWS as i32);
    let mut rows = query.fetch(&mut **connection);
    let mut bytes = 0;
    while let Some(row) = poll_fn(|context| rows.as_mut().poll_next(context)).await {
        bytes += row?.try_get::<&str, _>(0)?.len();
    }
    Ok(bytes)
}

async fn copy_out(connection: &mut PoolConnection<Postgres>) -> Result<usize> {
    let statement =
        format!("COPY (SELECT repeat('x', {COLUMN}) FROM generate_series(1, {ROWS})) TO STDOUT");
    let mut chunks = connection.copy_out_raw(&statement).await?;
    let mut bytes = 0;
    while let Some(chunk) = poll_fn(|context| chunks.as_mut().poll_next(context)).await {
        bytes += chunk?.len();
    }
    Ok(bytes)
}

/// The server reads every line and keeps none, so that its disk is not what is measured.
async fn copy_in(connection: &mut PoolConnection<Postgres>, lines: &[u8]) -> Result<usize> {
    let mut copy = connection.copy_in_raw("COPY bulk FROM STDIN WHERE false").await?;
    for chunk in lines.chunks(CHUNK) {
        copy.send(chunk).await?;
    }
    copy.finish().await?;
    Ok(lines.len())
}

/// A server with room for the idle connections, and the table of the COPY.
fn server() -> postgres::Postgres {
    let authority = Authority::new("the benchmark's authority");
    let mut options = ServerOptions::tls(authority.server());
    options.settings = format!("max_connections = {}\n", CONNECTIONS + 50);
    let server = postgres::Postgres::with(authority, &options);
    let user = postgres::USER;
    server.sql(&format!("CREATE TABLE bulk (line text); GRANT INSERT ON bulk TO {user}"));
    server
}

/// Runs the benchmark `bulk`.
///
/// # Errors
/// If attaching to the server fails, or a statement fails.
pub fn run(options: Options) -> Result<Outcome> {
    let server = server();
    let mut outcome = Outcome::new(
        "bulk",
        "200 MB through one connection over verified TLS, in rows of 1000 bytes, through ours and \
         through sqlx with its own TLS; and what each of 200 idle connections takes.",
    );
    on_a_runtime(timed(&server, options, &mut outcome))?;
    weighed(&server, options, &mut outcome)?;
    outcome.remarks.push(
        "The server makes the rows and throws away the lines of a COPY, so no disk is measured. \
         Both ends and the server share the processors of this machine."
            .into(),
    );
    Ok(outcome)
}

async fn timed(server: &postgres::Postgres, options: Options, outcome: &mut Outcome) -> Result<()> {
    // A slow machine may take longer than the 30 s that a statement has by default.
    let source = Environment::from_iter([
        ("SHOP_ORDERS_URL", format!("{}?statement_timeout=600000", server.locator())),
        ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_ORDERS_CA", server.authority.pem()),
    ]);
    let shop = Shop::attach_from(&source).await?;
    let (ours, bare) = (shop.orders.client(), bare(server).await?);
    let lines = format!("{}\n", "x".repeat(COLUMN)).repeat(ROWS).into_bytes();
    let rounds = options.rounds(ROUNDS);
    for (work, what) in ALL {
        let mut samples = [Vec::new(), Vec::new()];
        for round in 0..=rounds {
            // The order changes from round to round, so that it does not affect the ratio.
            let mut took = [Taken::default(); 2];
            for turn in 0..2 {
                let who = (turn + round) % 2;
                took[who] = taken([&*ours, &bare][who], work, &lines).await?;
            }
            // The first round warms the caches up.
            if round > 0 {
                samples.iter_mut().zip(took).for_each(|(samples, took)| samples.push(took));
            }
        }
        add(outcome, what, &samples);
    }
    drop(ours);
    bare.close().await;
    shop.detach().await;
    Ok(())
}

fn add(outcome: &mut Outcome, what: &str, [ours, bare]: &[Vec<Taken>; 2]) {
    let wall = |taken: &[Taken]| taken.iter().map(|taken| taken.wall).collect::<Vec<_>>();
    let cpu = |taken: &[Taken]| taken.iter().map(|taken| taken.cpu).collect::<Vec<_>>();
    let compared = format!("{what} / sqlx with its own TLS");
    outcome.targets.push(Target::ratio(compared, &wall(ours), &wall(bare), 1.15));
    for (name, taken) in [("ours", ours), ("sqlx, its own TLS", bare)] {
        outcome.figures.push(Figure::new(what, "ms", name, Summary::of(&wall(taken))));
        let kind = format!("{what}: processor time of the client");
        outcome.figures.push(Figure::new(&kind, "ms", name, Summary::of(&cpu(taken))));
    }
    let beside = ratio(&cpu(ours), &cpu(bare)).median;
    outcome.remarks.push(format!("{what}: {beside:.2} × the processor time of the client."));
}

/// The memory of the idle connections, each time in a process of its own.
fn weighed(server: &postgres::Postgres, options: Options, outcome: &mut Outcome) -> Result<()> {
    let variables = memory::variables(server);
    let subjects = [("ours", "ours"), ("sqlx, its own TLS", "bare")];
    let mut found = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for _ in 0..options.rounds(3) {
        for ((_, who), found) in subjects.iter().zip(&mut found) {
            let arguments = [*who, &CONNECTIONS.to_string()];
            let bytes = counted::taken("connections", &arguments, &variables)?;
            for (found, bytes) in found.iter_mut().zip(bytes) {
                found.push(bytes / 1024.0 / CONNECTIONS as f64);
            }
        }
    }
    for ((name, _), [heap, resident]) in subjects.iter().zip(&found) {
        for (kind, samples) in [("heap", heap), ("resident", resident)] {
            let kind = format!("{kind} memory of an idle connection");
            outcome.figures.push(Figure::new(&kind, "KiB", name, Summary::of(samples)));
        }
    }
    let [[_, ours], [_, bare]] = &found;
    let more: Vec<_> = ours.iter().zip(bare).map(|(ours, bare)| ours - bare).collect();
    outcome.targets.push(Target::figure(
        "resident memory of an idle connection, beyond sqlx's own",
        Summary::of(&more),
        64.0,
        "KiB",
    ));
    Ok(())
}
