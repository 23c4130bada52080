//! `resources`, `attach` and `detach` are there, and their futures are `Send`.

use backing_services::{BackingServices, Environment, Redis, Resource};

#[derive(BackingServices)]
struct Services {
    cache: Resource<Redis>,
    mail: Mail,
}

#[derive(BackingServices)]
struct Mail {
    relay: Option<Resource<Redis>>,
}

fn is_send<T: Send>(_: T) {}

fn names(services: &Services) -> Vec<&str> {
    services.resources().into_iter().map(|resource| resource.name()).collect()
}

fn main() {
    is_send(Services::attach());
    is_send(Services::attach_from(&Environment::from_iter([("X", "x")])));
    is_send(async {
        if let Ok(services) = Services::attach().await {
            let _ = names(&services);
            services.detach().await;
        }
    });
}
