use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting(default = 70000)]
    port: u16,

    #[setting(default = -1)]
    workers: u8,

    #[setting(default = 0)]
    shards: std::num::NonZeroU8,
}

fn main() {}
