use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    greeting: String,
}

fn main() {}
