use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(scheme = "tcp")]
    first: Resource<Redis>,

    #[service(default = "telnet://localhost")]
    second: Resource<Redis>,
}

fn main() {}
