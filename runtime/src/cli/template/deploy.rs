//! What templates are made from: the manifest, with a name for everything that a deploy gives one to, and a suggestion for every value.

use std::collections::HashSet;

use backing_services_rules::{Transport, variable};
use minijinja::{Value, context};

use crate::cli::template::compose::Server;
use crate::cli::template::writing::in_env_file;
use crate::declare::manifest::{Category, Leaf, Manifest, ResourceEntry, Role, Variable};
use crate::locator::dialect::Login;
use crate::service::container::Container;
use crate::service::grants::Grants;

/// The longest name of a volume or a label in Kubernetes (RFC 1123: 63 bytes), less what is put around ours.
const LONGEST_NAME: usize = 40;

/// A program, as it is deployed.
pub(super) struct Deploy<'a> {
    pub(super) manifest: &'a Manifest,
    /// What the program itself is called.
    pub(super) name: String,
    /// What this command line is called.
    pub(super) program: String,
    pub(super) fields: Vec<Item>,
}

/// A field.
pub(super) struct Item {
    leaf: Leaf,
    /// What its secret, its volume and its service are called.
    id: String,
    /// What its service binding is called: that tells which variables it stands for, so that nothing of it may be cut. The specification has 253 bytes for it.
    binding: String,
    /// What its account is called, unless somebody calls it otherwise.
    account: String,
    values: Vec<Suggested>,
}

/// A variable, with what may stand in it.
struct Suggested {
    variable: Variable,
    text: String,
    /// Whether the field's value is not complete without it.
    is_needed: bool,
}

impl<'a> Deploy<'a> {
    pub(super) fn of(manifest: &'a Manifest, program: &str) -> Self {
        let program: String = program
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
            .collect();
        let program = if program.is_empty() { "services".to_owned() } else { program };
        let prefix = manifest.variable_prefix();
        let whole = label(if prefix.is_empty() { &program } else { prefix });
        let name = name_of(&whole);
        // The volumes that are no field's.
        let (mut fields, mut taken) =
            (Vec::new(), HashSet::from(["tmp", "state"].map(str::to_owned)));
        manifest.walk(&mut |leaf| {
            let binding = label(variable::base(&leaf.variable));
            let named = binding
                .strip_prefix(&whole)
                .and_then(|rest| rest.strip_prefix('-'))
                .unwrap_or(&binding);
            let named = name_of(named);
            let mut id = named.clone();
            for count in 2.. {
                if taken.insert(id.clone()) {
                    break;
                }
                id = format!("{named}-{count}");
            }
            let account = manifest.account_of(&leaf.path);
            let values = leaf.variables().into_iter().filter_map(|variable| {
                Suggested::of(variable, &leaf, &format!("{name}/{id}"), &account)
            });
            let values = values.collect();
            fields.push(Item { leaf, id, binding, account, values });
        });
        Self { manifest, name, program, fields }
    }
}

/// A variable's name, which is ASCII, in the letters that a label has.
fn label(variable: &str) -> String {
    variable
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect()
}

/// A label as DNS and Kubernetes have them (RFC 1123).
fn name_of(variable: &str) -> String {
    let name: String = label(variable).chars().take(LONGEST_NAME).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "services".to_owned() } else { name.to_owned() }
}

impl Suggested {
    /// `None` for what a template does not speak of: a locator's parts, which stand in for it elsewhere.
    fn of(variable: Variable, leaf: &Leaf, folder: &str, account: &str) -> Option<Self> {
        let required = leaf.is_required();
        let Category::Resource(entry) = leaf.field.category() else {
            let declaration = leaf.field.declaration();
            let text = match (leaf.field.category(), declaration.default_text()) {
                (Category::Secret(_), _) => "__SECRET__",
                // A setting may be any text. What is empty is as good as not there, and refused.
                (_, default) => default.unwrap_or_default(),
            };
            return Some(Self { variable, text: text.to_owned(), is_needed: required });
        };
        let service = entry.service;
        let has_login = matches!(service.login, Login::UserAndPassword | Login::Password);
        let has_accounts = !service.privileges.is_empty();
        let file = |what: &str| format!("/etc/{folder}/{what}.pem");
        let text = match variable.role {
            Role::Locator => leaf
                .field
                .declaration()
                .default_text()
                .map_or_else(|| format!("__{}__", locator(entry, leaf)), str::to_owned),
            Role::User if has_accounts => account.to_owned(),
            Role::User => "__USER__".to_owned(),
            Role::Password => "__PASSWORD__".to_owned(),
            Role::Authority => file("ca"),
            Role::ClientCertificate => file("client"),
            Role::ClientKey => file("client-key"),
            Role::Pin => "sha256//__BASE64__".to_owned(),
            Role::Endpoint => "__https://HOST__".to_owned(),
            Role::Value | Role::Host | Role::Port | Role::Database => return None,
        };
        let is_needed = match variable.role {
            // Once a default stands in for it, it is nobody's duty.
            Role::Locator => leaf.field.declaration().default_text().is_none(),
            Role::User => service.login == Login::UserAndPassword || has_login && has_accounts,
            Role::Password => has_login,
            _ => false,
        };
        Some(Self { variable, text, is_needed })
    }

