use backing_services::{BackingServices, Postgres, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "postgres://bücher.example/shop")]
    first: Resource<Postgres>,

    #[service(default = "rediss://１２７.0.0.1")]
    second: Resource<Redis>,

    #[service(hosts = "bücher.example")]
    third: Resource<Postgres>,
}

fn main() {}
