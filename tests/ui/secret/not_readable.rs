use backing_services::{BackingServices, secrecy::{SecretBox, zeroize::Zeroize}};

struct Key([u8; 32]);

impl Zeroize for Key {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

#[derive(BackingServices)]
struct Services {
    signing_key: SecretBox<Key>,
}

fn main() {}
