use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(allow(superuser_account))]
    first: Resource<Postgres>,

    #[service(allow(superuser_account, until = "2027-03-01"))]
    second: Resource<Postgres>,
}

fn main() {}
