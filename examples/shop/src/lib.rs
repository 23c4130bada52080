//! The services of a web service: its orders are in PostgreSQL, and its sessions in Redis, both
//! over TLS. Two programs share [`Services`]:
//!
//! - `cargo run -p shop` is the web service.
//! - `cargo run -p shop --features cli --bin shop-services -- --help` is the command line for its
//!   operators: its whole `main` is one line. An init container and a CI gate run
//!   `shop-services attach`.
//! - `cargo run -p shop --features cli,dev --bin shop-services -- dev` starts both servers on a
//!   developer's machine.
//!
//! They read these variables:
//!
//! - `DATABASE_URL`: orders, as `postgres://user@host:port/database`. For example,
//!   `postgres://shop@db.internal/shop`.
//! - `DATABASE_PASSWORD` or `DATABASE_PASSWORD_FILE`: its password.
//! - `DATABASE_CA` or `DATABASE_CA_FILE`: its private authority, in PEM. The default is the public
//!   ones.
//! - `SHOP_SESSIONS_URL`: sessions, as `rediss://user@host:port/0`. For example,
//!   `rediss://shop@cache.internal`.
//! - `SHOP_SESSIONS_PASSWORD` or `…_FILE`, `SHOP_SESSIONS_CA` or `…_FILE`: the same for sessions.
//! - `SHOP_ADDRESS`: the address that the shop listens on. The default is `127.0.0.1:8080`.
//!
//! The shop does not create its table: an account that serves requests should not be able to change
//! tables. Create it first:
//! `CREATE TABLE orders (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item TEXT NOT NULL);`
//!
#![doc = include_str!("grants.md")]

use std::net::SocketAddr;

use backing_services::{BackingServices, Postgres, Redis, Resource};

/// All services and settings of the shop.
#[derive(BackingServices)]
#[services(prefix = "SHOP")]
pub struct Services {
    /// Orders. An account with fewer privileges than this is refused, and so is one with more.
    #[service(env = "DATABASE_URL", needs = "SELECT, INSERT ON orders")]
    pub orders: Resource<Postgres>,

    /// Sessions, which expire.
    #[service(needs = "get, setex ON KEY session:*")]
    pub sessions: Resource<Redis>,

    /// The address that the shop listens on.
    #[setting(default = "127.0.0.1:8080")]
    pub address: SocketAddr,
}
