//! PostgreSQL with tokens as passwords, which expire and which a service issues over HTTPS:
//! `cargo run -p token`.
//!
//! It reads these variables:
//!
//! - `SHOP_TOKENS_URL`: the issuer of tokens, which answers to a `POST` to `…/token`. For example,
//!   `https://tokens.internal/v1`.
//! - `SHOP_TOKENS_PASSWORD` or `…_FILE`: the Bearer token for the issuer.
//! - `SHOP_ORDERS_URL`: orders, as `postgres://user@host:port/database`. For example,
//!   `postgres://shop@db.internal/shop`.
//! - `SHOP_TOKENS_CA`, `SHOP_ORDERS_CA` or `…_FILE`: their private authorities, in PEM. The default
//!   is the public ones.
//!
//! The issuer answers `{"token": "…", "expires_in": 900}`, in seconds. The token is the account's
//! password: there is no `SHOP_ORDERS_PASSWORD`. It is fetched when the database is attached, and
//! again after two thirds of its life. Open connections stay open, and new ones log in with the new
//! token.

use std::time::{Duration, SystemTime};

use backing_services::credentials::{Credential, Credentials};
use backing_services::problem::FailureKind;
use backing_services::services::https::Method;
use backing_services::source::{Environment, WithCredentials};
use backing_services::{BackingServices, Failure, Https, Postgres, Resource, sqlx};
use serde::Deserialize;

/// The issuer of tokens. It is attached first.
#[derive(BackingServices)]
#[services(prefix = "SHOP")]
struct Issuer {
    tokens: Resource<Https>,
}

/// Everything else.
#[derive(BackingServices)]
#[services(prefix = "SHOP")]
struct Services {
    orders: Resource<Postgres>,
}

/// Fetches tokens from the issuer.
struct Tokens(Resource<Https>);

#[derive(Deserialize)]
struct Answer {
    token: String,
    expires_in: u32,
}

impl Credentials for Tokens {
    async fn fetch(&self) -> Result<Credential, Failure> {
        // The issuer's answer is not repeated in errors: it may contain the token.
        let failed = |kind, message| {
            Failure::new(kind, message, "read the log of the service in `SHOP_TOKENS_URL`")
        };
        let asked = SystemTime::now();
        let response = self.0.client().request(Method::POST, "token").send().await;
        let response =
            response.map_err(|_| failed(FailureKind::Unreachable, "there was no answer"))?;
        if !response.status().is_success() {
            return Err(failed(
                FailureKind::Unavailable,
                "the answer was not a token but an error",
            ));
        }
        let body = response
            .bytes()
            .await
            .map_err(|_| failed(FailureKind::Unreachable, "the answer broke off"))?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| failed(FailureKind::Protocol, "the answer is not a token and its life"))?;
        Ok(Credential::new(answer.token)
            .with_not_after(asked + Duration::from_secs(answer.expires_in.into())))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let issuer = Issuer::attach().await?;
    let source = WithCredentials::new(Environment::process())
        .of("SHOP_ORDERS", Tokens(issuer.tokens.clone()));
    let services = Services::attach_from(&source).await?;

    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    while tokio::time::timeout(Duration::from_secs(1), &mut interrupted).await.is_err() {
        let (backend, orders): (i32, i64) =
            sqlx::query_as("SELECT pg_backend_pid(), count(*) FROM orders")
                .fetch_one(&services.orders.client())
                .await?;
        println!("{orders} orders, by connection {backend}");
    }
    services.detach().await;
    issuer.detach().await;
    Ok(())
}
