//! What a deploy has to give, as files to begin with: every variable in its place, and whatever an account or a certificate is for.
//!
//! What is still to be filled in is written `__LIKE THIS__`, which loading refuses (`placeholder_value`): a file that is pasted and forgotten starts nothing.
//! The texts are templates beside this file. What comes into them out of a program is data: [`writing`] quotes it as each format asks.

use minijinja::{Error, Value, context};

use self::compose::Compose;
use self::deploy::Deploy;
use super::Why;
use crate::declare::manifest::Manifest;

mod compose;
mod deploy;
mod writing;

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Env,
    Kubernetes,
    ServiceBinding,
    NetworkPolicy,
    Systemd,
    Compose,
}

/// What each is called on the command line, with what it is.
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
        "a compose file for a developer's machine: a server for each resource, with TLS and an account",
    ),
];

impl Kind {
    /// The name of its template, whose ending says how it is quoted.
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

/// Writes a file for a struct.
pub(super) fn write(manifest: &Manifest, program: &str, kind: Kind) -> Result<String, Why> {
    let deploy = Deploy::of(manifest, program);
    render(kind, &deploy).map_err(|error| {
        // It holds nothing but names and doc comments: what a template is made from is in the program's text.
        let error = crate::report::text::printable(&format!("{error:#}"));
        Box::new(format!("the template cannot be written: {error}")) as Why
    })
}

fn render(kind: Kind, deploy: &Deploy) -> Result<String, Error> {
    if kind != Kind::Compose {
        let fields = deploy.fields.iter().map(|field| field.context(None)).collect();
        return fill(kind, deploy, fields, Value::UNDEFINED);
    }
    let compose = Compose::of(deploy);
    // The file of variables, with what a server is there for.
    let env = fill(Kind::Env, deploy, compose.fields(), Value::UNDEFINED)?;
    fill(kind, deploy, compose.fields(), compose.context(&env))
}

fn fill(kind: Kind, deploy: &Deploy, fields: Vec<Value>, more: Value) -> Result<String, Error> {
    let (name, source) = kind.template();
    let mut environment = writing::environment();
    environment.add_template(name, source)?;
    // Whether it has a database of its own, in a file.
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
