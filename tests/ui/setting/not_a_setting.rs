use backing_services::BackingServices;

use std::collections::HashMap;

struct Config;

#[derive(BackingServices)]
struct Services {
    #[setting]
    config: Config,

    #[setting]
    limits: HashMap<String, u16>,
}

fn main() {}
