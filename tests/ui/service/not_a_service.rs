use backing_services::{BackingServices, Resource};

struct Database;

#[derive(BackingServices)]
struct Services {
    database: Resource<Database>,
}

fn main() {}
