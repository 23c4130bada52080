//! Nothing of the prelude is what it was.

#![allow(dead_code, non_camel_case_types, non_upper_case_globals, reason = "shadows")]

use backing_services::{BackingServices, Redis, Resource, secrecy::SecretString};

struct Option;
struct Result;
struct Vec;
struct String;
struct Box;
struct Some;
struct None;
struct Ok;
struct str;
struct Field;
struct Manifest;
struct Category;
struct Declaration;
struct Waiver;
trait Send {}
trait Sync {}
trait Sized {}
trait Attached {}
const values: u8 = 1;
const resources: u8 = 1;
mod core {}
mod std {}
mod alloc {}
mod __private {}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 5)]
struct Services {
    /// Documented.
    #[service(
        env = "CACHE_URL",
        default = "rediss://localhost",
        hosts = "localhost",
        allow(superuser_account, reason = "one account", until = "2027-03-01"),
        allow(weak_password, reason = "a short one")
    )]
    cache: Resource<Redis>,
    key: SecretString,
    queue: ::core::option::Option<Resource<Redis>>,
    #[setting(default = 1)]
    size: u8,
    #[setting(default = 2)]
    password: Tiny,
}

type Tiny = u8;

fn main() {
    assert_eq!(<Services as BackingServices>::MANIFEST.fields().len(), 5);
}
