//! A struct that comes out of a `macro_rules`, whose types and literals are in invisible groups.

use backing_services::{BackingServices, Postgres, Resource};

macro_rules! services {
    (
        $name:ident,
        $prefix:literal,
        $field:ident: $ty:ty = $env:literal,
        $port:ident: $number:ty = $default:literal
    ) => {
        /// Made by a macro.
        #[derive(BackingServices)]
        #[services(prefix = $prefix)]
        struct $name {
            #[service(env = $env)]
            $field: $ty,
            #[setting(default = $default)]
            $port: $number,
        }
    };
}

macro_rules! around {
    ($name:ident, $inner:ident) => {
        #[derive(BackingServices)]
        struct $name {
            inner: $inner,
        }
    };
}

around!(Around, Services);

services!(Services, "SHOP", orders: Resource<Postgres> = "DATABASE_URL", port: u16 = 8080);

fn main() {
    let manifest = <Services as BackingServices>::MANIFEST;
    assert_eq!(manifest.doc_comment(), "Made by a macro.");
    assert_eq!(manifest.variable_prefix(), "SHOP");
    assert_eq!(manifest.fields()[0].declaration().env_name(), Some("DATABASE_URL"));
    assert_eq!(manifest.fields()[1].declaration().default_text(), Some("8080"));
    // The type is a token of the caller's, and `self` is not.
    let _ = |around: Around| around.resources().len();
}
