//! Loads one resource: its locator, and the companions that share the locator's base name.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use backing_services_rules::rule::{
    AMBIENT_OVERRIDE, AMBIGUOUS_LOCATOR, MALFORMED_VALUE, MISSING_CREDENTIALS, MISSING_VALUE,
    PLACEHOLDER_VALUE, UNKNOWN_SCHEME, UNLISTED_HOST,
};
use backing_services_rules::{Date, Transport};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Kind, Value, ValueReader, credentials, is_explained, missing, waiver};
use crate::declare::manifest::{Declaration, ResourceEntry};
use crate::locator::dialect::Login;
use crate::locator::{self, Dialect, Locator};
use crate::needs::Needs;
use crate::net::address;
use crate::report::finding::Finding;
use crate::report::redact::Guarded;
use crate::service::credentials::{Fetched, is_about_login};
use crate::service::erased::ServiceEntry;
use crate::service::target::{Target, Trust};
use crate::source::environment;

/// Returns `Some(None)` for an absent optional resource; `None` if something is wrong, and then
/// there is a finding.
#[allow(clippy::too_many_arguments, reason = "one caller, which has just these")]
pub(crate) fn load(
    reader: &mut ValueReader<'_>,
    entry: &'static ResourceEntry,
    declaration: &'static Declaration,
    variable: &str,
    base: &str,
    deadline: Instant,
    today: Date,
    findings: &mut Vec<Finding>,
) -> Option<Option<Target>> {
    let service = entry.service;
    let url = reader.read(variable, Kind::Secret, findings);
    let companions = Companions::read(reader, base, findings);
    let from_parts =
        match (&url, &companions.host) {
            (Some(url), Some(host)) => {
                findings.push(
                    Finding::new(&AMBIGUOUS_LOCATOR, reader.both(&url.variable, &host.variable))
                        .about(&*url.variable)
                        .with_help("write the locator, or its parts"),
                );
                return None;
            }
            (None, Some(host)) => Some(companions.locator(
                host,
                declaration.only_scheme().unwrap_or(service.schemes.first()?.name()),
            )),
            _ => None,
        };
    let text = url
        .as_ref()
        .map(|value| value.text.expose_secret())
        .or(from_parts.as_deref())
        .or(declaration.default_text());
    let Some(text) = text else {
        if is_explained(findings) {
            return None;
        }
        if !entry.optional {
            findings.push(missing(reader.source(), variable));
            return None;
        }
        // A password without a locator is incomplete: the locator's variable is probably misspelt.
        if let Some(left) = companions.any() {
            findings.push(
                Finding::new(
                    &MISSING_VALUE,
                    format!("`{}` is set, and `{variable}` is not", left.variable),
                )
                .with_help(format!("set `{variable}`, or unset the other")),
            );
            return None;
        }
        return Some(None);
    };
    let variable = match (&url, &companions.host) {
        (Some(value), _) | (None, Some(value)) => &*value.variable,
        (None, None) => variable,
    };
    if from_parts.is_none()
        && let Some(part) = companions.port.as_ref().or(companions.database.as_ref())
    {
        findings.push(
            Finding::new(
                &AMBIGUOUS_LOCATOR,
                format!("`{}` is set beside a whole locator", part.variable),
            )
            .about(&*part.variable)
            .with_help("write the port and the database into the locator, and unset this variable"),
        );
        return None;
    }
    // Without a value, the locator is the default in the code.
    let is_foreign = |value: Option<&Value>| value.is_some_and(|value| !value.is_of_this_machine);
    let is_led_by_others = is_foreign(url.as_ref())
        || is_foreign(companions.host.as_ref())
        || is_foreign(companions.port.as_ref());
    let Companions { user, password, ca, client_cert, client_key, pin, endpoint, .. } = companions;

    let before = findings.len();
    if let Some(what) = credentials::placeholder(text) {
        findings.push(
            Finding::new(&PLACEHOLDER_VALUE, format!("`{variable}` is {what}")).about(variable),
        );
        return None;
    }
    let dialect = Dialect {
        schemes: service.schemes,
        parameters: service.parameters,
        login: service.login,
        path: service.path,
        secret_path: service.secret_path,
        plaintext_waiver: waiver::reason(declaration.waived_rules(), "plaintext_scheme", today),
        plaintext_loopback: cfg!(debug_assertions),
    };
    let parsed = match locator::parse(text, &dialect) {
        Ok(parsed) => parsed,
        Err(refused) => {
            findings.extend(refused.into_iter().map(|finding| finding.about(variable)));
            return None;
        }
    };
    findings.extend(parsed.warnings.into_iter().map(|finding| finding.about(variable)));
    let locator = parsed.locator;

    if let Some(scheme) = declaration.only_scheme()
        && !scheme.eq_ignore_ascii_case(locator.scheme())
    {
        findings.push(
            Finding::new(&UNKNOWN_SCHEME, "its scheme is not the one that the field asks for")
                .about(variable)
                .with_help(format!("write `{scheme}://`")),
        );
    }
    if is_led_by_others && locator.transport() == Transport::Embedded {
        let message = format!(
            "`{variable}` names a file of this machine, and comes from where none may be named"
        );
        let finding = Finding::new(&MALFORMED_VALUE, message).about(variable);
        findings.push(finding.with_help("set it in the environment of the process"));
        return None;
    }
    // The dialled host receives the password.
    let is_led_by_others = match (service.endpoint, &endpoint) {
        (Some(_), Some(endpoint)) => !endpoint.is_of_this_machine,
        _ => is_led_by_others,
    };
    let endpoint = match (service.endpoint, endpoint) {
        (None, None) => None,
        (None, Some(endpoint)) => {
            let message = format!(
                "`{}` is set, and {} is dialled where its locator says",
                endpoint.variable, service.name
            );
            let finding = Finding::new(&MALFORMED_VALUE, message).about(&*endpoint.variable);
            findings.push(finding.with_help("unset it, and write the host into the locator"));
            None
        }
        (Some(usual), endpoint) => {
            let (text, variable) = match endpoint {
                Some(Value { text, variable, .. }) => {
                    (Some(text.expose_secret().to_owned()), variable)
                }
                None => (usual(&locator), format!("{base}_ENDPOINT")),
            };
            let Some(text) = text else {
                findings.push(
                    Finding::new(
                        &MISSING_VALUE,
                        format!(
                            "`{variable}` is not set, and the locator does not tell where {} is",
                            service.name
                        ),
                    )
                    .about(&*variable)
                    .with_help(format!("set `{variable}` to `https://` and the host")),
                );
                return None;
            };
            match locator::parse(&text, &dialect.endpoint()) {
                Ok(parsed) => {
                    findings.extend(
                        parsed.warnings.into_iter().map(|finding| finding.about(&*variable)),
                    );
                    Some(parsed.locator)
                }
                Err(refused) => {
                    findings.extend(refused.into_iter().map(|finding| finding.about(&*variable)));
                    return None;
                }
            }
        }
    };
    // If there is an endpoint, it is dialled; the locator's host is then a name of the service's
    // own.
    let dialled = endpoint.as_ref().unwrap_or(&locator);
    if let Some(host) = dialled.host() {
        address::check_host(host, declaration.listed_hosts(), findings);
    }
    for name in service.ambient.iter().filter(|name| environment::is_set(name)) {
        findings.push(
            Finding::new(&AMBIENT_OVERRIDE, format!("`{name}` is set, and would steer the driver"))
                .about(*name)
                .with_help(format!("unset `{name}` for this process")),
        );
    }

    let said_twice = |what: &str, companion: &Value| {
        Finding::new(
            &AMBIGUOUS_LOCATOR,
            format!("the locator holds a {what}, and `{}` holds one too", companion.variable),
        )
        .about(variable)
        .with_help("say it in one place")
    };
    let user = match (locator.user().map(str::to_owned), user) {
        (Some(_), Some(companion)) => {
            findings.push(said_twice("user", &companion));
            None
        }
        (None, Some(companion)) => Some(user_name(&companion, findings)?),
        (user, None) => user,
    };
    let is_own_password = password.as_ref().is_some_and(|password| password.is_of_this_machine);
    let (password, password_variable): (_, Cow<'_, str>) = match (parsed.password, password) {
        (Some(_), Some(companion)) => {
            findings.push(said_twice("password", &companion));
            (None, variable.into())
        }
        (None, Some(Value { text, variable, .. })) => (Some(text), variable.into()),
        (password, None) => (password, variable.into()),
    };
    let credentials = reader.take_credentials();
    if let (Some(_), Some(_)) = (&credentials, &password) {
        let message =
            format!("`{password_variable}` holds a password, and its credentials are fetched");
        let finding = Finding::new(&AMBIGUOUS_LOCATOR, message).about(&*password_variable);
        findings
            .push(finding.with_help("take the password out, or attach without those credentials"));
    }
    if declaration.listed_hosts().is_empty() && (credentials.is_some() || is_own_password) {
        // The author of the authority can be any host.
        let foreign_trust =
            [&ca, &pin].into_iter().flatten().find(|value| !value.is_of_this_machine);
        if is_led_by_others {
            findings.push(unlisted(
                variable,
                "which host gets them",
                reader,
                credentials.is_some(),
            ));
        } else if let Some(value) = foreign_trust {
            findings.push(unlisted(
                &value.variable,
                "which server passes for that host",
                reader,
                credentials.is_some(),
            ));
        }
    }
    let trust = trust(
        TrustValues { ca, client_cert, client_key, pin },
        service,
        dialled.transport(),
        findings,
    );
    if findings[before..].iter().any(|finding| finding.rule() == &AMBIGUOUS_LOCATOR) {
        return None;
    }
    // A value that is there but unreadable is not missing.
    let is_told = |ending: &str| {
        let stem = |variable: &str| {
            variable.strip_suffix("_FILE").unwrap_or(variable).strip_suffix(ending) == Some(base)
        };
        findings.iter().any(|finding| finding.is_denied() && finding.variable().is_some_and(stem))
    };
    let is_explained =
        (user.is_none() && is_told("_USER")) || (password.is_none() && is_told("_PASSWORD"));
    if is_explained && let Some(password) = &password {
        credentials::check_password(user.as_deref(), password, &password_variable, findings);
    }
    if credentials.is_none() && !is_explained {
        let has_certificate = trust.client_cert.is_some();
        login(
            service.login,
            user.as_deref(),
            password.as_ref(),
            has_certificate,
            &password_variable,
            base,
            findings,
        );
    }

    let needs = match declaration
        .needed_privileges()
        .map(|needs| Needs::parse(needs, service.name, service.privileges))
    {
        None => None,
        Some(Ok(needs)) => Some(Arc::new(needs)),
        // The derive rejects this; a hand-written manifest may not.
        Some(Err(message)) => {
            findings.push(
                Finding::new(&MALFORMED_VALUE, message)
                    .with_help("write `needs` in the words of the service"),
            );
            return None;
        }
    };
    let waived = waiver::in_force(declaration.waived_rules(), today)
        .map(|waiver| waiver.rule().name)
        .collect();
    let fetched = credentials
        .map(|credentials| Fetched::new(credentials, service.login, base.to_owned(), user.clone()));
    let password = password.map(|password| credentials::guarded(user.as_deref(), password));
    let paths = std::iter::once(&locator).chain(&endpoint).flat_map(Locator::secret_paths);
    let paths = paths.map(|path| Guarded::of_path(path.into())).collect();
    let target = Target {
        locator,
        endpoint,
        user,
        password,
        paths,
        trust,
        needs,
        fetched,
        deadline,
        waived,
    };
    let own = (service.check)(&target).into_iter();
    let own = own.filter(|finding| target.fetched.is_none() || !is_about_login(finding.rule()));
    findings.extend(own.map(|finding| finding.about(variable)));
    Some(Some(target))
}

