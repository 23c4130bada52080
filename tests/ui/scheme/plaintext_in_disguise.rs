use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = " REDIS://localhost")]
    first: Resource<Redis>,

    #[service(default = "Redis+Unix:///run/redis.sock")]
    second: Resource<Redis>,

    #[service(scheme = "redis ")]
    third: Resource<Redis>,
}

fn main() {}
