use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(scheme = "postgresql", default = "postgres://localhost/shop")]
    orders: Resource<Postgres>,
}

fn main() {}
