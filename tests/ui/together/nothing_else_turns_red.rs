use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Mail {
    relay: String,
}

#[derive(BackingServices)]
enum Queues {
    Orders,
}

#[derive(BackingServices)]
struct Services {
    orders: Resource<Postgres>,
    mail: Mail,
    queues: Queues,
}

fn names(services: &Services) -> Vec<String> {
    services.resources().iter().map(|resource| resource.name().to_owned()).collect()
}

fn main() {
    let _ = names;
    let _ = Mail::check(&backing_services::Environment::process());
    let _ = Queues::check(&backing_services::Environment::process());
    let _ = Services::check(&backing_services::Environment::process());
    let _ = <Services as BackingServices>::MANIFEST.fields().len();
}
