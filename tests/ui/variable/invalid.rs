use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(env = "database-url")]
    orders: Resource<Postgres>,

    #[setting(env = "8080_PORT")]
    port: u16,

    #[setting(env = "")]
    workers: u16,
}

fn main() {}
