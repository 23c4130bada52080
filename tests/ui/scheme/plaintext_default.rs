use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "redis://localhost")]
    cache: Resource<Redis>,
}

fn main() {}
