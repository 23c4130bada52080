//! What a kiosk attaches to: one field of every kind, for the command line's tests.

#![allow(missing_debug_implementations, reason = "nobody prints them")]

use backing_services::secrecy::SecretString;
use backing_services::{Amqp, BackingServices, Https, MySql, Nats, Postgres, Redis, Resource, S3, Smtp, Sqlite};

/// Sells newspapers, and remembers to whom.
#[derive(BackingServices)]
#[services(prefix = "KIOSK", deadline = 20)]
pub struct Services {
    /// Orders and customers.
    #[service(env = "DATABASE_URL", needs = "SELECT, INSERT ON orders")]
    pub orders: Resource<Postgres>,

    /// Sessions, which end by themselves.
    #[service(
        needs = "get, setex ON KEY session:*",
        allow(superuser_account, reason = "the vendor ships one account", until = "2099-01-31")
    )]
    pub sessions: Option<Resource<Redis>>,

    /// What other programs tell.
    pub feeds: Feeds,

    /// Pictures of the front pages.
    pub pictures: Option<Resource<S3>>,

    /// Card payments.
    #[service(hosts = "api.payments.example")]
    pub payments: Option<Resource<Https>>,

    /// Receipts.
    pub mail: Option<Resource<Smtp>>,

    /// The till's own notes.
    pub notes: Option<Resource<Sqlite>>,

    /// Signs the receipts.
    pub receipt_key: SecretString,

    /// How many newspapers there are at most in one order.
    #[setting(default = 20)]
    pub largest_order: u16,

    /// What stands above the door.
    pub name: Name,
}

/// What other programs tell.
#[derive(BackingServices)]
pub struct Feeds {
    /// Editions that come out.
    #[service(needs = "SUBSCRIBE ON editions.>")]
    pub editions: Option<Resource<Nats>>,

    /// Deliveries.
    #[service(needs = "READ ON QUEUE deliveries")]
    pub deliveries: Option<Resource<Amqp>>,

    /// The publisher's list of prices.
    #[service(needs = "SELECT ON prices")]
    pub prices: Option<Resource<MySql>>,
}

/// What stands above the door.
#[derive(BackingServices)]
pub struct Name {
    /// In large letters.
    #[setting]
    pub first_line: Option<String>,
}

/// What an old till attaches to, whose waiver has ended.
#[derive(BackingServices)]
#[services(prefix = "TILL")]
pub struct Till {
    /// Orders, as an administrator.
    #[service(env = "DATABASE_URL", allow(superuser_account, reason = "until the vendor mends it", until = "2020-01-31"))]
    pub orders: Resource<Postgres>,
}

/// A stand that attaches to nothing.
#[derive(BackingServices)]
#[services(prefix = "STAND")]
pub struct Stand {
    /// Where it stands.
    #[setting(default = "at the corner")]
    pub place: String,
}
