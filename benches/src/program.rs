//! `build` and `size`: a web service with axum, PostgreSQL through sqlx, and Redis, over verified
//! TLS; with the bare drivers, and with us.

use crate::generated::{Generated, below_target, runtime};
use crate::measure::{Subject, Summary, in_turns_at_once};
use crate::outcome::{Figure, Outcome, Target};
use crate::{Options, Result};

/// With the bare drivers: as in the documentation of each for TLS, with ring.
const BARE_DEPENDENCIES: &str = r#"
axum = { version = "0.8", default-features = false, features = ["http1", "tokio"] }
redis = { version = "1", default-features = false, features = [
    "connection-manager", "tls-rustls-webpki-roots", "tokio-rustls-comp",
] }
rustls = { version = "0.23", default-features = false, features = ["ring", "std", "tls12"] }
sqlx = { version = "0.9", default-features = false, features = [
    "postgres", "runtime-tokio", "tls-rustls-ring-webpki",
] }
tokio = { version = "1", default-features = false, features = ["macros", "net", "rt-multi-thread"] }
"#;

/// With us. The runtime does the TLS.
const OUR_DEPENDENCIES: &str = r#"
axum = { version = "0.8", default-features = false, features = ["http1", "tokio"] }
redis = { version = "1", default-features = false, features = ["tokio-comp"] }
sqlx = { version = "0.9", default-features = false, features = ["postgres", "runtime-tokio"] }
tokio = { version = "1", default-features = false, features = ["macros", "net", "rt-multi-thread"] }
"#;

const BARE: &str = r#"use axum::{Router, extract::State, routing::get};
use redis::aio::ConnectionManager;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};

type Services = (PgPool, ConnectionManager);

async fn visit(State((orders, mut sessions)): State<Services>) -> Result<String, String> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
        .fetch_one(&orders).await.map_err(|error| error.to_string())?;
    let visits: i64 = redis::cmd("INCR").arg("visits")
        .query_async(&mut sessions).await.map_err(|error| error.to_string())?;
    Ok(format!("{count} {visits}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    rustls::crypto::ring::default_provider().install_default()
        .map_err(|_| "a provider is installed")?;
    let options: PgConnectOptions = std::env::var("DATABASE_URL")?.parse()?;
    let orders = PgPoolOptions::new().connect_with(options.ssl_mode(PgSslMode::VerifyFull)).await?;
    let sessions = redis::Client::open(std::env::var("SESSIONS_URL")?)?
        .get_connection_manager().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    let router = Router::new().route("/", get(visit)).with_state((orders, sessions));
    axum::serve(listener, router).await?;
    Ok(())
}
"#;

const OURS: &str = r#"use axum::{Router, extract::State, routing::get};
use backing_services::{BackingServices, Postgres, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(env = "DATABASE_URL")]
    orders: Resource<Postgres>,
    sessions: Resource<Redis>,
}

