use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "postgres://db.example.com\n/shop")]
    first: Resource<Postgres>,
}

fn main() {}
