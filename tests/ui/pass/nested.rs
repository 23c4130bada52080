//! Structs in structs, whose variables begin with the field's.

use backing_services::{BackingServices, Environment, Redis, Resource, secrecy::SecretString};

#[derive(BackingServices)]
#[services(prefix = "SHOP")]
struct Services {
    mail: Mail,
    backup_mail: Mail,
}

#[derive(BackingServices)]
struct Mail {
    relay: Resource<Redis>,
    account: Account,
}

#[derive(BackingServices)]
struct Account {
    key: SecretString,
}

fn main() {
    let report = Services::check(&Environment::from_iter([("X", "")])).unwrap_err().to_string();
    for variable in [
        "SHOP_MAIL_RELAY_URL",
        "SHOP_MAIL_ACCOUNT_KEY",
        "SHOP_BACKUP_MAIL_RELAY_URL",
        "SHOP_BACKUP_MAIL_ACCOUNT_KEY",
    ] {
        assert!(report.contains(variable), "{report}");
    }
}
