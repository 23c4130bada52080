//! The services that Cloud Foundry binds to an application: `VCAP_SERVICES`, or the file that
//! `VCAP_SERVICES_FILE_PATH` names.

use std::borrow::Cow;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;

use super::{
    Changes, Environment, Notice, Source, Unreadable, Value, file, login_within, path_in, split,
};
use crate::report::text::printable;
use crate::source::base_names::BaseNames;
use crate::source::json::Wiped;

/// The services that Cloud Foundry binds to an application ([`VCAP_SERVICES`]); none elsewhere.
///
/// An instance's name is the base name of a resource's variables, in upper case and with `_` for
/// every character that is not a letter or a digit: `shop-orders` has the values of
/// `SHOP_ORDERS_URL` and its companions. [`with_instance`](Self::with_instance) gives another name.
/// It holds resources only.
///
/// | variable | credential, the first that exists |
/// |---|---|
/// | `_URL` | `uri`, or a single one in `uris` |
/// | `_HOST` | `hostname`, `host` |
/// | `_PORT` | `tls_port`, `port` |
/// | `_DATABASE` | `vhost`, `database`, `dbname`, `name` |
/// | `_USER`, `_PASSWORD` | `username`, `user`; `password` |
/// | `_CA` | `tls.cert.ca`, `ca_certificate`, `sslrootcert` |
///
/// - **TLS comes first.** If `protocols` has an entry `amqps` or `amqp+ssl`, that entry is read
///   instead of the credentials around it. If there is a `tls_port`, the parts are read, and not
///   the `uri`, which leads to the other port. A locator that still asks for plaintext is refused,
///   as in every source.
/// - If there is a `uri`, it holds the host, the port and the database, which are then read nowhere
///   else. The same applies to the user and the password if the `uri` holds them.
/// - `VCAP_SERVICES` and `VCAP_SERVICES_FILE_PATH` together are an error, as are two instances with
///   one name or one base name.
/// - `DATABASE_URL`, which buildpacks derive from the first service they find, is ignored.
/// - The text may have 1 MiB, which is the platform's own limit for the file, and its objects a
///   depth of 128, which is the limit of `serde_json`.
///
/// ```
/// use backing_services::source::{CloudFoundry, Environment, Source};
///
/// let services = r#"{ "redis": [{
///     "name": "shop-cache",
///     "credentials": { "host": "q-s0.redis", "port": 6379, "tls_port": 16379 }
/// }] }"#;
/// let source = CloudFoundry::of(Environment::from_iter([("VCAP_SERVICES", services)]));
/// assert!(source.get("SHOP_CACHE_PORT").unwrap().is_some());
/// ```
///
/// [`VCAP_SERVICES`]: https://docs.cloudfoundry.org/devguide/deploy-apps/environment-variable.html#VCAP-SERVICES
#[derive(Clone)]
pub struct CloudFoundry {
    environment: Environment,
    /// Instances whose base name is not their own name.
    names: BaseNames,
}

const VARIABLE: &str = "VCAP_SERVICES";
const VARIABLE_OF_FILE: &str = "VCAP_SERVICES_FILE_PATH";

/// The complete text from the platform.
struct Text {
    text: SecretString,
    /// The variable that it comes from.
    origin: &'static str,
    notices: Vec<Notice>,
}

impl CloudFoundry {
    /// The services of this process.
    #[must_use]
    pub fn process() -> Self {
        Self::of(Environment::process())
    }

    /// The services in this environment, or in the file that it names.
    #[must_use]
    pub const fn of(environment: Environment) -> Self {
        Self { environment, names: BaseNames::new() }
    }

    /// Gives an instance this base name instead of its own: `DATABASE` for `DATABASE_URL` and its
    /// companions.
    #[must_use]
    pub fn with_instance(mut self, instance: impl Into<String>, base: impl Into<String>) -> Self {
        self.names.add(instance.into(), base.into());
        self
    }

