use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services<'a, T: 'a> {
    orders: Resource<Postgres>,
    name: &'a T,
}

fn check() {
    let _ = <Services<u8> as BackingServices>::MANIFEST;
}

fn main() {
    check();
}
