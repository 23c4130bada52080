use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    signing_key: Vec<u8>,
    pepper: [u8; 32],
    blob: &'static [u8],
}

fn main() {}
