//! Parses attributes. Mistakes within one attribute are reported here, one message for each. After
//! a mistake the parser skips to the next comma and continues.

use backing_services_rules::scheme::{self, Transport};
use backing_services_rules::variable::is_valid;
use backing_services_rules::{Date, Level, RULES, rule};
use proc_macro2::{Delimiter, Group, Ident, Punct, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Attribute, Lit, LitInt, LitStr, MacroDelimiter, Meta, Path};

use crate::errors::{self, Mistakes};
use crate::literal;
use crate::model::{
    Default, Keyed, Kind, Prefix, SecretAttribute, ServiceAttribute, SettingAttribute,
    StructAttribute, Waiver,
};
use crate::suggest::nearest;

const SERVICES: &[&str] = &["prefix", "deadline", "crate"];
const SERVICE: &[&str] = &["env", "scheme", "default", "needs", "hosts", "allow"];
const SECRET: &[&str] = &["env", "allow"];
const SETTING: &[&str] = &["env", "default", "public", "reason"];
const ALLOW: &[&str] = &["reason", "until", "debug_only"];

const ENV: &str = "env = \"DATABASE_URL\"";
const REASON: &str = "reason = \"…\"";

/// Parses the attributes of a struct.
pub(crate) fn services(mistakes: &Mistakes, attributes: &[Attribute]) -> StructAttribute {
    for attribute in attributes {
        if let Some(name) = ["service", "secret", "setting"]
            .into_iter()
            .find(|name| attribute.path().is_ident(name))
        {
            mistakes.at(attribute.path(), errors::belongs_to_a_field(name));
        }
    }
    let mut result = StructAttribute::default();
    let mut arguments = TokenStream::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("services")) {
        append(&mut arguments, self::arguments(mistakes, attribute, "services"));
    }

    let before = mistakes.count();
    let mut once = Once::new(mistakes);
    for item in items(mistakes, arguments, "`#[services]`", SERVICES) {
        if !once.first(&item.key) {
            continue;
        }
        match item.name.as_str() {
            "prefix" => result.prefix = prefix(mistakes, &item),
            "deadline" => result.deadline = deadline(mistakes, &item),
            "crate" => result.runtime = path(mistakes, &item),
            _ => {}
        }
    }
    // The misspelt key may have been the prefix.
    if matches!(result.prefix, Prefix::None) && mistakes.count() > before {
        result.prefix = Prefix::Broken;
    }
    result
}

