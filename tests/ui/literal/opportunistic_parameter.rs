use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "postgres://db.example.com/shop?sslmode=prefer")]
    first: Resource<Postgres>,

    #[service(default = "postgres://db.example.com/shop?sslmode=verify-ful")]
    second: Resource<Postgres>,
}

fn main() {}
