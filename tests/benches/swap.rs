//! What swapping costs those who use a resource: `cargo bench -p backing-services-tests --bench swap`.
//!
//! 100,000 statements on 32 tasks, first undisturbed, then while the database is swapped 50 times between two servers: how many failed, and how long they took. And
//! what `client()` takes, beside a bare reference, an `ArcSwap` and a `tokio::sync::RwLock`. Servers and tasks share the machine: only figures of one run may
//! be compared.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot do what it should has to stop, there and loudly")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use backing_services::{BackingServices, Environment, Postgres, Resource};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::postgres;
use sqlx::PgPool;
use tokio::sync::RwLock;

const STATEMENTS: usize = 100_000;
const TASKS: usize = 32;
const SWAPS: usize = 50;

/// How many times a client is taken.
const TAKEN: u32 = 10_000_000;

#[derive(BackingServices)]
#[services(prefix = "SHOP")]
struct Shop {
    orders: Resource<Postgres>,
}

fn source(server: &postgres::Postgres) -> Environment {
    Environment::from_iter([
        ("SHOP_ORDERS_URL", server.locator()),
        ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_ORDERS_CA", server.authority.pem()),
    ])
}

/// How long a statement took, and whether a swap was on its way meanwhile.
type Sample = (Duration, bool);

#[derive(Default)]
struct Load {
    begun: AtomicUsize,
    failed: AtomicUsize,
    swapping: AtomicBool,
}

/// Works off the statements, at least as many as there are and until `enough`.
fn work(orders: &Resource<Postgres>, load: &Arc<Load>, enough: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<Vec<Sample>>> {
    let task = |_| {
        let (orders, load, enough) = (orders.clone(), Arc::clone(load), Arc::clone(enough));
        tokio::spawn(async move {
            let mut samples = Vec::with_capacity(2 * STATEMENTS / TASKS);
            while load.begun.fetch_add(1, Ordering::Relaxed) < STATEMENTS || !enough.load(Ordering::Relaxed) {
                let (begin, before) = (Instant::now(), load.swapping.load(Ordering::Relaxed));
                if sqlx::query("SELECT 1").execute(&*orders.client()).await.is_err() {
                    load.failed.fetch_add(1, Ordering::Relaxed);
                }
                samples.push((begin.elapsed(), before || load.swapping.load(Ordering::Relaxed)));
            }
            samples
        })
    };
    (0..TASKS).map(task).collect()
}

async fn gather(tasks: Vec<tokio::task::JoinHandle<Vec<Sample>>>) -> Vec<Sample> {
    let mut samples = Vec::new();
    for task in tasks {
        samples.extend(task.await.expect("a task"));
    }
    samples
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[allow(clippy::print_stdout, reason = "a benchmark prints")]
fn print(name: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (p50, p99, last) = (milliseconds(at(0.5)), milliseconds(at(0.99)), milliseconds(at(1.0)));
    println!("{name:38} {:7} statements, p50 {p50:7.3} ms, p99 {p99:7.3} ms, longest {last:8.3} ms", times.len());
    at(0.99)
}

fn nanoseconds(mut take: impl FnMut()) -> f64 {
    let round = |take: &mut dyn FnMut()| {
        let begin = Instant::now();
        for _ in 0..TAKEN {
            take();
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(TAKEN)
    };
    // The least of five: everything else on the machine only adds to it.
    (0..5).map(|_| round(&mut take)).fold(f64::INFINITY, f64::min)
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "a benchmark prints")]
async fn main() {
    let (one, two) = (postgres::Postgres::start(), postgres::Postgres::start());
    let services = Shop::attach_from(&source(&one)).await.expect("it attaches");
    let orders = &services.orders;

    // Once to warm up, and once to measure.
    for round in 0..2 {
        let samples = gather(work(orders, &Arc::default(), &Arc::new(AtomicBool::new(true)))).await;
        if round == 0 {
            continue;
        }
        let steady = print("undisturbed", samples.into_iter().map(|(took, _)| took).collect());

        let (load, enough) = (Arc::new(Load::default()), Arc::new(AtomicBool::new(false)));
        let tasks = work(orders, &load, &enough);
        let mut swaps = Vec::new();
        for swap in 1..=SWAPS {
            // Spread over the statements, so that there are some undisturbed ones between them.
            while load.begun.load(Ordering::Relaxed) < STATEMENTS * swap / (SWAPS + 1) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let source = source(if swap % 2 == 1 { &two } else { &one });
            let begin = Instant::now();
            load.swapping.store(true, Ordering::Relaxed);
            services.reattach(&source).await.expect("it reattaches");
            load.swapping.store(false, Ordering::Relaxed);
            swaps.push(begin.elapsed());
        }
        enough.store(true, Ordering::Relaxed);
        let samples = gather(tasks).await;
        let (during, between): (Vec<_>, Vec<_>) = samples.into_iter().partition(|(_, swapping)| *swapping);
        print("between the swaps", between.into_iter().map(|(took, _)| took).collect());
        let disturbed = print("during a swap", during.into_iter().map(|(took, _)| took).collect());
        swaps.sort_unstable();
        println!(
            "{SWAPS} swaps, each {:.1} ms (median); failed: {}; p99 during a swap × undisturbed: {:.2}",
            milliseconds(swaps[SWAPS / 2]),
            load.failed.load(Ordering::Relaxed),
            disturbed.as_secs_f64() / steady.as_secs_f64(),
        );
    }

    let pool: PgPool = orders.client().clone();
    let (swap, lock) = (ArcSwap::from_pointee(pool.clone()), RwLock::new(pool.clone()));
    println!("a bare reference     {:6.2} ns", nanoseconds(|| _ = black_box(black_box(&pool))));
    println!("ArcSwap::load        {:6.2} ns", nanoseconds(|| _ = black_box(swap.load())));
    println!("Resource::client     {:6.2} ns", nanoseconds(|| _ = black_box(&*orders.client())));
    println!("RwLock::try_read     {:6.2} ns", nanoseconds(|| _ = black_box(lock.try_read())));
    let begin = Instant::now();
    for _ in 0..TAKEN {
        drop(black_box(lock.read().await));
    }
    println!("RwLock::read().await {:6.2} ns", begin.elapsed().as_secs_f64() * 1e9 / f64::from(TAKEN));
    println!("{}", services.detach().await);
}
