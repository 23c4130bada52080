use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(allow(superuser_account, raeson = "one account"))]
    first: Resource<Postgres>,

    #[service(allow(superuser_account, reason = "one account", ticket = 17))]
    second: Resource<Postgres>,
}

fn main() {}
