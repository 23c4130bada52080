use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(default = "postgres://2130706433/shop")]
    first: Resource<Postgres>,

    #[service(default = "postgres://::1/shop")]
    second: Resource<Postgres>,

    #[service(default = "postgres://a.example,b.example/shop")]
    third: Resource<Postgres>,
}

fn main() {}
