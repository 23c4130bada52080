use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "postgres://db.example.com:99999/shop")]
    first: Resource<Postgres>,

    #[service(default = "postgres://db.example.com:/shop")]
    second: Resource<Postgres>,
}

fn main() {}
