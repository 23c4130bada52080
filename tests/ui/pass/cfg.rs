//! `#[cfg]` and `#[cfg_attr]` on fields, and two fields of which one is there.

use backing_services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
#[cfg_attr(all(), services(prefix = "SHOP"))]
struct Services {
    #[cfg(all())]
    cache: Resource<Redis>,

    #[cfg(any())]
    cache: Resource<Missing>,

    #[cfg(any())]
    broken: String,

    #[cfg_attr(all(), setting(default = 8080))]
    port: u16,
}

fn main() {
    let manifest = <Services as BackingServices>::MANIFEST;
    assert_eq!(manifest.fields().len(), 2);
    assert_eq!(manifest.variable_prefix(), "SHOP");
}
