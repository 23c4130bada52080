use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(scheme = "rediss://")]
    first: Resource<Redis>,

    #[service(scheme = "REDISS")]
    second: Resource<Redis>,

    #[service(scheme = "9p")]
    third: Resource<Redis>,

    #[service(scheme = "")]
    fourth: Resource<Redis>,
}

fn main() {}
