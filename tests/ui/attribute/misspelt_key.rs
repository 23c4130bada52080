use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[services(prefx = "SHOP")]
struct Services {
    #[service(shceme = "postgres", evn = "DATABASE_URL")]
    orders: Resource<Postgres>,

    #[setting(defualt = 8080)]
    port: u16,
}

fn main() {}
