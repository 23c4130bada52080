use backing_services::BackingServices;

type Small = u8;

#[derive(BackingServices)]
struct Services {
    #[setting(default = 300)]
    workers: Small,
}

fn main() {}
