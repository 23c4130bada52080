//! With serde in the tree and the feature `serde` on, a struct with a resource or a secret still
//! cannot be serialized.

use backing_services::{Redis, Resource, secrecy::SecretString};

/// `_` in `<T as Ambiguous<_>>` can be inferred only where `T` does not implement `Serialize`.
trait Ambiguous<A> {
    fn check() {}
}

struct Serializable;

impl<T: ?Sized> Ambiguous<()> for T {}
impl<T: ?Sized + serde::Serialize> Ambiguous<Serializable> for T {}

fn main() {
    <Resource<Redis> as Ambiguous<_>>::check();
    <Option<Resource<Redis>> as Ambiguous<_>>::check();
    <SecretString as Ambiguous<_>>::check();
}
