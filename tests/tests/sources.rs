//! Sources besides the environment: the values that a struct loads from them, their precedence, and
//! the findings for conflicts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot do what it should has to stop, there and loudly"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use backing_services::secrecy::SecretString;
use backing_services::source::Sources;
use backing_services::source::{CloudFoundry, DotEnv, ServiceBindings, Source, SystemdCredentials};
use backing_services::{AttachError, BackingServices, Environment, Postgres, Redis, Resource};
use backing_services_tests::canary::{self, PASSWORD};

#[derive(BackingServices, Debug)]
#[services(prefix = "SHOP")]
#[allow(dead_code, reason = "it is never attached")]
struct Shop {
    orders: Resource<Postgres>,
    cache: Option<Resource<Redis>>,
    key: Option<SecretString>,
    #[setting(default = 8080)]
    port: u16,
}

const URL: &str = "postgres://shop@db.example/shop";

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

/// Every finding: rule, variable, source, and whether it is only a warning.
fn findings(source: &dyn Source) -> Vec<String> {
    let error = match Shop::check(source) {
        Ok(()) => return Vec::new(),
        Err(error) => error,
    };
    canary::assert_error_silent(&error);
    assert_eq!(error.failures().count(), 0);
    let written = |error: &AttachError| {
        error
            .findings()
            .map(|finding| {
                let level = if finding.is_denied() { "" } else { " (warns)" };
                let (variable, origin) =
                    (finding.variable().unwrap_or_default(), finding.origin().unwrap_or("nowhere"));
                format!(
                    "{} {variable} from {origin}: {}{level}",
                    finding.rule().name,
                    finding.message()
                )
            })
            .collect()
    };
    written(&error)
}

/// A file in a folder that only its owner can access.
fn write(path: &Path, value: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, value).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
}

fn credentials(folder: &Path, values: &[(&str, &str)]) -> SystemdCredentials {
    for (name, value) in values {
        write(&folder.join("credentials").join(name), value);
    }
    SystemdCredentials::of(environment(&[(
        "CREDENTIALS_DIRECTORY",
        folder.join("credentials").to_str().expect("UTF-8"),
    )]))
}

fn bindings(folder: &Path, binding: &str, entries: &[(&str, &str)]) -> ServiceBindings {
    for (name, value) in entries {
        write(&folder.join("bindings").join(binding).join(name), value);
    }
    ServiceBindings::of(environment(&[(
        "SERVICE_BINDING_ROOT",
        folder.join("bindings").to_str().expect("UTF-8"),
    )]))
}

#[test]
fn a_struct_loads_from_each_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let credentials = credentials(
        folder.path(),
        &[("SHOP_ORDERS_URL", URL), ("SHOP_ORDERS_PASSWORD", PASSWORD), ("SHOP_PORT", "1")],
    );
    assert_eq!(findings(&credentials), [""; 0]);

    let entries = [
        ("type", "postgresql"),
        ("host", "db.example"),
        ("username", "shop"),
        ("password", PASSWORD),
        ("database", "shop"),
    ];
    assert_eq!(findings(&bindings(folder.path(), "shop-orders", &entries)), [""; 0]);

    let services = format!(
        r#"{{ "p": [{{ "name": "shop-orders",
                       "credentials": {{ "uri": "{URL}", "password": "{PASSWORD}" }} }},
                    {{ "name": "shop-cache",
                       "credentials": {{ "host": "q.example", "port": 6379, "tls_port": 16379,
                                         "password": "{PASSWORD}" }} }}] }}"#
    );
    assert_eq!(findings(&CloudFoundry::of(environment(&[("VCAP_SERVICES", &services)]))), [""; 0]);

    let path = folder.path().join(".env");
    write(
        &path,
        &format!("SHOP_ORDERS_URL={URL}\nSHOP_ORDERS_PASSWORD='{PASSWORD}'\nSHOP_PORT=1\n"),
    );
    assert_eq!(findings(&DotEnv::file(&path)), [""; 0]);
}

