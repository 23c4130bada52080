//! The trust of a resource: the authorities, the pins, and the client's own certificate.

use std::time::SystemTime;

use backing_services_rules::Transport;
use backing_services_rules::rule::MALFORMED_VALUE;

use secrecy::ExposeSecret as _;

use crate::load::Value;
use crate::net::tls::{Material, Part, Tls, Unusable};
use crate::report::finding::Finding;
use crate::report::redact::Guarded;
use crate::service::target::Trust;

/// The variables that configure trust, and our own identity.
pub(super) struct TrustValues {
    pub(super) ca: Option<Value>,
    pub(super) client_cert: Option<Value>,
    pub(super) client_key: Option<Value>,
    pub(super) pin: Option<Value>,
}

impl TrustValues {
    /// Builds the trust for a transport. The findings do not end the loading of the resource.
    pub(super) fn trust(self, transport: Transport) -> (Trust, Vec<Finding>) {
        if !matches!(transport, Transport::Encrypted | Transport::Upgraded) {
            return (Trust::default(), self.without_tls());
        }
        let mut findings = Vec::from_iter(self.contradiction());
        let tls = match Tls::new(self.material()) {
            Ok(tls) => {
                if let Some(ca) = &self.ca {
                    findings.extend(findings_of_ca(&tls, ca));
                }
                Some(tls)
            }
            Err(unusable) => {
                findings.push(self.unusable(unusable));
                None
            }
        };
        let text = |value: Option<Value>| value.map(|value| value.text);
        let trust = Trust {
            client_cert: text(self.client_cert),
            client_key: text(self.client_key).map(Guarded::new),
            tls,
        };
        (trust, findings)
    }

    /// The finding about each value of a resource without TLS.
    fn without_tls(&self) -> Vec<Finding> {
        let values = [&self.ca, &self.client_cert, &self.client_key, &self.pin];
        let finding = |value: &Value| {
            let message = format!(
                "`{}` is set, and this resource has no TLS that it could be for",
                value.variable
            );
            let finding = Finding::new(&MALFORMED_VALUE, message).with_variable(&*value.variable);
            finding.with_help(format!("unset `{}`", value.variable))
        };
        values.into_iter().flatten().map(finding).collect()
    }

    /// A half of a pair.
    fn contradiction(&self) -> Option<Finding> {
        match (&self.client_cert, &self.client_key) {
            (Some(cert), None) => Some(half_of_a_pair(cert, "_CLIENT_KEY")),
            (None, Some(key)) => Some(half_of_a_pair(key, "_CLIENT_CERT")),
            _ => None,
        }
    }

    fn material(&self) -> Material<'_> {
        let pair = self.client_cert.as_ref().zip(self.client_key.as_ref());
        Material {
            ca: self.ca.as_ref().map(|ca| ca.text.expose_secret()),
            client: pair.map(|(cert, key)| (cert.text.expose_secret(), key.text.expose_secret())),
            pins: self.pin.as_ref().map(|pin| pin.text.expose_secret()),
        }
    }

    /// The finding about the value that TLS cannot use.
    fn unusable(&self, unusable: Unusable) -> Finding {
        let value = match unusable.what {
            Part::Ca => &self.ca,
            Part::ClientCert => &self.client_cert,
            Part::ClientKey => &self.client_key,
            Part::Pin => &self.pin,
        };
        let variable = value.as_ref().map_or_else(String::new, |value| value.variable.to_string());
        Finding::new(unusable.rule, format!("`{variable}` {}", unusable.message))
            .with_variable(variable)
            .with_help(unusable.help)
    }
}

/// The findings about the certificates in `_CA`, each of which is readable.
fn findings_of_ca(tls: &Tls, ca: &Value) -> Vec<Finding> {
    let findings = tls.dates(&ca.variable, SystemTime::now());
    findings.into_iter().map(|finding| finding.with_variable(&*ca.variable)).collect()
}

fn half_of_a_pair(value: &Value, other: &str) -> Finding {
    Finding::new(&MALFORMED_VALUE, format!("`{}` is set, and its `{other}` is not", value.variable))
        .with_variable(&*value.variable)
        .with_help("set both, or neither")
}
