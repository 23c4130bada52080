use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services;

fn main() {}
