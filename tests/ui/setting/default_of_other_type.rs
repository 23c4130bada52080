use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting(default = true)]
    port: u16,

    #[setting(default = 1.5)]
    workers: u8,

    #[setting(default = 1)]
    debug: bool,

    #[setting(default = 8080)]
    greeting: String,

    #[setting(default = 80)]
    ports: Vec<u16>,
}

fn main() {}
