//! The login of a resource: its user and its password, and who may receive them.

use backing_services_rules::rule::{
    AMBIGUOUS_LOCATOR, MALFORMED_VALUE, MISSING_CREDENTIALS, PLACEHOLDER_VALUE, UNLISTED_HOST,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Refused, ResourceLoader, TrustValues};
use crate::load::{Value, credentials};
use crate::locator::dialect::Login;
use crate::report::finding::Finding;

/// The variables of the login.
pub(super) struct LoginVariables {
    pub(super) user: Option<Value>,
    pub(super) password: Option<Value>,
}

/// The user and the password that a resource logs in with.
pub(super) struct LoginValues {
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
    /// The variable that holds the password.
    pub(super) password_variable: String,
    /// True if the password is in a variable of its own that only this machine's operator sets.
    pub(super) is_own_password: bool,
}

impl ResourceLoader<'_, '_> {
    /// Takes user and password from the locator or from their variables.
    pub(super) fn login(
        &mut self,
        variable: &str,
        of_locator: (Option<String>, Option<SecretString>),
        LoginVariables { user, password }: LoginVariables,
    ) -> Result<LoginValues, Refused> {
        let said_twice = |what: &str, companion: &Value| {
            let message =
                format!("the locator holds a {what}, and `{}` holds one too", companion.variable);
            let finding = Finding::new(&AMBIGUOUS_LOCATOR, message).with_variable(variable);
            finding.with_help("say it in one place")
        };
        let user = match (of_locator.0, user) {
            (Some(_), Some(companion)) => {
                self.findings.push(said_twice("user", &companion));
                None
            }
            (None, Some(companion)) => {
                Some(user_name(&companion).map_err(|finding| self.refuse(finding))?)
            }
            (user, None) => user,
        };
        let is_own_password = password.as_ref().is_some_and(|password| password.is_of_this_machine);
        let (password, password_variable) = match (of_locator.1, password) {
            (Some(_), Some(companion)) => {
                self.findings.push(said_twice("password", &companion));
                (None, variable.to_owned())
            }
            (None, Some(Value { text, variable, .. })) => (Some(text), variable),
            (password, None) => (password, variable.to_owned()),
        };
        Ok(LoginValues { user, password, password_variable, is_own_password })
    }

    /// Checks who decides which host receives credentials that are not in the locator. `leader` is
    /// the variable that names the host, if its author is not this machine's operator.
    pub(super) fn check_recipient(
        &mut self,
        leader: Option<&str>,
        trust: &TrustValues,
        is_fetched: bool,
    ) {
        if !self.declaration.listed_hosts().is_empty() {
            return;
        }
        // The author of the authority can be any host.
        let foreign_trust =
            [&trust.ca, &trust.pin].into_iter().flatten().find(|value| !value.is_of_this_machine);
        let finding = match (leader, foreign_trust) {
            (Some(variable), _) => self.unlisted(variable, "which host gets them", is_fetched),
            (None, Some(value)) => {
                self.unlisted(&value.variable, "which server passes for that host", is_fetched)
            }
            (None, None) => return,
        };
        self.findings.push(finding);
    }

    /// The finding that the author of the locator, or of the trust, decides who gets a password
    /// that the author does not have.
    fn unlisted(&self, variable: &str, what: &str, is_fetched: bool) -> Finding {
        let place = self
            .reader
            .origin(variable)
            .unwrap_or_else(|| self.reader.source().name().into_owned().into());
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
        Finding::new(&UNLISTED_HOST, message).with_variable(variable).with_help(help)
    }

    /// Checks the login, unless it is fetched later.
    pub(super) fn check_login(
        &mut self,
        login: &LoginValues,
        is_fetched: bool,
        has_certificate: bool,
    ) {
        let LoginValues { user, password, password_variable, .. } = login;
        // A value that is there but unreadable is not missing.
        let is_explained = (user.is_none() && self.is_refused("_USER"))
            || (password.is_none() && self.is_refused("_PASSWORD"));
        if is_explained {
            let password = password.as_ref();
            self.findings.extend(password.and_then(|password| {
                credentials::check_password(user.as_deref(), password, password_variable)
            }));
        } else if !is_fetched {
            self.findings.extend(check_login(
                self.service().login,
                user.as_deref(),
                password.as_ref(),
                has_certificate,
                password_variable,
                self.base,
            ));
        }
    }

    /// True if the companion with this ending was refused.
    fn is_refused(&self, ending: &str) -> bool {
        let is_companion = |variable: &str| {
            let name = variable.strip_suffix("_FILE").unwrap_or(variable);
            name.strip_suffix(ending) == Some(self.base)
        };
        self.findings
            .iter()
            .any(|finding| finding.is_denied() && finding.variable().is_some_and(is_companion))
    }
}

/// The longest name of an account, in bytes: longer than any product accepts.
const LONGEST_USER: usize = 256;

/// A name that a protocol can carry unchanged. In a locator, the grammar ensures that.
fn user_name(value: &Value) -> Result<String, Finding> {
    let name = value.text.expose_secret();
    if !is_user_name(name) {
        let message = format!(
            "`{}` is longer than {LONGEST_USER} bytes, or holds a control character",
            value.variable
        );
        return Err(Finding::new(&MALFORMED_VALUE, message)
            .with_variable(&*value.variable)
            .with_help("write the account's name, and nothing else"));
    }
    if let Some(what) = credentials::placeholder(name) {
        let message = format!("`{}` is {what}", value.variable);
        return Err(Finding::new(&PLACEHOLDER_VALUE, message).with_variable(&*value.variable));
    }
    Ok(name.to_owned())
}

pub(crate) fn is_user_name(name: &str) -> bool {
    name.len() <= LONGEST_USER
        && !name.chars().any(|c| c.is_control() || crate::report::text::is_invisible(c))
}

/// Checks that there is a login, with a real secret.
pub(crate) fn check_login(
    login: Login,
    user: Option<&str>,
    password: Option<&SecretString>,
    has_certificate: bool,
    variable: &str,
    base: &str,
) -> Vec<Finding> {
    if login == Login::None {
        return Vec::new();
    }
    let missing = match (user, password) {
        (None, _) if login == Login::UserAndPassword => Some("it names no user"),
        (None, None) if login == Login::Optional => None,
        (_, None) if !has_certificate => {
            Some("it has no password, and no client certificate in its place")
        }
        _ => None,
    };
    let missing = missing.map(|message| {
        Finding::new(&MISSING_CREDENTIALS, message).with_help(format!(
            "write the user into the locator or `{base}_USER`, \
             and the password into `{base}_PASSWORD`"
        ))
    });
    let weak = password.and_then(|password| credentials::check_password(user, password, variable));
    missing.into_iter().chain(weak).collect()
}
