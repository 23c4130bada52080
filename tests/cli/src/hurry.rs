//! The application of a developer in a hurry: axum, sqlx, and a `.env` file. `hurry-services` is
//! the command line of the same program.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a developer reads it")]

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use backing_services::source::{DotEnv, Environment, Sources};
use backing_services::{BackingServices, Postgres, Resource, Sqlite, cli};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Services {
    #[service(env = "DATABASE_URL", needs = "SELECT, INSERT ON orders")]
    orders: Resource<Postgres>,
}

/// The same with the waiver of the document.
#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Waiving {
    #[service(env = "DATABASE_URL", needs = "SELECT, INSERT ON orders")]
    #[service(allow(
        superuser_account,
        weak_password,
        reason = "a developer's server",
        debug_only
    ))]
    orders: Resource<Postgres>,
}

/// The same without a server.
#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct WithoutServer {
    #[service(env = "DATABASE_URL")]
    orders: Resource<Sqlite>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let source = Sources::new().then(Environment::process()).then(DotEnv::file(".env"));
    let mut arguments = std::env::args();
    if arguments.next().is_some_and(|name| name.ends_with("-services")) {
        return cli::run_from::<Services>(&source);
    }
    let done = match arguments.next().as_deref() {
        Some("waiving") => serve_waiving(&source).await,
        Some("sqlite") => serve_sqlite(&source).await,
        _ => serve_as_written(&source).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Failed = Box<dyn std::error::Error>;

async fn serve_as_written(source: &Sources) -> Result<(), Failed> {
    serve(Services::attach_from(source).await?.orders).await
}

async fn serve_waiving(source: &Sources) -> Result<(), Failed> {
    serve(Waiving::attach_from(source).await?.orders).await
}

async fn serve_sqlite(source: &Sources) -> Result<(), Failed> {
    let orders = WithoutServer::attach_from(source).await?.orders;
    let table = "CREATE TABLE IF NOT EXISTS orders (id integer PRIMARY KEY)";
    sqlx::query(table).execute(&*orders.client()).await?;
    serve_file(orders).await
}

/// Answers to `POST /orders/7` and `GET /orders`, until the process is ended.
macro_rules! serve {
    ($name:ident, $service:ty) => {
        async fn $name(orders: Resource<$service>) -> Result<(), Failed> {
            let routes = Router::new()
                .route(
                    "/orders/{id}",
                    post(
                        async |State(orders): State<Arc<Resource<$service>>>,
                               Path(id): Path<i64>| {
                            let insert = sqlx::query("INSERT INTO orders VALUES ($1)").bind(id);
                            let done = insert.execute(&*orders.client()).await;
                            done.map_or(StatusCode::INTERNAL_SERVER_ERROR, |_| StatusCode::CREATED)
                        },
                    ),
                )
                .route(
                    "/orders",
                    get(async |State(orders): State<Arc<Resource<$service>>>| {
                        let count = sqlx::query_scalar("SELECT count(*) FROM orders");
                        let count: Result<i64, _> = count.fetch_one(&*orders.client()).await;
                        count
                            .map(|count| count.to_string())
                            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
                    }),
                )
                .with_state(Arc::new(orders));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            println!("listening on {}", listener.local_addr()?);
            Ok(axum::serve(listener, routes).await?)
        }
    };
}
serve!(serve, Postgres);
serve!(serve_file, Sqlite);
