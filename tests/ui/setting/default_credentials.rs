use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting(default = "https://admin:admin@example.com")]
    mirror: String,
}

fn main() {}
