use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "redis://app:hunter2@cache.example.com?tls=maybe#insecure")]
    first: Resource<Redis>,
}

fn main() {}
