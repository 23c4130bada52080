//! `Serialize` for manifest, findings and posture, which people and tools read. It is written by
//! hand, so that the output contains only the fields that are listed here: a derive would also
//! print a field that is added later, even a secret one.

use std::time::{SystemTime, UNIX_EPOCH};

use backing_services_rules::{Scheme, Transport};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::declare::manifest::{Category, Declaration, Leaf, Manifest, ResourceEntry, Variable};
use crate::load::credentials::SHORTEST_PASSWORD;
use crate::locator::MAX_LENGTH;
use crate::locator::dialect::{Login, Parameter, ParameterValue};
use crate::report::finding::{Failure, Finding};
use crate::report::posture::{
    CertificatePosture, ClientCertificatePosture, Posture, ServerPosture, TlsPosture, TrustPosture,
};
use crate::report::waiver::Waiver;
use crate::service::erased::ServiceEntry;
use crate::source::MAX_VALUE;

/// The `$schema` of a serialized manifest: its address in the repository.
const MANIFEST_SCHEMA: &str =
    concat!(env!("CARGO_PKG_REPOSITORY"), "/raw/main/runtime/schemas/manifest.json");

/// Serializes a struct: its name, then `key: value` pairs.
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
        "help": finding.help(),
        "waived_because": finding.waived_because(),
    }
    Failure as "Failure" |failure| {
        "kind": failure.kind().name(),
        "field": failure.field(),
        "variable": failure.variable(),
        "origin": failure.origin(),
        "message": failure.message(),
        "help": failure.help(),
    }
    Posture as "Posture" |posture| {
        "service": posture.service,
        "endpoint": posture.endpoint,
        "transport": transport(posture.transport),
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
        "client_certificate": match tls.client_certificate {
            ClientCertificatePosture::NotRequested => "not_requested",
            ClientCertificatePosture::Withheld => "withheld",
            ClientCertificatePosture::Sent => "sent",
        },
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
        "$schema": MANIFEST_SCHEMA,
        "struct": manifest.struct_name(),
        "docs": manifest.doc_comment(),
        "prefix": manifest.variable_prefix(),
        "limits": Limits { attach_seconds: manifest.deadline().as_secs() },
        "fields": fields(manifest),
    }
    Limits as "Limits" |limits| {
        "attach_seconds": limits.attach_seconds,
        "longest_value_bytes": MAX_VALUE,
        "longest_locator_bytes": MAX_LENGTH,
        "shortest_password": SHORTEST_PASSWORD,
    }
    Waiver as "Waiver" |waiver| {
        "rule": waiver.rule().name,
        "reason": waiver.reason(),
        "until": waiver.until().map(|until| until.to_string()),
        "debug_only": waiver.is_debug_only(),
    }
    FieldOf as "Field" |field| {
        "name": field.leaf.path,
        "docs": field.leaf.field.doc_comment(),
        "kind": match field.leaf.field.category() {
            Category::Resource(_) => "resource",
            Category::Secret(_) => "secret",
            Category::Setting(_) => "setting",
            // The fields of the nested struct are listed separately.
            Category::Nested(_) => "struct",
        },
        "required": field.leaf.is_required(),
        "variable": field.leaf.variable,
        "variables": field.leaf.variables(),
        "default": field.leaf.field.declaration().default_text(),
        "expects": match field.leaf.field.category() {
            Category::Setting(entry) => Some(entry.expects()),
            _ => None,
        },
        "public_because": field.leaf.field.declaration().public_reason(),
        "waivers": field.leaf.field.declaration().waived_rules(),
        "resource": resource(field),
    }
    Variable as "Variable" |variable| {
        "name": variable.name,
        "file": format!("{}_FILE", variable.name),
        "holds": variable.role.name(),
    }
    ResourceOf<'_> as "Resource" |resource| {
        "service": resource.entry.service(),
        "schemes": schemes(resource),
        "login": match resource.entry.service.login {
            Login::None => "none",
            Login::UserAndPassword => "user_and_password",
            Login::Password => "password",
            Login::Optional => "optional",
        },
        "path": resource.entry.service.path,
        "needs": resource.declaration.needed_privileges(),
        "account": resource.account,
        "hosts": resource.declaration.listed_hosts(),
        "parameters": parameters(resource.entry.service),
    }
    SchemeOf as "Scheme" |scheme| {
        "name": scheme.0.name(),
        "port": (scheme.0.port() != 0).then_some(scheme.0.port()),
        "transport": transport(scheme.0.transport()),
    }
    ParameterOf as "Parameter" |parameter| {
        "name": parameter.0.name,
        "takes": takes(&parameter.0.value),
        "least": bounds(&parameter.0.value).0,
        "most": bounds(&parameter.0.value).1,
        "words": match &parameter.0.value {
            ParameterValue::Choice(words) => Some(words),
            _ => None,
        },
    }
}

/// The figures that apply to a whole struct.
struct Limits {
    attach_seconds: u64,
}

/// A field, with the facts that come from the struct around it.
struct FieldOf {
    leaf: Leaf,
    /// The name of its account, if the field has `needs`.
    account: Option<String>,
}

/// The additional facts about a field that is a resource.
struct ResourceOf<'a> {
    entry: &'static ResourceEntry,
    declaration: &'static Declaration,
    account: Option<&'a str>,
}

struct SchemeOf(Scheme);

struct ParameterOf(&'static Parameter);

/// Every field, and the fields of nested structs in their places.
fn fields(manifest: &Manifest) -> Vec<FieldOf> {
    let mut fields = Vec::new();
    manifest.walk(&mut |leaf| {
        let account =
            leaf.field.declaration().needed_privileges().map(|_| manifest.account_of(&leaf.path));
        fields.push(FieldOf { leaf, account });
    });
    fields
}

fn resource(field: &FieldOf) -> Option<ResourceOf<'_>> {
    let Category::Resource(entry) = field.leaf.field.category() else { return None };
    Some(ResourceOf {
        entry,
        declaration: field.leaf.field.declaration(),
        account: field.account.as_deref(),
    })
}

/// The schemes that a locator of this field may have.
fn schemes(resource: &ResourceOf<'_>) -> Vec<SchemeOf> {
    let only = resource.declaration.only_scheme();
    let accepted =
        resource.entry.schemes().iter().filter(|scheme| only.is_none_or(|only| scheme.is(only)));
    accepted.copied().map(SchemeOf).collect()
}

/// The parameters that may be set. The other known parameters exist only for the help of their
/// refusal.
fn parameters(service: &ServiceEntry) -> Vec<ParameterOf> {
    let accepted = service
        .added_parameters()
        .iter()
        .chain(service.parameters)
        .filter(|parameter| !matches!(parameter.value, ParameterValue::Refused(_)));
    accepted.map(ParameterOf).collect()
}

const fn takes(value: &ParameterValue) -> &'static str {
    match value {
        ParameterValue::Tls => "tls",
        ParameterValue::Text(_) => "text",
        ParameterValue::Number(..) => "number",
        ParameterValue::Choice(_) => "word",
        ParameterValue::Refused(_) => "nothing",
    }
}

/// The minimum and maximum of a number; the maximum length of a text.
const fn bounds(value: &ParameterValue) -> (Option<u64>, Option<u64>) {
    match value {
        ParameterValue::Number(least, most) => (Some(*least), Some(*most)),
        ParameterValue::Text(longest) => (None, Some(*longest as u64)),
        _ => (None, None),
    }
}

const fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Encrypted => "encrypted",
        Transport::Upgraded => "upgraded",
        Transport::Embedded => "embedded",
        _ => "plaintext",
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
