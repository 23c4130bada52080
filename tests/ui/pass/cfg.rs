//! `#[cfg]` and `#[cfg_attr]` on fields, and two fields of which one is there.

use backing_services::{BackingServices, Postgres, Redis, Resource};

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

    // Several attributes of one name are one.
    #[service(env = "DATABASE_URL")]
    #[cfg_attr(all(), service(allow(superuser_account, reason = "one account", debug_only)))]
    #[cfg_attr(any(), service(env = "OTHER_URL", allow(weak_password, reason = "never")))]
    orders: Resource<Postgres>,
}

fn main() {
    let manifest = <Services as BackingServices>::MANIFEST;
    assert_eq!(manifest.fields().len(), 3);
    let orders = manifest.fields()[2].declaration();
    assert_eq!(orders.env_name(), Some("DATABASE_URL"));
    assert_eq!(orders.waived_rules().len(), 1);
    assert!(orders.waived_rules()[0].is_debug_only());
    assert_eq!(manifest.variable_prefix(), "SHOP");
}
