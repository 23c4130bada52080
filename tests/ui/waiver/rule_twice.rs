use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(allow(superuser_account, superuser_account, reason = "one"))]
    first: Resource<Postgres>,

    #[service(allow(superuser_account, reason = "one"), allow(superuser_account, reason = "two"))]
    second: Resource<Postgres>,
}

fn main() {}