/// Parses the attributes of a field. Several of one name are one, so that each may depend on a
/// `cfg_attr`. `None` if they are malformed; that is then already reported.
pub(crate) fn field(mistakes: &Mistakes, attributes: &[Attribute]) -> Option<Kind> {
    let before = mistakes.count();
    let mut first: Option<(&'static str, Ident)> = None;
    let mut arguments = TokenStream::new();
    for attribute in attributes {
        let path = attribute.path();
        if path.is_ident("services") {
            mistakes.at(path, errors::belongs_to_the_struct());
        }
        let Some(name) =
            ["service", "secret", "setting"].into_iter().find(|name| path.is_ident(name))
        else {
            continue;
        };
        match &first {
            Some((first, _)) if *first != name => {
                mistakes.at(path, errors::contradicting_attributes(first, name));
                continue;
            }
            Some(_) => {}
            None => first = path.get_ident().map(|path| (name, path.clone())),
        }
        append(&mut arguments, self::arguments(mistakes, attribute, name));
    }
    let kind = match first {
        None => Kind::Attached,
        Some(("service", path)) => Kind::Service(service(mistakes, &path, arguments)),
        Some(("secret", path)) => Kind::Secret(secret(mistakes, &path, arguments)),
        Some((_, path)) => Kind::Setting(setting(mistakes, &path, arguments)),
    };
    (mistakes.count() == before).then_some(kind)
}

fn service(mistakes: &Mistakes, path: &Ident, arguments: TokenStream) -> ServiceAttribute {
    let mut result = ServiceAttribute {
        path: path.clone(),
        env: None,
        scheme: None,
        default: None,
        needs: None,
        hosts: Vec::new(),
        waivers: Vec::new(),
    };
    let mut once = Once::new(mistakes);
    for item in items(mistakes, arguments, "`#[service]`", SERVICE) {
        // `allow` may be repeated: each exception has its own reason.
        if item.name != "allow" && !once.first(&item.key) {
            continue;
        }
        match item.name.as_str() {
            "env" => result.env = env(mistakes, &item),
            "scheme" => result.scheme = text(mistakes, &item, "scheme = \"rediss\""),
            "default" => {
                result.default = text(mistakes, &item, "default = \"rediss://localhost\"")
                    .map(|value| Keyed { key: item.key.clone(), value });
            }
            "needs" => result.needs = filled(mistakes, &item, "needs = \"SELECT ON orders\""),
            "hosts" => result.hosts = hosts(mistakes, &item),
            "allow" => allow(mistakes, &item, &mut result.waivers),
            _ => {}
        }
    }

    // The following checks depend on the waivers, which may come later in the attribute.
    let plaintext_waived =
        result.waivers.iter().any(|waiver| *waiver.rule == rule::PLAINTEXT_SCHEME);
    let scheme = result
        .scheme
        .as_ref()
        .and_then(|literal| check_scheme(mistakes, literal, plaintext_waived));
    if let Some(Keyed { value: literal, .. }) = &result.default {
        let text = literal.value();
        let found = literal::read(&text, plaintext_waived);
        let sound = found.mistakes.is_empty();
        for mistake in found.mistakes {
            mistakes.at(literal, mistake);
        }
        if let (true, Some(scheme), Some(other)) = (sound, &scheme, found.scheme)
            && !scheme.eq_ignore_ascii_case(other)
        {
            mistakes.at(literal, errors::default_of_other_scheme(scheme));
        }
    }
    result
}

fn secret(mistakes: &Mistakes, path: &Ident, arguments: TokenStream) -> SecretAttribute {
    let mut result =
        SecretAttribute { path: path.clone(), env: None, waivers: Vec::new(), default: None };
    let mut once = Once::new(mistakes);
    // `default` is a known key, so that its own rule can refuse it.
    for item in items_and(mistakes, arguments, "`#[secret]`", SECRET, &["default"]) {
        if item.name != "allow" && !once.first(&item.key) {
            continue;
        }
        match item.name.as_str() {
            "env" => result.env = env(mistakes, &item),
            "allow" => allow(mistakes, &item, &mut result.waivers),
            "default" => result.default = Some(item.key),
            _ => {}
        }
    }
    result
}

fn setting(mistakes: &Mistakes, path: &Ident, arguments: TokenStream) -> SettingAttribute {
    let mut result =
        SettingAttribute { path: path.clone(), env: None, default: None, public: None };
    let mut public = None;
    let mut reason = None;
    let mut once = Once::new(mistakes);
    for item in items(mistakes, arguments, "`#[setting]`", SETTING) {
        if !once.first(&item.key) {
            continue;
        }
        match item.name.as_str() {
            "env" => result.env = env(mistakes, &item),
            "default" => {
                result.default =
                    default(mistakes, &item).map(|value| Keyed { key: item.key.clone(), value })
            }
            "public" => {
                if !matches!(item.value, Value::None) {
                    mistakes.at(&item.key, errors::value_not_wanted("public"));
                }
                public = Some(item.key);
            }
            "reason" => reason = Some((self::reason(mistakes, &item), item.key)),
            _ => {}
        }
    }
    match (public, reason) {
        (Some(_), Some((reason, _))) => result.public = reason,
        (Some(public), None) => mistakes.at(public, errors::no_reason()),
        (None, Some((_, key))) => mistakes.at(key, errors::reason_of_nothing()),
        (None, None) => {}
    }
    result
}

// Items: `key`, `key = value`, `key(…)`, separated by commas.

struct Item {
    key: Ident,
    name: String,
    value: Value,
}

enum Value {
    None,
    /// The tokens after the `=`, up to the comma.
    Tokens(TokenStream),
    List(Group),
}

/// The tokens in the parentheses. `#[service]` alone is an empty list.
fn arguments(mistakes: &Mistakes, attribute: &Attribute, name: &str) -> Option<TokenStream> {
    match &attribute.meta {
        Meta::Path(_) => Some(TokenStream::new()),
        Meta::List(list) if matches!(list.delimiter, MacroDelimiter::Paren(_)) => {
            Some(list.tokens.clone())
        }
        Meta::List(_) | Meta::NameValue(_) => {
            mistakes.at(&attribute.meta, errors::not_a_list(name));
            None
        }
    }
}

/// Appends the arguments of a further attribute of the same name.
fn append(arguments: &mut TokenStream, more: Option<TokenStream>) {
    let Some(more) = more.filter(|more| !more.is_empty()) else { return };
    if arguments.clone().into_iter().last().is_some_and(|last| !is_comma(&last)) {
        arguments.extend([TokenTree::from(Punct::new(',', Spacing::Alone))]);
    }
    arguments.extend(more);
}

/// Parses the items with known keys, and reports the others.
fn items(mistakes: &Mistakes, tokens: TokenStream, place: &str, known: &[&str]) -> Vec<Item> {
    items_and(mistakes, tokens, place, known, &[])
}

fn items_and(
    mistakes: &Mistakes,
    tokens: TokenStream,
    place: &str,
    known: &[&str],
    also: &[&str],
) -> Vec<Item> {
    let mut items = raw_items(mistakes, tokens, known);
    items.retain(|item| {
        let is_known = known.contains(&item.name.as_str()) || also.contains(&item.name.as_str());
        if !is_known {
            let meant = nearest(&item.name, known.iter().copied());
            mistakes.at(&item.key, errors::unknown_key(place, meant, known, &item.name));
        }
        is_known
    });
    items
}

fn raw_items(mistakes: &Mistakes, tokens: TokenStream, known: &[&str]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let TokenTree::Ident(key) = token else {
            let is_comma_too_many = is_comma(&token);
            mistakes.at(token, errors::not_a_key(known));
            if !is_comma_too_many {
                while tokens.next_if(|token| !is_comma(token)).is_some() {}
                tokens.next_if(is_comma);
            }
            continue;
        };
        let name = key.unraw().to_string();
        let value = match tokens.peek() {
            Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => {
                tokens.next();
                let mut value = TokenStream::new();
                // After a literal, a name starts the next item: the comma is missing.
                let mut after_literal = false;
                let ends = |token: &TokenTree, after_literal| {
                    is_comma(token) || after_literal && matches!(token, TokenTree::Ident(_))
                };
                while let Some(token) = tokens.next_if(|token| !ends(token, after_literal)) {
                    after_literal = matches!(token, TokenTree::Literal(_));
                    value.extend([token]);
                }
                Value::Tokens(value)
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                let list = Value::List(group.clone());
                tokens.next();
                list
            }
            _ => Value::None,
        };
        if let Some(token) = tokens.peek()
            && !is_comma(token)
        {
            mistakes.at(token, errors::missing_comma(&name));
            // Only a name starts an item. In `env "A"`, the `"A"` does not.
            if !matches!(token, TokenTree::Ident(_)) {
                while tokens.next_if(|token| !is_comma(token)).is_some() {}
                tokens.next_if(is_comma);
                continue;
            }
        }
        tokens.next_if(is_comma);
        items.push(Item { key, name, value });
    }
    items
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')
}

