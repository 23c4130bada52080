use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    stripe_key: String,
}

fn main() {}
