//! What a web service attaches to: its orders are in PostgreSQL, and its sessions in Redis, both over TLS. [`Services`] is shared by two programs:
//!
//! - `cargo run -p shop` is the web service.
//! - `cargo run -p shop --features cli --bin shop-services -- --help` is for whoever operates it: its whole `main` is one line. An init container and a CI gate run `shop-services attach`.
//!
//! They read these variables:
//!
//! | variable | what | for example |
//! |---|---|---|
//! | `DATABASE_URL` | orders: `postgres://user@host:port/database` | `postgres://shop@db.internal/shop` |
//! | `DATABASE_PASSWORD` or `DATABASE_PASSWORD_FILE` | its password | |
//! | `DATABASE_CA` or `DATABASE_CA_FILE` | its private authority, in PEM; without it, the public ones | |
//! | `SHOP_SESSIONS_URL` | sessions: `rediss://user@host:port/0` | `rediss://shop@cache.internal` |
//! | `SHOP_SESSIONS_PASSWORD` or `…_FILE`, `SHOP_SESSIONS_CA` or `…_FILE` | as above | |
//! | `SHOP_ADDRESS` | where it listens | `127.0.0.1:8080`, the default |
//!
//! The table is there before the shop is, and is not its own: what serves requests has no business changing tables.
//! `CREATE TABLE orders (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item TEXT NOT NULL);`
//!
//! `needs` says what each account is to be able to do, and no more. `shop-services grants orders` prints what makes the one in PostgreSQL, for `psql`:
//!
//! ```sql
//! -- It has no password, and cannot log in by one before it gets it: `\password "shop_orders"` in psql.
//! -- Before PostgreSQL 15, everybody may create objects in "public". Once in each database: REVOKE CREATE ON SCHEMA public FROM PUBLIC;
//! CREATE ROLE "shop_orders" LOGIN;
//! DO 'BEGIN EXECUTE pg_catalog.format(''GRANT CONNECT ON DATABASE %I TO %I'', pg_catalog.current_database(), ''shop_orders''); END';
//! GRANT USAGE ON SCHEMA "public" TO "shop_orders";
//! GRANT SELECT, INSERT ON TABLE "public"."orders" TO "shop_orders";
//! ```
//!
//! and `shop-services grants sessions` the one in Redis, for `redis-cli`:
//!
//! ```text
//! ECHO "nobody can log in as shop_sessions before it has a password: ACL SETUSER shop_sessions ><password>"
//! ACL SETUSER shop_sessions on clearselectors resetkeys resetchannels -@all ~session:* +get +setex +ping +hello +acl|whoami +acl|dryrun
//! ```

use std::net::SocketAddr;

use backing_services::{BackingServices, Postgres, Redis, Resource};

/// Everything that the shop attaches to.
#[derive(BackingServices)]
#[services(prefix = "SHOP")]
pub struct Services {
    /// Orders. An account that may do less than this is refused, and so is one that may do more.
    #[service(env = "DATABASE_URL", needs = "SELECT, INSERT ON orders")]
    pub orders: Resource<Postgres>,

    /// Sessions, which end by themselves.
    #[service(needs = "get, setex ON KEY session:*")]
    pub sessions: Resource<Redis>,

    /// Where the shop listens.
    #[setting(default = "127.0.0.1:8080")]
    pub address: SocketAddr,
}
