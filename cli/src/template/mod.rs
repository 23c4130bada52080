//! The templates: files to begin with, which contain every variable in its place, with the accounts
//! and the certificates.
//!
//! A placeholder is written `__LIKE THIS__`. Loading refuses one (`placeholder_value`), so a file
//! with a forgotten placeholder starts nothing. The texts are templates beside this file. Values
//! that come out of a program are data: [`writing`] quotes them for each format.

use backing_services_dev::Containers;
use backing_services_runtime::Manifest;
use minijinja::{Error, Value, context};

use self::compose::Compose;
use self::deploy::Deploy;
#[cfg(feature = "dev")]
pub(super) use self::writing::in_env_file;
use super::ExitReason;

mod compose;
mod deploy;
mod writing;

/// The kinds of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Env,
    Kubernetes,
    ServiceBinding,
    NetworkPolicy,
    Systemd,
    Compose,
}

/// The name of each kind on the command line, with its description.
pub(super) const KINDS: [(&str, Kind, &str); 6] = [
    ("env", Kind::Env, "a .env.example, with the doc comments"),
    ("kubernetes", Kind::Kubernetes, "Secrets, and a Deployment that mounts them"),
    (
        "servicebinding",
        Kind::ServiceBinding,
        "ServiceBindings (servicebinding.io), with their Secrets",
    ),
    (
        "networkpolicy",
        Kind::NetworkPolicy,
        "a NetworkPolicy that lets the program out to its resources, and nowhere else",
    ),
    ("systemd", Kind::Systemd, "a hardened unit, with a LoadCredential for each value"),
    (
        "compose",
        Kind::Compose,
        "a compose file for a developer's machine: a server for each resource, with TLS and an \
         account",
    ),
];

impl Kind {
    /// The name of its template. The suffix selects the quoting.
    const fn template(self) -> (&'static str, &'static str) {
        match self {
            Self::Env => ("env", include_str!("env.j2")),
            Self::Kubernetes => ("kubernetes.yaml", include_str!("kubernetes.yaml.j2")),
            Self::ServiceBinding => ("servicebinding.yaml", include_str!("servicebinding.yaml.j2")),
            Self::NetworkPolicy => ("networkpolicy.yaml", include_str!("networkpolicy.yaml.j2")),
            Self::Systemd => ("service", include_str!("systemd.service.j2")),
            Self::Compose => ("compose.yaml", include_str!("compose.yaml.j2")),
        }
    }
}

/// The folder beside a program that holds the values of a developer's machine: `.shop`.
#[cfg(feature = "dev")]
pub(super) fn folder(manifest: &Manifest, program: &str) -> String {
    format!(".{}", Deploy::of(manifest, program).name)
}

/// Writes a file for a struct.
pub(super) fn write(
    manifest: &Manifest,
    program: &str,
    kind: Kind,
    containers: &Containers,
) -> Result<String, ExitReason> {
    let deploy = Deploy::of(manifest, program);
    render(kind, &deploy, containers).map_err(|error| {
        // The template contains nothing secret: it is made from names and doc comments in the text
        // of the program.
        let error = backing_services_runtime::posture::printable(&format!("{error:#}"));
        Box::new(format!("the template cannot be written: {error}")) as ExitReason
    })
}

fn render(kind: Kind, deploy: &Deploy, containers: &Containers) -> Result<String, Error> {
    if kind != Kind::Compose {
        let fields = deploy.fields.iter().map(|field| field.context(None)).collect();
        return fill(kind, deploy, fields, Value::UNDEFINED);
    }
    let compose = Compose::of(deploy, containers);
    // The file of variables, with the values of each server.
    let env = fill(Kind::Env, deploy, compose.fields(), Value::UNDEFINED)?;
    fill(kind, deploy, compose.fields(), compose.context(&env))
}

fn fill(kind: Kind, deploy: &Deploy, fields: Vec<Value>, more: Value) -> Result<String, Error> {
    let (name, source) = kind.template();
    let mut environment = writing::environment();
    environment.add_template(name, source)?;
    // True if the program has an embedded database, in a file.
    let state = deploy.fields.iter().filter_map(deploy::Item::is_state_required).max();
    environment.get_template(name)?.render(context! {
        has_state => state.is_some(),
        is_state_required => state == Some(true),
        name => deploy.name.as_str(),
        program => deploy.program.as_str(),
        struct => deploy.manifest.struct_name(),
        docs => deploy.manifest.doc_comment(),
        deadline => deploy.manifest.deadline().as_secs(),
        fields => fields,
        ..more
    })
}
