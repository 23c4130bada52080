use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[services(prefix = "SHOP")]
#[services(deadline = 10, prefix = "STORE")]
struct Services {
    #[service(env = "DATABASE_URL")]
    #[service(scheme = "postgres", env = "ORDERS_URL")]
    orders: Resource<Postgres>,

    #[service(allow(superuser_account, reason = "one account", debug_only = true))]
    legacy: Resource<Postgres>,
}

fn main() {}