    /// Whether it is given as a file even in a file of variables: PEM has lines.
    const fn is_file(&self) -> bool {
        matches!(self.variable.role, Role::Authority | Role::ClientCertificate | Role::ClientKey)
    }

    /// Where a server is there for it, what is in it, and is not to be filled in any more.
    fn context(&self, server: Option<&Server>) -> Value {
        let served = server.and_then(|server| server.text(self.variable.role));
        let text = served.as_ref().map_or(self.text.as_str(), |(text, _)| text);
        let is_needed = self.is_needed || served.is_some();
        let note = match self.variable.role {
            Role::Authority => "a private authority: it alone is trusted then",
            Role::ClientCertificate => "the client's certificate, and its key",
            Role::Pin => "the server's key: it alone is trusted then",
            Role::Endpoint => "where to dial",
            _ => "",
        };
        let name = &self.variable.name;
        // As `ServiceBindings` reads them.
        let entry = match self.variable.role {
            Role::Locator => "uri",
            Role::User => "username",
            Role::Password => "password",
            Role::Authority => "ca.crt",
            Role::ClientCertificate => "tls.crt",
            Role::ClientKey => "tls.key",
            _ => "",
        };
        context! {
            entry => entry,
            name => if self.is_file() { format!("{name}_FILE") } else { name.clone() },
            variable => name,
            role => self.variable.role.name(),
            text => text,
            // Beside the server, instead of on the machine that it is on.
            inside => served.as_ref().map_or(text, |(_, inside)| inside),
            // What no quoting protects in every reader is for a person to write.
            fits_env => in_env_file(text).is_some(),
            needed => is_needed,
            usual => is_needed || matches!(self.variable.role, Role::Value | Role::Locator | Role::User | Role::Password | Role::Authority | Role::Endpoint),
            note => note,
        }
    }
}

impl Item {
    /// What its secret, its volume and its service are called.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What its account is called.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// What all its variables begin with.
    pub(super) fn base(&self) -> &str {
        variable::base(&self.leaf.variable)
    }

    /// A server for it, and the scheme by which it is reached; `None` where no server of ours can stand in for the one that is meant.
    pub(super) fn container(&self) -> Option<(Container, &'static str)> {
        let Category::Resource(entry) = self.leaf.field.category() else { return None };
        let scheme =
            scheme(entry, &self.leaf).filter(|scheme| scheme.transport() != Transport::Embedded)?;
        if !self.leaf.field.declaration().listed_hosts().is_empty() {
            return None;
        }
        Some((
            Grants::of_any(
                self.leaf.field.declaration().needed_privileges(),
                entry.service,
                &self.leaf.path,
                &self.account,
            )
            .container()?,
            scheme.name(),
        ))
    }

    /// Whether a program has to have a folder to write to for this field, where it is for one that is embedded.
    pub(super) fn is_state_required(&self) -> Option<bool> {
        let Category::Resource(entry) = self.leaf.field.category() else { return None };
        let scheme = scheme(entry, &self.leaf)?;
        (scheme.transport() == Transport::Embedded).then(|| self.leaf.is_required())
    }

    /// What a template is told of it; and of the server that is there for it.
    pub(super) fn context(&self, server: Option<&Server>) -> Value {
        let field = self.leaf.field;
        let declaration = field.declaration();
        let (kind, resource) = match field.category() {
            Category::Resource(entry) => (entry.service(), Some(resource(entry, &self.leaf))),
            Category::Secret(_) => ("secret", None),
            _ => ("setting", None),
        };
        let expects = match field.category() {
            Category::Setting(entry) => entry.expects(),
            _ => "",
        };
        let values: Vec<Value> = self.values.iter().map(|value| value.context(server)).collect();
        context! {
            path => &*self.leaf.path,
            docs => field.doc_comment(),
            kind => kind,
            is_setting => matches!(field.category(), Category::Setting(_)),
            required => self.leaf.is_required() || server.is_some(),
            server => server.map(Server::context),
            presence => match declaration.default_text() {
                Some(default) => format!("`{default}` unless it is set"),
                None if self.leaf.is_required() => "required".to_owned(),
                None => "optional".to_owned(),
            },
            expects => expects,
            variable => self.leaf.variable.as_str(),
            id => self.id.as_str(),
            binding => self.binding.as_str(),
            needs => declaration.needed_privileges().unwrap_or_default(),
            account => self.account.as_str(),
            hosts => declaration.listed_hosts().join(", "),
            values => values,
            is_resource => resource.is_some(),
            resource => resource.unwrap_or_else(|| context! { is_remote => false, is_embedded => false, scheme => "", port => 0, binding => "", path => "" }),
        }
    }
}

