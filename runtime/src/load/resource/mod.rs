//! Loads one resource: its locator, and the companions that share the locator's base name.

use std::sync::Arc;

use backing_services_rules::rule::{
    AMBIENT_OVERRIDE, AMBIGUOUS_LOCATOR, MALFORMED_VALUE, MISSING_VALUE, PLACEHOLDER_VALUE,
    UNKNOWN_SCHEME,
};
use backing_services_rules::{Date, Transport, scheme};

use secrecy::ExposeSecret as _;

use super::{Kind, Value, ValueReader, credentials, is_explained, missing, waiver};
use crate::declare::manifest::{Declaration, ResourceEntry};
use crate::locator::{self, Dialect, Host, Locator, Parsed};
use crate::needs::Needs;
use crate::net::address;
use crate::report::finding::Finding;
use crate::report::redact::Guarded;
use crate::service::credentials::{AnyCredentials, Fetched, is_about_login};
use crate::service::erased::ServiceEntry;
use crate::service::target::{Target, connect_timeout};
use crate::source::environment;

mod companions;
mod login;
mod trust;

use companions::Companions;
use login::{LoginValues, LoginVariables};
pub(crate) use login::{check_login, is_user_name};
use trust::TrustValues;

/// A resource that is not loaded. The reasons are among the findings.
pub(crate) struct Refused;

/// Loads one resource, step by step. A step that refuses adds the finding.
pub(crate) struct ResourceLoader<'l, 'a> {
    pub(crate) reader: &'l mut ValueReader<'a>,
    pub(crate) entry: &'static ResourceEntry,
    pub(crate) declaration: &'static Declaration,
    /// The variable of the locator.
    pub(crate) variable: &'l str,
    /// The beginning that all of the resource's variables share.
    pub(crate) base: &'l str,
    pub(crate) today: Date,
    /// The findings about the field so far.
    pub(crate) findings: &'l mut Vec<Finding>,
}

/// A locator as it is written.
struct Written {
    text: Text,
    /// The variable that reports about it name.
    variable: String,
    /// True if another author than this machine's operator may have written it.
    is_foreign: bool,
}

enum Text {
    Value(Value),
    Parts(String),
    /// The default in the code.
    Default(&'static str),
}

impl Text {
    fn expose_secret(&self) -> &str {
        match self {
            Self::Value(value) => value.text.expose_secret(),
            Self::Parts(text) => text,
            Self::Default(text) => text,
        }
    }
}

impl ResourceLoader<'_, '_> {
    /// Returns `None` for an absent optional resource.
    pub(crate) fn load(mut self) -> Result<Option<Target>, Refused> {
        let service = self.service();
        let (url, companions) = self.read();
        let Some(Written { text, variable, is_foreign }) = self.written(url, &companions)? else {
            return Ok(None);
        };
        let Companions { user, password, ca, client_cert, client_key, pin, endpoint, .. } =
            companions;
        let before = self.findings.len();
        let dialect = self.dialect();
        let parsed = self.locator(text.expose_secret(), &variable, is_foreign, &dialect)?;
        let locator = parsed.locator;
        // The dialled host receives the password.
        let is_led_by_others = match (service.endpoint, &endpoint) {
            (Some(_), Some(endpoint)) => !endpoint.is_of_this_machine,
            _ => is_foreign,
        };
        let endpoint = self.endpoint(&locator, endpoint, &dialect)?;
        // If there is an endpoint, it is dialled; the locator's host is then a name of the
        // service's own.
        let dialled = endpoint.as_ref().unwrap_or(&locator);
        self.check_hosts(dialled);

        let of_locator = (locator.user().map(str::to_owned), parsed.password);
        let login = self.login(&variable, of_locator, LoginVariables { user, password })?;
        let credentials = self.credentials(&login);
        let trust = TrustValues { ca, client_cert, client_key, pin };
        if credentials.is_some() || login.is_own_password {
            let leader = is_led_by_others.then_some(&*variable);
            self.check_recipient(leader, &trust, credentials.is_some());
        }
        let (trust, findings) = trust.trust(dialled.transport());
        self.findings.extend(findings);
        let findings = &self.findings[before..];
        if findings.iter().any(|finding| finding.rule() == &AMBIGUOUS_LOCATOR) {
            return Err(Refused);
        }
        self.check_login(&login, credentials.is_some(), trust.client_cert.is_some());
        let needs = self.needs()?;
        let LoginValues { user, password, .. } = login;
        let password = password.map(|password| credentials::guarded(user.as_deref(), password));
        let paths = std::iter::once(&locator).chain(&endpoint).flat_map(Locator::secret_paths);
        let target = Target {
            paths: paths.map(|path| Guarded::of_path(path.into())).collect(),
            connect_timeout: connect_timeout(&locator),
            fetched: credentials.map(|credentials| self.fetched(credentials, user.clone())),
            waivers: self.declaration.waived_rules(),
            locator,
            endpoint,
            user,
            password,
            trust,
            needs,
        };
        self.check_by_service(&target, &variable);
        Ok(Some(target))
    }

    const fn service(&self) -> &'static ServiceEntry {
        self.entry.service
    }

