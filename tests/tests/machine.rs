//! Limits on a source: a network store cannot refer to files of this machine, and a source that
//! blocks cannot hold up the attach.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backing_services::credentials::{Credential, Credentials};
use backing_services::secrecy::SecretString;
use backing_services::source::{CloudFoundry, Source, Sources, Unreadable, Value, WithCredentials};
use backing_services::{
    AttachError, BackingServices, Environment, Failure, Postgres, Resource, Sqlite,
};
use backing_services_tests::attempt::{attach, problems};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::pki::Authority;

const URL: &str = "postgres://shop@db.example/shop";

/// A source that another party writes: its values come from a store.
#[derive(Clone)]
struct Store(Arc<HashMap<String, String>>);

impl Store {
    fn of(values: &[(&str, &str)]) -> Self {
        Self(Arc::new(
            values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ))
    }
}

impl Source for Store {
    fn name(&self) -> Cow<'_, str> {
        "the store".into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        Ok(self.0.get(variable).map(|text| Value::new(text.clone(), "the store")))
    }
}

struct Tokens;

impl Credentials for Tokens {
    async fn fetch(&self) -> Result<Credential, Failure> {
        Ok(Credential::new(PASSWORD))
    }
}

#[derive(BackingServices)]
#[services(prefix = "SHOP")]
#[allow(dead_code, reason = "it is never attached")]
struct Shop {
    orders: Resource<Postgres>,
    key: SecretString,
    #[setting(default = 8080)]
    port: u16,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP")]
#[allow(dead_code, reason = "it is never attached")]
struct Listed {
    #[service(hosts = "*.example")]
    orders: Resource<Postgres>,
}

fn environment(values: &[(&str, &str)]) -> Environment {
    values.iter().copied().collect()
}

/// Every finding: its rule, its variable and its text.
fn findings(error: &AttachError) -> Vec<(&'static str, String, String)> {
    canary::assert_error_silent(error);
    let finding = error.findings();
    finding
        .map(|f| {
            (f.rule().name, f.variable().unwrap_or_default().to_owned(), f.message().to_owned())
        })
        .collect()
}

/// The rules and variables of the findings that end an attempt.
fn denied<T: BackingServices>(source: &dyn Source) -> Vec<(&'static str, String)> {
    let Err(error) = T::check(source) else { return Vec::new() };
    canary::assert_error_silent(&error);
    let denied = error.findings().filter(|finding| finding.is_denied());
    denied
        .map(|finding| (finding.rule().name, finding.variable().unwrap_or_default().to_owned()))
        .collect()
}

/// A file that belongs to this process's user.
fn file(path: &Path, text: &str, mode: u32) -> String {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The values of a shop, one of which is in a file that `NAME_FILE` names.
fn shop<'a>(replaced: &str, in_file: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    let values = [
        ("SHOP_ORDERS_URL", URL),
        ("SHOP_ORDERS_PASSWORD", PASSWORD),
        ("SHOP_KEY", PASSWORD),
        ("SHOP_PORT", "80"),
    ];
    values.into_iter().filter(|(name, _)| *name != replaced).chain([(in_file, path)]).collect()
}

