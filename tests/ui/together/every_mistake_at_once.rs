use backing_services::{BackingServices, Postgres, Redis, Resource, secrecy::SecretString};

#[derive(BackingServices)]
#[services(prefx = "SHOP")]
struct Services {
    #[service(default = "redis://localhost")]
    sessions: Resource<Redis>,

    cache_url: String,

    #[setting(default = 70000)]
    port: u16,

    #[setting]
    password: String,

    #[service(allow(superuser_acount, reason = "one account"))]
    orders: Resource<Postgres>,

    #[secret(default = "hunter2")]
    stripe_key: SecretString,
}

fn main() {}
