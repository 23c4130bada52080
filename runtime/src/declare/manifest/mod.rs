//! The manifest: the declared resources, secrets and settings of a struct, known at compile time.
//!
//! It is plain data. Loading, checking and attaching read it. Besides it, the derive generates only
//! the construction of the struct.

use std::any::Any;
use std::borrow::Cow;
use std::time::Duration;

use crate::declare::setting::Setting;
use crate::locator::dialect::{Login, Parameter};
use crate::needs::Grantable;
use crate::report::malformed::Malformed;
use crate::service::erased::ServiceEntry;

mod variables;

pub use crate::report::waiver::Waiver;
pub use variables::{Role, Variable};

/// The JSON Schema (2020-12) of a manifest that is serialized with feature `serde`.
#[cfg(feature = "serde")]
pub const SCHEMA: &str = include_str!("../../../schemas/manifest.json");

/// The declaration of a struct: `<T as BackingServices>::MANIFEST`.
#[derive(Debug)]
pub struct Manifest {
    name: &'static str,
    docs: &'static str,
    prefix: &'static str,
    deadline: Duration,
    fields: &'static [Field],
}

impl Manifest {
    /// The default deadline for attaching a whole struct, unless `#[services(deadline = …)]` sets
    /// another: 30 s. An orchestrator gives a pod about that long to become ready. A TLS handshake,
    /// an authentication and a probe take a tenth of it on a bad day.
    pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, fields: &'static [Field]) -> Self {
        Self { name, docs: "", prefix: "", deadline: Self::DEFAULT_DEADLINE, fields }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn docs(mut self, docs: &'static str) -> Self {
        self.docs = docs;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn prefix(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn deadline_seconds(mut self, seconds: u64) -> Self {
        self.deadline = Duration::from_secs(seconds);
        self
    }

    /// The struct's name.
    #[must_use]
    pub const fn struct_name(&self) -> &'static str {
        self.name
    }

    /// The struct's doc comment.
    #[must_use]
    pub const fn doc_comment(&self) -> &'static str {
        self.docs
    }

    /// The prefix of its variables, without the underscore; empty if they begin with the field's
    /// name.
    #[must_use]
    pub const fn variable_prefix(&self) -> &'static str {
        self.prefix
    }

    /// The deadline for attaching the whole struct.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The fields, in declaration order.
    #[must_use]
    pub const fn fields(&self) -> &'static [Field] {
        self.fields
    }

    /// Visits every field that is not a nested struct, and the fields of nested structs in their
    /// places.
    pub fn walk(&self, visit: &mut dyn FnMut(Leaf)) {
        self.walk_below("", self.variable_prefix(), visit);
    }

    /// The default name of a field's account: the prefix and the field's path. PostgreSQL reserves
    /// the names that begin with `pg_` (its documentation, `CREATE ROLE`): such a name gets an `a`
    /// before it.
    pub fn account_of(&self, path: &str) -> String {
        let (prefix, name) = (self.variable_prefix().to_ascii_lowercase(), path.replace('.', "_"));
        let account = if prefix.is_empty() { name } else { format!("{prefix}_{name}") };
        if account.starts_with("pg_") { format!("a{account}") } else { account }
    }

    /// Structs nest in their types, so the program's source bounds the depth.
    fn walk_below(&self, path: &str, prefix: &str, visit: &mut dyn FnMut(Leaf)) {
        for field in self.fields() {
            let path: Cow<'static, str> = if path.is_empty() {
                field.name().into()
            } else {
                [path, ".", field.name()].concat().into()
            };
            match field.category() {
                Category::Nested(nested) => {
                    nested.walk_below(&path, &stem(prefix, field, ""), visit)
                }
                category => {
                    visit(Leaf { path, variable: variable(prefix, field, category), field })
                }
            }
        }
    }
}