/// Reports a key that occurs twice.
struct Once<'a> {
    mistakes: &'a Mistakes,
    seen: Vec<Ident>,
}

impl<'a> Once<'a> {
    const fn new(mistakes: &'a Mistakes) -> Self {
        Self { mistakes, seen: Vec::new() }
    }

    fn first(&mut self, key: &Ident) -> bool {
        if self.seen.contains(key) {
            self.mistakes.at(key, errors::key_twice(&key.unraw().to_string()));
            return false;
        }
        self.seen.push(key.clone());
        true
    }
}

// Values.

impl Item {
    /// The tokens after the `=`.
    fn tokens(&self, mistakes: &Mistakes, example: &str) -> Option<TokenStream> {
        match &self.value {
            Value::Tokens(tokens) if !tokens.is_empty() => Some(ungrouped(tokens.clone())),
            Value::List(_) | Value::Tokens(_) | Value::None => {
                mistakes.at(&self.key, errors::no_value(&self.name, example));
                None
            }
        }
    }
}

/// Unwraps the invisible group around a literal that comes from a `macro_rules`.
fn ungrouped(tokens: TokenStream) -> TokenStream {
    let mut trees = tokens.clone().into_iter();
    match (trees.next(), trees.next()) {
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => {
            ungrouped(group.stream())
        }
        _ => tokens,
    }
}

fn text(mistakes: &Mistakes, item: &Item, example: &str) -> Option<LitStr> {
    let tokens = item.tokens(mistakes, example)?;
    match syn::parse2(tokens.clone()) {
        Ok(literal) => Some(literal),
        Err(_) => {
            mistakes.at(tokens, errors::not_a_text(&item.name, example));
            None
        }
    }
}

/// A text that is not blank.
fn filled(mistakes: &Mistakes, item: &Item, example: &str) -> Option<LitStr> {
    let literal = text(mistakes, item, example)?;
    if literal.value().trim().is_empty() {
        mistakes.at(&literal, errors::empty(&item.name, example));
        return None;
    }
    Some(literal)
}

fn env(mistakes: &Mistakes, item: &Item) -> Option<LitStr> {
    let literal = filled(mistakes, item, ENV)?;
    let name = literal.value();
    if is_valid(&name) {
        return Some(literal);
    }
    mistakes.at(&literal, errors::variable("env", corrected(&name).as_deref()));
    None
}

