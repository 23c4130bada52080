//! Tests of loading a resource: who decides which host gets the password, and what is fetched.

use std::borrow::Cow;

use backing_services_rules::rule::{MISSING_CREDENTIALS, UNLISTED_HOST};
use backing_services_rules::{Rule, Scheme};
use secrecy::SecretString;

use super::*;
use crate::declare::manifest::{Field, Manifest};
use crate::live::field::Attached;
use crate::live::resource::Resource;
use crate::load::{Content, Keep, Progress, is_user_name, read};
use crate::locator::dialect::Login;
use crate::needs::{Grantable, Names};
use crate::report::error::Problem;
use crate::report::finding::Failure;
use crate::report::posture::Posture;
use crate::report::refusal::Refusal;
use crate::service::credentials::{Credential, Credentials};
use crate::service::target::Attempt;
use crate::service::{Attachment, Service};
use crate::source::{Source, Unreadable, Value as SourceValue, WithCredentials};

const PASSWORD: &str = "kX3-vR9_wQ1z";

/// A service that is dialled at the host of its locator.
struct Gophers;

/// A service with an endpoint. Its own check is about the login, and about the hole `odd`.
struct Burrow;

macro_rules! never_connected {
    ($service:ty) => {
        type Client = ();
        type Guard = crate::resource::ClientGuard<$service>;

        async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
            Ok(Attachment::new((), Posture::of::<Self>(target)))
        }

        async fn health((): &()) -> Result<(), Refusal> {
            Ok(())
        }

        async fn close((): &()) {}
    };
}

impl Service for Gophers {
    never_connected!(Gophers);
    const NAME: &'static str = "Gopher";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("gophers").with_port(7070)];
}

impl Service for Burrow {
    never_connected!(Burrow);
    const NAME: &'static str = "Burrow";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("burrow").with_port(7071)];
    const PATH: Option<&'static str> = Some("the hole");
    const PRIVILEGES: &'static [Grantable] =
        &[Grantable::new("MENU", &["READ", "WRITE"], Names::Patterns)];
    const ENDPOINT: Option<fn(&Locator) -> Option<String>> =
        Some(|locator| Some(format!("https://{}.example.com", locator.host()?)));

    fn check(target: &Target) -> Vec<Finding> {
        let of_login = Finding::new(&MISSING_CREDENTIALS, "the burrow asks for a key");
        let of_path = Finding::new(&MALFORMED_VALUE, "it is no hole");
        if target.locator.path() == "odd" { vec![of_login, of_path] } else { Vec::new() }
    }
}

/// A service whose locator may list several hosts.
struct Flock;

impl Service for Flock {
    never_connected!(Flock);
    const NAME: &'static str = "Flock";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("flock").with_port(7072)];
    const PATH: Option<&'static str> = Some("the meadow");
    const SEVERAL_HOSTS: bool = true;
}

macro_rules! manifest {
    ($service:ty, $declaration:expr) => {
        Manifest::new(
            "Services",
            const { &[Field::new($declaration, <Resource<$service> as Attached>::CATEGORY)] },
        )
    };
}

static ORDERS: Manifest = manifest!(Gophers, Declaration::new("orders", "ORDERS"));
static LISTED: Manifest =
    manifest!(Gophers, Declaration::new("orders", "ORDERS").hosts(&["*.example.com"]));
static BURROW: Manifest =
    manifest!(Burrow, Declaration::new("orders", "ORDERS").needs("READ ON menu:*"));

static FLOCK: Manifest = manifest!(Flock, Declaration::new("orders", "ORDERS"));
static LISTED_FLOCK: Manifest =
    manifest!(Flock, Declaration::new("orders", "ORDERS").hosts(&["*.example.com"]));

/// A source whose values are this machine's, or those of other authors.
struct Store(Vec<(&'static str, &'static str, Author)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    Own,
    Foreign,
}

use Author::{Foreign, Own};

impl Source for Store {
    fn name(&self) -> Cow<'_, str> {
        "the store".into()
    }

    fn get(&self, variable: &str) -> Result<Option<SourceValue>, Unreadable> {
        let found = self.0.iter().find(|(name, _, _)| *name == variable);
        Ok(found.map(|(_, text, author)| {
            let value = SourceValue::new(*text, "the store");
            if *author == Own { value.of_this_machine() } else { value }
        }))
    }
}

struct Tokens;

impl Credentials for Tokens {
    async fn fetch(&self) -> Result<Credential, Failure> {
        Ok(Credential::new(PASSWORD))
    }
}