/// The finding that the author of the locator, or of the trust, decides who gets a password that
/// the author does not have.
fn unlisted(variable: &str, what: &str, reader: &ValueReader<'_>, is_fetched: bool) -> Finding {
    let place =
        reader.origin(variable).unwrap_or_else(|| reader.source().name().into_owned().into());
    let credentials = if is_fetched {
        "its credentials are fetched"
    } else {
        "its password comes from this machine"
    };
    let message =
        format!("{credentials}, and {place} decides {what}: its writers could collect them");
    let help = "list the hosts that may have them on the field: \
        `#[service(hosts = \"db.example.com\")]`; or set the \
        variable in the environment of the process";
    Finding::new(&UNLISTED_HOST, message).about(variable).with_help(help)
}

/// The longest name of an account, in bytes: longer than any product accepts.
const LONGEST_USER: usize = 256;

/// A name that a protocol can carry unchanged. In a locator, the grammar ensures that.
fn user_name(value: &Value, findings: &mut Vec<Finding>) -> Option<String> {
    let name = value.text.expose_secret();
    if !is_user_name(name) {
        let message = format!(
            "`{}` is longer than {LONGEST_USER} bytes, or holds a control character",
            value.variable
        );
        findings.push(
            Finding::new(&MALFORMED_VALUE, message)
                .about(&*value.variable)
                .with_help("write the account's name, and nothing else"),
        );
        return None;
    }
    if let Some(what) = credentials::placeholder(name) {
        findings.push(
            Finding::new(&PLACEHOLDER_VALUE, format!("`{}` is {what}", value.variable))
                .about(&*value.variable),
        );
        return None;
    }
    Some(name.to_owned())
}

