//! A struct that is generic in its services, and in the structs that it holds.

use backing_services::setting::Setting;
use backing_services::{BackingServices, Postgres, Redis, Resource, Service};

#[derive(BackingServices)]
struct Shop<S: Service, M, T = u16, const N: usize = 3>
where
    M: BackingServices,
    T: Setting,
{
    #[service(default = "postgres://localhost/shop", needs = "SELECT ON orders")]
    orders: Resource<S>,

    mail: M,

    #[setting(default = 8080)]
    port: u16,

    #[setting(default = "1")]
    shards: T,

    lines: Lines<N>,
}

#[derive(BackingServices)]
struct Lines<const N: usize> {}

#[derive(BackingServices)]
struct Mail {
    relay: Option<Resource<Redis>>,
}

fn manifest<T: BackingServices>() -> usize {
    T::MANIFEST.fields().len()
}

fn main() {
    assert_eq!(manifest::<Shop<Postgres, Mail>>(), 5);
    assert_eq!(manifest::<Shop<Postgres, Mail, Option<u8>, 7>>(), 5);
}
