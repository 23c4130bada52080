//! The resources of a kiosk: one field of every kind, for the tests of the command line.

#![allow(missing_debug_implementations, reason = "nothing prints them")]

use backing_services::cli::Container;
use backing_services::grants::Grants;
use backing_services::rules::Scheme;
use backing_services::secrecy::SecretString;
use backing_services::service::{Attachment, Attempt, Refusal, Target};
use backing_services::{
    Amqp, BackingServices, Https, MySql, Nats, Postgres, Posture, Redis, Resource, S3, Service,
    Smtp, Sqlite,
};

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
    #[service(
        env = "DATABASE_URL",
        allow(superuser_account, reason = "until the vendor fixes it", until = "2020-01-31")
    )]
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

/// A kennel, whose service is a third party's, and whose container's text is hostile.
#[derive(BackingServices)]
#[services(prefix = "KENNEL")]
pub struct Kennel {
    /// It would be called as what makes the secrets.
    pub prepare: Resource<Hound>,

    /// It would be called as the program.
    #[service(env = "KENNEL_URL")]
    pub itself: Resource<Hound>,

    /// It would be called as the file of variables.
    pub env: Option<Resource<Hound>>,
}

/// A server of a hound in a container.
#[must_use]
pub fn hound(grants: &Grants) -> Option<Container> {
    let container = Container::new("hound:1", 65_535)
        .with_user(7, 8)
        .with_administrator()
        .with_command(["bark", "--at", "${HOME} $x \"'#\n: {{ 7 * 7 }}", grants.account()])
        .with_variable("LEASH", "- *a\t&b\u{2028}")
        .with_file("/etc/hound/a: b", " odd\n\n$(touch pwned)\u{85}")
        .with_file("/etc/hound/even", "  # even\n---\n")
        .with_path("a/b c")
        .with_regrant_command("sit\n  evil: 1");
    Some(container)
}

/// A service of another crate.
#[derive(Clone, Copy, Debug)]
pub struct Hound;

impl Service for Hound {
    type Client = ();
    type Guard = backing_services::resource::ClientGuard<Self>;
    const NAME: &'static str = "Hound: \"#";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("hounds").with_port(7070)];
    const PATH: Option<&'static str> = Some("the leash");

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
        Ok(Attachment::new((), Posture::of::<Self>(target)))
    }

    async fn health((): &()) -> Result<(), Refusal> {
        Ok(())
    }

    async fn close((): &()) {}
}