pub(crate) fn is_user_name(name: &str) -> bool {
    name.len() <= LONGEST_USER
        && !name.chars().any(|c| c.is_control() || crate::report::text::is_invisible(c))
}

/// Checks that there is a login, with a real secret.
pub(crate) fn login(
    login: Login,
    user: Option<&str>,
    password: Option<&SecretString>,
    has_certificate: bool,
    variable: &str,
    base: &str,
    findings: &mut Vec<Finding>,
) {
    if login == Login::None {
        return;
    }
    let missing = match (user, password) {
        (None, _) if login == Login::UserAndPassword => Some("it names no user"),
        (None, None) if login == Login::Optional => None,
        (_, None) if !has_certificate => {
            Some("it has no password, and no client certificate in its place")
        }
        _ => None,
    };
    if let Some(message) = missing {
        findings.push(Finding::new(&MISSING_CREDENTIALS, message).with_help(format!(
            "write the user into the locator or `{base}_USER`, \
             and the password into `{base}_PASSWORD`"
        )));
    }
    if let Some(password) = password {
        credentials::check_password(user, password, variable, findings);
    }
}

/// The variables that share a locator's base name.
struct Companions {
    host: Option<Value>,
    port: Option<Value>,
    database: Option<Value>,
    user: Option<Value>,
    password: Option<Value>,
    ca: Option<Value>,
    client_cert: Option<Value>,
    client_key: Option<Value>,
    pin: Option<Value>,
    endpoint: Option<Value>,
}