/// A store that names a file, in every combination of sources and wrappers.
#[test]
fn a_store_may_not_name_a_file_whatever_wraps_it() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("Shop CA");
    for (replaced, in_file, text) in [
        ("SHOP_ORDERS_URL", "SHOP_ORDERS_URL_FILE", URL),
        ("SHOP_ORDERS_PASSWORD", "SHOP_ORDERS_PASSWORD_FILE", PASSWORD),
        ("", "SHOP_ORDERS_CA_FILE", authority.pem().as_str()),
        ("SHOP_KEY", "SHOP_KEY_FILE", PASSWORD),
        ("SHOP_PORT", "SHOP_PORT_FILE", "80"),
    ] {
        let path = file(&folder.path().join("value"), text, 0o600);
        let values = shop(replaced, in_file, &path);
        assert_eq!(
            denied::<Shop>(&environment(&values)),
            [],
            "the environment may name it: {in_file}"
        );
        let store = || Store::of(&values);
        let with = |source| WithCredentials::new(source).of("SHOP_OTHER", Tokens);
        let empty = || environment(&[("OTHER", "x")]);
        let sources: Vec<Box<dyn Source>> = vec![
            Box::new(store()),
            Box::new(Arc::new(store())),
            Box::new(Arc::new(Arc::new(store()) as Arc<dyn Source>)),
            Box::new(with(store())),
            Box::new(Sources::new().then(empty()).then(store())),
            Box::new(Sources::new().then(empty()).beside(store())),
            Box::new(
                Sources::new().then(Sources::new().then(empty()).then(Arc::new(with(store())))),
            ),
            Box::new(
                WithCredentials::new(Sources::new().then(store()).then(empty()))
                    .of("SHOP_OTHER", Tokens),
            ),
        ];
        for source in sources {
            assert_eq!(
                denied::<Shop>(&*source),
                [("malformed_value", in_file.to_owned())],
                "{}",
                source.name()
            );
        }
        // The file is not even opened: a missing file gives the same message.
        let error =
            Shop::check(&Store::of(&shop(replaced, in_file, "/does/not/exist"))).unwrap_err();
        let expected = format!(
            "`{in_file}` names a file of this machine, and is in the store, which may not name one"
        );
        assert!(
            findings(&error).contains(&("malformed_value", in_file.to_owned(), expected)),
            "{error}"
        );
    }
}

/// If two sources share a rank, each value is checked by the source that it came from.
#[test]
fn beside_a_store_the_environment_names_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder.path().join("key"), PASSWORD, 0o600);
    let orders = [("SHOP_ORDERS_URL", URL), ("SHOP_ORDERS_PASSWORD", PASSWORD)];
    let own = environment(&[("SHOP_KEY_FILE", &path)]);
    assert_eq!(denied::<Shop>(&Sources::new().then(own.clone()).beside(Store::of(&orders))), []);
    let both = Sources::new()
        .then(own)
        .beside(Store::of(&[orders.as_slice(), &[("SHOP_PORT_FILE", &path)]].concat()));
    assert_eq!(denied::<Shop>(&both), [("malformed_value", "SHOP_PORT_FILE".to_owned())]);
}

/// A local database is a file of this machine, too.
#[test]
fn a_store_may_not_name_a_local_database() {
    #[derive(BackingServices)]
    #[allow(dead_code, reason = "it is never attached")]
    struct Notes {
        notes: Resource<Sqlite>,
    }
    let values = [("NOTES_URL", "sqlite:///var/lib/notes.db")];
    assert_eq!(denied::<Notes>(&environment(&values)), []);
    for source in [
        Arc::new(Store::of(&values)) as Arc<dyn Source>,
        Arc::new(Sources::new().then(Store::of(&values))),
    ] {
        assert_eq!(denied::<Notes>(&*source), [("malformed_value", "NOTES_URL".to_owned())]);
    }
}

