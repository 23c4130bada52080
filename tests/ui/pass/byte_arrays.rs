//! Keys of a fixed length, and bytes of any, are secrets like others.

use backing_services::secrecy::{ExposeSecret, SecretBox, SecretSlice};
use backing_services::{BackingServices, Environment};

type Key = SecretBox<[u8; 16]>;

#[derive(BackingServices)]
#[services(prefix = "SHOP")]
struct Services {
    signing_key: SecretBox<[u8; 32]>,

    #[secret(env = "PEPPER")]
    pepper: Option<SecretBox<[u8; 4]>>,

    salt: Option<Key>,

    blob: SecretSlice<u8>,

    other: Option<SecretSlice<u8>>,
}

fn main() {
    let key = "0f".repeat(32);
    let environment = Environment::from_iter([
        ("SHOP_SIGNING_KEY", &*key),
        ("PEPPER", "DeadBeef"),
        ("SHOP_BLOB", "any text will do"),
    ]);
    let services = Services::check(&environment);
    assert!(services.is_ok(), "{services:?}");
    let short =
        Environment::from_iter([("SHOP_SIGNING_KEY", "0f0f"), ("SHOP_BLOB", "any text will do")]);
    let error = Services::check(&short).unwrap_err().to_string();
    assert!(error.contains("two hexadecimal digits for each byte"), "{error}");
    assert!(!error.contains("0f0f"), "{error}");
    fn read(services: &Services) -> (&[u8; 32], &[u8]) {
        (services.signing_key.expose_secret(), services.blob.expose_secret())
    }
    let _ = read;
}