fn prefix(mistakes: &Mistakes, item: &Item) -> Prefix {
    let Some(literal) = filled(mistakes, item, "prefix = \"SHOP\"") else { return Prefix::Broken };
    let prefix = literal.value();
    if !is_valid(&prefix) {
        let suggestion = corrected(&prefix);
        let suggestion = suggestion
            .as_deref()
            .map(|name| name.trim_end_matches('_'))
            .filter(|name| !name.is_empty());
        mistakes.at(&literal, errors::variable("prefix", suggestion));
        return Prefix::Broken;
    }
    match prefix.trim_end_matches('_') {
        "" => {
            mistakes.at(&literal, errors::empty("prefix", "prefix = \"SHOP\""));
            Prefix::Broken
        }
        trimmed if trimmed.len() < prefix.len() => {
            mistakes.at(&literal, errors::prefix_ends_with_underscore(trimmed));
            Prefix::Broken
        }
        _ => Prefix::Named(prefix),
    }
}

/// The nearest valid name, if there is an obvious one.
fn corrected(name: &str) -> Option<String> {
    let name: String = name
        .trim()
        .chars()
        .map(|c| if matches!(c, '-' | '.' | ' ') { '_' } else { c.to_ascii_uppercase() })
        .collect();
    is_valid(&name).then_some(name)
}

fn deadline(mistakes: &Mistakes, item: &Item) -> Option<u64> {
    let tokens = item.tokens(mistakes, "deadline = 30")?;
    match syn::parse2::<LitInt>(tokens.clone())
        .ok()
        .filter(|literal| literal.suffix().is_empty())
        .and_then(|literal| literal.base10_parse().ok())
    {
        Some(seconds @ 1..=600) => Some(seconds),
        _ => {
            mistakes.at(tokens, errors::deadline());
            None
        }
    }
}

fn path(mistakes: &Mistakes, item: &Item) -> Option<TokenStream> {
    let tokens = item.tokens(mistakes, "crate = ::name")?;
    if Path::parse_mod_style.parse2(tokens.clone()).is_err() {
        mistakes.at(tokens, errors::not_a_path());
        return None;
    }
    Some(tokens)
}

fn default(mistakes: &Mistakes, item: &Item) -> Option<Default> {
    let tokens = item.tokens(mistakes, "default = 8080")?;
    // syn parses a `-` before a number as part of the literal.
    let text = syn::parse2::<Lit>(tokens.clone()).ok().and_then(|literal| {
        let text = match &literal {
            Lit::Int(number) => number.base10_digits().to_owned(),
            Lit::Float(number) => number.base10_digits().to_owned(),
            Lit::Bool(value) => value.value().to_string(),
            Lit::Char(value) => value.value().to_string(),
            Lit::Str(value) => value.value(),
            _ => return None,
        };
        Some((literal, text))
    });
    match text {
        Some((literal, text)) => Some(Default { tokens, literal, text }),
        None => {
            mistakes.at(tokens, errors::default_not_a_literal());
            None
        }
    }
}

fn hosts(mistakes: &Mistakes, item: &Item) -> Vec<String> {
    let Some(literal) = filled(mistakes, item, "hosts = \"db.example.com\"") else {
        return Vec::new();
    };
    let mut hosts: Vec<String> = Vec::new();
    for pattern in literal.value().split(',') {
        let host = pattern.trim().to_ascii_lowercase();
        if !literal::is_host(host.strip_prefix("*.").unwrap_or(&host)) {
            mistakes.at(&literal, errors::host(pattern.trim()));
        } else if hosts.contains(&host) {
            mistakes.at(&literal, errors::host_twice(&host));
        } else {
            hosts.push(host);
        }
    }
    hosts
}

/// Checks `scheme = "…"`, and returns the scheme if it is valid.
fn check_scheme(mistakes: &Mistakes, literal: &LitStr, plaintext_waived: bool) -> Option<String> {
    let text = literal.value();
    let typed = text.trim();
    let name = typed.trim_end_matches('/').trim_end_matches(':').trim_end();
    if let Some(known) = scheme::look_up(name)
        && known.transport == Transport::Plaintext
        && !plaintext_waived
    {
        mistakes.at(literal, errors::plaintext_scheme(known.name, known.instead));
    } else if scheme::of(&format!("{name}:")).is_none() {
        mistakes.at(literal, errors::not_a_scheme());
    } else if name.len() < typed.len() {
        mistakes.at(literal, errors::scheme_with_slashes(&name.to_ascii_lowercase()));
    } else if name.len() < text.len() || name.bytes().any(|b| b.is_ascii_uppercase()) {
        mistakes.at(literal, errors::scheme_in_lower_case(&name.to_ascii_lowercase()));
    } else {
        return Some(text);
    }
    None
}

