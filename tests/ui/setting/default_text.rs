use backing_services::BackingServices;

use std::net::SocketAddr;
use std::time::Duration;

#[derive(BackingServices)]
struct Services {
    #[setting(default = "eighty")]
    port: u16,

    #[setting(default = "30")]
    timeout: Duration,

    #[setting(default = 30)]
    interval: Duration,

    #[setting(default = "localhost:80")]
    listen: SocketAddr,

    #[setting(default = "80, http")]
    ports: Vec<u16>,
}

fn main() {}
