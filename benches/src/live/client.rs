//! `client`: the cost of getting the native client.

use std::hint::black_box;
use std::ops::Deref;
use std::pin::pin;
use std::sync::{Arc, Barrier, RwLock};
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwap;
use backing_services::{BackingServices as _, Postgres, Resource};
use backing_services_tests::postgres;
use rustix::time::{ClockId, clock_gettime};
use sqlx::PgPool;

use super::{Shop, counted, on_a_runtime, source};
use crate::measure::{Subject, Summary, in_turns};
use crate::outcome::{Figure, Outcome, Target};
use crate::{Options, Result};

const ROUNDS: usize = 25;

/// The calls of all threads together, in one sample.
const CALLS: usize = 400_000;

const THREADS: [usize; 5] = [1, 2, 4, 8, 16];

/// The ordinal of the measured guard: its thread already holds one less.
const GUARDS: [usize; 6] = [1, 4, 8, 9, 16, 32];

/// The CPU time of a call of `get` in nanoseconds, the mean of all threads. Each thread holds some
/// guards already, and takes and drops one more, again and again. With more threads than cores,
/// wall time would only show the number of cores.
fn cpu_time<T: Deref>(threads: usize, held: usize, get: impl Fn() -> T + Sync) -> f64 {
    let calls = CALLS / threads;
    let start = Barrier::new(threads);
    let thread = || {
        let guards: Vec<T> = (0..held).map(|_| get()).collect();
        start.wait();
        let begun = of_this_thread();
        for _ in 0..calls {
            black_box(&*get());
        }
        let took = of_this_thread() - begun;
        drop(guards);
        took / calls as f64
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        all.into_iter().filter_map(|thread| thread.join().ok()).sum::<f64>() / threads as f64
    })
}

/// In nanoseconds.
fn of_this_thread() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// As a task reads it, while no other task writes.
fn read(lock: &tokio::sync::RwLock<PgPool>) -> tokio::sync::RwLockReadGuard<'_, PgPool> {
    loop {
        if let Poll::Ready(guard) = pin!(lock.read()).poll(&mut Context::from_waker(Waker::noop()))
        {
            return guard;
        }
    }
}

/// Runs the benchmark `client`.
///
/// # Errors
/// If attaching to the server fails.
pub fn run(options: Options) -> Result<Outcome> {
    let server = postgres::Postgres::start();
    on_a_runtime(async {
        let shop = Shop::attach_from(&source(&server)).await?;
        let outcome = tokio::task::block_in_place(|| measured(&shop.orders, options));
        shop.detach().await;
        outcome
    })
}

fn measured(orders: &Resource<Postgres>, options: Options) -> Result<Outcome> {
    let rounds = options.rounds(ROUNDS);
    let mut outcome = Outcome::new(
        "client",
        "Getting at the native client, and dropping what one got: CPU time of a call, the mean of \
         all threads. There is one handle, which all threads use.",
    );
    let pool: PgPool = orders.client().clone();
    let swapped = ArcSwap::from_pointee(pool.clone());
    let (shared, lock, async_lock) =
        (Arc::new(pool.clone()), RwLock::new(pool.clone()), tokio::sync::RwLock::new(pool.clone()));
    let locked = || lock.read().unwrap_or_else(std::sync::PoisonError::into_inner);

    let mut ours_by_threads = Vec::new();
    let mut alone = Vec::new();
    for threads in THREADS {
        let samples = in_turns(
            rounds,
            &mut [
                Subject::new("ours", || cpu_time(threads, 0, || orders.client())),
                Subject::new("&PgPool", || cpu_time(threads, 0, || &pool)),
                Subject::new("arc_swap::Guard", || cpu_time(threads, 0, || swapped.load())),
                Subject::new("Arc<PgPool>, cloned", || {
                    cpu_time(threads, 0, || Arc::clone(&shared))
                }),
                Subject::new("std RwLock<PgPool>", || cpu_time(threads, 0, locked)),
                Subject::new("tokio RwLock<PgPool>", || cpu_time(threads, 0, || read(&async_lock))),
            ],
        );
        let names = [
            "ours", "&PgPool", "arc_swap::Guard", "Arc<PgPool>, cloned", "std RwLock<PgPool>",
            "tokio RwLock<PgPool>",
        ];
        for (name, samples) in names.into_iter().zip(&samples) {
            outcome.figures.push(
                Figure::new("CPU time by threads", "ns", name, Summary::of(samples))
                    .at(threads as f64, "threads"),
            );
        }
        ours_by_threads.push(samples[0].clone());
        if threads == 1 {
            alone = samples;
        }
    }
    for nth in GUARDS {
        let held = nth - 1;
        let samples = in_turns(
            rounds,
            &mut [
                Subject::new("ours, 1 thread", || cpu_time(1, held, || orders.client())),
                Subject::new("ours, 8 threads", || cpu_time(8, held, || orders.client())),
                Subject::new("Arc<PgPool>, cloned, 1 thread", || {
                    cpu_time(1, held, || Arc::clone(&shared))
                }),
                Subject::new("Arc<PgPool>, cloned, 8 threads", || {
                    cpu_time(8, held, || Arc::clone(&shared))
                }),
            ],
        );
        let names = [
            "ours, 1 thread", "ours, 8 threads", "Arc<PgPool>, cloned, 1 thread",
            "Arc<PgPool>, cloned, 8 threads",
        ];
        for (name, samples) in names.into_iter().zip(&samples) {
            let figure = Figure::new(
                "CPU time by guards that the thread holds, this one too",
                "ns",
                name,
                Summary::of(samples),
            );
            outcome.figures.push(figure.at(nth as f64, "guards"));
        }
    }

    let of = |threads: usize| {
        THREADS.iter().position(|it| *it == threads).map_or(&[][..], |i| &ours_by_threads[i])
    };
    outcome.targets.push(Target::figure("`client()`, 1 thread", Summary::of(of(1)), 15.0, "ns"));
    outcome.targets.push(Target::figure("`client()`, 8 threads", Summary::of(of(8)), 15.0, "ns"));
    outcome.targets.push(Target::ratio("`client()` on 8 threads / on 1", of(8), of(1), 1.2));
    let counted = counted::taken("client", &[], &[])?;
    let allocations = counted.first().copied().unwrap_or(f64::INFINITY);
    outcome.targets.push(Target::figure(
        "allocations of 1000 × `client()`",
        Summary::exactly(allocations),
        0.0,
        "allocations",
    ));
    let beside = crate::measure::ratio(&alone[0], &alone[2]).median;
    outcome.remarks.push(format!(
        "Flat means: a thread's own CPU time of a call does not grow with the threads. \
         A guard of ours is one of arc_swap's with one more pointer to follow: {beside:.2} × its \
         time."
    ));
    outcome.remarks.push(
        "It bends at the ninth guard that a thread holds at once: arc_swap notes up to eight \
         guards of a thread in slots of that thread's own, and counts the reference of a further \
         one, as a clone of the `Arc` does; so a runtime's thread whose tasks hold more than \
         eight across an `await` pays that, and threads then share the counter."
            .into(),
    );
    Ok(outcome)
}
