//! A struct that attaches to nothing yet.

use backing_services::{BackingServices, Environment};

#[derive(BackingServices)]
struct Services {}

fn main() {
    Services::check(&Environment::from_iter([("X", "x")])).unwrap();
}
