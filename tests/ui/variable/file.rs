use backing_services::{BackingServices, secrecy::SecretString};

#[derive(BackingServices)]
struct Services {
    stripe_key: SecretString,

    #[setting]
    stripe_key_file: u16,
}

fn main() {}
