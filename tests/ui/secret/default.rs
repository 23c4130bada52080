use backing_services::{BackingServices, secrecy::SecretString};

#[derive(BackingServices)]
struct Services {
    #[secret(default = "hunter2")]
    stripe_key: SecretString,

    #[secret(default = "hunter2")]
    github_token: Option<SecretString>,
}

fn main() {}
