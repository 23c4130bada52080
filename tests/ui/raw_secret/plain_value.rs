use backing_services::BackingServices;

use std::time::Duration;

#[derive(BackingServices)]
struct Services {
    port: u16,
    debug: bool,
    timeout: Duration,
    workers: Option<usize>,
}

fn main() {}