    fn refuse(&mut self, finding: Finding) -> Refused {
        self.findings.push(finding);
        Refused
    }

    /// Reads the locator's variable, and its companions.
    fn read(&mut self) -> (Option<Value>, Companions) {
        let url = self.reader.read(self.variable, Kind::Secret, self.findings);
        (url, Companions::read(self.reader, self.base, self.findings))
    }

    /// The locator: from its variable, from its parts, or the default. Returns `None` if there is
    /// none, and the resource is optional.
    fn written(
        &mut self,
        url: Option<Value>,
        companions: &Companions,
    ) -> Result<Option<Written>, Refused> {
        let written = match (url, &companions.host, self.declaration.default_text()) {
            (Some(url), Some(host), _) => {
                let message = self.reader.both(&url.variable, &host.variable);
                let finding =
                    Finding::new(&AMBIGUOUS_LOCATOR, message).with_variable(&*url.variable);
                return Err(self.refuse(finding.with_help("write the locator, or its parts")));
            }
            (None, Some(host), _) => return self.of_parts(host, companions).map(Some),
            (Some(url), None, _) => Written {
                variable: url.variable.to_string(),
                is_foreign: !url.is_of_this_machine,
                text: Text::Value(url),
            },
            (None, None, Some(text)) => Written {
                text: Text::Default(text),
                variable: self.variable.to_owned(),
                is_foreign: false,
            },
            (None, None, None) => return self.absent(companions),
        };
        if let Some(part) = companions.port.as_ref().or(companions.database.as_ref()) {
            let message = format!("`{}` is set beside a whole locator", part.variable);
            let finding = Finding::new(&AMBIGUOUS_LOCATOR, message).with_variable(&*part.variable);
            return Err(self.refuse(finding.with_help(
                "write the port and the database into the locator, and unset this variable",
            )));
        }
        Ok(Some(written))
    }

    fn of_parts(&mut self, host: &Value, companions: &Companions) -> Result<Written, Refused> {
        let usual = || self.service().schemes.first().map_or("", |scheme| scheme.name());
        let scheme = self.declaration.only_scheme().unwrap_or_else(usual);
        let mut parts = std::iter::once(host).chain(&companions.port);
        let text = companions.locator(host, scheme, self.service().several_hosts);
        Ok(Written {
            text: Text::Parts(text.map_err(|finding| self.refuse(finding))?),
            variable: host.variable.to_string(),
            is_foreign: parts.any(|part| !part.is_of_this_machine),
        })
    }

    /// There is no locator.
    fn absent(&mut self, companions: &Companions) -> Result<Option<Written>, Refused> {
        if is_explained(self.findings) {
            return Err(Refused);
        }
        if !self.entry.optional {
            let missing = missing(self.reader.source(), self.variable);
            return Err(self.refuse(missing));
        }
        // A password without a locator is incomplete: the locator's variable is probably misspelt.
        let Some(left) = companions.any() else { return Ok(None) };
        let message = format!("`{}` is set, and `{}` is not", left.variable, self.variable);
        let help = format!("set `{}`, or unset the other", self.variable);
        Err(self.refuse(Finding::new(&MISSING_VALUE, message).with_help(help)))
    }

    fn dialect(&self) -> Dialect {
        let (service, waivers) = (self.service(), self.declaration.waived_rules());
        Dialect {
            schemes: service.schemes,
            parameters: service.parameters,
            added: service.added_parameters(),
            login: service.login,
            path: service.path,
            several_hosts: service.several_hosts,
            secret_path: service.secret_path,
            plaintext_waiver: waiver::reason(waivers, "plaintext_scheme", self.today),
            plaintext_loopback: cfg!(debug_assertions),
        }
    }

    /// Parses the locator, and checks where it may lead.
    fn locator(
        &mut self,
        text: &str,
        variable: &str,
        is_foreign: bool,
        dialect: &Dialect,
    ) -> Result<Parsed, Refused> {
        if let Some(what) = credentials::placeholder(text) {
            let message = format!("`{variable}` is {what}");
            let finding = Finding::new(&PLACEHOLDER_VALUE, message).with_variable(variable);
            return Err(self.refuse(finding));
        }
        let parsed = self.parse(text, variable, dialect)?;
        if let Some(scheme) = self.declaration.only_scheme()
            && !scheme.eq_ignore_ascii_case(parsed.locator.scheme())
            && !is_over_tls(scheme, parsed.locator.scheme())
        {
            self.findings.push(
                Finding::new(&UNKNOWN_SCHEME, "its scheme is not the one that the field asks for")
                    .with_variable(variable)
                    .with_help(format!("write `{scheme}://`")),
            );
        }
        if is_foreign && parsed.locator.transport() == Transport::Embedded {
            let message = format!(
                "`{variable}` names a file of this machine, and comes from where none may be named"
            );
            let finding = Finding::new(&MALFORMED_VALUE, message).with_variable(variable);
            return Err(self.refuse(finding.with_help("set it in the environment of the process")));
        }
        Ok(parsed)
    }

