use backing_services::{BackingServices, Postgres, Resource, secrecy::SecretString};

#[derive(BackingServices)]
#[services(prefix = "SHOP")]
struct Services {
    #[service(env = "DATABASE_URL")]
    orders: Resource<Postgres>,

    #[service(env = "DATABASE_URL")]
    customers: Resource<Postgres>,

    #[setting(env = "SHOP_STRIPE_KEY")]
    stripe: u16,

    stripe_key: SecretString,
}

fn main() {}
