use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(allow)]
    first: Resource<Postgres>,

    #[service(allow())]
    second: Resource<Postgres>,

    #[service(allow(reason = "we are in a hurry"))]
    third: Resource<Postgres>,

    #[service(allow = "superuser_account")]
    fourth: Resource<Postgres>,
}

fn main() {}