#[test]
fn findings_name_the_binding_the_instance_the_credential_and_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let orders = [
        ("type", "postgresql"),
        ("uri", "postgres://shop@db.example/shop?sslmode=disable"),
        ("password", "vault://shop"),
    ];
    let found = findings(&bindings(folder.path(), "shop-orders", &orders));
    assert!(!found.is_empty());
    for found in found {
        assert!(found.contains(" from the binding `shop-orders`: "), "{found}");
    }
    let services = concat!(
        r#"{ "q": [{ "name": "shop-orders", "#,
        r#""credentials": { "uri": "postgres://shop:changeme@db.example/shop" } }] }"#
    );
    assert_eq!(
        findings(&CloudFoundry::of(environment(&[("VCAP_SERVICES", services)]))),
        ["placeholder_value SHOP_ORDERS_URL from the instance `shop-orders` in `VCAP_SERVICES`: \
             its password is a placeholder, which was not filled in"]
    );
}

#[test]
fn an_earlier_rank_wins_and_a_resource_comes_from_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let entries = [("type", "postgresql"), ("uri", URL), ("password", PASSWORD)];
    let sources = |first: &[(&str, &str)]| {
        Sources::new().then(environment(first)).then(bindings(
            folder.path(),
            "shop-orders",
            &entries,
        ))
    };
    assert_eq!(findings(&sources(&[])), [""; 0], "the environment has nothing of it");
    assert_eq!(findings(&sources(&[("SHOP_PORT", "1"), ("SHOP_KEY", PASSWORD)])), [""; 0]);
    assert_eq!(
        findings(&sources(&[("SHOP_ORDERS_URL", URL), ("SHOP_ORDERS_PASSWORD", PASSWORD)])),
        [""; 0]
    );

    // A leftover locator does not get the binding's password.
    assert_eq!(
        findings(&sources(&[("SHOP_ORDERS_URL", "postgres://shop@evil.example/shop")])),
        [
            "duplicate_variable SHOP_ORDERS_PASSWORD from nowhere: it is in the binding \
             `shop-orders`, and not read: what belongs to `SHOP_ORDERS` is read from the \
             environment (warns)",
            "missing_credentials SHOP_ORDERS_URL from the environment: it has no password, and no \
             client certificate in its place",
        ]
    );
    // Nor does a leftover password get the binding's locator.
    assert_eq!(
        findings(&sources(&[("SHOP_ORDERS_PASSWORD", PASSWORD)])),
        [
            "duplicate_variable SHOP_ORDERS_URL from nowhere: it is in the binding `shop-orders`, \
             and not read: what belongs to `SHOP_ORDERS` is read from the environment (warns)",
            "missing_value SHOP_ORDERS_URL from nowhere: `SHOP_ORDERS_URL` is not set, or empty, \
             in the environment",
        ]
    );
    // A value that cannot be read counts as present.
    let broken = findings(&sources(&[("SHOP_ORDERS_URL", "x"), ("SHOP_ORDERS_URL", "y")]));
    assert!(
        broken.contains(
            &"malformed_value SHOP_ORDERS_URL from nowhere: `SHOP_ORDERS_URL` is given twice"
                .to_owned()
        ),
        "{broken:?}"
    );
    // In an earlier rank, `NAME_FILE` wins over a later `NAME`.
    write(&folder.path().join("key"), PASSWORD);
    let key = folder.path().join("key");
    let both = Sources::new()
        .then(environment(&[
            ("SHOP_KEY_FILE", key.to_str().expect("UTF-8")),
            ("SHOP_ORDERS_URL", URL),
            ("SHOP_ORDERS_PASSWORD", PASSWORD),
        ]))
        .then(environment(&[("SHOP_KEY", "changeme"), ("SHOP_PORT", "eighty")]));
    assert_eq!(
        findings(&both),
        ["malformed_value SHOP_PORT from the environment: `SHOP_PORT` is not a whole number \
             from 0 to 65535"]
    );
}

