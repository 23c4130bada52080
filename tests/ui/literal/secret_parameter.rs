use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "postgres://db.example.com/shop?password=hunter2")]
    first: Resource<Postgres>,
}

fn main() {}
