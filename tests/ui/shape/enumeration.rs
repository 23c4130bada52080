use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
enum Services {
    Orders(Resource<Postgres>),
}

fn main() {}
