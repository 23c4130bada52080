//! `swap`: statements while the database is swapped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backing_services::{BackingServices as _, Postgres, Resource};
use backing_services_tests::postgres;
use sqlx::PgPool;
use tokio::sync::RwLock;

use super::{Shop, bare, on_a_runtime, source};
use crate::measure::Summary;
use crate::outcome::{Figure, Outcome, Target};
use crate::{Options, Result};

/// The number of rounds. Each has `STATEMENTS` statements and `SWAPS` swaps.
const ROUNDS: usize = 5;
const STATEMENTS: usize = 20_000;
const SWAPS: usize = 10;
const TASKS: usize = 32;
const AROUND: Duration = Duration::from_millis(100);

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A database handle that can be swapped while tasks use it.
trait Swapped: Send + Sync {
    fn select(&self) -> Boxed<'_, bool>;
    fn swap<'a>(&'a self, to: &'a postgres::Postgres) -> Boxed<'a, Result<()>>;
}

impl Swapped for Resource<Postgres> {
    fn select(&self) -> Boxed<'_, bool> {
        Box::pin(async { sqlx::query("SELECT 1").execute(&self.client()).await.is_ok() })
    }

    fn swap<'a>(&'a self, to: &'a postgres::Postgres) -> Boxed<'a, Result<()>> {
        Box::pin(async { Ok(self.reattach(&source(to)).await?) })
    }
}

/// The usual hand-written code. Either a statement holds the lock until it ends, or it clones the
/// pool and releases the lock.
struct ByHand {
    pool: RwLock<PgPool>,
    clones: bool,
}

impl Swapped for ByHand {
    fn select(&self) -> Boxed<'_, bool> {
        Box::pin(async {
            if self.clones {
                let pool = self.pool.read().await.clone();
                return sqlx::query("SELECT 1").execute(&pool).await.is_ok();
            }
            sqlx::query("SELECT 1").execute(&*self.pool.read().await).await.is_ok()
        })
    }

    fn swap<'a>(&'a self, to: &'a postgres::Postgres) -> Boxed<'a, Result<()>> {
        Box::pin(async {
            let next = bare(to).await?;
            let former = std::mem::replace(&mut *self.pool.write().await, next);
            former.close().await;
            Ok(())
        })
    }
}

/// The state that the tasks share with the swapping task.
#[derive(Default)]
struct Load {
    begun: AtomicUsize,
    failed: AtomicUsize,
    swapping: AtomicBool,
    swapped: AtomicBool,
}

/// One statement.
#[derive(Clone, Copy)]
struct Sample {
    begun: Instant,
    ended: Instant,
    /// If true, there was a swap meanwhile.
    swapping: bool,
}

impl Sample {
    fn took(&self) -> f64 {
        milliseconds(self.ended - self.begun)
    }

    /// Returns true if the statement ran close to this moment.
    fn is_around(&self, moment: Instant) -> bool {
        self.ended + AROUND >= moment && self.begun <= moment + AROUND
    }
}

/// The result of one round.
struct Round {
    /// The 99th percentile without swaps, in milliseconds.
    steady: f64,
    /// The longest statement without swaps.
    longest_steady: f64,
    /// The 99th percentile of the statements that ran during a swap.
    swapping: f64,
    /// The 99th percentile of the statements that ran within [`AROUND`] of a swap's end, when tasks
    /// get the next pool. The duration of a swap does not affect it.
    around: f64,
    /// The longest statement during a swap.
    longest: f64,
    failed: f64,
    statements: f64,
    /// The duration of a swap, in milliseconds.
    swap: f64,
}

