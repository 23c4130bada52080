use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(scheme = "redis")]
    cache: Resource<Redis>,

    #[service(scheme = "amqp://")]
    queue: Resource<Redis>,
}

fn main() {}