async fn visit(State(services): State<std::sync::Arc<Services>>) -> Result<String, String> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM orders")
            .fetch_one(&services.orders.client()).await.map_err(|error| error.to_string())?;
    let visits: i64 = redis::cmd("INCR").arg("visits")
        .query_async(&mut services.sessions.client()).await.map_err(|error| error.to_string())?;
    Ok(format!("{count} {visits}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let services = std::sync::Arc::new(Services::attach().await?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, Router::new().route("/", get(visit)).with_state(services)).await?;
    Ok(())
}
"#;

/// The two programs, each with a target folder of its own, so that removing it removes all that was
/// built.
fn programs(benchmark: &str) -> Result<[Generated; 2]> {
    let folder = below_target(benchmark);
    let program = |name: &str, dependencies: &str, text| {
        Generated::new(
            folder.join(name),
            folder.join(format!("{name}-target")),
            dependencies,
            "main.rs",
            text,
        )
    };
    let ours = format!("{OUR_DEPENDENCIES}{}", runtime(&["postgres", "redis"]));
    Ok([program("bare", BARE_DEPENDENCIES, BARE)?, program("ours", &ours, OURS)?])
}

/// Runs the benchmark `build`.
///
/// # Errors
/// If a build fails.
pub fn run_build(options: Options) -> Result<Outcome> {
    let programs = programs("build")?;
    let mut outcome = Outcome::new(
        "build",
        "Clean builds of a web service with axum, sqlx (PostgreSQL) and redis, over TLS: CPU \
         seconds, with the bare drivers and with us.",
    );
    for command in ["check", "build"] {
        let mut failed = None;
        let cell = std::cell::RefCell::new(&mut failed);
        let mut subjects: Vec<_> = ["bare drivers", "ours"]
            .into_iter()
            .zip(&programs)
            .map(|(name, program)| {
                let cell = &cell;
                Subject::new(name, move || {
                    program.clean().and_then(|()| program.cargo(&[command])).unwrap_or_else(
                        |error| {
                            cell.borrow_mut().get_or_insert(error);
                            0.0
                        },
                    )
                })
            })
            .collect();
        let samples = in_turns_at_once(options.rounds(2), &mut subjects);
        drop(subjects);
        if let Some(error) = failed {
            return Err(error);
        }
        let kind = format!("cargo {command}");
        outcome.figures.push(Figure::new(&kind, "s", "bare drivers", Summary::of(&samples[0])));
        outcome.figures.push(Figure::new(&kind, "s", "ours", Summary::of(&samples[1])));
        outcome.targets.push(Target::ratio(
            format!("clean `cargo {command}` / the bare drivers'"),
            &samples[1],
            &samples[0],
            1.15,
        ));
    }
    let [bare, ours] = [programs[0].tree()?, programs[1].tree()?];
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let added: Vec<_> = ours.iter().filter(|line| !bare.contains(line)).cloned().collect();
    let twice: Vec<_> = added
        .iter()
        .filter(|line| bare.iter().any(|there| name(there) == name(line)))
        .cloned()
        .collect();
    outcome.targets.push(Target::figure(
        "crates that the drivers bring and we bring again",
        Summary::exactly(twice.len() as f64),
        0.0,
        "crates",
    ));
    outcome.remarks.push(format!(
        "{} crates with the bare drivers, {} with us. Added: {}.",
        bare.len(),
        ours.len(),
        added.join(", ")
    ));
    if !twice.is_empty() {
        outcome.remarks.push(format!("Twice because of us: {}.", twice.join(", ")));
    }
    Ok(outcome)
}

/// The build profiles: `--release` as it is, and one for the smallest binary.
const PROFILES: [(&str, &[&str]); 2] = [
    ("release", &[]),
    (
        "for size",
        &[
            "--config",
            "profile.release.opt-level=\"s\"",
            "--config",
            "profile.release.lto=\"fat\"",
            "--config",
            "profile.release.codegen-units=1",
        ],
    ),
];

/// Runs the benchmark `size`.
///
/// # Errors
/// If a build fails.
pub fn run_size(_: Options) -> Result<Outcome> {
    let programs = programs("size")?;
    let mut outcome = Outcome::new(
        "size",
        "The stripped release binary of the same web service, with the bare drivers and with us.",
    );
    for (profile, arguments) in PROFILES {
        let mut sizes = Vec::new();
        for (name, program) in ["bare drivers", "ours"].into_iter().zip(&programs) {
            program.cargo(&[&["build", "--release"], arguments].concat())?;
            let binary = if name == "ours" { "release/ours" } else { "release/bare" };
            let size = std::fs::metadata(program.built(binary))?.len() as f64 / 1024.0;
            outcome.figures.push(Figure::new(
                &format!("binary, {profile}"),
                "KiB",
                name,
                Summary::exactly(size),
            ));
            sizes.push(size);
        }
        let added = Summary::exactly(sizes[1] - sizes[0]);
        if profile == "release" {
            outcome.targets.push(Target::figure(
                "stripped release binary, beyond the bare drivers'",
                added,
                400.0,
                "KiB",
            ));
        }
    }
    outcome.remarks.push(
        "What is added is flat: our own functions, a third of it, and the two services a third of \
         that; what core, alloc and tokio become for our types, a quarter; words and tables, a \
         sixth; what unwinds, a seventh; sqlx's connecting, which rustc compiles once more for \
         each crate that has a pool; and reading certificates. What goes on while a resource \
         stays attached is there once, however many services: a service's own part is its client, \
         its account and its words. `for size` is `opt-level = \"s\"`, `lto = \"fat\"` and \
         `codegen-units = 1`."
            .to_owned(),
    );
    Ok(outcome)
}