    fn parse(&mut self, text: &str, variable: &str, dialect: &Dialect) -> Result<Parsed, Refused> {
        let (parsed, findings) = match locator::parse(text, dialect) {
            Ok(mut parsed) => {
                let warnings = std::mem::take(&mut parsed.warnings);
                (Ok(parsed), warnings)
            }
            Err(refused) => (Err(Refused), refused),
        };
        self.findings.extend(findings.into_iter().map(|finding| finding.with_variable(variable)));
        parsed
    }

    /// The endpoint of a service whose locator names no host, from its variable or as the service
    /// derives it.
    fn endpoint(
        &mut self,
        locator: &Locator,
        endpoint: Option<Value>,
        dialect: &Dialect,
    ) -> Result<Option<Locator>, Refused> {
        let service = self.service();
        let Some(usual) = service.endpoint else {
            if let Some(endpoint) = endpoint {
                let message = format!(
                    "`{}` is set, and {} is dialled where its locator says",
                    endpoint.variable, service.name
                );
                let finding =
                    Finding::new(&MALFORMED_VALUE, message).with_variable(&*endpoint.variable);
                self.findings
                    .push(finding.with_help("unset it, and write the host into the locator"));
            }
            return Ok(None);
        };
        let (text, variable) = match endpoint {
            Some(Value { text, variable, .. }) => (Some(text.expose_secret().to_owned()), variable),
            None => (usual(locator), format!("{}_ENDPOINT", self.base)),
        };
        let Some(text) = text else {
            let message = format!(
                "`{variable}` is not set, and the locator does not tell where {} is",
                service.name
            );
            let finding = Finding::new(&MISSING_VALUE, message).with_variable(&*variable);
            let help = format!("set `{variable}` to `https://` and the host");
            return Err(self.refuse(finding.with_help(help)));
        };
        let parsed = self.parse(&text, &variable, &dialect.endpoint())?;
        Ok(Some(parsed.locator))
    }

    /// Checks each dialled host, and what else could steer the driver.
    fn check_hosts(&mut self, dialled: &Locator) {
        for (place, host) in dialled.placed_hosts() {
            let mut findings = address::check_host(host, self.declaration.listed_hosts());
            if let Some(place) = place {
                findings.extend(placeholder_in_list(host));
                place.name(&mut findings);
            }
            self.findings.extend(findings);
        }
        let ambient = self.service().ambient.iter().filter(|name| environment::is_set(name));
        self.findings.extend(ambient.map(|name| {
            let message = format!("`{name}` is set, and would steer the driver");
            Finding::new(&AMBIENT_OVERRIDE, message)
                .with_variable(*name)
                .with_help(format!("unset `{name}` for this process"))
        }));
    }

    /// The provider of the credentials, if they are fetched. The locator then has no password.
    fn credentials(&mut self, login: &LoginValues) -> Option<AnyCredentials> {
        let credentials = self.reader.take_credentials()?;
        if login.password.is_some() {
            let variable = &login.password_variable;
            let message = format!("`{variable}` holds a password, and its credentials are fetched");
            self.findings.push(
                Finding::new(&AMBIGUOUS_LOCATOR, message)
                    .with_variable(variable)
                    .with_help("take the password out, or attach without those credentials"),
            );
        }
        Some(credentials)
    }

    fn fetched(&self, credentials: AnyCredentials, user: Option<String>) -> Fetched {
        Fetched::new(credentials, self.service().login, self.base.to_owned(), user)
    }

    fn needs(&mut self) -> Result<Option<Arc<Needs>>, Refused> {
        let service = self.service();
        let Some(needs) = self.declaration.needed_privileges() else { return Ok(None) };
        match Needs::parse(needs, service.name, service.privileges) {
            Ok(needs) => Ok(Some(Arc::new(needs))),
            // The derive rejects this; a hand-written manifest may not.
            Err(message) => {
                let finding = Finding::new(&MALFORMED_VALUE, message);
                Err(self.refuse(finding.with_help("write `needs` in the words of the service")))
            }
        }
    }

    /// The checks that only the service can make.
    fn check_by_service(&mut self, target: &Target, variable: &str) {
        let own = (self.service().check)(target).into_iter();
        let own = own.filter(|finding| target.fetched.is_none() || !is_about_login(finding.rule()));
        self.findings.extend(own.map(|finding| finding.with_variable(variable)));
    }
}

/// A list can hold a placeholder beside what was filled in.
fn placeholder_in_list(host: &Host) -> Option<Finding> {
    let what = credentials::placeholder(&host.to_string())?;
    let help = "write the name of the host, or take it out of the list";
    Some(Finding::new(&PLACEHOLDER_VALUE, format!("its host is {what}")).with_help(help))
}

/// True if `scheme` is the same protocol over TLS as the plaintext scheme that a field asks for. A
/// waiver of plaintext can end, and then the field has to accept what the help proposes.
fn is_over_tls(plaintext: &str, scheme: &str) -> bool {
    scheme::look_up(plaintext).is_some_and(|known| {
        known.transport == Transport::Plaintext && known.has_twin && known.instead == scheme
    })
}

#[cfg(test)]
mod tests;
