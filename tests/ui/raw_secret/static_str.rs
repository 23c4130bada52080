use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    api_token: &'static str,
}

fn main() {}
