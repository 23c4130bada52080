use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[services(prefix = "SHOP", prefix = "STORE")]
struct Services {
    #[service(env = "DATABASE_URL", env = "ORDERS_URL")]
    orders: Resource<Postgres>,

    #[setting(default = 8080, default = 8081)]
    port: u16,
}

fn main() {}
