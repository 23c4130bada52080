use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting(default = 8080)]
    port: Option<u16>,
}

fn main() {}
