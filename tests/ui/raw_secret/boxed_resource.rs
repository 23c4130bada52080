use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    cache: Box<Resource<Redis>>,
}

fn main() {}
