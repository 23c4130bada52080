use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting(default = "redis://localhost")]
    cache: String,
}

fn main() {}
