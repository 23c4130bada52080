use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(allow(unsupported_server, reason = "an old server"))]
    first: Resource<Postgres>,
}

fn main() {}
