//! All messages of the derive, and the collector that reports them together.
//!
//! A message states the mistake and the correction, in lower case, without a full stop, and ends
//! with the rule's name.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::thread;

use backing_services_rules::{Rule, rule};
use proc_macro2::TokenStream;
use quote::ToTokens;

/// Collects mistakes, so that one compile shows all of them.
///
/// [`Mistakes::finish`] must be called: dropping the collector would hide the mistakes.
pub(crate) struct Mistakes {
    /// `None` after `finish`.
    found: RefCell<Option<Vec<(usize, syn::Error)>>>,
    /// The current field, counted from 1; 0 for the struct.
    field: Cell<usize>,
}

impl Mistakes {
    pub(crate) const fn new() -> Self {
        Self { found: RefCell::new(Some(Vec::new())), field: Cell::new(0) }
    }

    /// Attributes the following mistakes to this field.
    pub(crate) fn enter(&self, field: usize) {
        self.field.set(field);
    }

    /// Reports a mistake at the tokens.
    pub(crate) fn at(&self, tokens: impl ToTokens, mistake: Mistake) {
        let error =
            syn::Error::new_spanned(tokens, format!("{} [{}]", mistake.text, mistake.rule.name));
        self.found.borrow_mut().get_or_insert_default().push((self.field.get(), error));
    }

    /// The number of mistakes so far. If it grows, the part that was checked in between is invalid.
    pub(crate) fn count(&self) -> usize {
        self.found.borrow().as_ref().map_or(0, Vec::len)
    }

    /// The mistakes, as `compile_error!`s, in declaration order. `Ok` if there are none.
    pub(crate) fn finish(self) -> Result<(), TokenStream> {
        let mut found = self.found.take().unwrap_or_default();
        if found.is_empty() {
            return Ok(());
        }
        found.sort_by_key(|(field, _)| *field);
        Err(found.iter().map(|(_, error)| error.to_compile_error()).collect())
    }
}

impl Drop for Mistakes {
    fn drop(&mut self) {
        assert!(
            thread::panicking() || self.found.borrow().is_none(),
            "mistakes were collected, and were not read"
        );
    }
}

/// The message for a violation of a rule.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) rule: &'static Rule,
    pub(crate) text: String,
}

impl Mistake {
    fn new(rule: &'static Rule, text: impl Into<String>) -> Self {
        Self { rule, text: text.into() }
    }
}

/// "did you mean `x`" if there is a similar name, else the list of names.
fn or_one_of(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("there is {}", list(known)),
    }
}

fn list(items: &[&str]) -> String {
    match items {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            format!(
                "{} and `{last}`",
                most.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

// The struct.

pub(crate) fn not_a_struct(kind: &str) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        format!(
            "`BackingServices` cannot be derived for {kind}: write a struct with a named field for \
             each service"
        ),
    )
}

pub(crate) fn fields_without_names(ident: impl Display) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        format!(
            "a field's name makes its variable's name, and these have none: write `struct {ident} \
             {{ name: Type }}`"
        ),
    )
}

pub(crate) fn no_fields(ident: impl Display) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        format!("a unit struct attaches to nothing: write `struct {ident} {{ name: Type }}`"),
    )
}

pub(crate) fn lifetime(lifetime: impl Display) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        format!(
            "`BackingServices` structs cannot have lifetime parameters: remove `{lifetime}`, and \
             let the fields own their values"
        ),
    )
}

pub(crate) fn field_default() -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        "the value comes from the environment: write `#[setting(default = …)]` above the field \
         instead",
    )
}

pub(crate) fn field_modifier() -> Mistake {
    Mistake::new(&rule::UNKNOWN_ATTRIBUTE, "a field that is attached has no modifier: remove it")
}

// Attributes.

pub(crate) fn belongs_to_a_field(attribute: &str) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        format!("`#[{attribute}]` stands above a field; above the struct there is `#[services]`"),
    )
}

pub(crate) fn belongs_to_the_struct() -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        "`#[services]` stands above the struct; above a field there is `#[service]`, `#[secret]` \
         and `#[setting]`",
    )
}

pub(crate) fn contradicting_attributes(first: &str, second: &str) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        format!("`#[{second}]` contradicts `#[{first}]`: a field is one of them, remove the other"),
    )
}

pub(crate) fn not_a_list(attribute: &str) -> Mistake {
    Mistake::new(&rule::UNKNOWN_ATTRIBUTE, format!("write `#[{attribute}(…)]`, with parentheses"))
}

pub(crate) fn unknown_key(
    place: &str,
    nearest: Option<&str>,
    known: &[&str],
    key: &str,
) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        format!("{place} has no `{key}`: {}", or_one_of(nearest, known)),
    )
}

pub(crate) fn not_a_key(known: &[&str]) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        format!("expected a name here: there is {}", list(known)),
    )
}

