//! The model of the templates: the manifest, with a name for each object of a deployment and a
//! suggestion for each value.

use std::collections::HashSet;

use backing_services_dev::{Container, Containers};
use backing_services_rules::{Transport, variable};
use backing_services_runtime::Manifest;
use backing_services_runtime::manifest::{Category, Leaf, ResourceEntry, Role, Variable};
use backing_services_runtime::service::Login;
use minijinja::{Value, context};

use crate::template::compose::Server;
use crate::template::writing::in_env_file;

/// The longest name of a volume or a label in Kubernetes (RFC 1123: 63 bytes), less the parts that
/// are added to ours.
const LONGEST_NAME: usize = 40;

/// A program, as it is deployed.
pub(super) struct Deploy<'a> {
    pub(super) manifest: &'a Manifest,
    /// The name of the program itself.
    pub(super) name: String,
    /// The name of this command line.
    pub(super) program: String,
    pub(super) fields: Vec<Item>,
}

/// A field.
pub(super) struct Item {
    leaf: Leaf,
    /// The name of its secret, its volume and its service.
    id: String,
    /// The name of its service binding. It identifies the variables, so it is never shortened. The
    /// specification allows 253 bytes.
    binding: String,
    /// The suggested name of its account.
    account: String,
    values: Vec<Suggested>,
}

/// A variable, with its suggested value.
struct Suggested {
    variable: Variable,
    text: String,
    /// True if the value of the field is incomplete without it.
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
        // The volumes that do not belong to a field.
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

/// The name of a variable, which is ASCII, in the characters of a label.
fn label(variable: &str) -> String {
    variable
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect()
}

/// A label of DNS and Kubernetes (RFC 1123).
fn name_of(variable: &str) -> String {
    let name: String = label(variable).chars().take(LONGEST_NAME).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "services".to_owned() } else { name.to_owned() }
}

impl Suggested {
    /// `None` if the templates leave the variable out: the locator replaces its parts.
    fn of(variable: Variable, leaf: &Leaf, folder: &str, account: &str) -> Option<Self> {
        let required = leaf.is_required();
        let Category::Resource(entry) = leaf.field.category() else {
            let declaration = leaf.field.declaration();
            let text = match (leaf.field.category(), declaration.default_text()) {
                (Category::Secret(_), _) => "__SECRET__",
                // A setting may be any text. An empty value counts as absent, and is refused.
                (_, default) => default.unwrap_or_default(),
            };
            return Some(Self { variable, text: text.to_owned(), is_needed: required });
        };
        let service = entry;
        let has_login = matches!(service.login(), Login::UserAndPassword | Login::Password);
        let has_accounts = !service.privileges().is_empty();
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
            // With a default, the variable is optional.
            Role::Locator => leaf.field.declaration().default_text().is_none(),
            Role::User => service.login() == Login::UserAndPassword || has_login && has_accounts,
            Role::Password => has_login,
            _ => false,
        };
        Some(Self { variable, text, is_needed })
    }

    /// True if it is a file even in a file of variables. PEM has more than one line.
    const fn is_file(&self) -> bool {
        matches!(self.variable.role, Role::Authority | Role::ClientCertificate | Role::ClientKey)
    }

    /// The variable for a template. With a server, its value is known and not a placeholder.
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
        // The entries that `ServiceBindings` reads.
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
            // The value for a program in the server's network, instead of on the machine.
            inside => served.as_ref().map_or(text, |(_, inside)| inside),
            // If no quoting protects a value in every reader, a person has to write it.
            fits_env => in_env_file(text).is_some(),
            needed => is_needed,
            usual => is_needed
                || matches!(
                    self.variable.role,
                    Role::Value
                        | Role::Locator
                        | Role::User
                        | Role::Password
                        | Role::Authority
                        | Role::Endpoint
                ),
            note => note,
        }
    }
}

impl Item {
    /// The name of its secret, its volume and its service.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The name of its account.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// The common prefix of its variables.
    pub(super) fn base(&self) -> &str {
        variable::base(&self.leaf.variable)
    }

    /// A server for the field, and the scheme of its locator. `None` if no server of ours can
    /// replace the intended one.
    pub(super) fn container(&self, containers: &Containers) -> Option<(Container, &'static str)> {
        let Category::Resource(entry) = self.leaf.field.category() else { return None };
        let scheme =
            scheme(entry, &self.leaf).filter(|scheme| scheme.transport() != Transport::Embedded)?;
        if !self.leaf.field.declaration().listed_hosts().is_empty() {
            return None;
        }
        let grants = self.leaf.grants(&self.account)?;
        Some((containers.container(&grants)?, scheme.name()))
    }

    /// True if this field requires a writable folder. `None` if its service is not embedded.
    pub(super) fn is_state_required(&self) -> Option<bool> {
        let Category::Resource(entry) = self.leaf.field.category() else { return None };
        let scheme = scheme(entry, &self.leaf)?;
        (scheme.transport() == Transport::Embedded).then(|| self.leaf.is_required())
    }

    /// The field for a template, with its server.
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
            resource => resource.unwrap_or_else(|| {
                context! {
                    is_remote => false,
                    is_embedded => false,
                    scheme => "",
                    port => 0,
                    binding => "",
                    path => "",
                }
            }),
        }
    }
}

fn resource(entry: &ResourceEntry, leaf: &Leaf) -> Value {
    let scheme = scheme(entry, leaf);
    // The names that Kubernetes operators give to service types, if they differ from ours.
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
        path => entry.path().unwrap_or_default(),
    }
}

/// The default scheme of the field's locator.
fn scheme(entry: &ResourceEntry, leaf: &Leaf) -> Option<backing_services_rules::Scheme> {
    let only = leaf.field.declaration().only_scheme();
    let mut accepted =
        entry.schemes().iter().filter(|scheme| only.is_none_or(|only| scheme.is(only)));
    accepted.next().copied()
}

/// A placeholder for the field's locator.
fn locator(entry: &ResourceEntry, leaf: &Leaf) -> String {
    let Some(scheme) = scheme(entry, leaf) else { return "LOCATOR".to_owned() };
    if scheme.transport() == Transport::Embedded {
        return format!("{}:///PATH", scheme.name());
    }
    let host = match leaf.field.declaration().listed_hosts() {
        [host] if !host.contains('*') => host,
        _ if entry.has_endpoint() => "NAME",
        _ => "HOST",
    };
    let port = if scheme.port() == 0 || entry.has_endpoint() {
        String::new()
    } else {
        format!(":{}", scheme.port())
    };
    let path = match entry.path() {
        Some("the database's name") => "/DATABASE",
        _ => "",
    };
    // If there is no `_ENDPOINT`, the endpoint is derived from the region.
    let has_region = entry.parameters().iter().any(|parameter| parameter.name() == "region");
    let query = if has_region { "?region=REGION" } else { "" };
    format!("{}://{host}{port}{path}{query}", scheme.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use backing_services_runtime::manifest::{Declaration, Field, SettingEntry};

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
