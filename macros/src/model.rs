//! What a struct says, once its tokens are read. A value of these types cannot be malformed: a field that was is not here.

use backing_services_rules::Rule;
use backing_services_rules::variable::{self, RESOURCE_ENDINGS};
use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Expr, Fields, Lit, LitStr, Meta};

use crate::attr;
use crate::errors::{self, Mistakes};
use crate::place::Place;
use crate::types::{self, Reading, Shape};

/// A struct that derives `BackingServices`.
pub(crate) struct Struct<'a> {
    pub(crate) original: &'a DeriveInput,
    pub(crate) docs: String,
    pub(crate) attribute: StructAttribute,
    /// Those that are sound, in declaration order.
    pub(crate) fields: Vec<Field<'a>>,
}

/// `#[services(…)]`.
#[derive(Default)]
pub(crate) struct StructAttribute {
    pub(crate) prefix: Prefix,
    pub(crate) deadline: Option<u64>,
    /// `crate = …`: where the generated code finds the runtime.
    pub(crate) runtime: Option<TokenStream>,
}

#[derive(Default)]
pub(crate) enum Prefix {
    #[default]
    None,
    Named(String),
    /// It was refused already, so that nothing is known of the variables.
    Broken,
}

pub(crate) struct Field<'a> {
    /// Counted from 1.
    pub(crate) index: usize,
    pub(crate) original: &'a syn::Field,
    pub(crate) ident: &'a Ident,
    /// Without `r#`.
    pub(crate) name: String,
    /// What stands for it in a variable's name.
    pub(crate) key: String,
    pub(crate) docs: String,
    /// What its type's tokens tell.
    pub(crate) reading: Reading,
    /// Where its type stands.
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

/// What a field's attribute makes of it.
pub(crate) enum Kind {
    /// None: the type alone decides.
    Attached,
    Service(ServiceAttribute),
    Secret(SecretAttribute),
    Setting(SettingAttribute),
}

/// `#[service(…)]`.
pub(crate) struct ServiceAttribute {
    /// The attribute's name, for what is wrong with the attribute as a whole.
    pub(crate) path: Ident,
    pub(crate) env: Option<LitStr>,
    pub(crate) scheme: Option<LitStr>,
    pub(crate) default: Option<Keyed<LitStr>>,
    pub(crate) needs: Option<LitStr>,
    pub(crate) hosts: Vec<String>,
    pub(crate) waivers: Vec<Waiver>,
}

/// `#[secret(…)]`.
pub(crate) struct SecretAttribute {
    pub(crate) path: Ident,
    pub(crate) env: Option<LitStr>,
    pub(crate) waivers: Vec<Waiver>,
    /// Where a default was written: a mistake, whose message depends on the type.
    pub(crate) default: Option<Ident>,
}

/// `#[setting(…)]`.
pub(crate) struct SettingAttribute {
    pub(crate) path: Ident,
    pub(crate) env: Option<LitStr>,
    pub(crate) default: Option<Keyed<Default>>,
    /// The reason why everybody may know the value.
    pub(crate) public: Option<String>,
}

/// A value, and the key that it was written behind.
pub(crate) struct Keyed<T> {
    pub(crate) key: Ident,
    pub(crate) value: T,
}

/// A literal, perhaps with a `-` before it.
pub(crate) struct Default {
    pub(crate) tokens: TokenStream,
    pub(crate) literal: Lit,
    /// As a variable would have it.
    pub(crate) text: String,
}

/// `allow(…)`, for one rule.
pub(crate) struct Waiver {
    pub(crate) rule: &'static Rule,
    pub(crate) reason: String,
    pub(crate) until: Option<String>,
}

impl<'a> Struct<'a> {
    /// Reads the struct; fields that are malformed are reported and left out. Where it is none that the derive is for, at least its
    /// attribute comes back.
    pub(crate) fn read(
        mistakes: &Mistakes,
        original: &'a DeriveInput,
    ) -> Result<Self, StructAttribute> {
        let attribute = attr::services(mistakes, &original.attrs);
        let Some(fields) = named_fields(mistakes, original) else { return Err(attribute) };
        let fields = fields
            .enumerate()
            .filter_map(|(i, field)| Field::read(mistakes, i + 1, field))
            .collect();
        Ok(Self { original, docs: docs(&original.attrs), attribute, fields })
    }

    pub(crate) fn name(&self) -> String {
        self.original.ident.unraw().to_string()
    }

    /// The variable that a field reads first; `None` where the prefix is not known.
    pub(crate) fn variable(&self, field: &Field<'_>) -> Option<String> {
        if let Some(env) = field.env() {
            return Some(env.value());
        }
        let ending = if field.is_resource() { RESOURCE_ENDINGS[0] } else { "" };
        self.prefixed(&field.key).map(|name| name + ending)
    }

