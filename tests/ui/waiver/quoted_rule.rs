use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(allow("superuser_account", reason = "one account"))]
    first: Resource<Postgres>,
}

fn main() {}
