use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[secret]
    cache: Resource<Redis>,

    #[secret]
    port: u16,
}

fn main() {}