    /// The name that the prefix and a field's key make; `None` where the prefix is not known.
    pub(crate) fn prefixed(&self, key: &str) -> Option<String> {
        match &self.attribute.prefix {
            Prefix::None => Some(key.to_owned()),
            Prefix::Named(prefix) => Some(format!("{prefix}_{key}")),
            Prefix::Broken => None,
        }
    }

    /// Every variable that a field reads, the first one first. Empty where the tokens do not tell.
    pub(crate) fn variables(&self, field: &Field<'_>) -> Vec<String> {
        let Some(first) = self.variable(field) else { return Vec::new() };
        let mut variables = Vec::new();
        if field.is_resource() {
            let base = variable::base(&first).to_owned();
            variables.push(first);
            variables.extend(RESOURCE_ENDINGS[1..].iter().map(|ending| format!("{base}{ending}")));
        } else if field.is_value() {
            variables.push(first);
        }
        let files: Vec<String> =
            variables.iter().map(|variable| format!("{variable}_FILE")).collect();
        variables.extend(files);
        variables
    }
}

impl<'a> Field<'a> {
    /// Reads a field. `None` where it is malformed: it was reported, and stays silent afterwards.
    fn read(mistakes: &Mistakes, index: usize, original: &'a syn::Field) -> Option<Self> {
        mistakes.enter(index);
        let ident = original.ident.as_ref()?;
        let before = mistakes.count();
        let kind = attr::field(mistakes, &original.attrs);
        if let Some((_, default)) = &original.default {
            mistakes.at(default, errors::field_default());
        }
        if original.modifiers.require_empty().is_err() {
            mistakes.at(ident, errors::field_modifier());
        }
        if mistakes.count() > before {
            return None;
        }
        let name = ident.unraw().to_string();
        let key = name.to_ascii_uppercase();
        Some(Self {
            index,
            original,
            ident,
            name,
            key,
            docs: docs(&original.attrs),
            reading: types::read(&original.ty),
            place: Place::of(&original.ty),
            kind: kind?,
        })
    }

    pub(crate) fn env(&self) -> Option<&LitStr> {
        match &self.kind {
            Kind::Attached => None,
            Kind::Service(attribute) => attribute.env.as_ref(),
            Kind::Secret(attribute) => attribute.env.as_ref(),
            Kind::Setting(attribute) => attribute.env.as_ref(),
        }
    }

    pub(crate) fn waivers(&self) -> &[Waiver] {
        match &self.kind {
            Kind::Service(attribute) => &attribute.waivers,
            Kind::Secret(attribute) => &attribute.waivers,
            Kind::Attached | Kind::Setting(_) => &[],
        }
    }

    /// Whether it is a resource, as far as the tokens tell.
    pub(crate) fn is_resource(&self) -> bool {
        match self.kind {
            Kind::Service(_) => true,
            Kind::Attached => self.reading.shape == Shape::Resource,
            Kind::Secret(_) | Kind::Setting(_) => false,
        }
    }

    /// Whether it is a secret or a setting, as far as the tokens tell.
    fn is_value(&self) -> bool {
        match self.kind {
            Kind::Secret(_) | Kind::Setting(_) => true,
            Kind::Attached => self.reading.shape == Shape::Secret,
            Kind::Service(_) => false,
        }
    }
}

/// The fields, where the derive is for what has them.
fn named_fields<'a>(
    mistakes: &Mistakes,
    original: &'a DeriveInput,
) -> Option<syn::punctuated::Iter<'a, syn::Field>> {
    let before = mistakes.count();
    for lifetime in original.generics.lifetimes() {
        mistakes.at(lifetime, errors::lifetime(&lifetime.lifetime));
    }
    let fields = match &original.data {
        Data::Enum(syn::DataEnum { enum_token, .. }) => {
            mistakes.at(enum_token, errors::not_a_struct("an enum"));
            return None;
        }
        Data::Union(syn::DataUnion { union_token, .. }) => {
            mistakes.at(union_token, errors::not_a_struct("a union"));
            return None;
        }
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => fields.named.iter(),
            Fields::Unnamed(fields) => {
                mistakes.at(fields, errors::fields_without_names(&original.ident));
                return None;
            }
            Fields::Unit => {
                mistakes.at(&original.ident, errors::no_fields(&original.ident));
                return None;
            }
        },
    };
    (mistakes.count() == before).then_some(fields)
}

/// A doc comment, as Markdown.
fn docs(attributes: &[Attribute]) -> String {
    let mut docs = String::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Meta::NameValue(meta) = &attribute.meta
            && let Some(line) = text(&meta.value)
        {
            if !docs.is_empty() {
                docs.push('\n');
            }
            docs.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
        }
    }
    docs.trim().to_owned()
}

/// The text of a literal; a doc comment that came through a `macro_rules` is in a group that nobody sees.
fn text(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Lit(expression) => match &expression.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        Expr::Group(group) => text(&group.expr),
        _ => None,
    }
}
