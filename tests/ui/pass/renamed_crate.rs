//! The crate under another name.

mod vendored {
    pub use ::backing_services as services;
}

use vendored::services::{BackingServices, Redis, Resource};

#[derive(BackingServices)]
#[services(crate = crate::vendored::services)]
struct Services {
    #[service(scheme = "rediss", allow(superuser_account, reason = "one account"))]
    sessions: Resource<Redis>,
    #[setting(default = 8080)]
    port: u16,
}

fn main() {
    assert_eq!(<Services as BackingServices>::MANIFEST.fields().len(), 2);
}
