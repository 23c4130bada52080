//! Real servers, and hostile ones, by service. One program: it is linked once, and its tests wait
//! beside each other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod amqp;
mod amqp_account;
mod attach;
mod client_certificate;
mod closing;
mod executor;
mod hostile_mysql;
mod hostile_postgres;
mod hostile_redis;
mod https;
mod migrations;
mod mysql;
mod mysql_account;
mod mysql_relay;
mod nats;
mod nats_account;
mod pgbouncer;
mod postgres;
mod postgres_account;
mod ready;
mod redis;
mod redis_account;
mod relayed_postgres;
mod s3;
mod several_hosts;
mod smtp;
mod sqlite;
mod tokio_postgres;
mod trust;
mod two_servers;
