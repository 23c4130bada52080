use backing_services::{BackingServices, Redis, Resource};

type Cache = Resource<Redis>;

#[derive(BackingServices)]
struct Services {
    #[service(scheme = "postgres")]
    cache: Cache,
}

fn main() {}