pub(crate) fn missing_comma(after: &str) -> Mistake {
    Mistake::new(&rule::UNKNOWN_ATTRIBUTE, format!("expected a comma after `{after}`"))
}

pub(crate) fn key_twice(key: &str) -> Mistake {
    Mistake::new(&rule::UNKNOWN_ATTRIBUTE, format!("`{key}` twice: remove one of them"))
}

pub(crate) fn no_value(key: &str, example: &str) -> Mistake {
    Mistake::new(&rule::UNKNOWN_ATTRIBUTE, format!("`{key}` without a value: write `{example}`"))
}

pub(crate) fn value_not_wanted(key: &str) -> Mistake {
    Mistake::new(&rule::UNKNOWN_ATTRIBUTE, format!("`{key}` takes no value: write `{key}` alone"))
}

pub(crate) fn not_a_text(key: &str, example: &str) -> Mistake {
    Mistake::new(&rule::MALFORMED_VALUE, format!("`{key}` is a text in quotes: write `{example}`"))
}

pub(crate) fn empty(key: &str, example: &str) -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        format!("`{key}` is empty: write `{example}`, or remove it"),
    )
}

pub(crate) fn not_a_path() -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        "`crate` is the path of this crate: write `crate = ::name`",
    )
}

pub(crate) fn deadline() -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        "`deadline` is a whole number of seconds, from 1 to 600: write `deadline = 30`",
    )
}

// Variables.

pub(crate) fn variable(key: &str, suggestion: Option<&str>) -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        match suggestion {
            Some(suggestion) => {
                format!(
                    "the name of a variable has capitals, digits and underscores only, and begins \
                     with no digit: write `{key} = \"{suggestion}\"`"
                )
            }
            None => "the name of a variable has capitals, digits and underscores only, and begins \
                     with no digit"
                .to_owned(),
        },
    )
}

pub(crate) fn prefix_ends_with_underscore(suggestion: &str) -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        format!(
            "the underscore between prefix and field is added: write `prefix = \"{suggestion}\"`"
        ),
    )
}

pub(crate) fn field_makes_no_variable(name: &str) -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        format!(
            "`{name}` makes no name for a variable: that has ASCII letters, digits and \
             underscores, 255 at most; give it one with `env = \"…\"`"
        ),
    )
}

pub(crate) fn duplicate_variable(variable: &str, first: &str, is_companion: bool) -> Mistake {
    let how = if is_companion { ", as a variable of that resource" } else { "" };
    Mistake::new(
        &rule::DUPLICATE_VARIABLE,
        format!(
            "`{variable}` is read by `{first}` already{how}: give one of the two another name, \
             with `env = \"…\"`"
        ),
    )
}

// Types.

pub(crate) fn raw_locator(
    ty: &str,
    resource: &str,
    field: Option<&str>,
    variable: Option<&str>,
) -> Mistake {
    let field = match field {
        Some(field) => format!("`{field}: {resource}` with the type of the service"),
        None => format!(
            "`{resource}` with the type of the service, in a field that says what it is for"
        ),
    };
    let variable =
        variable.map_or_else(String::new, |variable| format!(", which reads `{variable}`"));
    Mistake::new(
        &rule::RAW_SECRET,
        format!("a locator in `{ty}` is printed with its password: write {field}{variable}"),
    )
}

pub(crate) fn raw_secret(ty: &str, secret: &str) -> Mistake {
    Mistake::new(
        &rule::RAW_SECRET,
        format!("a secret in `{ty}` is printed with all that holds it: write {secret}"),
    )
}

pub(crate) fn raw_text(ty: &str) -> Mistake {
    Mistake::new(
        &rule::RAW_SECRET,
        format!(
            "`{ty}` can hold a secret, and prints it: a locator is a `Resource<…>`, a secret a \
             `SecretString`, and a public value has \
             `#[setting]` above it"
        ),
    )
}

pub(crate) fn raw_url(ty: &str) -> Mistake {
    Mistake::new(
        &rule::RAW_SECRET,
        format!(
            "`{ty}` prints the password that it holds: a locator is a `Resource<…>`, and a public \
             link is a `String` with `#[setting]` above it"
        ),
    )
}

pub(crate) fn plain_value(ty: &str) -> Mistake {
    Mistake::new(
        &rule::RAW_SECRET,
        format!(
            "`{ty}` is neither a resource nor a secret: a public value has `#[setting]` above it"
        ),
    )
}

pub(crate) fn suspicious_setting(ty: &str, name: &str, instead: &str) -> Mistake {
    Mistake::new(
        &rule::RAW_SECRET,
        format!(
            "`{name}` suggests a secret, and `{ty}` would print it: write {instead}, without \
             `#[setting]`, or, if the value is public, \
             `#[setting(public, reason = \"…\")]`"
        ),
    )
}

