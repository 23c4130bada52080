//! Every service over a network passes one suite of cases, or states why a case does not apply.
//! This target prints the table.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod amqp;
mod front;
mod https;
mod mysql;
mod nats;
mod postgres;
mod redis;
mod s3;
mod smtp;

use std::process::ExitCode;

use backing_services_dev::conformance::{Suite, suite};

const HTTPS: &str = include_str!("../../../services/https/src/lib.rs");
const S3: &str = include_str!("../../../services/s3/src/lib.rs");
const SMTP: &str = include_str!("../../../services/smtp/src/lib.rs");

fn main() -> ExitCode {
    suite::main([
        Suite::of::<postgres::Postgres>(),
        Suite::of::<postgres::TokioPostgres>(),
        Suite::of::<mysql::MySql>(),
        Suite::of::<redis::Redis>(),
        Suite::of::<amqp::Amqp>(),
        Suite::of::<nats::Nats>(),
        Suite::of::<https::Https>().documented_in(HTTPS),
        Suite::of::<s3::S3>().documented_in(S3),
        Suite::of::<smtp::Smtp>().documented_in(SMTP),
    ])
}