impl Companions {
    fn read(reader: &mut ValueReader<'_>, base: &str, findings: &mut Vec<Finding>) -> Self {
        let mut read = |ending: &str| reader.read_companion(base, ending, findings);
        Self {
            host: read("_HOST"),
            port: read("_PORT"),
            database: read("_DATABASE"),
            user: read("_USER"),
            password: read("_PASSWORD"),
            ca: read("_CA"),
            client_cert: read("_CLIENT_CERT"),
            client_key: read("_CLIENT_KEY"),
            pin: read("_PIN"),
            endpoint: read("_ENDPOINT"),
        }
    }

    /// Any one that is set.
    fn any(&self) -> Option<&Value> {
        let Self {
            host,
            port,
            database,
            user,
            password,
            ca,
            client_cert,
            client_key,
            pin,
            endpoint,
        } = self;
        [host, port, database, user, password, ca, client_cert, client_key, pin, endpoint]
            .into_iter()
            .flatten()
            .next()
    }

    /// Builds a locator from its parts, for platforms that give those. It is then read like any
    /// other: the grammar refuses a part in the wrong place. Only the database is encoded, because
    /// its name may contain anything.
    fn locator(&self, host: &Value, scheme: &str) -> String {
        let host = host.text.expose_secret();
        // An IPv6 address in a variable of its own has no brackets.
        let host = if host.parse::<std::net::Ipv6Addr>().is_ok() {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let port = self
            .port
            .as_ref()
            .map(|port| format!(":{}", port.text.expose_secret()))
            .unwrap_or_default();
        let database = self
            .database
            .as_ref()
            .map(|database| database.text.expose_secret())
            .unwrap_or_default();
        let database =
            percent_encoding::utf8_percent_encode(database, percent_encoding::NON_ALPHANUMERIC);
        format!("{scheme}://{host}{port}/{database}")
    }
}

/// The variables that configure trust, and our own identity.
struct TrustValues {
    ca: Option<Value>,
    client_cert: Option<Value>,
    client_key: Option<Value>,
    pin: Option<Value>,
}

fn trust(
    values: TrustValues,
    service: &ServiceEntry,
    transport: Transport,
    findings: &mut Vec<Finding>,
) -> Trust {
    let TrustValues { ca, client_cert, client_key, pin } = values;
    if !matches!(transport, Transport::Encrypted | Transport::Upgraded) {
        for value in [&ca, &client_cert, &client_key, &pin].into_iter().flatten() {
            let message = format!(
                "`{}` is set, and this resource has no TLS that it could be for",
                value.variable
            );
            let finding = Finding::new(&MALFORMED_VALUE, message).about(&*value.variable);
            findings.push(finding.with_help(format!("unset `{}`", value.variable)));
        }
        return Trust::default();
    }
    if let Some(pin) = pin.as_ref().filter(|_| !service.pins) {
        // Ignoring it would trust more than was asked for.
        let message = format!(
            "`{}` is set, and the driver of {} takes no verifier that could pin a key",
            pin.variable, service.name
        );
        let finding = Finding::new(&MALFORMED_VALUE, message).about(&*pin.variable);
        findings.push(finding.with_help("unset it, and give the authority in the `_CA` variable"));
    }
    match (&client_cert, &client_key) {
        (Some(cert), None) => findings.push(half_of_a_pair(cert, "_CLIENT_KEY")),
        (None, Some(key)) => findings.push(half_of_a_pair(key, "_CLIENT_CERT")),
        _ => {}
    }
    let tls = {
        use crate::net::tls::{Material, Part, Tls};
        let material = Material {
            ca: ca.as_ref().map(|ca| ca.text.expose_secret()),
            client: client_cert
                .as_ref()
                .zip(client_key.as_ref())
                .map(|(cert, key)| (cert.text.expose_secret(), key.text.expose_secret())),
            pins: pin.as_ref().map(|pin| pin.text.expose_secret()),
        };
        match Tls::new(material) {
            Ok(tls) => {
                if let Some(ca) = &ca {
                    findings.extend(findings_of_ca(&tls, ca, service));
                }
                Some(tls)
            }
            Err(unusable) => {
                let value = match unusable.what {
                    Part::Ca => &ca,
                    Part::ClientCert => &client_cert,
                    Part::ClientKey => &client_key,
                    Part::Pin => &pin,
                };
                let variable =
                    value.as_ref().map_or_else(String::new, |value| value.variable.to_string());
                let finding =
                    Finding::new(unusable.rule, format!("`{variable}` {}", unusable.message))
                        .about(variable);
                findings.push(finding.with_help(unusable.help));
                None
            }
        }
    };
    let text = |value: Option<Value>| value.map(|value| value.text);
    Trust {
        ca: text(ca),
        client_cert: text(client_cert),
        client_key: text(client_key).map(Guarded::new),
        tls,
    }
}

/// The findings about the certificates in `_CA`, each of which is readable.
fn findings_of_ca(tls: &crate::net::tls::Tls, ca: &Value, service: &ServiceEntry) -> Vec<Finding> {
    let mut findings = tls.dates(&ca.variable, std::time::SystemTime::now());
    if !service.pins && tls.trusts_a_certificate_alone() {
        let message = format!(
            "`{}` holds a certificate that is no authority (`CA:FALSE`), \
             and the driver of {} would trust all that it signs",
            ca.variable, service.name
        );
        findings.push(Finding::new(&MALFORMED_VALUE, message).with_help(
            "write the certificate of the authority that issued it (`CA:TRUE`); \
             a server that has signed its own needs one from an authority, \
             or for PostgreSQL the service `TokioPostgres`, which trusts it alone",
        ));
    }
    findings.into_iter().map(|finding| finding.about(&*ca.variable)).collect()
}

fn half_of_a_pair(value: &Value, other: &str) -> Finding {
    Finding::new(&MALFORMED_VALUE, format!("`{}` is set, and its `{other}` is not", value.variable))
        .about(&*value.variable)
        .with_help("set both, or neither")
}
