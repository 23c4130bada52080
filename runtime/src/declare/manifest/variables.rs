//! The variables of a field: its own, and the companions that its service uses.

use backing_services_rules::{Transport, variable};

use super::{Category, Leaf};
use crate::locator::dialect::Login;
use crate::service::erased::ServiceEntry;

/// A variable that a field reads, itself or as the file that `NAME_FILE` names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its meaning.
    pub role: Role,
}

/// The meaning of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "each template has to write every variable")]
pub enum Role {
    /// A secret or a setting.
    Value,
    /// The locator of a resource, `NAME_URL`.
    Locator,
    /// `NAME_HOST`: replaces the locator's host.
    Host,
    /// `NAME_PORT`: replaces the locator's port.
    Port,
    /// `NAME_DATABASE`: replaces the locator's path.
    Database,
    /// `NAME_USER`: the user to log in as.
    User,
    /// `NAME_PASSWORD`: its password.
    Password,
    /// `NAME_CA`: the authorities to trust, in PEM.
    Authority,
    /// `NAME_CLIENT_CERT`: the client's certificate, in PEM.
    ClientCertificate,
    /// `NAME_CLIENT_KEY`: its private key, in PEM.
    ClientKey,
    /// `NAME_PIN`: the hash of the server's key.
    Pin,
    /// `NAME_ENDPOINT`: the server to dial, if the locator's host is a name of the service's own.
    Endpoint,
}

/// The companions of a locator, with their endings, in the order of [`variable::RESOURCE_ENDINGS`].
const COMPANIONS: [(&str, Role); 10] = [
    ("_HOST", Role::Host),
    ("_PORT", Role::Port),
    ("_DATABASE", Role::Database),
    ("_USER", Role::User),
    ("_PASSWORD", Role::Password),
    ("_CA", Role::Authority),
    ("_CLIENT_CERT", Role::ClientCertificate),
    ("_CLIENT_KEY", Role::ClientKey),
    ("_PIN", Role::Pin),
    ("_ENDPOINT", Role::Endpoint),
];

impl Role {
    /// The role in one or two words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Locator => "locator",
            Self::Host => "host",
            Self::Port => "port",
            Self::Database => "database",
            Self::User => "user",
            Self::Password => "password",
            Self::Authority => "authority",
            Self::ClientCertificate => "client_certificate",
            Self::ClientKey => "client_key",
            Self::Pin => "pin",
            Self::Endpoint => "endpoint",
        }
    }

    /// True if the service uses it. Otherwise it is refused, or has no effect.
    fn fits(self, service: &ServiceEntry) -> bool {
        let dials = service.schemes.iter().any(|scheme| scheme.transport() != Transport::Embedded);
        dials
            && match self {
                Self::Value => false,
                Self::Database => service.path.is_some(),
                Self::User | Self::Password => service.login != Login::None,
                Self::Endpoint => service.endpoint.is_some(),
                _ => true,
            }
    }
}

impl Leaf {
    /// True if the program does not start without a value.
    pub fn is_required(&self) -> bool {
        let is_optional = match self.field.category() {
            Category::Resource(entry) => entry.is_optional(),
            Category::Secret(entry) => entry.is_optional(),
            Category::Setting(entry) => entry.is_optional(),
            Category::Nested(_) => false,
        };
        !is_optional && self.field.declaration().default_text().is_none()
    }

    /// The field's own variable, and the companions that its service uses.
    pub fn variables(&self) -> Vec<Variable> {
        let name = self.variable.clone();
        let Category::Resource(entry) = self.field.category() else {
            return vec![Variable { name, role: Role::Value }];
        };
        let base = variable::base(&name);
        let fitting = COMPANIONS.iter().filter(|(_, role)| role.fits(entry.service));
        let companions: Vec<_> = fitting
            .map(|(ending, role)| Variable { name: format!("{base}{ending}"), role: *role })
            .collect();
        [vec![Variable { name, role: Role::Locator }], companions].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_a_role() {
        let endings: Vec<_> = COMPANIONS.iter().map(|(ending, _)| *ending).collect();
        assert_eq!(endings, variable::RESOURCE_ENDINGS[1..]);
    }
}