/// Otherwise the writer of the locator could choose the server that receives a password of another
/// source.
#[test]
fn a_store_names_no_host_for_credentials_that_are_not_its_own() {
    let url = [("SHOP_ORDERS_URL", URL)];
    let refused = [("unlisted_host", "SHOP_ORDERS_URL".to_owned())];
    let fetched =
        |values: &[(&str, &str)]| WithCredentials::new(Store::of(values)).of("SHOP_ORDERS", Tokens);
    #[derive(BackingServices)]
    #[services(prefix = "SHOP")]
    #[allow(dead_code, reason = "it is never attached")]
    struct Orders {
        orders: Resource<Postgres>,
    }
    // Fetched credentials with the store's locator, or with its parts.
    assert_eq!(denied::<Orders>(&fetched(&url)), refused);
    let parts = [
        ("SHOP_ORDERS_HOST", "db.example"),
        ("SHOP_ORDERS_DATABASE", "shop"),
        ("SHOP_ORDERS_USER", "shop"),
    ];
    assert_eq!(
        denied::<Orders>(&fetched(&parts)),
        [("unlisted_host", "SHOP_ORDERS_HOST".to_owned())]
    );
    let port =
        Sources::new().then(environment(&parts)).beside(Store::of(&[("SHOP_ORDERS_PORT", "1")]));
    let port = WithCredentials::new(port).of("SHOP_ORDERS", Tokens);
    assert_eq!(denied::<Orders>(&port), [("unlisted_host", "SHOP_ORDERS_HOST".to_owned())]);
    // This machine's password with the store's locator.
    let beside =
        |own: &[(&str, &str)]| Sources::new().then(environment(own)).beside(Store::of(&url));
    assert_eq!(denied::<Orders>(&beside(&[("SHOP_ORDERS_PASSWORD", PASSWORD)])), refused);
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder.path().join("password"), PASSWORD, 0o600);
    assert_eq!(denied::<Orders>(&beside(&[("SHOP_ORDERS_PASSWORD_FILE", &path)])), refused);
    // The author of the authority or the key can be that host, from anywhere on the path.
    let ca = Authority::new("Shop CA").pem();
    let pin = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let own = [url[0], ("SHOP_ORDERS_PASSWORD", PASSWORD)];
    let trusting =
        |trust: (&str, &str)| Sources::new().then(environment(&own)).beside(Store::of(&[trust]));
    assert_eq!(
        denied::<Orders>(&trusting(("SHOP_ORDERS_CA", &ca))),
        [("unlisted_host", "SHOP_ORDERS_CA".to_owned())]
    );
    assert!(
        denied::<Orders>(&trusting(("SHOP_ORDERS_PIN", pin)))
            .contains(&("unlisted_host", "SHOP_ORDERS_PIN".to_owned()))
    );
    assert_eq!(denied::<Listed>(&trusting(("SHOP_ORDERS_CA", &ca))), []);
    assert_eq!(
        denied::<Orders>(&environment(&[own.as_slice(), &[("SHOP_ORDERS_CA", &ca)]].concat())),
        []
    );
    // A platform's broker also names a host.
    let services = concat!(
        r#"{ "postgres": [{ "name": "shop-orders", "#,
        r#""credentials": { "uri": "postgres://shop@db.example/shop" } }] }"#
    );
    let platform = || CloudFoundry::of(environment(&[("VCAP_SERVICES", services)]));
    let platform = || WithCredentials::new(platform()).of("SHOP_ORDERS", Tokens);
    assert_eq!(denied::<Orders>(&platform()), refused);

    // Accepted cases: the field lists its hosts, one source has both, or this machine has the
    // locator.
    assert_eq!(denied::<Listed>(&fetched(&url)), []);
    assert_eq!(denied::<Listed>(&platform()), []);
    assert_eq!(denied::<Listed>(&beside(&[("SHOP_ORDERS_PASSWORD", PASSWORD)])), []);
    let elsewhere = [("SHOP_ORDERS_URL", "postgres://shop@db.example.attacker.test/shop")];
    assert_eq!(denied::<Listed>(&fetched(&elsewhere)), refused);
    assert_eq!(denied::<Orders>(&Store::of(&[url[0], ("SHOP_ORDERS_PASSWORD", PASSWORD)])), []);
    assert_eq!(
        denied::<Orders>(&WithCredentials::new(environment(&url)).of("SHOP_ORDERS", Tokens)),
        []
    );
    let error = Orders::check(&fetched(&url)).unwrap_err();
    assert!(error.to_string().contains("hosts = \"db.example.com\""), "{error}");
}

