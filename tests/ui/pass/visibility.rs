//! Fields and structs of every visibility, in a module and in a function.

use backing_services::BackingServices;

mod config {
    use backing_services::{BackingServices, Redis, Resource};

    #[derive(BackingServices, Debug)]
    pub struct Services {
        pub sessions: Resource<Redis>,
        pub(crate) cache: Resource<Redis>,
        pub(super) queue: Resource<Redis>,
        private: Private,
    }

    #[derive(BackingServices, Debug)]
    struct Private {
        #[setting(default = 1)]
        size: u8,
    }

    impl Services {
        pub fn size(&self) -> u8 {
            self.private.size
        }
    }
}

fn size(services: &config::Services) -> u8 {
    services.size()
}

fn main() {
    #[derive(BackingServices)]
    struct Local {
        services: config::Services,
    }

    let _ = size;
    assert_eq!(<config::Services as BackingServices>::MANIFEST.fields().len(), 4);
    assert_eq!(<Local as BackingServices>::MANIFEST.fields().len(), 1);
}
