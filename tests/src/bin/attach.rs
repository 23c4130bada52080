//! Attaches to one PostgreSQL server from the environment of this process, and prints the server
//! and session that it got. It serves the tests of variables that would steer a driver, because a
//! test cannot set them in its own process.

#![allow(clippy::print_stdout, reason = "the test reads it")]

use backing_services::{AttachError, BackingServices, Postgres, Resource};
use sqlx::Row as _;

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Services {
    orders: Resource<Postgres>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AttachError> {
    let services = Services::attach().await?;
    let question =
        "SELECT current_user::text, current_database()::text, inet_server_port()::text, \
         current_setting('application_name'),
        current_setting('search_path'), (SELECT ssl FROM pg_stat_ssl WHERE pid = \
        pg_backend_pid())::text";
    match sqlx::query(question).fetch_one(&services.orders.client()).await {
        Ok(row) => (0..row.len()).for_each(|column| println!("{}", row.get::<String, _>(column))),
        Err(error) => println!("{error}"),
    }
    services.detach().await;
    Ok(())
}
