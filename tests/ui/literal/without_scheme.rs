use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "db.example.com/shop")]
    first: Resource<Postgres>,

    #[service(default = "localhost:5432")]
    second: Resource<Postgres>,

    #[service(default = "postgres:localhost")]
    third: Resource<Postgres>,
}

fn main() {}
