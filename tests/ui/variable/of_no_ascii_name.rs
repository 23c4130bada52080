use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    größe: Resource<Postgres>,
}

fn main() {}