/// The target, if all rules accept it, and the rule and the variable of each finding.
fn loaded(
    manifest: &'static Manifest,
    source: &dyn Source,
) -> (Option<Arc<Target>>, Vec<(&'static Rule, String)>) {
    let loaded = read(manifest, source, None, Keep::Everything, &Progress::default()).loaded;
    let target = loaded.items.into_iter().find_map(|item| match item.content {
        Content::Resource { target, .. } => Some(target),
        _ => None,
    });
    let findings = loaded.problems.into_iter().filter_map(|(_, problem)| match problem {
        Problem::Finding(finding) => {
            Some((finding.rule(), finding.variable().unwrap_or_default().to_owned()))
        }
        _ => None,
    });
    (target, findings.collect())
}

#[test]
fn a_password_of_this_machine_goes_to_no_host_that_others_choose() {
    const URL: &str = "gophers://ada@db.example.com/";
    let unlisted = |variable: &str| vec![(&UNLISTED_HOST, variable.to_owned())];
    for (manifest, url, password, expected) in [
        (&ORDERS, Own, Own, vec![]),
        (&ORDERS, Own, Foreign, vec![]),
        (&ORDERS, Foreign, Foreign, vec![]),
        (&ORDERS, Foreign, Own, unlisted("ORDERS_URL")),
        (&LISTED, Foreign, Own, vec![]),
    ] {
        let store = Store(vec![("ORDERS_URL", URL, url), ("ORDERS_PASSWORD", PASSWORD, password)]);
        let (target, findings) = loaded(manifest, &store);
        assert_eq!(target.is_some(), expected.is_empty());
        assert_eq!(findings, expected);
    }
    // The author of the pin can be any host.
    for (pin, expected) in [(Own, false), (Foreign, true)] {
        let store = Store(vec![
            ("ORDERS_URL", URL, Own),
            ("ORDERS_PASSWORD", PASSWORD, Own),
            ("ORDERS_PIN", "no pin", pin),
        ]);
        let findings = loaded(&ORDERS, &store).1;
        assert_eq!(findings.contains(&unlisted("ORDERS_PIN")[0]), expected, "{findings:?}");
    }
}

#[test]
fn the_author_of_the_endpoint_chooses_the_host() {
    for (url, endpoint, is_accepted) in
        [(Foreign, Some(Own), true), (Own, Some(Foreign), false), (Own, None, true)]
    {
        let mut values = vec![
            ("ORDERS_URL", "burrow://ada@menus/deep", url),
            ("ORDERS_PASSWORD", PASSWORD, Own),
        ];
        values.extend(
            endpoint.map(|author| ("ORDERS_ENDPOINT", "https://other.example.com", author)),
        );
        let (target, findings) = loaded(&BURROW, &Store(values));
        assert_eq!(findings.is_empty(), is_accepted, "{findings:?}");
        let Some(target) = target else {
            assert_eq!(findings, [(&UNLISTED_HOST, "ORDERS_URL".to_owned())]);
            continue;
        };
        let host = if endpoint.is_some() { "other" } else { "menus" };
        let expected = format!("https://{host}.example.com:443/");
        assert_eq!(target.endpoint().unwrap().to_string(), expected);
        let needs: Vec<_> = target.needs().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(needs, ["READ ON MENU menu:*"]);
    }
}

/// Loads parts: what the locator shows, or the findings.
fn of_parts(manifest: &'static Manifest, parts: &[(&'static str, &'static str)]) -> String {
    let mut values = vec![("ORDERS_USER", "ada", Own), ("ORDERS_PASSWORD", PASSWORD, Own)];
    values.extend(parts.iter().map(|(name, value)| (*name, *value, Own)));
    let (target, findings) = loaded(manifest, &Store(values));
    let findings: Vec<_> =
        findings.iter().map(|(rule, variable)| format!("{} {variable}", rule.name)).collect();
    target.map_or_else(|| findings.join(", "), |target| target.locator().to_string())
}

#[test]
fn the_parts_of_a_locator_may_be_lists_too() {
    for (host, port, expected) in [
        ("a.example,b.example", None, "flock://a.example:7072,b.example:7072/"),
        ("a.example,b.example", Some("5"), "flock://a.example:5,b.example:5/"),
        ("a.example,b.example", Some("5,6"), "flock://a.example:5,b.example:6/"),
        ("2001:db8::1,b.example", Some("5,6"), "flock://[2001:db8::1]:5,b.example:6/"),
        ("a.example:5,b.example", None, "flock://a.example:5,b.example:7072/"),
        ("a.example", Some("5"), "flock://a.example:5/"),
        ("a.example", Some("5,6"), "malformed_value ORDERS_PORT"),
        ("a.example,b.example", Some("5,6,7"), "malformed_value ORDERS_PORT"),
        ("a,b,c", Some("5,6"), "malformed_value ORDERS_PORT"),
        ("a.example,b.example", Some("5,"), "malformed_locator ORDERS_HOST"),
        ("a.example,,b.example", Some("5"), "malformed_locator ORDERS_HOST"),
        ("a.example:4,b.example", Some("5"), "malformed_locator ORDERS_HOST"),
        ("a.example,a.example", Some("5,5"), "malformed_locator ORDERS_HOST"),
        ("a,b,c,d,e,f,g,h,i", Some("1,2"), "malformed_locator ORDERS_HOST"),
    ] {
        let mut parts = vec![("ORDERS_HOST", host)];
        parts.extend(port.map(|port| ("ORDERS_PORT", port)));
        assert_eq!(of_parts(&FLOCK, &parts), expected, "{host} {port:?}");
    }
    // Another service has one host and one port.
    for parts in [
        &[("ORDERS_HOST", "a.example,b.example")][..],
        &[("ORDERS_HOST", "a.example"), ("ORDERS_PORT", "5,6")],
        &[("ORDERS_HOST", "a.example,b.example"), ("ORDERS_PORT", "5,6")],
    ] {
        let refused = of_parts(&ORDERS, parts);
        assert!(refused.starts_with("malformed_locator ORDERS_HOST"), "{refused}");
    }
}

#[test]
fn every_host_of_a_list_passes_the_rules_about_hosts() {
    for (manifest, hosts, expected) in [
        (&FLOCK, "a.example,b.example", vec![]),
        (&FLOCK, "a.example,169.254.169.254", vec!["forbidden_address"]),
        (&FLOCK, "metadata.google.internal,a.example,[fe80::1]", vec!["forbidden_address"; 2]),
        // Two ports of one host are not two hosts.
        (&FLOCK, "a.example:5432,5433", vec!["forbidden_address"]),
        (&FLOCK, "a.example,__REPLICA__", vec!["placeholder_value"]),
        (&FLOCK, "changeme,a.example", vec!["placeholder_value"]),
        (&LISTED_FLOCK, "a.example.com,b.example.com", vec![]),
        (&LISTED_FLOCK, "a.example.com,b.example", vec!["unlisted_host"]),
        (&LISTED_FLOCK, "b.example,a.example.com,c.example", vec!["unlisted_host"; 2]),
        (
            &LISTED_FLOCK,
            "a.example.com,169.254.169.254",
            vec!["forbidden_address", "unlisted_host"],
        ),
    ] {
        let url: &'static str = format!("flock://ada@{hosts}/north").leak();
        let store = Store(vec![("ORDERS_URL", url, Own), ("ORDERS_PASSWORD", PASSWORD, Own)]);
        let (target, findings) = loaded(manifest, &store);
        let rules: Vec<_> = findings.iter().map(|(rule, _)| rule.name).collect();
        assert_eq!(rules, expected, "{hosts}");
        assert_eq!(target.is_some(), expected.is_empty(), "{hosts}");
    }
    // A password of this machine goes to no host that others choose.
    let url = "flock://ada@a.example.com,b.example.com/north";
    let store = Store(vec![("ORDERS_URL", url, Foreign), ("ORDERS_PASSWORD", PASSWORD, Own)]);
    assert_eq!(loaded(&FLOCK, &store).1, [(&UNLISTED_HOST, "ORDERS_URL".to_owned())]);
    assert_eq!(loaded(&LISTED_FLOCK, &store).1, []);
}

#[test]
fn the_posture_names_every_host() {
    let url = "flock://ada@a.example,b.example:5/north";
    let store = Store(vec![("ORDERS_URL", url, Own), ("ORDERS_PASSWORD", PASSWORD, Own)]);
    let target = loaded(&FLOCK, &store).0.unwrap();
    let posture = Posture::of::<Flock>(&target);
    assert_eq!(posture.endpoint, "flock://a.example:7072,b.example:5/north");
    let each: Vec<_> =
        target.each_host().map(|target| Posture::of::<Flock>(&target).endpoint).collect();
    assert_eq!(each, ["flock://a.example:7072/north", "flock://b.example:5/north"]);
    assert!(target.each_host().all(|target| target.password().is_some()));
}

#[test]
fn fetched_credentials_take_the_place_of_the_password() {
    let url = |url, author| WithCredentials::new(Store(vec![("ORDERS_URL", url, author)]));
    let source = url("burrow://ada@menus/deep", Own).of("ORDERS", Tokens);
    let (target, findings) = loaded(&BURROW, &source);
    assert_eq!(findings, []);
    assert!(target.unwrap().fetched.is_some());

    let source = url("gophers://ada@db.example.com/", Foreign).of("ORDERS", Tokens);
    assert_eq!(loaded(&ORDERS, &source).1, [(&UNLISTED_HOST, "ORDERS_URL".to_owned())]);

    // The findings of the service's own check on the login wait for the credentials.
    let of_path = (&MALFORMED_VALUE, "ORDERS_URL".to_owned());
    let of_login = (&MISSING_CREDENTIALS, "ORDERS_URL".to_owned());
    let source = url("burrow://ada@menus/odd", Own).of("ORDERS", Tokens);
    assert_eq!(loaded(&BURROW, &source).1, std::slice::from_ref(&of_path));
    let store = Store(vec![
        ("ORDERS_URL", "burrow://ada@menus/odd", Own),
        ("ORDERS_PASSWORD", PASSWORD, Own),
    ]);
    assert_eq!(loaded(&BURROW, &store).1, [of_login, of_path]);
}

/// A value that is there, and cannot be used, is not missing too.
#[test]
fn a_login_that_was_refused_is_not_missing() {
    let duplicate =
        |variable: &str| (&backing_services_rules::rule::DUPLICATE_VARIABLE, variable.to_owned());
    for (values, variable) in [
        (["ORDERS_USER", "ORDERS_USER_FILE", "ORDERS_PASSWORD"], "ORDERS_USER"),
        (["ORDERS_PASSWORD", "ORDERS_PASSWORD_FILE", "ORDERS_USER"], "ORDERS_PASSWORD"),
    ] {
        let mut values: Vec<_> = values.map(|name| (name, PASSWORD, Own)).to_vec();
        values[2].1 = "another-83-text";
        values.push(("ORDERS_URL", "gophers://db.example.com/", Own));
        assert_eq!(loaded(&ORDERS, &Store(values)).1, [duplicate(variable)]);
    }
    // Another mistake does not explain it.
    let store = Store(vec![
        ("ORDERS_URL", "gophers://db.example.com/", Own),
        ("ORDERS_PASSWORD", PASSWORD, Own),
        ("ORDERS_PIN", "no pin", Own),
    ]);
    let findings = loaded(&ORDERS, &store).1;
    assert!(findings.iter().any(|(rule, _)| *rule == &MISSING_CREDENTIALS), "{findings:?}");
}

#[test]
fn a_login_has_what_its_service_asks_for() {
    use Login::{None as Nothing, Optional, Password, UserAndPassword};
    let (ada, good, weak) = (Some("ada"), Some(PASSWORD), Some("short"));
    for (login, user, password, has_certificate, expected) in [
        (Nothing, None, None, false, &[][..]),
        (UserAndPassword, ada, good, false, &[]),
        (UserAndPassword, ada, None, true, &[]),
        (UserAndPassword, ada, None, false, &["it has no password, and no client certificate"]),
        (UserAndPassword, None, good, false, &["it names no user"]),
        (UserAndPassword, None, None, true, &["it names no user"]),
        (UserAndPassword, None, weak, false, &["it names no user", "its password has fewer"]),
        (Password, None, good, false, &[]),
        (Password, None, None, true, &[]),
        (Password, None, None, false, &["it has no password, and no client certificate"]),
        (Optional, None, None, false, &[]),
        (Optional, ada, None, false, &["it has no password, and no client certificate"]),
        (Optional, ada, weak, false, &["its password has fewer"]),
    ] {
        let password = password.map(SecretString::from);
        let findings = check_login(login, user, password.as_ref(), has_certificate, "X_URL", "X");
        let case = (login, user, has_certificate);
        assert_eq!(findings.len(), expected.len(), "{case:?}: {findings:?}");
        for (finding, expected) in findings.iter().zip(expected) {
            assert!(finding.message().starts_with(expected), "{case:?}: {finding}");
        }
    }
    for (name, is_one) in [
        (&*"a".repeat(256), true),
        (&*"a".repeat(257), false),
        ("a\u{7}b", false),
        ("a\u{200b}b", false),
        ("a b", true),
    ] {
        assert_eq!(is_user_name(name), is_one, "{name:?}");
    }
}