/// The common part of a field's variables, and their ending.
fn stem(prefix: &str, field: &Field, ending: &str) -> String {
    let key = field.declaration().key();
    let mut stem = String::with_capacity(prefix.len() + 1 + key.len() + ending.len());
    if !prefix.is_empty() {
        stem.push_str(prefix);
        stem.push('_');
    }
    stem.push_str(key);
    stem.push_str(ending);
    stem
}

/// The variable of a field; for a resource, the one of its locator.
fn variable(prefix: &str, field: &Field, category: &Category) -> String {
    match (field.declaration().env_name(), category) {
        (Some(env), _) => env.to_owned(),
        (None, Category::Resource(_)) => stem(prefix, field, "_URL"),
        (None, _) => stem(prefix, field, ""),
    }
}

/// A field that is not a nested struct.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leaf {
    /// `mail.relay`.
    pub path: Cow<'static, str>,
    /// The field's variable; for a resource, the one of its locator.
    pub variable: String,
    /// The field's declaration.
    pub field: &'static Field,
}

/// One field of a [`Manifest`].
#[derive(Debug)]
pub struct Field {
    declaration: Declaration,
    category: Category,
}

impl Field {
    /// The category comes from the field's type: it is the `CATEGORY` of the trait that the field's
    /// attribute selects.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(declaration: Declaration, category: Category) -> Self {
        Self { declaration, category }
    }

    /// The field's name, as the source writes it, without `r#`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.declaration.name
    }

    /// The field's doc comment.
    #[must_use]
    pub const fn doc_comment(&self) -> &'static str {
        self.declaration.docs
    }

    /// The field's category.
    #[must_use]
    pub const fn category(&self) -> &Category {
        &self.category
    }

    /// The field's attributes.
    #[must_use]
    pub const fn declaration(&self) -> &Declaration {
        &self.declaration
    }
}

/// The attributes of a field.
#[derive(Debug)]
pub struct Declaration {
    name: &'static str,
    key: &'static str,
    docs: &'static str,
    env: Option<&'static str>,
    default: Option<&'static str>,
    scheme: Option<&'static str>,
    needs: Option<&'static str>,
    hosts: &'static [&'static str],
    waivers: &'static [Waiver],
    public: Option<&'static str>,
}

impl Declaration {
    /// `key` represents the field in variable names: the field's name in capitals.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, key: &'static str) -> Self {
        Self {
            name,
            key,
            docs: "",
            env: None,
            default: None,
            scheme: None,
            needs: None,
            hosts: &[],
            waivers: &[],
            public: None,
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn docs(mut self, docs: &'static str) -> Self {
        self.docs = docs;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn env(mut self, env: &'static str) -> Self {
        self.env = Some(env);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn scheme(mut self, scheme: &'static str) -> Self {
        self.scheme = Some(scheme);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn needs(mut self, needs: &'static str) -> Self {
        self.needs = Some(needs);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn hosts(mut self, hosts: &'static [&'static str]) -> Self {
        self.hosts = hosts;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn waivers(mut self, waivers: &'static [Waiver]) -> Self {
        self.waivers = waivers;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn public(mut self, reason: &'static str) -> Self {
        self.public = Some(reason);
        self
    }

    pub(crate) const fn key(&self) -> &'static str {
        self.key
    }

    /// `env = "…"`: the variable's full name, instead of the one made of prefix and field.
    #[must_use]
    pub const fn env_name(&self) -> Option<&'static str> {
        self.env
    }

    /// `default = …`: the text that replaces a missing variable.
    #[must_use]
    pub const fn default_text(&self) -> Option<&'static str> {
        self.default
    }

    /// `scheme = "…"`: the only scheme that the locator may have.
    #[must_use]
    pub const fn only_scheme(&self) -> Option<&'static str> {
        self.scheme
    }

    /// `needs = "…"`: the privileges that the account must have.
    #[must_use]
    pub const fn needed_privileges(&self) -> Option<&'static str> {
        self.needs
    }

    /// `hosts = "…"`: the hosts that the locator may lead to; empty for any. `*.example.com` means
    /// every name below it.
    #[must_use]
    pub const fn listed_hosts(&self) -> &'static [&'static str] {
        self.hosts
    }