/// The trusted certificates are not secret: other users may read them, but may not write them.
#[test]
fn a_public_value_may_be_readable_by_all_users() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("value");
    let ca = Authority::new("Shop CA").pem();
    let told = |variable: &str, values: &[(&str, &str)]| {
        // An invalid value, so that there is a report, which contains the warnings.
        let values = [values, &[("SHOP_ORDERS_PORT", "no number")]].concat();
        let error = Shop::check(&environment(&values)).unwrap_err();
        findings(&error)
            .into_iter()
            .any(|(rule, about, _)| rule == "readable_secret_file" && about == variable)
    };
    let parts = |public: &'static str| -> Vec<(&str, &str)> {
        let parts = [
            ("SHOP_ORDERS_HOST", "db.example"),
            ("SHOP_ORDERS_USER", "shop"),
            ("SHOP_ORDERS_PASSWORD", PASSWORD),
        ];
        parts
            .into_iter()
            .chain([("SHOP_KEY", PASSWORD)])
            .filter(|(name, _)| *name != public)
            .collect()
    };
    for (name, in_file, text, is_public) in [
        ("SHOP_ORDERS_HOST", "SHOP_ORDERS_HOST_FILE", "db.example", true),
        ("SHOP_ORDERS_DATABASE", "SHOP_ORDERS_DATABASE_FILE", "shop", true),
        ("SHOP_ORDERS_CA", "SHOP_ORDERS_CA_FILE", &ca, true),
        ("SHOP_PORT", "SHOP_PORT_FILE", "80", true),
        ("SHOP_ORDERS_PASSWORD", "SHOP_ORDERS_PASSWORD_FILE", PASSWORD, false),
        ("SHOP_KEY", "SHOP_KEY_FILE", PASSWORD, false),
    ] {
        let at = file(&path, text, 0o644);
        let values = [parts(name), vec![(in_file, at.as_str())]].concat();
        assert_eq!(told(in_file, &values), !is_public, "{in_file}");
        file(&path, text, 0o666);
        assert!(told(in_file, &values), "{in_file}");
        assert!(
            denied::<Shop>(&environment(&values))
                .contains(&("readable_secret_file", in_file.to_owned())),
            "{in_file}"
        );
    }
}

/// A control character ends the password in some protocols: NUL ends a text, and a line break ends
/// a line.
#[test]
fn a_password_holds_no_control_character_wherever_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    for (control, encoded) in
        [("\n", "%0A"), ("\r\n", "%0D%0A"), ("\t", "%09"), ("\u{7f}", "%7F"), ("\0", "%00")]
    {
        let password = format!("{PASSWORD}{control}QUIT");
        let path = file(&folder.path().join("password"), &password, 0o600);
        let key = ("SHOP_KEY", PASSWORD);
        let beside = [("SHOP_ORDERS_URL", URL), key, ("SHOP_ORDERS_PASSWORD", password.as_str())];
        let in_file = [("SHOP_ORDERS_URL", URL), key, ("SHOP_ORDERS_PASSWORD_FILE", path.as_str())];
        let locator = format!("postgres://shop:{PASSWORD}{encoded}QUIT@db.example/shop");
        let within = [("SHOP_ORDERS_URL", locator.as_str()), key];
        for (values, rule, variable) in [
            (beside.as_slice(), "malformed_value", "SHOP_ORDERS_PASSWORD"),
            (&in_file, "malformed_value", "SHOP_ORDERS_PASSWORD_FILE"),
            (&within, "ambiguous_locator", "SHOP_ORDERS_URL"),
        ] {
            assert_eq!(
                denied::<Shop>(&environment(values)),
                [(rule, variable.to_owned())],
                "{control:?}"
            );
        }
        let user =
            [beside[0], key, ("SHOP_ORDERS_PASSWORD", PASSWORD), ("SHOP_ORDERS_USER", &password)];
        let user = user.map(|(name, value)| {
            if name == "SHOP_ORDERS_URL" {
                (name, "postgres://db.example/shop")
            } else {
                (name, value)
            }
        });
        assert_eq!(
            denied::<Shop>(&environment(&user)),
            [("malformed_value", "SHOP_ORDERS_USER".to_owned())],
            "{control:?}"
        );
        let parts = [
            ("SHOP_ORDERS_HOST", "db.example"),
            key,
            ("SHOP_ORDERS_USER", "shop"),
            ("SHOP_ORDERS_PASSWORD", PASSWORD),
        ];
        let database = [parts.as_slice(), &[("SHOP_ORDERS_DATABASE", password.as_str())]].concat();
        assert_eq!(
            denied::<Shop>(&environment(&database)),
            [("ambiguous_locator", "SHOP_ORDERS_HOST".to_owned())],
            "{control:?}"
        );
    }
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 1)]
struct Hasty {
    notes: Resource<Sqlite>,
    #[allow(dead_code, reason = "it is only attached")]
    key: SecretString,
}

