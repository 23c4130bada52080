//! `query`: a statement through the handle, and through the same pool without it.

use std::time::Instant;

use backing_services::{BackingServices as _, Environment};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::postgres;
use sqlx::PgPool;

use super::{Shop, on_a_runtime};
use crate::measure::{Summary, ratio};
use crate::outcome::{Figure, Outcome, Target};
use crate::{Options, Result};

const ROUNDS: usize = 60;
const TASKS: usize = 32;

/// The statements of each task, in one sample.
const STATEMENTS: usize = 60;

/// Runs the statements on all tasks, each by `statement`, and returns the wall time of one in
/// microseconds.
async fn microseconds<F>(statement: impl Fn() -> F + Clone + Send + 'static) -> Result<f64>
where
    F: Future<Output = std::result::Result<(), sqlx::Error>> + Send,
{
    let begun = Instant::now();
    let task = |_| {
        let statement = statement.clone();
        tokio::spawn(async move {
            for _ in 0..STATEMENTS {
                statement().await?;
            }
            Ok::<_, sqlx::Error>(())
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    for task in tasks {
        task.await??;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / (TASKS * STATEMENTS) as f64)
}

/// Runs the benchmark `query`.
///
/// # Errors
/// If attaching to the server fails, or a statement fails.
pub fn run(options: Options) -> Result<Outcome> {
    let server = postgres::Postgres::start();
    on_a_runtime(async {
        // A connection for each task: a task that waits for one would measure the pool's queue.
        let source = Environment::from_iter([
            ("SHOP_ORDERS_URL", format!("{}?max_connections={TASKS}", server.locator())),
            ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
            ("SHOP_ORDERS_CA", server.authority.pem()),
        ]);
        let shop = Shop::attach_from(&source).await?;
        let orders = shop.orders.clone();
        let pool: PgPool = orders.client().clone();
        let through_ours = move || {
            let orders = orders.clone();
            async move { sqlx::query("SELECT 1").execute(&orders.client()).await.map(drop) }
        };
        let through_the_pool = move || {
            let pool = pool.clone();
            async move { sqlx::query("SELECT 1").execute(&pool).await.map(drop) }
        };
        let (mut ours, mut bare, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=options.rounds(ROUNDS) {
            // The order changes from round to round, so that it does not affect the ratio.
            let mut took = [0.0; 3];
            for turn in 0..3 {
                let who = (turn + round) % 3;
                took[who] = if who == 0 {
                    microseconds(through_ours.clone()).await?
                } else {
                    microseconds(through_the_pool.clone()).await?
                };
            }
            // The first round opens the connections.
            if round > 0 {
                ours.push(took[0]);
                bare.push(took[1]);
                again.push(took[2]);
            }
        }
        shop.detach().await;
        let mut outcome = Outcome::new(
            "query",
            "`SELECT 1` over TLS on 32 tasks, with a connection for each: wall time of a \
             statement, through the handle and through a clone of the same pool.",
        );
        outcome.targets.push(Target::ratio(
            "`SELECT 1` through the handle / through the pool",
            &ours,
            &bare,
            1.03,
        ));
        outcome.figures.push(Figure::new("time", "µs", "ours", Summary::of(&ours)));
        outcome.figures.push(Figure::new("time", "µs", "the pool itself", Summary::of(&bare)));
        outcome.figures.push(Figure::new(
            "time",
            "µs",
            "the pool itself, again",
            Summary::of(&again),
        ));
        let noise = ratio(&again, &bare);
        outcome.remarks.push(format!(
            "The noise is the pool beside itself, in the same rounds: {:.2}, the middle half from \
             {:.2} to {:.2}. A handle costs nanoseconds of a statement's microseconds.",
            noise.median, noise.lower, noise.upper
        ));
        Ok(outcome)
    })
}
