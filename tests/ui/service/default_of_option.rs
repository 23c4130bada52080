use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "rediss://localhost")]
    cache: Option<Resource<Redis>>,
}

fn main() {}