/// A source that never returns, or panics, for one variable.
#[derive(Clone)]
struct Stuck {
    values: Environment,
    panics: bool,
}

impl Source for Stuck {
    fn name(&self) -> Cow<'_, str> {
        "the stuck source".into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        if variable == "SHOP_KEY" {
            assert!(!self.panics, "the source panics");
            loop {
                std::thread::park();
            }
        }
        self.values.get(variable)
    }
}

/// The kinds and fields of the failures.
fn failed(error: &AttachError) -> Vec<(&'static str, String)> {
    error.failures().map(|failure| (failure.kind().name(), failure.field().to_owned())).collect()
}

/// Also in a single-threaded runtime. It continues meanwhile, and it ends although the source does
/// not.
#[test]
fn a_source_that_blocks_is_waited_for_as_long_as_attaching_may_take() {
    let folder = tempfile::tempdir().unwrap();
    let locator = format!("sqlite://{}/notes.db", folder.path().display());
    let good = environment(&[("SHOP_NOTES_URL", &locator), ("SHOP_KEY", PASSWORD)]);
    let stuck = |panics| Stuck { values: good.clone(), panics };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    runtime.block_on(async {
        let ticking = tokio::spawn(async move {
            let mut ticks = 0_u32;
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                ticks += 1;
                if ticks == 10 {
                    return begun.elapsed();
                }
            }
        });
        let error = Hasty::attach_from(&stuck(false)).await.err().unwrap();
        assert_eq!(failed(&error), [("timed_out", "key".to_owned())], "{error}");
        assert!(
            ticking.await.unwrap() < Duration::from_millis(950),
            "the runtime goes on meanwhile"
        );
        let error = Hasty::attach_from(&stuck(true)).await.err().unwrap();
        assert_eq!(failed(&error), [("protocol", "key".to_owned())], "{error}");

        let services = Hasty::attach_from(&good).await.unwrap();
        let error = services.reattach(&stuck(false)).await.unwrap_err();
        assert_eq!(failed(&error), [("timed_out", "key".to_owned())], "{error}");
        services.reattach(&good).await.unwrap();
        services.notes.health().await.unwrap();
        services.detach().await;
    });
    drop(runtime);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// A pipe without a writer and the kernel's special files end an attempt at once.
#[tokio::test]
async fn a_special_file_does_not_block() {
    let folder = tempfile::tempdir().unwrap();
    let locator = format!("sqlite://{}/notes.db", folder.path().display());
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [
        pipe.to_str().unwrap(),
        "/proc/self/environ",
        "/proc/kmsg",
        "/dev/zero",
        "/sys/kernel/uevent_seqnum",
    ] {
        let begun = Instant::now();
        let attached =
            attach::<Hasty>(&[("SHOP_NOTES_URL", locator.as_str()), ("SHOP_KEY_FILE", path)]).await;
        assert_eq!(problems(&attached.err().unwrap()), ["malformed_value"], "{path}");
        assert!(begun.elapsed() < Duration::from_millis(900), "{path}: {:?}", begun.elapsed());
    }
}
