//! Implementations that are generated beside the errors, so that the rest of the user's crate
//! compiles without follow-on errors.
//!
//! The manifest contains the valid fields. So rustc checks their types in the same compile, and
//! reports mistakes in those.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{DeriveInput, GenericParam};

use crate::expand::implementations;
use crate::model::{Struct, StructAttribute};
use crate::question::{Question, questions};

/// Implementations for a struct whose fields could be read.
pub(crate) fn expand(input: &Struct<'_>) -> TokenStream {
    let (generics, ty, bounds) = input.original.generics.split_for_impl();
    let ident = &input.original.ident;
    let questions: Vec<Question> = questions(input).collect();
    let questions = questions.iter().filter(|question| question.free).map(Question::item);
    implementations(
        input,
        [quote!(#generics), quote!(#ident #ty), quote!(#bounds)],
        &diverge(),
        &quote!(#(#questions)*),
    )
}

/// Implementations for an item that is not a struct with named fields, or has lifetimes.
pub(crate) fn expand_bare(original: &DeriveInput, attribute: StructAttribute) -> TokenStream {
    let bare = Struct { original, docs: String::new(), attribute, fields: Vec::new() };
    let ident = &original.ident;
    let (_, ty, bounds) = original.generics.split_for_impl();
    // Only `'static` types can be attached, so the implementations are for `'static`. Code
    // that uses the struct needs those.
    let lifetimes: Vec<String> = original
        .generics
        .lifetimes()
        .map(|parameter| parameter.lifetime.ident.to_string())
        .collect();
    let parameters = original.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Lifetime(_) => None,
        GenericParam::Type(parameter) => {
            let (ident, bounds) = (&parameter.ident, &parameter.bounds);
            Some(quote!(#ident: #bounds))
        }
        GenericParam::Const(parameter) => {
            let (ident, ty) = (&parameter.ident, &parameter.ty);
            Some(quote!(const #ident: #ty))
        }
    });
    let tokens = [quote!(<#(#parameters),*>), quote!(#ident #ty), bounds.to_token_stream()];
    implementations(
        &bare,
        tokens.map(|tokens| eternal(tokens, &lifetimes)),
        &diverge(),
        &TokenStream::new(),
    )
}

/// The program does not compile, so this is never called.
fn diverge() -> TokenStream {
    quote! {
        fn take(_: &mut __private::Values) -> Self {
            __private::core::unreachable!()
        }
    }
}

/// The same tokens with `'static` for each of the lifetimes.
fn eternal(tokens: TokenStream, lifetimes: &[String]) -> TokenStream {
    let mut after_quote = false;
    tokens
        .into_iter()
        .map(|token| {
            let is_name = std::mem::replace(
                &mut after_quote,
                matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\''),
            );
            match token {
                TokenTree::Ident(ident)
                    if is_name && lifetimes.iter().any(|lifetime| ident == lifetime) =>
                {
                    proc_macro2::Ident::new("static", ident.span()).into()
                }
                TokenTree::Group(group) => {
                    let mut inner = proc_macro2::Group::new(
                        group.delimiter(),
                        eternal(group.stream(), lifetimes),
                    );
                    inner.set_span(group.span());
                    inner.into()
                }
                other => other,
            }
        })
        .collect()
}
