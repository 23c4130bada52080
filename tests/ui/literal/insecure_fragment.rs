use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "rediss://cache.example.com#insecure")]
    first: Resource<Redis>,
}

fn main() {}
