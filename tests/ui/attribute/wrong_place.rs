use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[service(env = "DATABASE_URL")]
struct Services {
    #[services(prefix = "SHOP")]
    orders: Resource<Postgres>,
}

fn main() {}
