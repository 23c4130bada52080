use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(allow(superuser_acount, reason = "the vendor ships one account"))]
    first: Resource<Postgres>,

    #[service(allow(everything, reason = "we are in a hurry"))]
    second: Resource<Postgres>,
}

fn main() {}