pub(crate) fn url_setting(ty: &str) -> Mistake {
    Mistake::new(
        &rule::RAW_SECRET,
        format!(
            "`{ty}` prints the password that it holds: write `Resource<…>` without `#[setting]`, \
             or, if the value is public, \
             `#[setting(public, reason = \"…\")]`"
        ),
    )
}

pub(crate) fn locator_as_default_of_setting(scheme: &str) -> Mistake {
    Mistake::new(
        &rule::RAW_SECRET,
        format!(
            "a `{scheme}` address is a locator, and a setting is printed: write `Resource<…>` with \
             `#[service]`, or, if the value is public, \
             `#[setting(public, reason = \"…\")]`"
        ),
    )
}

pub(crate) fn service_on_text(ty: &str) -> Mistake {
    Mistake::new(
        &rule::RAW_SECRET,
        format!(
            "`#[service]` stands above a resource, and `{ty}` is none: write `Resource<…>` with \
             the type of the service"
        ),
    )
}

pub(crate) fn secret_on_text(ty: &str, secret: &str) -> Mistake {
    Mistake::new(
        &rule::RAW_SECRET,
        format!("`#[secret]` alone does not keep `{ty}` from being printed: write {secret}"),
    )
}

pub(crate) fn attribute_on_other(attribute: &str, what: &str, instead: &str) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        format!("`#[{attribute}]` does not stand above {what}: {instead}"),
    )
}

// Values.

pub(crate) fn default_of_secret(optional: bool) -> Mistake {
    let instead = if optional {
        "remove it"
    } else {
        "remove it; a secret that may be missing is an `Option<SecretString>`"
    };
    Mistake::new(&rule::SECRET_DEFAULT, format!("a secret in the source is no secret: {instead}"))
}

pub(crate) fn default_of_option() -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        "an `Option` with a default is never `None`: remove one of the two",
    )
}

pub(crate) fn default_not_a_literal() -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        "`default` is a literal, for the manifest states it: a number, `true`, `false`, or a text \
         in quotes",
    )
}

pub(crate) fn default_not_of_the_type(ty: &str, expects: &str) -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        format!("this default is not a value of `{ty}`: expected {expects}"),
    )
}

pub(crate) fn default_wants_quotes(ty: &str, text: &str) -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        format!("a default of `{ty}` is a text: write `default = \"{text}\"`"),
    )
}

pub(crate) fn default_is_empty() -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        "an empty value counts as a missing one: write `Option<…>` instead of the default",
    )
}

pub(crate) fn scheme_with_slashes(scheme: &str) -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        format!("a scheme is written without `://`: write `scheme = \"{scheme}\"`"),
    )
}

pub(crate) fn scheme_in_lower_case(scheme: &str) -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        format!("a scheme is written in lower case, without blanks: write `scheme = \"{scheme}\"`"),
    )
}

pub(crate) fn not_a_scheme() -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        "a scheme is a letter, then letters, digits, `+`, `-` or `.`: write `scheme = \"rediss\"`, \
         say",
    )
}

pub(crate) fn default_of_other_scheme(scheme: &str) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_SCHEME,
        format!(
            "the field's locators have the scheme `{scheme}`, and its default has another: write \
             one of the two"
        ),
    )
}

pub(crate) fn host(pattern: &str) -> Mistake {
    if !pattern.is_ascii() {
        let message = "is not ASCII: write the name in its ASCII form, as `xn--bcher-kva.example` \
                       for `bücher.example`";
        return Mistake::new(&rule::MALFORMED_VALUE, format!("`{pattern}` {message}"));
    }
    Mistake::new(
        &rule::MALFORMED_VALUE,
        format!(
            "`{pattern}` is no host: write names and addresses with commas between them, \
             `\"db.example.com, *.internal.example.com\"`, without scheme and port"
        ),
    )
}

pub(crate) fn host_twice(pattern: &str) -> Mistake {
    Mistake::new(&rule::MALFORMED_VALUE, format!("`{pattern}` is listed twice: remove one of them"))
}

// Locators in literals.

pub(crate) fn plaintext_scheme(scheme: &str, instead: &str) -> Mistake {
    // The replacement is a scheme or a phrase.
    let instead =
        if instead.contains(' ') { format!("use {instead}") } else { format!("write `{instead}`") };
    Mistake::new(
        &rule::PLAINTEXT_SCHEME,
        format!("`{scheme}` means a plaintext connection: {instead}"),
    )
}

pub(crate) fn embedded_credentials() -> Mistake {
    Mistake::new(
        &rule::EMBEDDED_CREDENTIALS,
        "credentials in the source are public: remove what stands before the `@`, they come \
         from the `…_USER` and `…_PASSWORD` variables",
    )
}

