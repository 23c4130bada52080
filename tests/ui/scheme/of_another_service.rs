use backing_services::{BackingServices, Postgres, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "rediss://localhost")]
    orders: Resource<Postgres>,

    #[service(scheme = "https")]
    cache: Option<Resource<Redis>>,
}

fn main() {}
