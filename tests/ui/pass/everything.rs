//! Every attribute, on every kind of field.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use backing_services::manifest::Category;
use backing_services::secrecy::SecretString;
use backing_services::{BackingServices, Environment, Postgres, Redis, Resource};

/// Everything this deploy attaches to.
///
/// On two paragraphs.
#[derive(BackingServices, Clone, Debug)]
#[services(prefix = "SHOP", deadline = 10)]
struct Services {
    /// Orders and customers.
    #[service(
        env = "DATABASE_URL",
        scheme = "postgres",
        needs = "SELECT, INSERT ON orders",
        hosts = "db.example.com, *.internal"
    )]
    orders: Resource<Postgres>,

    sessions: Resource<Redis>,

    queue: Option<Resource<Redis>>,

    #[service(
        default = "postgres://legacy.internal/shop?sslmode=require",
        allow(
            superuser_account,
            excess_privileges,
            reason = "the vendor ships one account",
            until = "2027-03-01"
        ),
        allow(default_credentials, reason = "and one password")
    )]
    legacy: Resource<Postgres>,

    #[service(
        default = "redis://mesh.internal",
        allow(plaintext_scheme, reason = "linkerd encrypts the path")
    )]
    mesh: Resource<Redis>,

    stripe_key: SecretString,

    #[secret(env = "GITHUB_TOKEN", allow(weak_password, reason = "it is a counter"))]
    github: Option<SecretString>,

    signing_key: SecretString,

    #[setting(default = 8080)]
    port: u16,

    #[setting(default = -5)]
    offset: i8,

    #[setting(default = 0.25)]
    share: f64,

    #[setting(default = true)]
    verbose: bool,

    #[setting(default = 'x')]
    separator: char,

    #[setting(default = "1, 2")]
    shards: Vec<NonZeroU16>,

    #[setting(default = "30s")]
    token_ttl: Duration,

    #[setting(env = "LISTEN", default = "127.0.0.1:8080")]
    listen: SocketAddr,

    #[setting]
    motto: Option<String>,

    #[setting(public, reason = "it is printed on the receipt", default = "abc")]
    token: String,

    #[setting]
    token_ttl_seconds: u64,

    #[setting(default = 0xff)]
    mask: usize,

    mail: Mail,
}

#[derive(BackingServices, Clone, Debug)]
struct Mail {
    relay: Resource<Redis>,
}

fn main() {
    let manifest = <Services as BackingServices>::MANIFEST;
    assert_eq!(manifest.struct_name(), "Services");
    assert_eq!(manifest.doc_comment(), "Everything this deploy attaches to.\n\nOn two paragraphs.");
    assert_eq!(manifest.variable_prefix(), "SHOP");
    assert_eq!(manifest.deadline(), Duration::from_secs(10));

    let names: Vec<_> = manifest.fields().iter().map(|field| field.name()).collect();
    assert_eq!(
        names.join(" "),
        "orders sessions queue legacy mesh stripe_key github signing_key port offset share verbose \
         separator shards token_ttl listen motto token token_ttl_seconds mask mail"
    );

    let field = |name: &str| manifest.fields().iter().find(|field| field.name() == name).unwrap();
    assert_eq!(field("orders").doc_comment(), "Orders and customers.");
    let orders = field("orders").declaration();
    assert_eq!(orders.env_name(), Some("DATABASE_URL"));
    assert_eq!(orders.only_scheme(), Some("postgres"));
    assert_eq!(orders.needed_privileges(), Some("SELECT, INSERT ON orders"));
    assert_eq!(orders.listed_hosts(), ["db.example.com", "*.internal"]);

    let waivers: Vec<_> = field("legacy")
        .declaration()
        .waived_rules()
        .iter()
        .map(|waiver| {
            let until = waiver.until().map(|date| date.to_string());
            (waiver.rule().name, waiver.reason(), until)
        })
        .collect();
    assert_eq!(waivers, [
        ("superuser_account", "the vendor ships one account", Some("2027-03-01".to_owned())),
        ("excess_privileges", "the vendor ships one account", Some("2027-03-01".to_owned())),
        ("default_credentials", "and one password", None),
    ]);

    let default = |name: &str| field(name).declaration().default_text().unwrap();
    assert_eq!(
        ["port", "offset", "share", "verbose", "separator", "shards", "mask"].map(default),
        ["8080", "-5", "0.25", "true", "x", "1, 2", "255"]
    );
    assert_eq!(field("token").declaration().public_reason(), Some("it is printed on the receipt"));

    let category = |name: &str| field(name).category();
    assert!(matches!(category("orders"), Category::Resource(orders)
        if orders.service() == "PostgreSQL" && !orders.is_optional()));
    assert!(matches!(category("queue"), Category::Resource(queue) if queue.is_optional()));
    assert!(matches!(category("stripe_key"), Category::Secret(key) if !key.is_optional()));
    assert!(matches!(category("github"), Category::Secret(github) if github.is_optional()));
    assert!(matches!(category("port"), Category::Setting(port)
        if port.expects() == "a whole number from 0 to 65535"));
    assert!(matches!(category("mail"), Category::Nested(mail) if mail.struct_name() == "Mail"));

    let environment = Environment::from_iter([("SHOP_PORT", "http")]);
    let report = Services::check(&environment).unwrap_err().to_string();
    assert!(report.contains("SHOP_PORT") && report.contains("DATABASE_URL"), "{report}");
}
