use backing_services::{BackingServices, Postgres, Resource, secrecy::SecretString};

#[derive(BackingServices)]
#[services(rename_all = "snake_case")]
struct Services {
    #[service(tls = false)]
    orders: Resource<Postgres>,

    #[setting(scheme = "https")]
    port: u16,

    #[secret(needs = "SELECT ON orders")]
    stripe_key: SecretString,
}

fn main() {}
