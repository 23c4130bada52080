use backing_services::BackingServices;

use std::collections::HashMap;

#[derive(BackingServices)]
struct Services {
    tokens: Vec<String>,
    passwords: HashMap<String, String>,
    names: HashMap<u16, Box<str>>,
}

fn main() {}
