//! The derive of `backing-services`. Depend on that crate, which re-exports it.
//!
//! Tokens become attributes ([`attr`]), those a model that cannot be malformed ([`model`]), it is checked as a whole ([`check`]) and becomes
//! constants ([`expand`]). Every mistake is collected on the way ([`errors`]); where there is one, a [`fallback`] keeps the rest of the user's
//! crate free of follow-on errors.

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

/// Turns a struct into what a program attaches to.
#[proc_macro_derive(BackingServices, attributes(services, service, setting, secret))]
pub fn derive_backing_services(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    match syn::parse(input) {
        Ok(input) => derive(&input),
        // Not even a struct: rustc says so too.
        Err(error) => error.into_compile_error(),
    }
    .into()
}

fn derive(input: &DeriveInput) -> TokenStream {
    let mistakes = Mistakes::new();
    let (code, fallback) = match Struct::read(&mistakes, input) {
        Ok(mut model) => {
            check::check(&mistakes, &mut model);
            (expand::expand(&model), fallback::expand(&model))
        }
        Err(attribute) => (TokenStream::new(), fallback::expand_bare(input, attribute)),
    };
    match mistakes.finish() {
        Ok(()) => code,
        Err(errors) => quote!(#errors #fallback),
    }
}
