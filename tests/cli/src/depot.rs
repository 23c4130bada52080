//! A depot whose resources are all required, whose values come from every source, and whose doc
//! comments are hostile: the templates must quote them.

#![allow(
    missing_debug_implementations,
    dead_code,
    reason = "only the command line uses the fields, and nothing prints them"
)]

use backing_services::secrecy::SecretString;
use backing_services::source::{Environment, ServiceBindings, Sources, SystemdCredentials};
use backing_services::{
    Amqp, BackingServices, Https, MySql, Nats, Postgres, Redis, Resource, S3, Smtp, Sqlite,
};

/// What is "kept" here: it's all #1 $(touch pwned) `touch pwned` %n {{ 7 * 7 }} {% raw %} */ <!-- \
#[derive(BackingServices)]
#[doc = "---\nkey: &anchor !!python/object [*anchor\r\nEVIL=1\u{85}EVIL: 2\u{2028}EVIL=3\rEVIL: 4\n\
         \nExecStart=/bin/touch pwned\n\ttab\u{202e}"]
#[services(prefix = "DEPOT", deadline = 20)]
struct Services {
    /// ${HOME} $HOME '
    #[doc = "\nDEPOT_EVIL=1\n- name: \"\n\\"]
    #[service(needs = r#"SELECT ON "Big Pallets""#)]
    pallets: Resource<Postgres>,

    /// "
    #[service(needs = "get ON KEY pallet:*")]
    places: Resource<Redis>,

    trucks: Resource<Nats>,

    orders: Resource<Amqp>,

    #[service(needs = "SELECT ON lorries")]
    lorries: Resource<MySql>,

    photos: Resource<S3>,

    #[service(hosts = "customs.example")]
    customs: Resource<Https>,

    mail: Resource<Smtp>,

    notes: Resource<Sqlite>,

    seal: SecretString,

    #[setting(default = "it's 5% $(touch pwned) ${HOME} \"#: {")]
    motto: String,

    #[setting]
    gates: u16,
}

fn main() -> std::process::ExitCode {
    let sources = Sources::new()
        .then(Environment::process())
        .beside(SystemdCredentials::process())
        .then(ServiceBindings::process());
    backing_services::cli::run_from::<Services>(&sources)
}