#[test]
fn within_a_rank_nothing_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    write(&key, PASSWORD);
    let key = key.to_str().expect("UTF-8");
    let rank = |variables: &[(&str, &str)]| {
        let password = [("SHOP_ORDERS_PASSWORD", PASSWORD)];
        Sources::new().then(environment(variables)).beside(credentials(folder.path(), &password))
    };
    assert_eq!(
        findings(&rank(&[("SHOP_ORDERS_URL", URL)])),
        [""; 0],
        "one resource, one rank, two sources"
    );
    for (variables, expected) in [
        (
            [("SHOP_ORDERS_URL", URL), ("SHOP_ORDERS_PASSWORD", PASSWORD)],
            "duplicate_variable SHOP_ORDERS_PASSWORD from nowhere: `SHOP_ORDERS_PASSWORD` is in \
             the environment and in the systemd credential `SHOP_ORDERS_PASSWORD`",
        ),
        (
            [("SHOP_ORDERS_URL", URL), ("SHOP_ORDERS_PASSWORD_FILE", key)],
            "duplicate_variable SHOP_ORDERS_PASSWORD from the systemd credential \
             `SHOP_ORDERS_PASSWORD`: `SHOP_ORDERS_PASSWORD` is in the systemd credential \
             `SHOP_ORDERS_PASSWORD`, and `SHOP_ORDERS_PASSWORD_FILE` in the environment",
        ),
    ] {
        let found = findings(&rank(&variables));
        assert_eq!(found[0], expected);
    }
    let parts = Sources::new()
        .then(environment(&[
            ("SHOP_ORDERS_HOST", "db.example"),
            ("SHOP_ORDERS_PASSWORD", PASSWORD),
        ]))
        .beside(bindings(folder.path(), "shop-orders", &[("type", "postgresql"), ("uri", URL)]));
    assert_eq!(
        findings(&parts),
        ["ambiguous_locator SHOP_ORDERS_URL from the binding `shop-orders`: `SHOP_ORDERS_URL` \
             is in the binding `shop-orders`, and `SHOP_ORDERS_HOST` in the environment"]
    );
}

#[test]
fn a_broken_source_gives_one_finding_per_field() {
    let sources = Sources::new()
        .then(environment(&[("SHOP_PORT", "1")]))
        .then(SystemdCredentials::of(environment(&[("CREDENTIALS_DIRECTORY", "/does/not/exist")])));
    let told = "malformed_value SHOP_ORDERS_URL from nowhere: the folder that \
                `CREDENTIALS_DIRECTORY` names cannot be read";
    assert_eq!(
        findings(&sources),
        [told.to_owned(), told.replace("ORDERS", "CACHE"), told.replace("ORDERS_URL", "KEY")],
        "and the port is in the environment"
    );
    assert_eq!(
        findings(&Sources::new()),
        ["missing_value SHOP_ORDERS_URL from nowhere: `SHOP_ORDERS_URL` is not set, or empty, \
             in no source at all"]
    );
}

#[test]
fn a_value_that_other_users_can_access_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let source =
        credentials(folder.path(), &[("SHOP_ORDERS_URL", URL), ("SHOP_ORDERS_PASSWORD", PASSWORD)]);
    let path = folder.path().join("credentials/SHOP_ORDERS_PASSWORD");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode");
    assert_eq!(findings(&source), [""; 0], "it warns");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o602)).expect("its mode");
    assert_eq!(
        findings(&source),
        ["readable_secret_file SHOP_ORDERS_PASSWORD from the systemd credential \
             `SHOP_ORDERS_PASSWORD`: the value is in a file of which other users of this machine \
             can write the text"]
    );
}

