use backing_services::{BackingServices, Postgres, Resource, secrecy::SecretString};

#[derive(BackingServices)]
struct Services {
    #[service(env = "DATABASE_URL")]
    #[setting]
    orders: Resource<Postgres>,

    #[setting]
    #[secret]
    stripe_key: SecretString,
}

fn main() {}