// Waivers.

/// Reads `allow(rule, …, reason = "…", until = "…", debug_only)`.
fn allow(mistakes: &Mistakes, item: &Item, waivers: &mut Vec<Waiver>) {
    let Value::List(list) = &item.value else {
        mistakes.at(&item.key, errors::waiver_of_nothing());
        return;
    };
    let before = mistakes.count();
    let mut rules = Vec::new();
    let mut reason = None;
    let mut has_reason = false;
    let mut until = None;
    let mut debug_only = false;
    let mut once = Once::new(mistakes);
    for item in raw_items(mistakes, unquoted(mistakes, list.stream()), ALLOW) {
        if !once.first(&item.key) {
            continue;
        }
        match item.name.as_str() {
            "reason" => {
                has_reason = true;
                reason = self::reason(mistakes, &item);
            }
            "until" => until = self::until(mistakes, &item),
            "debug_only" => {
                debug_only = true;
                if !matches!(item.value, Value::None) {
                    mistakes.at(&item.key, errors::value_not_wanted("debug_only"));
                }
            }
            name => match item.value {
                Value::None => {
                    if let Some(rule) = waivable(mistakes, &item) {
                        if waivers.iter().any(|waiver| waiver.rule == rule) {
                            mistakes.at(&item.key, errors::rule_twice(name));
                        }
                        rules.push(rule);
                    }
                }
                Value::Tokens(_) | Value::List(_) => {
                    mistakes.at(
                        &item.key,
                        errors::unknown_key(
                            "`allow`",
                            nearest(name, ALLOW.iter().copied()),
                            ALLOW,
                            name,
                        ),
                    );
                }
            },
        }
    }
    // A rule that was refused needs no reason.
    if mistakes.count() > before {
        return;
    }
    if rules.is_empty() {
        mistakes.at(&item.key, errors::waiver_of_nothing());
    } else if !has_reason {
        mistakes.at(&item.key, errors::no_reason());
    }
    if let Some(reason) = reason {
        waivers.extend(rules.into_iter().map(|rule| Waiver {
            rule,
            reason: reason.clone(),
            until: until.clone(),
            debug_only,
        }));
    }
}

/// Reports rules in quotes, and removes them with their commas.
fn unquoted(mistakes: &Mistakes, tokens: TokenStream) -> TokenStream {
    let mut rest = TokenStream::new();
    let mut begins = true;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if begins
            && let Ok(literal) = syn::parse2::<LitStr>(token.to_token_stream())
            && rule::look_up(&literal.value()).is_some()
        {
            mistakes.at(&literal, errors::rule_in_quotes(&literal.value()));
            tokens.next_if(is_comma);
            continue;
        }
        begins = is_comma(&token);
        rest.extend([token]);
    }
    rest
}

fn waivable(mistakes: &Mistakes, item: &Item) -> Option<&'static rule::Rule> {
    let Some(rule) = rule::look_up(&item.name) else {
        let meant = nearest(&item.name, RULES.iter().map(|rule| rule.name));
        mistakes.at(&item.key, errors::unknown_rule(&item.name, meant));
        return None;
    };
    let refused = match rule.level {
        _ if *rule == rule::RAW_SECRET => errors::waiver_of_raw_secret(),
        Level::Deny => return Some(rule),
        Level::Warn => errors::waiver_of_warning(rule.name),
        _ => errors::waiver_of_forbidden(rule.name, rule.help),
    };
    mistakes.at(&item.key, refused);
    None
}

fn reason(mistakes: &Mistakes, item: &Item) -> Option<String> {
    let literal = text(mistakes, item, REASON)?;
    let reason = literal.value();
    if reason.trim().is_empty() {
        mistakes.at(&literal, errors::no_reason());
        return None;
    }
    Some(reason)
}

fn until(mistakes: &Mistakes, item: &Item) -> Option<String> {
    let literal = text(mistakes, item, "until = \"2027-03-01\"")?;
    let date = literal.value();
    if Date::parse(&date).is_none() {
        mistakes.at(&literal, errors::date());
        return None;
    }
    Some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obvious_misspellings_are_corrected() {
        assert_eq!(corrected("shop-orders.url").as_deref(), Some("SHOP_ORDERS_URL"));
        assert_eq!(corrected("2fa"), None);
    }
}
