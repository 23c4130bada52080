use backing_services::{BackingServices, secrecy::SecretString};

#[derive(BackingServices)]
struct Services {
    #[service]
    port: u16,

    #[service]
    stripe_key: SecretString,
}

fn main() {}
