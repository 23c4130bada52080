use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[services(crate = "backing_services")]
struct Services {
    orders: Resource<Postgres>,
}

fn main() {}
