use backing_services::{BackingServices, Postgres, Resource};

struct Config;

#[derive(BackingServices)]
struct Services {
    cache_url: String,

    config: Config,

    #[service(default = "rediss://localhost")]
    orders: Resource<Postgres>,
}

fn main() {}
