use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(allow(superuser_account, reason = ""))]
    first: Resource<Postgres>,

    #[service(allow(superuser_account, reason = "  "))]
    second: Resource<Postgres>,
}

fn main() {}
