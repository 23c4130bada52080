use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "postgres:///shop")]
    first: Resource<Postgres>,

    #[service(default = "postgres://:5432/shop")]
    second: Resource<Postgres>,
}

fn main() {}