fn resource(entry: &ResourceEntry, leaf: &Leaf) -> Value {
    let scheme = scheme(entry, leaf);
    // The names that operators of Kubernetes give to types of services, where they differ from ours.
    let binding = match entry.service() {
        "AMQP" => "rabbitmq".to_owned(),
        service => name_of(service),
    };
    context! {
        is_remote => scheme.is_some_and(|scheme| scheme.transport() != Transport::Embedded),
        is_embedded => scheme.is_some_and(|scheme| scheme.transport() == Transport::Embedded),
        scheme => scheme.map_or("", |scheme| scheme.name()),
        port => scheme.map_or(0, |scheme| scheme.port()),
        binding => binding,
        path => entry.service.path.unwrap_or_default(),
    }
}

/// The scheme that a locator of a field has, unless somebody chooses another one.
fn scheme(entry: &ResourceEntry, leaf: &Leaf) -> Option<backing_services_rules::Scheme> {
    let only = leaf.field.declaration().only_scheme();
    let mut accepted =
        entry.schemes().iter().filter(|scheme| only.is_none_or(|only| scheme.is(only)));
    accepted.next().copied()
}

/// What a locator of a field looks like.
fn locator(entry: &ResourceEntry, leaf: &Leaf) -> String {
    let Some(scheme) = scheme(entry, leaf) else { return "LOCATOR".to_owned() };
    if scheme.transport() == Transport::Embedded {
        return format!("{}:///PATH", scheme.name());
    }
    let host = match leaf.field.declaration().listed_hosts() {
        [host] if !host.contains('*') => host,
        _ if entry.service.endpoint.is_some() => "NAME",
        _ => "HOST",
    };
    let port = if scheme.port() == 0 || entry.service.endpoint.is_some() {
        String::new()
    } else {
        format!(":{}", scheme.port())
    };
    let path = match entry.service.path {
        Some("the database's name") => "/DATABASE",
        _ => "",
    };
    // What an endpoint is made from, where nobody gives one.
    let has_region = entry.service.parameters.iter().any(|parameter| parameter.name == "region");
    let query = if has_region { "?region=REGION" } else { "" };
    format!("{}://{host}{port}{path}{query}", scheme.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::manifest::{Declaration, Field, SettingEntry};

    #[test]
    fn a_binding_is_called_as_its_variables_are_and_an_id_is_short() {
        const LONG: &str = "EVERYTHING_THAT_EVER_CAME_THROUGH_THE_GATES_OF_THE_DEPOT";
        static FIELDS: [Field; 4] = [
            Field::new(
                Declaration::new("long", LONG),
                Category::Setting(SettingEntry::of::<u16>()),
            ),
            Field::new(
                Declaration::new(
                    "another",
                    "EVERYTHING_THAT_EVER_CAME_THROUGH_THE_GATES_OF_THE_PORT",
                ),
                Category::Setting(SettingEntry::of::<u16>()),
            ),
            Field::new(
                Declaration::new("odd", "ODD").env("_ODD_"),
                Category::Setting(SettingEntry::of::<u16>()),
            ),
            Field::new(
                Declaration::new("tmp", "TMP"),
                Category::Setting(SettingEntry::of::<u16>()),
            ),
        ];
        static DEPOT: Manifest = Manifest::new("Depot", &FIELDS).prefix("DEPOT");
        let deploy = Deploy::of(&DEPOT, "depot-services");
        let bindings: Vec<_> = deploy.fields.iter().map(|field| field.binding.as_str()).collect();
        let long = format!("depot-{}", LONG.to_ascii_lowercase().replace('_', "-"));
        assert_eq!((bindings[0], bindings[2]), (long.as_str(), "-odd-"));
        let ids: Vec<_> = deploy.fields.iter().map(|field| field.id.as_str()).collect();
        let cut = "everything-that-ever-came-through-the-ga";
        assert_eq!(ids, [cut, &format!("{cut}-2"), "odd", "tmp-2"]);
    }
}