    fn text(&self) -> Result<Option<Text>, Unreadable> {
        let direct = self
            .environment
            .get(VARIABLE)
            .map_err(|why| Unreadable::whole(format!("`{VARIABLE}` {why}")))?;
        let path = path_in(&self.environment, VARIABLE_OF_FILE)?;
        match (direct, path) {
            (Some(_), Some(_)) => Err(Unreadable::whole(format!(
                "`{VARIABLE}` and `{VARIABLE_OF_FILE}` are both set, and the platform sets one"
            ))),
            (Some(value), None) => {
                Ok(Some(Text { text: value.into_parts().0, origin: VARIABLE, notices: Vec::new() }))
            }
            (None, Some(path)) => {
                let found = file::read(&path).map_err(|fault| {
                    Unreadable::whole(format!("`{VARIABLE_OF_FILE}` names a file that {fault}"))
                })?;
                Ok(found.text.map(|text| Text {
                    text,
                    origin: VARIABLE_OF_FILE,
                    notices: found.notices,
                }))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Every instance, and its credentials. `None` if the text does not have the platform's format.
fn instances(services: &Json) -> Option<Vec<(&str, &Json)>> {
    let mut instances = Vec::new();
    for list in services.as_object()?.values() {
        for instance in list.as_array()? {
            let name =
                ["instance_name", "name"].iter().find_map(|key| instance.get(key)?.as_str())?;
            instances.push((name, instance.get("credentials").unwrap_or(&Json::Null)));
        }
    }
    Some(instances)
}

/// The first of these credentials that is a non-empty text or a number.
fn first(credentials: &Json, keys: &[&str]) -> Option<SecretString> {
    keys.iter().find_map(|key| match credentials.get(key)? {
        Json::String(text) if !text.is_empty() => Some(text.as_str().into()),
        Json::Number(number) => Some(number.to_string().into()),
        _ => None,
    })
}

/// The value in an instance's credentials for one ending.
fn credential(credentials: &Json, ending: &str) -> Option<SecretString> {
    let protocols = credentials.get("protocols");
    let entry =
        ["amqps", "amqp+ssl"].iter().find_map(|name| protocols?.get(name)).unwrap_or(credentials);
    let uri = if entry.get("tls_port").is_some() {
        None
    } else {
        first(entry, &["uri"]).or_else(|| match entry.get("uris")?.as_array()?.as_slice() {
            [Json::String(uri)] => Some(uri.as_str().into()),
            _ => None,
        })
    };
    let (has_user, has_password) =
        uri.as_ref().map_or((false, false), |uri| login_within(uri.expose_secret()));
    match ending {
        "_URL" => uri,
        "_HOST" | "_PORT" | "_DATABASE" if uri.is_some() => None,
        "_HOST" => first(entry, &["hostname", "host"]),
        "_PORT" => first(entry, &["tls_port", "port"]),
        "_DATABASE" => first(entry, &["vhost", "database", "dbname", "name"]),
        "_USER" if !has_user => first(entry, &["username", "user"]),
        "_PASSWORD" if !has_password => first(entry, &["password"]),
        "_CA" => credentials
            .pointer("/tls/cert")
            .and_then(|cert| first(cert, &["ca"]))
            .or_else(|| first(credentials, &["ca_certificate", "sslrootcert"])),
        _ => None,
    }
}

impl Source for CloudFoundry {
    fn name(&self) -> Cow<'_, str> {
        "Cloud Foundry's bound services".into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        let Some((base, ending)) = split(variable) else { return Ok(None) };
        let Some(Text { text, origin, notices }) = self.text()? else { return Ok(None) };
        let malformed = || {
            Unreadable::whole(format!(
                "`{origin}` does not hold the JSON that Cloud Foundry writes"
            ))
        };
        let services = Wiped::parse(text.expose_secret().as_bytes()).ok_or_else(malformed)?;
        let mut instances = instances(&services).ok_or_else(malformed)?;
        instances.sort_by_key(|(name, _)| *name);
        if let Some(pair) = instances.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Unreadable::whole(format!(
                "`{origin}` holds two instances with the name `{}`",
                printable(pair[0].0)
            )));
        }
        let mut found = instances.into_iter().filter(|(name, _)| self.names.is_of(name, base));
        let Some((name, credentials)) = found.next() else { return Ok(None) };
        if let Some((other, _)) = found.next() {
            let (one, other) = (printable(name), printable(other));
            return Err(Unreadable::whole(format!(
                "the instances `{one}` and `{other}` are both for `{base}`"
            )));
        }
        let place = format!("the instance `{}` in `{origin}`", printable(name));
        Ok(credential(credentials, ending)
            .map(|text| Value::new(text, place).with_notices(notices)))
    }

    fn changes(&self) -> Changes {
        Changes::of_files(path_in(&self.environment, VARIABLE_OF_FILE).ok().flatten())
    }
}

impl fmt::Debug for CloudFoundry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudFoundry").field("names", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(services: &str) -> CloudFoundry {
        CloudFoundry::of(Environment::from_iter([(VARIABLE, services)]))
    }

    fn all(source: &CloudFoundry, base: &str) -> Vec<String> {
        backing_services_rules::variable::RESOURCE_ENDINGS
            .iter()
            .filter_map(|ending| {
                let value = source.get(&format!("{base}{ending}")).unwrap()?;
                assert!(value.place().starts_with("the instance `"), "{}", value.place());
                Some(format!("{ending}={}", value.text().expose_secret()))
            })
            .collect()
    }

    #[test]
    fn credentials_are_a_resources_variables_and_tls_comes_first() {
        let services = r#"{
            "p.mysql": [{ "name": "x", "instance_name": "shop-orders", "credentials": {
                "hostname": "db", "port": 3306, "name": "service_db",
                "username": "u", "password": "p",
                "tls": { "cert": { "ca": "PEM" } } } }],
            "p.redis": [{ "name": "Cache One", "credentials": {
                "host": "q-s0", "port": 6379, "tls_port": 16379, "password": "p",
                "uri": "redis://:p@q-s0:6379" } }],
            "p.rabbitmq": [
                { "name": "queue", "credentials": { "uri": "amqp://u:p@q:5672/v", "protocols": {
                    "amqp": { "uri": "amqp://u:p@q:5672/v" },
                    "amqp+ssl": { "uri": "amqps://u:p@q:5671/v", "username": "u",
                        "port": 5671 } } } },
                { "name": "parts", "credentials": { "protocols": {
                    "amqps": { "host": "q", "port": 5671, "username": "u", "password": "p",
                        "vhost": "v" } } } },
                { "name": "clear", "credentials": { "uri": "amqp://u:p@q/v", "username": "u" } }],
            "user-provided": [
                { "name": "list", "credentials": { "uris": ["postgres://u@a/d"],
                    "password": "p", "username": "u", "host": "a" } },
                { "name": "lists", "credentials": { "uris": ["postgres://a/d", "postgres://b/d"],
                    "host": "a" } },
                { "name": "odd", "credentials": {
                    "host": null, "port": true, "username": "", "password": ["p"] } },
                { "name": "none" }]
        }"#;
        let source = source(services).with_instance("shop-orders", "DATABASE");
        for (base, values) in [
            ("DATABASE", "_HOST=db _PORT=3306 _DATABASE=service_db _USER=u _PASSWORD=p _CA=PEM"),
            ("SHOP_ORDERS", ""),
            ("CACHE_ONE", "_HOST=q-s0 _PORT=16379 _PASSWORD=p"),
            ("QUEUE", "_URL=amqps://u:p@q:5671/v"),
            ("PARTS", "_HOST=q _PORT=5671 _DATABASE=v _USER=u _PASSWORD=p"),
            ("CLEAR", "_URL=amqp://u:p@q/v"),
            ("LIST", "_URL=postgres://u@a/d _PASSWORD=p"),
            ("LISTS", "_HOST=a"),
            ("ODD", ""),
            ("NONE", ""),
            ("ABSENT", ""),
        ] {
            assert_eq!(all(&source, base).join(" "), values, "{base}");
        }
    }

    #[test]
    fn broken_services_are_reported_without_their_values() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let twice = r#"{ "a": [{ "name": "x" }], "b": [{ "name": "x" }] }"#;
        let both = r#"{ "a": [{ "name": "a-b" }, { "name": "A.B" }] }"#;
        for (services, message) in [
            ("s3cret", "`VCAP_SERVICES` does not hold the JSON that Cloud Foundry writes"),
            (&*deep, "`VCAP_SERVICES` does not hold the JSON that Cloud Foundry writes"),
            ("[]", "`VCAP_SERVICES` does not hold the JSON that Cloud Foundry writes"),
            (r#"{ "a": {} }"#, "`VCAP_SERVICES` does not hold the JSON that Cloud Foundry writes"),
            (
                r#"{ "a": [{ "label": "s3cret" }] }"#,
                "`VCAP_SERVICES` does not hold the JSON that Cloud Foundry writes",
            ),
            (twice, "`VCAP_SERVICES` holds two instances with the name `x`"),
            (both, "the instances `A.B` and `a-b` are both for `A_B`"),
        ] {
            let error = source(services).get("A_B_URL").unwrap_err();
            assert_eq!((error.to_string().as_str(), error.is_whole()), (message, true));
        }
        let large = "x".repeat(super::super::MAX_VALUE + 1);
        assert_eq!(
            source(&large).get("A_URL").unwrap_err().to_string(),
            "`VCAP_SERVICES` is longer than 1 MiB"
        );
        assert!(
            source("{}").get("A_URL").unwrap().is_none()
                && source("").get("A_URL").unwrap().is_none()
        );
    }

    #[test]
    fn the_services_may_be_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vcap").to_str().unwrap().to_owned();
        let of = |variables: &[(&str, &str)]| CloudFoundry::of(variables.iter().copied().collect());
        std::fs::write(
            &path,
            r#"{ "a": [{ "name": "orders", "credentials": { "host": "db" } }] }"#,
        )
        .unwrap();
        let source = of(&[(VARIABLE_OF_FILE, &path)]);
        assert_eq!(all(&source, "ORDERS"), ["_HOST=db"]);
        assert_eq!(source.changes().files().count(), 1);
        let error =
            of(&[(VARIABLE, "{}"), (VARIABLE_OF_FILE, &path)]).get("ORDERS_URL").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`VCAP_SERVICES` and `VCAP_SERVICES_FILE_PATH` are both set, and the platform sets one"
        );
        for bad in ["/does/not/exist", "relative", "/etc", "/dev/zero"] {
            assert!(
                of(&[(VARIABLE_OF_FILE, bad)]).get("ORDERS_URL").unwrap_err().is_whole(),
                "{bad}"
            );
        }
        std::fs::write(&path, "").unwrap();
        assert!(source.get("ORDERS_URL").unwrap().is_none());
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::check;
    use backing_services_rules::variable::RESOURCE_ENDINGS;

    use super::*;

    const EXAMPLES: &[&str] = &[
        r#"{"a":[{"name":"a-b","credentials":{"host":"db","port":3306,"name":"d","user":"u",
            "password":"p","tls":{"cert":{"ca":"PEM"}}}},{"instance_name":"c"}]}"#,
        r#"{"a":[{"name":"A B","credentials":{"uri":"redis://:p@q-s0:6379","hostname":"q",
            "tls_port":16379,"sslrootcert":"x","username":"u"}}]}"#,
        r#"{"a":[{"name":"a.b","credentials":{"uri":"amqp://u:p@q/v","username":"u","protocols":
            {"amqps":{"uri":"amqps://u@q/v","vhost":"v","password":"p","port":5671}}}}],"b":[]}"#,
        r#"{"a":[{"name":"a_b","credentials":{"uris":["postgres://u@a/d"],"password":"\u0000"}}]}"#,
        r#"[{"name":"a-b"},null,true,1e400,-0,"\ud800","#,
    ];

    /// A text is read or refused. Each value is one that the JSON holds.
    #[test]
    fn any_text_is_read_or_refused() {
        check!(EXAMPLES, |input| {
            let text = input.text();
            let source = CloudFoundry::of(Environment::from_iter([(VARIABLE, text.as_ref())]));
            for ending in RESOURCE_ENDINGS {
                match source.get(&format!("A_B{ending}")) {
                    Ok(None) => {}
                    Ok(Some(value)) => {
                        let json = serde_json::from_str(&text).expect("it was read");
                        let value = value.text().expose_secret();
                        assert!(holds(&json, value), "{text:?} does not hold {value:?}");
                    }
                    Err(why) => {
                        let why = why.to_string();
                        assert!(!why.chars().any(char::is_control), "{text:?}: {why}");
                        assert!(why.contains(VARIABLE) || why.contains("`A_B`"), "{why}");
                    }
                }
            }
        });
    }

    fn holds(json: &Json, value: &str) -> bool {
        match json {
            Json::String(text) => text == value,
            Json::Number(number) => number.to_string() == value,
            Json::Array(items) => items.iter().any(|item| holds(item, value)),
            Json::Object(fields) => fields.values().any(|field| holds(field, value)),
            Json::Null | Json::Bool(_) => false,
        }
    }
}
