use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(env = "DATABASE_URL" scheme = "postgres")]
    orders: Resource<Postgres>,

    #[service(env "CUSTOMERS_URL")]
    customers: Resource<Postgres>,

    #[service("LEGACY_URL")]
    legacy: Resource<Postgres>,
}

fn main() {}
