//! Mistakes between attributes that are each valid: an attribute that contradicts its field's type,
//! a type that would print a secret, two fields that read one variable.
//!
//! This module uses only the tokens. Aliases, third-party types and services are checked by rustc,
//! in the generated code.

use std::borrow::Cow;
use std::collections::HashMap;

use backing_services_rules::name::suggests_secret;
use backing_services_rules::scheme;
use backing_services_rules::variable::is_valid;
use syn::Lit;

use crate::errors::{self, Mistakes};
use crate::literal::holds_credentials;
use crate::model::{
    Default, Field, Kind, SecretAttribute, ServiceAttribute, SettingAttribute, Struct,
};
use crate::types::{Plain, Reading, Shape, names_a_locator, show, without_locator_ending};

/// Schemes of addresses that applications print, link to and listen on: they do not indicate a
/// locator.
const PUBLIC_SCHEMES: &[&str] = &["http", "https", "ws", "wss", "tcp", "udp", "unix", "tls"];

/// Checks every field, and keeps the valid ones.
pub(crate) fn check(mistakes: &Mistakes, input: &mut Struct<'_>) {
    let fields = std::mem::take(&mut input.fields);
    let sound = fields.into_iter().filter(|field| {
        let before = mistakes.count();
        mistakes.enter(field.index);
        check_field(mistakes, input, field);
        mistakes.count() == before
    });
    let sound = sound.collect();
    input.fields = sound;
    check_variables(mistakes, input);
}

fn check_field(mistakes: &Mistakes, input: &Struct<'_>, field: &Field<'_>) {
    match &field.kind {
        Kind::Attached => check_attached(mistakes, input, field),
        Kind::Service(attribute) => check_service(mistakes, field, attribute),
        Kind::Secret(attribute) => check_secret(mistakes, field, attribute),
        Kind::Setting(attribute) => check_setting(mistakes, field, attribute),
    }
    if field.env().is_none() && input.prefixed(&field.key).is_some_and(|name| !is_valid(&name)) {
        mistakes.at(field.ident, errors::field_makes_no_variable(&field.name));
    }
}

fn check_attached(mistakes: &Mistakes, input: &Struct<'_>, field: &Field<'_>) {
    let Reading { collection, shape, .. } = field.reading;
    if matches!(shape, Shape::Resource | Shape::Secret | Shape::Unknown) {
        return;
    }
    let ty = show(&field.original.ty);
    let mistake = match shape {
        Shape::Text | Shape::Url if names_a_locator(&field.name) && !collection => {
            // `cache_url: String` → `cache: Resource<…>`, which reads SHOP_CACHE_URL.
            let short = without_locator_ending(&field.name);
            let variable = short
                .and_then(|short| input.prefixed(&short.to_ascii_uppercase()))
                .map(|name| name + "_URL");
            errors::raw_locator(&ty, resource(field.reading), short, variable.as_deref())
        }
        Shape::Text if suggests_secret(&field.name) => errors::raw_secret(&ty, &secret(field)),
        Shape::Text => errors::raw_text(&ty),
        Shape::Url => errors::raw_url(&ty),
        _ => errors::plain_value(&ty),
    };
    mistakes.at(&field.original.ty, mistake);
}

/// The recommended type if the value is a locator.
const fn resource(reading: Reading) -> &'static str {
    if reading.optional { "Option<Resource<…>>" } else { "Resource<…>" }
}

