use backing_services::{BackingServices, Postgres, Resource, secrecy::SecretString};

#[derive(BackingServices)]
struct Services {
    orders: Resource<Postgres>,

    orders_password: SecretString,

    #[setting(env = "CACHE_USER")]
    user: u16,

    #[service(env = "CACHE_URL")]
    customers: Resource<Postgres>,
}

fn main() {}
