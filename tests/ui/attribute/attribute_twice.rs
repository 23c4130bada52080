use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[services(prefix = "SHOP")]
#[services(deadline = 10)]
struct Services {
    #[service(env = "DATABASE_URL")]
    #[service(scheme = "postgres")]
    orders: Resource<Postgres>,
}

fn main() {}