/// The recommended type if the value is a secret.
fn secret(field: &Field<'_>) -> Cow<'static, str> {
    let Reading { optional, collection, shape } = field.reading;
    let of_texts = collection && !matches!(shape, Shape::Plain(_));
    if of_texts {
        return "a `SecretString` for each, or one `SecretBox<…>` of a type that implements \
                `SecretValue`"
            .into();
    }
    let ty = show(&field.original.ty);
    let secret = match ty.find("[u8;").and_then(|start| ty[start..].split_inclusive(']').next()) {
        // The array's length is the length of its key.
        Some(array) => format!("SecretBox<{array}>"),
        None if ty.contains("u8") => "SecretBox<Vec<u8>>".to_owned(),
        None => "SecretString".to_owned(),
    };
    if optional { format!("`Option<{secret}>`").into() } else { format!("`{secret}`").into() }
}

fn check_service(mistakes: &Mistakes, field: &Field<'_>, attribute: &ServiceAttribute) {
    match field.reading.shape {
        Shape::Text | Shape::Url => {
            mistakes.at(&field.original.ty, errors::service_on_text(&show(&field.original.ty)))
        }
        Shape::Secret => {
            mistakes.at(
                &attribute.path,
                errors::attribute_on_other(
                    "service",
                    "a secret",
                    "write `#[secret]`, or remove it",
                ),
            );
        }
        Shape::Plain(_) => {
            mistakes.at(
                &attribute.path,
                errors::attribute_on_other(
                    "service",
                    "a plain value",
                    "a public value has `#[setting]` above it",
                ),
            );
        }
        Shape::Resource | Shape::Unknown => {}
    }
    if let Some(default) = &attribute.default
        && field.reading.optional
    {
        mistakes.at(&default.key, errors::default_of_option());
    }
}

fn check_secret(mistakes: &Mistakes, field: &Field<'_>, attribute: &SecretAttribute) {
    match field.reading.shape {
        Shape::Text | Shape::Url => {
            mistakes.at(
                &field.original.ty,
                errors::secret_on_text(&show(&field.original.ty), &secret(field)),
            );
        }
        Shape::Resource => {
            mistakes.at(
                &attribute.path,
                errors::attribute_on_other(
                    "secret",
                    "a resource",
                    "write `#[service]`, or remove it",
                ),
            );
        }
        Shape::Plain(_) => {
            mistakes.at(
                &attribute.path,
                errors::attribute_on_other(
                    "secret",
                    "a plain value",
                    "a secret is a `SecretString`, and a public value has `#[setting]` above it",
                ),
            );
        }
        Shape::Secret | Shape::Unknown => {}
    }
    if let Some(default) = &attribute.default {
        mistakes.at(default, errors::default_of_secret(field.reading.optional));
    }
}

fn check_setting(mistakes: &Mistakes, field: &Field<'_>, attribute: &SettingAttribute) {
    let what = match field.reading.shape {
        Shape::Resource => Some("a resource"),
        Shape::Secret => Some("a secret"),
        Shape::Text | Shape::Url | Shape::Plain(_) | Shape::Unknown => None,
    };
    if let Some(what) = what {
        mistakes.at(&attribute.path, errors::attribute_on_other("setting", what, "remove it"));
        return;
    }
    if attribute.public.is_none() && field.reading.carries_text() == Some(true) {
        let ty = show(&field.original.ty);
        if field.reading.shape == Shape::Url {
            mistakes.at(&field.original.ty, errors::url_setting(&ty));
        } else if let Some(name) = suspicious_name(field) {
            let a_locator = names_a_locator(&name.to_ascii_lowercase());
            let instead = if a_locator {
                "`Resource<…>` with the type of the service".into()
            } else {
                secret(field)
            };
            mistakes.at(&field.original.ty, errors::suspicious_setting(&ty, &name, &instead));
        }
    }
    if let Some(default) = &attribute.default {
        if field.reading.optional {
            mistakes.at(&default.key, errors::default_of_option());
        } else {
            check_default(mistakes, field, attribute, &default.value);
        }
    }
}

/// The name that suggests a secret: the field's, or its variable's.
pub(crate) fn suspicious_name(field: &Field<'_>) -> Option<String> {
    let env = field.env().map(syn::LitStr::value);
    std::iter::once(field.name.clone()).chain(env).find(|name| suggests_secret(name))
}

fn check_default(
    mistakes: &Mistakes,
    field: &Field<'_>,
    attribute: &SettingAttribute,
    default: &Default,
) {
    let at = &default.tokens;
    let ty = || show(&field.original.ty);
    let text = default.text.as_str();
    if text.trim().is_empty() && matches!(default.literal, Lit::Str(_)) {
        mistakes.at(at, errors::default_is_empty());
        return;
    }
    match field.reading {
        Reading { shape: Shape::Plain(plain), collection, .. } => {
            let is_text = matches!(default.literal, Lit::Str(_));
            let reads = if collection {
                is_text && text.split(',').all(|item| plain.reads(item.trim()))
            } else {
                (is_text || plain.written_as(&default.literal)) && plain.reads(text.trim())
            };
            if !reads {
                mistakes
                    .at(at, errors::default_not_of_the_type(&ty(), &expects(plain, collection)));
            }
        }
        Reading { shape: Shape::Text, .. } if !matches!(default.literal, Lit::Str(_)) => {
            mistakes.at(at, errors::default_wants_quotes(&ty(), text));
        }
        _ if holds_credentials(text) => mistakes.at(at, errors::embedded_credentials_in_setting()),
        _ => {
            if let (None, true, Some(known)) = (
                &attribute.public,
                text.contains("://"),
                scheme::of(text).and_then(scheme::look_up),
            ) && !PUBLIC_SCHEMES.contains(&known.name)
            {
                mistakes.at(at, errors::locator_as_default_of_setting(known.name));
            }
        }
    }
}

fn expects(plain: Plain, collection: bool) -> String {
    if collection {
        format!("a text of values with commas, each {}", plain.expects())
    } else {
        plain.expects()
    }
}

/// Two fields must not share a variable: neither their own, nor a companion's, nor the name of a
/// file.
fn check_variables(mistakes: &Mistakes, input: &Struct<'_>) {
    let mut readers: HashMap<String, (&Field<'_>, bool)> = HashMap::new();
    for field in &input.fields {
        let variables = input.variables(field);
        let taken = variables
            .iter()
            .find_map(|variable| readers.get(variable).map(|reader| (variable, *reader)));
        if let Some((variable, (first, is_companion))) = taken {
            mistakes.enter(field.index);
            let mistake = errors::duplicate_variable(variable, &first.name, is_companion);
            match field.env() {
                Some(env) => mistakes.at(env, mistake),
                None => mistakes.at(field.ident, mistake),
            }
            continue;
        }
        for (i, variable) in variables.into_iter().enumerate() {
            readers.insert(variable, (field, field.is_resource() && i > 0));
        }
    }
}
