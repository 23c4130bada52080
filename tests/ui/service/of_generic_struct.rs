use backing_services::{BackingServices, Resource, Service};

#[derive(BackingServices)]
struct Shop<S: Service> {
    #[service(scheme = "redis")]
    cache: Resource<S>,

    #[service]
    orders: S,

    config: Vec<S>,
}

fn main() {}
