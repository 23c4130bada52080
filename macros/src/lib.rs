//! The derive of `backing-services`. Depend on that crate, which re-exports it.
//!
//! The steps: `attr` parses the tokens into attributes. `model` builds a model from them that is
//! never malformed. `check` checks the model as a whole. `expand` turns it into constants.
//! `question` generates code that asks rustc to check the rest. `errors` collects every mistake on
//! the way. If there is one, `fallback` keeps the rest of the user's crate free of follow-on
//! errors.
//!
//! The macro is pure: no environment, no file, no clock. `clippy.toml` beside this crate's manifest
//! enforces that.

mod attr;
mod check;
mod errors;
mod expand;
mod fallback;
mod literal;
mod model;
mod place;
mod question;
mod suggest;
mod types;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use errors::Mistakes;
use model::Struct;

/// Derives the resources, secrets and settings of a program from a struct.
///
/// It implements the trait of the same name for a struct with named fields. The type of a field
/// decides its meaning:
///
/// - `Resource<S>`: a backing service of type `S`. It reads `PREFIX_FIELD_URL`, and `…_USER`,
///   `…_PASSWORD`, `…_CA`, `…_CLIENT_CERT`, `…_CLIENT_KEY`, `…_PIN`.
/// - `SecretString`, `SecretSlice<u8>`, `SecretBox<T>`: a secret; a `SecretBox<[u8; N]>` from 2 N
///   hexadecimal digits. It reads `PREFIX_FIELD`.
/// - `Option` of one of these: the same, and the program runs without it.
/// - A struct that derives `BackingServices`: its fields, with `PREFIX_FIELD` as their prefix.
/// - Any type, with `#[setting]`: a plain, public value. It reads `PREFIX_FIELD`.
///
/// Every other type is refused: that keeps a password out of a `String`. Each variable may instead
/// be read from a file, whose path is in `NAME_FILE`.
///
/// ```
/// use backing_services::{BackingServices, Resource, secrecy::SecretString};
/// # use backing_services::rules::Scheme;
/// # use backing_services::service::{Attachment, Attempt, Refusal, Target};
/// # use backing_services::{Posture, Service};
/// # macro_rules! service { ($name:ident, $scheme:literal) => {
/// #     struct $name;
/// #     impl Service for $name {
/// #         type Client = ();
/// #         type Guard = backing_services::resource::ClientGuard<Self>;
/// #         const NAME: &'static str = stringify!($name);
/// #         const SCHEMES: &'static [Scheme] = &[Scheme::upgraded($scheme)];
/// #         const PRIVILEGES: &'static [backing_services::needs::Grantable] = &[
/// #             backing_services::needs::Grantable::new(
/// #                 "TABLE",
/// #                 &["SELECT", "INSERT", "UPDATE"],
/// #                 backing_services::needs::Names::Identifiers(2),
/// #             ),
/// #         ];
/// #         async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
/// #             Ok(Attachment::new((), Posture::of::<Self>(target)))
/// #         }
/// #         async fn health(_: &()) -> Result<(), Refusal> { Ok(()) }
/// #         async fn close(_: &()) {}
/// #     }
/// # } }
/// # service!(Postgres, "postgres");
/// # service!(Redis, "rediss");
///
/// /// Everything this deploy attaches to.
/// #[derive(BackingServices)]
/// #[services(prefix = "SHOP", deadline = 20)]
/// struct Services {
///     /// Orders and customers.
///     #[service(
///         env = "DATABASE_URL",
///         needs = "SELECT, INSERT, UPDATE ON orders",
///         hosts = "*.db.example.com"
///     )]
///     orders: Resource<Postgres>,
///
///     /// Sessions. Read from SHOP_SESSIONS_URL.
///     sessions: Option<Resource<Redis>>,
///
///     #[service(allow(
///         superuser_account,
///         reason = "the vendor ships one account",
///         until = "2027-03-01"
///     ))]
///     legacy: Resource<Postgres>,
///
///     /// Card payments. Read from SHOP_STRIPE_KEY.
///     stripe_key: SecretString,
///
///     #[setting(default = 8080)]
///     port: u16,
///
///     #[setting(public, reason = "it is part of the page")]
///     analytics_token: String,
/// }
/// # let _ = <Services as BackingServices>::MANIFEST;
/// ```
///
/// # `#[services(…)]`, above the struct
///
/// - `prefix = "SHOP"`: the prefix of the variables; the underscore after it is added
/// - `deadline = 20`: the deadline for attaching everything, in seconds, from 1 to 600; the default
///   is 30
/// - `crate = path`: the path of this crate, if it was renamed or re-exported
///
/// # `#[service(…)]`, above a resource
///
/// - `env = "DATABASE_URL"`: the locator's variable; the others share its name without `_URL`
/// - `scheme = "rediss"`: the only scheme that the locator may have, of those that the service
///   accepts
/// - `default = "rediss://localhost"`: the locator, if the variable is missing; without
///   credentials, because they do not belong in the source
/// - `needs = "SELECT ON orders"`: the privileges that the account must have, and no others, in the
///   words of the service's `PRIVILEGES`; an unknown word does not compile
/// - `hosts = "db.example.com, *.internal"`: the hosts that the locator may lead to
/// - `allow(rule, …, reason = "…", until = "YYYY-MM-DD", debug_only)`: an exception; repeatable;
///   `until` is its last day, and is optional; with `debug_only` it holds in builds with
///   `debug_assertions` alone, for a developer's machine
///
/// An attribute may stand above a field several times, which is the same as one attribute with all
/// the keys. So a part of it can depend on `cfg_attr`.
///
/// # `#[secret(…)]`, above a secret
///
/// `env` and `allow(…)`, as above. A secret has no default.
///
/// # `#[setting(…)]`, above a plain value
///
/// - `env = "PORT"`: the variable
/// - `default = 8080`: the value, if the variable is missing: a literal of the field's type, or a
///   text as in the variable
/// - `public, reason = "…"`: the value is public, although its name suggests a secret and its type
///   could hold one
///
/// # Errors
///
/// The macro refuses all mistakes that the tokens show, in one compile, each under the narrowest
/// token and with the name of its rule. Mistakes that depend on types are reported by rustc in the
/// same place. The rules, with their reasons, are in `docs/rules.md`.
#[proc_macro_derive(BackingServices, attributes(services, service, setting, secret))]
pub fn derive_backing_services(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    match syn::parse(input) {
        Ok(input) => derive(&input),
        // Not even an item: rustc reports that too.
        Err(error) => error.into_compile_error(),
    }
    .into()
}

fn derive(input: &DeriveInput) -> TokenStream {
    let mistakes = Mistakes::new();
    let model = Struct::read(&mistakes, input).map(|mut model| {
        check::check(&mistakes, &mut model);
        model
    });
    match (mistakes.finish(), model) {
        (Ok(()), Ok(model)) => expand::expand(&model),
        (Err(errors), Ok(model)) => {
            let fallback = fallback::expand(&model);
            quote!(#errors #fallback)
        }
        (errors, Err(attribute)) => {
            let errors = errors.err();
            let fallback = fallback::expand_bare(input, attribute);
            quote!(#errors #fallback)
        }
    }
}

#[cfg(test)]
mod tests;
