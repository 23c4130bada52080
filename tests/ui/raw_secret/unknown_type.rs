use backing_services::BackingServices;

struct Config;

#[derive(BackingServices)]
struct Services {
    config: Config,
    configs: Vec<Config>,
}

fn main() {}
