use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services(Resource<Postgres>);

fn main() {}
