use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[services(prefix = "shop-eu")]
struct Services {
    orders: Resource<Postgres>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP_")]
struct Shop {
    orders: Resource<Postgres>,
}

#[derive(BackingServices)]
#[services(prefix = "")]
struct Nameless {
    orders: Resource<Postgres>,
}

fn main() {}
