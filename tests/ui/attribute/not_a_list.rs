use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[services["SHOP"]]
struct Services {
    #[service = "DATABASE_URL"]
    orders: Resource<Postgres>,

    #[setting { default = 8080 }]
    port: u16,
}

fn main() {}
