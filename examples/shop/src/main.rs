//! The shop: a web service that attaches to [its services](shop::Services). Run it with
//! `cargo run -p shop`; [the library](shop) lists the variables that it reads.
//!
//! ```text
//! curl -X POST localhost:8080/orders/lamp     →  {"id":1,"item":"lamp"}
//! curl localhost:8080/orders                  →  [{"id":1,"item":"lamp"}]
//! curl -X PUT localhost:8080/sessions/ada -d '{"cart":["lamp"]}'
//! curl localhost:8080/sessions/ada
//! curl localhost:8080/health                  →  the health of each resource
//! curl localhost:8080/posture                 →  TLS, account and server of each resource
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use backing_services::posture::printable;
use backing_services::{BackingServices as _, Posture};
use redis::AsyncCommands as _;
use serde::Serialize;
use shop::Services;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let services = Arc::new(Services::attach().await?);

    let routes = Router::new()
        .route("/orders", get(orders))
        .route("/orders/{item}", post(order))
        .route("/sessions/{user}", get(session).put(start_session))
        .route("/health", get(health))
        .route("/posture", get(posture))
        .with_state(Arc::clone(&services));
    let listener = tokio::net::TcpListener::bind(services.address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, routes).with_graceful_shutdown(interrupted()).await?;

    services.detach().await;
    Ok(())
}

/// Completes when the process is interrupted.
async fn interrupted() {
    let _ = tokio::signal::ctrl_c().await;
}

#[derive(Serialize)]
struct Order {
    id: i64,
    item: String,
}

async fn order(
    State(services): State<Arc<Services>>,
    Path(item): Path<String>,
) -> Result<Json<Order>, Failed> {
    let row: (i64,) = sqlx::query_as("INSERT INTO orders (item) VALUES ($1) RETURNING id")
        .bind(&item)
        .fetch_one(&services.orders.client())
        .await?;
    Ok(Json(Order { id: row.0, item }))
}

async fn orders(State(services): State<Arc<Services>>) -> Result<Json<Vec<Order>>, Failed> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT id, item FROM orders ORDER BY id LIMIT 100")
            .fetch_all(&services.orders.client())
            .await?;
    Ok(Json(rows.into_iter().map(|(id, item)| Order { id, item }).collect()))
}

/// The life of a session, in seconds.
const SESSION: u64 = 3600;

async fn start_session(
    State(services): State<Arc<Services>>,
    Path(user): Path<String>,
    body: String,
) -> Result<StatusCode, Failed> {
    let () = services.sessions.client().set_ex(format!("session:{user}"), body, SESSION).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn session(
    State(services): State<Arc<Services>>,
    Path(user): Path<String>,
) -> Result<String, Failed> {
    let session: Option<String> = services.sessions.client().get(format!("session:{user}")).await?;
    session.ok_or(Failed(StatusCode::NOT_FOUND))
}

/// The health of each resource: `ok`, or the problem. The text is from `backing-services`, and
/// contains no secret.
async fn health(
    State(services): State<Arc<Services>>,
) -> (StatusCode, Json<BTreeMap<String, String>>) {
    let mut status = StatusCode::OK;
    let mut report = BTreeMap::new();
    for resource in services.resources() {
        let health = match resource.health().await {
            Ok(()) => "ok".to_owned(),
            Err(refusal) => {
                status = StatusCode::SERVICE_UNAVAILABLE;
                refusal.to_string()
            }
        };
        report.insert(resource.name().to_owned(), health);
    }
    (status, Json(report))
}

async fn posture(State(services): State<Arc<Services>>) -> Json<BTreeMap<String, Posture>> {
    Json(
        services
            .resources()
            .into_iter()
            .map(|resource| (resource.name().to_owned(), (*resource.posture()).clone()))
            .collect(),
    )
}

/// An HTTP error without details. The details are logged, escaped, as they are partly the server's
/// text.
struct Failed(StatusCode);

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        eprintln!("postgres: {}", printable(&error.to_string()));
        Self(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl From<redis::RedisError> for Failed {
    fn from(error: redis::RedisError) -> Self {
        eprintln!("redis: {}", printable(&error.to_string()));
        Self(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl axum::response::IntoResponse for Failed {
    fn into_response(self) -> axum::response::Response {
        self.0.into_response()
    }
}
