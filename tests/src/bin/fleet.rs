//! One process of a fleet. It attaches to PostgreSQL with the values of an etcd, follows them, and
//! runs queries until its standard input ends. It prints the server of its queries whenever that
//! changes, and the number of queries.

#![allow(clippy::print_stdout, reason = "the test reads it")]

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backing_services::source::Environment;
use backing_services::stores::Etcd;
use backing_services::{AttachError, BackingServices, Postgres, Resource};

/// The pause between two queries of one process. Fifty processes, not optimised, must leave a
/// machine with two cores some time for the servers.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 120)]
struct Services {
    orders: Resource<Postgres>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AttachError> {
    let etcd = Etcd::connect(&Environment::process(), "SHOP_CONFIG").await?;
    let services = Services::attach_from(&etcd).await?;
    let following = services.follow(etcd);

    let ended = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&ended);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ending.store(true, Ordering::Release);
    });
    let (mut on, mut queries) = (0, 0_u64);
    while !ended.load(Ordering::Acquire) {
        let port = sqlx::query_scalar::<_, i32>("SELECT inet_server_port()")
            .fetch_one(&services.orders.client())
            .await;
        queries += 1;
        match port {
            Ok(port) if port == on => {}
            Ok(port) => {
                on = port;
                println!("on {port}");
            }
            Err(_) => println!("failed"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    println!("queries {queries}");
    drop(following);
    services.detach().await;
    Ok(())
}