pub(crate) fn embedded_credentials_in_setting() -> Mistake {
    Mistake::new(
        &rule::EMBEDDED_CREDENTIALS,
        "credentials in the source are public: remove what stands before the `@`",
    )
}

pub(crate) fn plaintext_parameter(parameter: &str) -> Mistake {
    Mistake::new(
        &rule::PLAINTEXT_SCHEME,
        format!("`{parameter}` asks for plaintext: remove it, there is full TLS without it"),
    )
}

pub(crate) fn opportunistic_parameter(parameter: &str) -> Mistake {
    Mistake::new(
        &rule::OPPORTUNISTIC_TLS,
        format!("`{parameter}` leaves plaintext possible: remove it, there is full TLS without it"),
    )
}

pub(crate) fn unverified_parameter(parameter: &str) -> Mistake {
    Mistake::new(
        &rule::UNVERIFIED_TLS,
        format!(
            "`{parameter}` switches verification off: remove it; a certificate authority of your \
             own goes into the `…_CA` variable"
        ),
    )
}

pub(crate) fn secret_parameter(key: &str) -> Mistake {
    Mistake::new(
        &rule::SECRET_IN_PARAMETER,
        format!(
            "`{key}` is a secret, and parameters are logged: remove it, it comes from the \
             `…_PASSWORD` variable"
        ),
    )
}

pub(crate) fn malformed_locator(what: &str, instead: &str) -> Mistake {
    Mistake::new(&rule::MALFORMED_LOCATOR, format!("{what}: {instead}"))
}

pub(crate) fn ambiguous_locator(what: &str, instead: &str) -> Mistake {
    Mistake::new(&rule::AMBIGUOUS_LOCATOR, format!("{what}: {instead}"))
}

// Waivers.

pub(crate) fn unknown_rule(name: &str, nearest: Option<&str>) -> Mistake {
    let instead = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "the docs of `backing_services::rules` list them".to_owned(),
    };
    Mistake::new(&rule::UNKNOWN_ATTRIBUTE, format!("there is no rule `{name}`: {instead}"))
}

pub(crate) fn rule_in_quotes(name: &str) -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        format!("a rule is named without quotes: write `{name}`"),
    )
}

pub(crate) fn rule_twice(name: &str) -> Mistake {
    Mistake::new(&rule::UNKNOWN_ATTRIBUTE, format!("`{name}` is waived twice: remove one of them"))
}

pub(crate) fn waiver_of_nothing() -> Mistake {
    Mistake::new(
        &rule::WAIVER_WITHOUT_REASON,
        "a waiver names its rule, and gives its reason: write `allow(rule, reason = \"…\")`",
    )
}

pub(crate) fn waiver_of_forbidden(name: &str, help: &str) -> Mistake {
    Mistake::new(
        &rule::WAIVER_WITHOUT_REASON,
        format!("`{name}` cannot be waived: {}", as_clause(help)),
    )
}

pub(crate) fn waiver_of_warning(name: &str) -> Mistake {
    Mistake::new(
        &rule::WAIVER_WITHOUT_REASON,
        format!("`{name}` only warns: there is nothing to waive, remove it"),
    )
}

pub(crate) fn waiver_of_raw_secret() -> Mistake {
    Mistake::new(
        &rule::WAIVER_WITHOUT_REASON,
        "`raw_secret` is not waived with `allow`: a public value is a \
         `#[setting(public, reason = \"…\")]`",
    )
}

pub(crate) fn no_reason() -> Mistake {
    Mistake::new(
        &rule::WAIVER_WITHOUT_REASON,
        "an exception without a reason is never taken back: write `reason = \"…\"`",
    )
}

pub(crate) fn reason_of_nothing() -> Mistake {
    Mistake::new(
        &rule::UNKNOWN_ATTRIBUTE,
        "`reason` is the reason for `public`: write `public, reason = \"…\"`, or remove it",
    )
}

pub(crate) fn date() -> Mistake {
    Mistake::new(
        &rule::MALFORMED_VALUE,
        "a date is a day of the calendar, written YYYY-MM-DD: `until = \"2027-03-01\"`, say",
    )
}

/// Turns a rule's help, which consists of sentences, into text that follows a colon.
fn as_clause(sentences: &str) -> String {
    let clauses = sentences.trim_end_matches('.').split(". ").map(|sentence| {
        let mut letters = sentence.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
    });
    clauses.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "were not read")]
    fn dropping_it_without_finish_panics() {
        drop(Mistakes::new());
    }

    #[test]
    fn texts_are_in_the_house_style() {
        let texts = [
            not_a_struct("an enum"),
            raw_text("String"),
            host("a b"),
            no_reason(),
            waiver_of_forbidden("x", rule::STARTTLS.help),
        ];
        for Mistake { text, .. } in texts {
            assert!(!text.ends_with('.') && !text.starts_with(char::is_uppercase), "{text}");
        }
    }
}
