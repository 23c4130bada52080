use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(allow(superuser_account, reason = "one account", until = "next year"))]
    first: Resource<Postgres>,

    #[service(allow(superuser_account, reason = "one account", until = "2027-02-29"))]
    second: Resource<Postgres>,

    #[service(allow(superuser_account, reason = "one account", until = 2027))]
    third: Resource<Postgres>,
}

fn main() {}
