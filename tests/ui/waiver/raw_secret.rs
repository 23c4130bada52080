use backing_services::{BackingServices, secrecy::SecretString};

#[derive(BackingServices)]
struct Services {
    #[secret(allow(raw_secret, reason = "everybody may know it"))]
    stripe_key: SecretString,
}

fn main() {}