/// Runs all statements, and continues until all swaps are done.
async fn statements(on: &Arc<dyn Swapped>, load: &Arc<Load>) -> Result<Vec<Sample>> {
    let task = |_| {
        let (on, load) = (Arc::clone(on), Arc::clone(load));
        tokio::spawn(async move {
            let mut samples = Vec::with_capacity(2 * STATEMENTS / TASKS);
            while load.begun.fetch_add(1, Ordering::Relaxed) < STATEMENTS
                || !load.swapped.load(Ordering::Relaxed)
            {
                let (begun, before) = (Instant::now(), load.swapping.load(Ordering::Relaxed));
                if !on.select().await {
                    load.failed.fetch_add(1, Ordering::Relaxed);
                }
                samples.push(Sample {
                    begun,
                    ended: Instant::now(),
                    swapping: before || load.swapping.load(Ordering::Relaxed),
                });
            }
            samples
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    let mut samples = Vec::new();
    for task in tasks {
        samples.extend(task.await?);
    }
    Ok(samples)
}

async fn round(on: &Arc<dyn Swapped>, servers: [&postgres::Postgres; 2]) -> Result<Round> {
    let undisturbed = Arc::new(Load { swapped: AtomicBool::new(true), ..Load::default() });
    let steady: Vec<_> = statements(on, &undisturbed).await?.iter().map(Sample::took).collect();

    let load = Arc::new(Load::default());
    let swapping = async {
        let mut took = Vec::new();
        for swap in 0..SWAPS {
            // The swaps are spread over the statements, so that some statements run undisturbed
            // between them.
            while load.begun.load(Ordering::Relaxed) < STATEMENTS * (swap + 1) / (SWAPS + 1) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let begun = Instant::now();
            load.swapping.store(true, Ordering::Relaxed);
            let swapped = on.swap(servers[(swap + 1) % 2]).await;
            load.swapping.store(false, Ordering::Relaxed);
            if swapped.is_err() {
                load.swapped.store(true, Ordering::Relaxed);
                swapped?;
            }
            took.push((begun, Instant::now()));
        }
        load.swapped.store(true, Ordering::Relaxed);
        Ok(took)
    };
    let (samples, swaps): (_, Result<Vec<(Instant, Instant)>>) =
        tokio::join!(statements(on, &load), swapping);
    let (samples, swaps) = (samples?, swaps?);
    let those = |which: &dyn Fn(&Sample) -> bool| {
        samples.iter().filter(|sample| which(sample)).map(Sample::took).collect::<Vec<_>>()
    };
    let during = those(&|sample| sample.swapping);
    let around = those(&|sample| swaps.iter().any(|(_, done)| sample.is_around(*done)));
    let took: Vec<_> = swaps.iter().map(|(begun, done)| milliseconds(*done - *begun)).collect();
    let failed = undisturbed.failed.load(Ordering::Relaxed) + load.failed.load(Ordering::Relaxed);
    Ok(Round {
        steady: percentile(&steady, 0.99),
        longest_steady: percentile(&steady, 1.0),
        swapping: percentile(&during, 0.99),
        around: percentile(&around, 0.99),
        longest: percentile(&during, 1.0),
        failed: failed as f64,
        statements: samples.len() as f64,
        swap: Summary::of(&took).median,
    })
}

fn percentile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len().saturating_sub(1) as f64 * part) as usize).copied().unwrap_or_default()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Runs the benchmark `swap`.
///
/// # Errors
/// If attaching or swapping to a server fails.
pub fn run(options: Options) -> Result<Outcome> {
    let servers = [postgres::Postgres::start(), postgres::Postgres::start()];
    let [one, two] = [&servers[0], &servers[1]];
    on_a_runtime(async {
        let shop = Shop::attach_from(&source(one)).await?;
        let by_hand = async |clones| {
            let pool = RwLock::new(bare(one).await?);
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                Arc::new(ByHand { pool, clones }) as Arc<dyn Swapped>
            )
        };
        let subjects: [(&str, Arc<dyn Swapped>); 3] = [
            ("ours", Arc::new(shop.orders.clone())),
            ("RwLock, held", by_hand(false).await?),
            ("RwLock, cloned out of", by_hand(true).await?),
        ];
        // Each subject makes an even number of swaps, so every round begins with the same server.
        let mut rounds: [Vec<Round>; 3] = Default::default();
        for _ in 0..options.rounds(ROUNDS) {
            for ((_, subject), rounds) in subjects.iter().zip(&mut rounds) {
                rounds.push(round(subject, [one, two]).await?);
            }
        }
        shop.detach().await;

        let mut outcome = Outcome::new(
            "swap",
            "`SELECT 1` on 32 tasks, first undisturbed, then while the database is swapped \
             between two servers: by reattaching, and by hand with an `Arc<RwLock<PgPool>>`, \
             where a statement holds the lock, or takes a clone of the pool out of it; the former \
             pool is closed.",
        );
        for ((name, _), rounds) in subjects.iter().zip(&rounds) {
            let of = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
            let failed = of(|round| round.failed).iter().sum();
            let (steady, swapping) = (of(|round| round.steady), of(|round| round.swapping));
            if *name == "ours" {
                let all: f64 = of(|round| round.statements).iter().sum();
                let what = format!("failed of {all} statements, {} swaps", SWAPS * rounds.len());
                outcome.targets.push(Target::figure(what, Summary::exactly(failed), 0.0, "failed"));
                outcome.targets.push(Target::ratio(
                    "p99 while swapping / undisturbed",
                    &swapping,
                    &steady,
                    2.0,
                ));
            }
            outcome.figures.push(Figure::new(
                "failed",
                "statements",
                name,
                Summary::exactly(failed),
            ));
            outcome.figures.push(Figure::new("p99, undisturbed", "ms", name, Summary::of(&steady)));
            outcome.figures.push(Figure::new(
                "p99, during a swap",
                "ms",
                name,
                Summary::of(&swapping),
            ));
            let around = of(|round| round.around);
            outcome.figures.push(Figure::new(
                "p99, within 100 ms of a swap's end",
                "ms",
                name,
                Summary::of(&around),
            ));
            let longest = Summary::of(&of(|round| round.longest_steady));
            outcome.figures.push(Figure::new("longest, undisturbed", "ms", name, longest));
            outcome.figures.push(Figure::new(
                "longest, during a swap",
                "ms",
                name,
                Summary::of(&of(|round| round.longest)),
            ));
            outcome.figures.push(Figure::new(
                "a swap",
                "ms",
                name,
                Summary::of(&of(|round| round.swap)),
            ));
        }
        outcome.remarks.push(
            "A reattach checks, connects, probes, and opens as many connections as the former pool \
             has, before it swaps: so it takes longer than a bare connect, \
             and no caller waits for that. By hand, the first statements on the new pool wait for \
             its handshakes."
                .into(),
        );
        Ok(outcome)
    })
}
