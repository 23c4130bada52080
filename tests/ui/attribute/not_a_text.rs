use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(env = DATABASE_URL, needs = 5)]
    orders: Resource<Postgres>,

    #[service(default = concat!("postgres", "://localhost"))]
    customers: Resource<Postgres>,
}

fn main() {}
