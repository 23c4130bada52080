use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[services(deadline = "10s")]
struct Services {
    orders: Resource<Postgres>,
}

#[derive(BackingServices)]
#[services(deadline = 0)]
struct Instant {
    orders: Resource<Postgres>,
}

#[derive(BackingServices)]
#[services(deadline = 3600)]
struct Patient {
    orders: Resource<Postgres>,
}

fn main() {}