    /// `allow(…)`: the rules that are waived here.
    #[must_use]
    pub const fn waived_rules(&self) -> &'static [Waiver] {
        self.waivers
    }

    /// `#[setting(public, reason = "…")]`: the reason why a value with a secret's name is public.
    #[must_use]
    pub const fn public_reason(&self) -> Option<&'static str> {
        self.public
    }
}

/// The category of a field. The traits of its type decide it; no name is guessed at.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "each display has to show every category")]
pub enum Category {
    /// A [`Resource`](crate::Resource), or an `Option` of one.
    Resource(ResourceEntry),
    /// A [`SecretString`](crate::secrecy::SecretString), a `SecretBox`, or an `Option` of one.
    Secret(SecretEntry),
    /// A public value with `#[setting]`.
    Setting(SettingEntry),
    /// A struct that derives `BackingServices` too. Its variables begin with this field's.
    Nested(&'static Manifest),
}

impl Category {
    /// The name in reports and in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Resource(_) => "resource",
            Self::Secret(_) => "secret",
            Self::Setting(_) => "setting",
            Self::Nested(_) => "nested",
        }
    }
}

/// A value that will be moved into the struct; its type is the field's.
pub(crate) type Slot = Box<dyn Any + Send>;

/// The details of a [`Category::Resource`].
#[derive(Debug)]
pub struct ResourceEntry {
    pub(crate) service: &'static ServiceEntry,
    pub(crate) optional: bool,
}

impl ResourceEntry {
    /// The service's name.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service.name
    }

    /// The schemes that the service accepts.
    #[must_use]
    pub const fn schemes(&self) -> &'static [backing_services_rules::Scheme] {
        self.service.schemes
    }

    /// The parameters that a locator may have.
    #[must_use]
    pub const fn parameters(&self) -> &'static [Parameter] {
        self.service.parameters
    }

    /// The credentials that a login requires.
    #[must_use]
    pub const fn login(&self) -> Login {
        self.service.login
    }

    /// The meaning of the locator's path; `None` if the locator has no path.
    #[must_use]
    pub const fn path(&self) -> Option<&'static str> {
        self.service.path
    }

    /// The privileges that an account can be granted; empty if the service has none.
    #[must_use]
    pub const fn privileges(&self) -> &'static [Grantable] {
        self.service.privileges
    }

    /// True if the locator's host is a name of the service's own, such as a bucket.
    #[must_use]
    pub const fn has_endpoint(&self) -> bool {
        self.service.endpoint.is_some()
    }

    /// True if the application runs without it.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        self.optional
    }
}

/// The details of a [`Category::Secret`].
#[derive(Debug)]
pub struct SecretEntry {
    pub(crate) optional: bool,
    /// The expected form of a value, to follow "write".
    pub(crate) expects: &'static str,
    /// Parses the field's value.
    pub(crate) read: fn(Option<&str>) -> Result<Slot, Malformed>,
}

impl SecretEntry {
    /// True if the application runs without it.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        self.optional
    }
}

/// The details of a [`Category::Setting`].
#[derive(Debug)]
pub struct SettingEntry {
    pub(crate) optional: bool,
    pub(crate) expects: &'static str,
    /// Parses the field's value.
    pub(crate) read: fn(Option<&str>) -> Result<Slot, Malformed>,
}

impl SettingEntry {
    #[doc(hidden)]
    #[must_use]
    pub const fn of<T: Setting>() -> Self {
        Self {
            optional: T::OPTIONAL,
            expects: T::EXPECTS,
            read: |text| T::read(text).map(|value| Box::new(value) as Slot),
        }
    }

    /// True if the application runs without it.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        self.optional
    }

    /// The form of a value: `a whole number from 0 to 65535`.
    #[must_use]
    pub const fn expects(&self) -> &'static str {
        self.expects
    }
}
