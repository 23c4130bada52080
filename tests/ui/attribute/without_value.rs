use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[services(prefix)]
struct Services {
    #[service(env, scheme =)]
    orders: Resource<Postgres>,

    #[service(env(DATABASE_URL))]
    customers: Resource<Postgres>,
}

fn main() {}
