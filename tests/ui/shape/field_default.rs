use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    orders: Resource<Postgres>,
    port: u16 = 8080,
}

fn main() {}
