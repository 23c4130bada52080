use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "postgres://app:hunter2@db.example.com/shop")]
    first: Resource<Postgres>,

    #[service(default = "postgres://app@db.example.com/shop")]
    second: Resource<Postgres>,
}

fn main() {}
