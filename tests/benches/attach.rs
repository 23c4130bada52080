//! How long attaching takes: `cargo bench -p backing-services-tests --bench attach`.
//!
//! In turns, in one run: what sqlx itself takes for one verified connection and a statement, what attaching one PostgreSQL and one Redis takes, and what
//! attaching 2, 4, 8 and 16 of them at once takes. Medians of wall time and ratios: a machine's absolute times are its own. Only the ratios of one run mean
//! something.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot do what it should has to stop, there and loudly")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use backing_services::{BackingServices, Environment, Postgres, Redis, Resource};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::{postgres, redis};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// How many rounds of everything.
const ROUNDS: usize = 30;

macro_rules! structs {
    ($($name:ident { $($field:ident: $service:ty),* })*) => {$(
        #[derive(BackingServices)]
        #[allow(dead_code, reason = "it is attached, and nothing more")]
        struct $name { $($field: Resource<$service>),* }
    )*};
}

structs! {
    OnePostgres { p1: Postgres }
    OneRedis { r1: Redis }
    Two { p1: Postgres, r1: Redis }
    Four { p1: Postgres, r1: Redis, p2: Postgres, r2: Redis }
    Eight { p1: Postgres, r1: Redis, p2: Postgres, r2: Redis, p3: Postgres, r3: Redis, p4: Postgres, r4: Redis }
    Sixteen {
        p1: Postgres, r1: Redis, p2: Postgres, r2: Redis, p3: Postgres, r3: Redis, p4: Postgres, r4: Redis,
        p5: Postgres, r5: Redis, p6: Postgres, r6: Redis, p7: Postgres, r7: Redis, p8: Postgres, r8: Redis
    }
}

async fn attach<T: BackingServices + Send + Sync>(environment: &Environment) -> Duration {
    let begin = Instant::now();
    let services = T::attach_from(environment).await.expect("it attaches");
    let took = begin.elapsed();
    services.detach().await;
    took
}

async fn bare(options: &PgConnectOptions) -> Duration {
    let begin = Instant::now();
    let mut connection = options.connect().await.expect("it connects");
    black_box(sqlx::raw_sql("SELECT 1").execute(&mut connection).await.expect("it answers"));
    let took = begin.elapsed();
    sqlx::Connection::close(connection).await.expect("it closes");
    took
}

#[tokio::main]
async fn main() {
    let (database, cache) = (postgres::Postgres::start(), redis::Redis::start());
    let variables = (1..=8).flat_map(|i| {
        [
            (format!("P{i}_URL"), database.locator()),
            (format!("P{i}_PASSWORD"), PASSWORD.to_owned()),
            (format!("P{i}_CA"), database.authority.pem()),
            (format!("R{i}_URL"), cache.locator()),
            (format!("R{i}_PASSWORD"), PASSWORD.to_owned()),
            (format!("R{i}_CA"), cache.authority.pem()),
        ]
    });
    let environment = Environment::from_iter(variables);
    let options = PgConnectOptions::new_without_pgpass()
        .host("localhost")
        .port(database.port)
        .username(postgres::USER)
        .password(PASSWORD)
        .database(postgres::DATABASE)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(database.authority.pem().into_bytes());

    let names = ["bare sqlx, verified", "attach 1 PostgreSQL", "attach 1 Redis", "attach 2", "attach 4", "attach 8", "attach 16"];
    let mut times = vec![Vec::with_capacity(ROUNDS); names.len()];
    // The first round warms up.
    for round in 0..=ROUNDS {
        let round_times = [
            bare(&options).await,
            attach::<OnePostgres>(&environment).await,
            attach::<OneRedis>(&environment).await,
            attach::<Two>(&environment).await,
            attach::<Four>(&environment).await,
            attach::<Eight>(&environment).await,
            attach::<Sixteen>(&environment).await,
        ];
        if round > 0 {
            times.iter_mut().zip(round_times).for_each(|(times, time)| times.push(time));
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    let median = |times: &[Duration]| times[times.len() / 2];
    let (base, slowest) = (median(&times[0]), median(&times[1]).max(median(&times[2])));
    #[allow(clippy::print_stdout, reason = "a benchmark prints")]
    for (name, times) in names.iter().zip(&times) {
        println!(
            "{name:20} median {:7.2} ms, {:6.2} to {:6.2}   × bare {:.2}   × slowest alone {:.2}",
            median(times).as_secs_f64() * 1e3,
            times[0].as_secs_f64() * 1e3,
            times[times.len() - 1].as_secs_f64() * 1e3,
            median(times).as_secs_f64() / base.as_secs_f64(),
            median(times).as_secs_f64() / slowest.as_secs_f64(),
        );
    }
}
