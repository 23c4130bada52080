//! The parsed struct. A value of these types is never malformed: malformed fields are left out.

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
    /// The valid fields, in declaration order.
    pub(crate) fields: Vec<Field<'a>>,
}

/// `#[services(…)]`.
#[derive(Default)]
pub(crate) struct StructAttribute {
    pub(crate) prefix: Prefix,
    pub(crate) deadline: Option<u64>,
    /// `crate = …`: the path of the runtime in generated code.
    pub(crate) runtime: Option<TokenStream>,
}

#[derive(Default)]
pub(crate) enum Prefix {
    #[default]
    None,
    Named(String),
    /// It was refused already, so the variables are unknown.
    Broken,
}

pub(crate) struct Field<'a> {
    /// Counted from 1.
    pub(crate) index: usize,
    pub(crate) original: &'a syn::Field,
    pub(crate) ident: &'a Ident,
    /// Without `r#`.
    pub(crate) name: String,
    /// Represents the field in variable names.
    pub(crate) key: String,
    pub(crate) docs: String,
    /// The reading of its type's tokens.
    pub(crate) reading: Reading,
    /// The place of its type.
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

/// The kind of a field, by its attribute.
pub(crate) enum Kind {
    /// No attribute: the type alone decides.
    Attached,
    Service(ServiceAttribute),
    Secret(SecretAttribute),
    Setting(SettingAttribute),
}

/// `#[service(…)]`.
pub(crate) struct ServiceAttribute {
    /// The attribute's name, for mistakes about the whole attribute.
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
    /// The position of a default: a mistake, whose message depends on the type.
    pub(crate) default: Option<Ident>,
}

/// `#[setting(…)]`.
pub(crate) struct SettingAttribute {
    pub(crate) path: Ident,
    pub(crate) env: Option<LitStr>,
    pub(crate) default: Option<Keyed<Default>>,
    /// The reason why the value is public.
    pub(crate) public: Option<String>,
}

/// A value and its key.
pub(crate) struct Keyed<T> {
    pub(crate) key: Ident,
    pub(crate) value: T,
}

/// A literal, perhaps with a `-` before it.
pub(crate) struct Default {
    pub(crate) tokens: TokenStream,
    pub(crate) literal: Lit,
    /// The text, as a variable would contain it.
    pub(crate) text: String,
}

/// `allow(…)`, for one rule.
pub(crate) struct Waiver {
    pub(crate) rule: &'static Rule,
    pub(crate) reason: String,
    pub(crate) until: Option<String>,
    pub(crate) debug_only: bool,
}

impl<'a> Struct<'a> {
    /// Parses the struct; malformed fields are reported and left out. If the derive does not
    /// support the item, the error contains at least its attribute.
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

    /// The first variable that a field reads; `None` if the prefix is not known.
    pub(crate) fn variable(&self, field: &Field<'_>) -> Option<String> {
        if let Some(env) = field.env() {
            return Some(env.value());
        }
        let ending = if field.is_resource() { RESOURCE_ENDINGS[0] } else { "" };
        self.prefixed(&field.key).map(|name| name + ending)
    }

    /// The name made of the prefix and a field's key; `None` if the prefix is not known.
    pub(crate) fn prefixed(&self, key: &str) -> Option<String> {
        match &self.attribute.prefix {
            Prefix::None => Some(key.to_owned()),
            Prefix::Named(prefix) => Some(format!("{prefix}_{key}")),
            Prefix::Broken => None,
        }
    }

    /// Every variable that a field reads, the first one first. Empty if the tokens do not determine
    /// them.
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
    /// Parses a field. `None` if it is malformed: that is then already reported, and no later check
    /// repeats it.
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

    /// True if it is a resource, as far as the tokens show.
    pub(crate) fn is_resource(&self) -> bool {
        match self.kind {
            Kind::Service(_) => true,
            Kind::Attached => self.reading.shape == Shape::Resource,
            Kind::Secret(_) | Kind::Setting(_) => false,
        }
    }

    /// True if it is a secret or a setting, as far as the tokens show.
    fn is_value(&self) -> bool {
        match self.kind {
            Kind::Secret(_) | Kind::Setting(_) => true,
            Kind::Attached => self.reading.shape == Shape::Secret,
            Kind::Service(_) => false,
        }
    }
}

/// The fields, if the derive supports the item.
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

/// The text of a literal. A doc comment that comes from a `macro_rules` is in an invisible group.
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
