//! The type decides, and an alias is that type.

use backing_services::{BackingServices, Postgres, Resource, secrecy::SecretString};

type Database = Resource<Postgres>;
type MaybeDatabase = Option<Database>;
type Key = SecretString;
type Port = u16;
type Count = u64;

#[derive(BackingServices)]
struct Services {
    #[service(
        scheme = "postgres",
        default = "postgres://localhost/shop",
        needs = "SELECT ON orders"
    )]
    orders: Database,
    customers: MaybeDatabase,
    #[secret(env = "STRIPE_KEY")]
    stripe: Key,
    #[setting(default = 8080)]
    port: Port,
    #[setting]
    token_count: Count,
    #[setting]
    tokens: Count,
}

fn main() {
    assert_eq!(<Services as BackingServices>::MANIFEST.fields().len(), 6);
}
