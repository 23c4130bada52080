//! `Serialize` for what a person or a tool reads: manifest, findings and posture. By hand, so that what is printed is what is written here; a
//! derive would print a field that is added later, whatever it holds.

use std::time::{SystemTime, UNIX_EPOCH};

use backing_services_rules::Transport;
use serde::ser::{Serialize, SerializeSeq as _, SerializeStruct as _, Serializer};

use crate::finding::{Failure, Finding};
use crate::manifest::{Category, Field, Manifest, Waiver};
use crate::posture::{CertificatePosture, Posture, ServerPosture, TlsPosture, TrustPosture};

/// Writes a struct: its name, then `key: value` each.
macro_rules! serialize {
    ($($type:ty as $name:literal |$this:ident| { $($key:literal: $value:expr,)* })*) => {$(
        impl Serialize for $type {
            fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
                let $this = self;
                let count = [$($key),*].len();
                let mut fields = serializer.serialize_struct($name, count)?;
                $(fields.serialize_field($key, &$value)?;)*
                fields.end()
            }
        }
    )*};
}

serialize! {
    Finding as "Finding" |finding| {
        "rule": finding.rule().name,
        "level": finding.rule().level.name(),
        "denied": finding.is_denied(),
        "field": finding.field(),
        "variable": finding.variable(),
        "origin": finding.origin(),
        "message": finding.message(),
        "remedy": finding.remedy(),
        "waived_because": finding.waived_because(),
    }
    Failure as "Failure" |failure| {
        "kind": failure.kind().name(),
        "field": failure.field(),
        "variable": failure.variable(),
        "origin": failure.origin(),
        "message": failure.message(),
        "remedy": failure.remedy(),
    }
    Posture as "Posture" |posture| {
        "service": posture.service,
        "endpoint": posture.endpoint,
        "transport": match posture.transport {
            Transport::Encrypted => "encrypted",
            Transport::Upgraded => "upgraded",
            Transport::Embedded => "embedded",
            _ => "plaintext",
        },
        "tls": posture.tls,
        "server": posture.server,
        "account": posture.account,
        "privileges": posture.privileges,
        "authentication": posture.authentication,
        "remarks": posture.remarks,
        "findings": posture.findings,
        "waivers": posture.waivers,
        "taken_at": unix_seconds(posture.taken_at),
    }
    ServerPosture as "ServerPosture" |server| {
        "product": server.product,
        "version": server.version,
        "end_of_life": server.end_of_life().map(|end| end.to_string()),
    }
    TlsPosture as "TlsPosture" |tls| {
        "version": tls.version,
        "cipher": tls.cipher,
        "trust": match tls.trust {
            TrustPosture::PublicRoots => "public_roots",
            TrustPosture::PrivateCa => "private_ca",
            TrustPosture::PinnedKey => "pinned_key",
        },
        "certificate": tls.certificate,
    }
    CertificatePosture as "CertificatePosture" |certificate| {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": certificate.names,
        "key": certificate.key,
        "not_after": certificate.not_after,
        "days_left": certificate.days_left(SystemTime::now()),
    }
    Manifest as "Manifest" |manifest| {
        "struct": manifest.struct_name(),
        "docs": manifest.doc_comment(),
        "prefix": manifest.variable_prefix(),
        "deadline_seconds": manifest.deadline().as_secs(),
        "fields": manifest.fields(),
    }
    Waiver as "Waiver" |waiver| {
        "rule": waiver.rule().name,
        "reason": waiver.reason(),
        "until": waiver.until().map(|until| until.to_string()),
    }
    Field as "Field" |field| {
        "name": field.name(),
        "docs": field.doc_comment(),
        "env": field.declaration().env_name(),
        "default": field.declaration().default_text(),
        "scheme": field.declaration().only_scheme(),
        "needs": field.declaration().needed_privileges(),
        "hosts": field.declaration().listed_hosts(),
        "waivers": field.declaration().waived_rules(),
        "public_because": field.declaration().public_reason(),
        "category": field.category(),
    }
}

impl Serialize for Category {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let mut fields = serializer.serialize_struct("Category", 3)?;
        let optional = match self {
            Self::Resource(entry) => {
                fields.serialize_field("kind", "resource")?;
                fields.serialize_field("service", entry.service())?;
                fields.serialize_field("schemes", &SchemeNames(entry.schemes()))?;
                entry.is_optional()
            }
            Self::Secret(entry) => {
                fields.serialize_field("kind", "secret")?;
                entry.is_optional()
            }
            Self::Setting(entry) => {
                fields.serialize_field("kind", "setting")?;
                fields.serialize_field("expects", entry.expects())?;
                entry.is_optional()
            }
            Self::Nested(manifest) => {
                fields.serialize_field("kind", "nested")?;
                fields.serialize_field("manifest", manifest)?;
                false
            }
        };
        fields.serialize_field("optional", &optional)?;
        fields.end()
    }
}

struct SchemeNames(&'static [crate::Scheme]);

impl Serialize for SchemeNames {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let mut names = serializer.serialize_seq(Some(self.0.len()))?;
        for scheme in self.0 {
            names.serialize_element(scheme.name())?;
        }
        names.end()
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
