use backing_services::{BackingServices, Redis, Resource, secrecy::SecretString};

#[derive(BackingServices)]
struct Services {
    #[setting]
    cache: Resource<Redis>,

    #[setting]
    stripe_key: SecretString,
}

fn main() {}
