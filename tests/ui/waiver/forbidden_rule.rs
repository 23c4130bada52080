use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(allow(unverified_tls, reason = "the certificate is self-signed"))]
    first: Resource<Postgres>,

    #[service(allow(default_credentials, obsolete_tls, reason = "an old server"))]
    second: Resource<Postgres>,
}

fn main() {}