/// If other users can write the folder above it, a binding could be theirs. In a sticky folder,
/// they cannot replace it.
#[test]
fn a_binding_or_a_credential_below_a_folder_of_others_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("bindings");
    let source = bindings(
        folder.path(),
        "shop-orders",
        &[("type", "postgresql"), ("uri", URL), ("password", PASSWORD)],
    );
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode")
    };
    let told = |name: &str, place: &str, what: &str| {
        format!(
            "readable_secret_file SHOP_ORDERS_{name} from the {place}: the value is in a file of \
             which {what}"
        )
    };
    let writable = "other users of this machine can write a folder on the path";
    let place = "binding `shop-orders`";
    assert_eq!(findings(&source), [""; 0]);
    for path in [root.clone(), root.join("shop-orders")] {
        set(&path, 0o777);
        assert_eq!(
            findings(&source),
            [told("URL", place, writable), told("PASSWORD", place, writable)]
        );
        // The mode that Kubernetes gives to the folder of a volume.
        set(&path, 0o1777);
        assert_eq!(findings(&source), [""; 0]);
        set(&path, 0o755);
    }
    // Only an administrator can change the owner of a file.
    let entry = root.join("shop-orders/password");
    if std::os::unix::fs::chown(&entry, Some(54_321), None).is_ok() {
        assert_eq!(
            findings(&source),
            [told("PASSWORD", place, "another user of this machine is the owner")]
        );
        std::os::unix::fs::chown(&entry, Some(0), None).expect("back again");
        std::os::unix::fs::chown(&root, Some(54_321), None).expect("given away");
        let foreign = "another user of this machine owns a folder or a link on the path";
        assert_eq!(
            findings(&source),
            [told("URL", place, foreign), told("PASSWORD", place, foreign)]
        );
    }

    let source =
        credentials(folder.path(), &[("SHOP_ORDERS_URL", URL), ("SHOP_ORDERS_PASSWORD", PASSWORD)]);
    assert_eq!(findings(&source), [""; 0]);
    set(&folder.path().join("credentials"), 0o777);
    let place = |name: &str| format!("systemd credential `SHOP_ORDERS_{name}`");
    let expected =
        [told("URL", &place("URL"), writable), told("PASSWORD", &place("PASSWORD"), writable)];
    assert_eq!(findings(&source), expected);
}

/// The layout of a mounted volume: its folder is sticky and world-writable, its entries belong to
/// the administrator, and each entry is a link into a folder that is replaced as a whole.
#[test]
fn the_mounts_of_platforms_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let binding = folder.path().join("volumes/shop-orders");
    let data = binding.join("..2026_11_29_23_45_00.1234567890");
    for (name, value) in [("type", "postgresql"), ("uri", URL), ("password", PASSWORD)] {
        write(&data.join(name), value);
        // The mode with an `fsGroup`.
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o440)).expect("its mode");
        std::os::unix::fs::symlink(format!("..data/{name}"), binding.join(name)).expect("a link");
    }
    std::os::unix::fs::symlink(data.file_name().expect("a name"), binding.join("..data"))
        .expect("a link");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("its mode");
    fs::set_permissions(&binding, fs::Permissions::from_mode(0o3777)).expect("its mode");
    let root = folder.path().join("volumes");
    let source = ServiceBindings::of(environment(&[(
        "SERVICE_BINDING_ROOT",
        root.to_str().expect("a path in UTF-8"),
    )]));
    assert_eq!(findings(&source), [""; 0]);
    // Docker's secret file, which all users can read: it passes with a warning.
    let secret = folder.path().join("run/secrets/password");
    write(&secret, PASSWORD);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o444)).expect("its mode");
    let secret = secret.to_str().expect("a path in UTF-8");
    assert_eq!(
        findings(&environment(&[("SHOP_ORDERS_URL", URL), ("SHOP_ORDERS_PASSWORD_FILE", secret)])),
        [""; 0]
    );
}
