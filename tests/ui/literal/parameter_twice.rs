use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "postgres://db.example.com/shop?application_name=a&APPLICATION_NAME=b")]
    first: Resource<Postgres>,
}

fn main() {}
