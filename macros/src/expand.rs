//! The generated code: constants, and calls to `__private`.
//!
//! Its size is linear in the number of fields, and it never returns early: values are loaded and checked before [`take`] runs, by a runtime
//! that knows nothing of the struct but its manifest. Paths are absolute, so that a shadowed prelude does not matter.
//!
//! A bound on a field's type is only ever asked for as `<Type as Trait>::NAME`: rustc reports the same path at the same span once, however
//! often it stands there, and without a note about who asked.

use backing_services_rules::scheme::{self, Transport};
use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::Lit;

use crate::check::suspicious_name;
use crate::model::{self, Field, Kind, Prefix, Struct};
use crate::types::{self, Plain, Shape};

/// The implementations for a struct in which nothing is wrong.
pub(crate) fn expand(input: &Struct<'_>) -> TokenStream {
    let runtime = runtime(input);
    let values = local("values");
    let resources = local("resources");
    let fields = input.fields.iter().map(|field| take(field, &runtime, &values));
    let lists = input.fields.iter().map(|field| list(field, &runtime, &resources));
    // Of a generic struct, rustc can only ask once the parameters are known: when `take` is compiled for them.
    let (free, inner): (Vec<_>, Vec<_>) = questions(input, &runtime).partition(|question| question.free);
    let free = free.iter().map(|question| question.free_item());
    let inner = inner.iter().map(|question| question.statement());
    let (generics, ty, bounds) = input.original.generics.split_for_impl();
    let ident = &input.original.ident;
    let ty = quote!(#ident #ty);
    let take = quote! {
        fn take(#values: &mut #runtime::__private::Values) -> Self {
            #(#inner)*
            Self { #(#fields,)* }
        }
        fn list<'__resources>(
            &'__resources self,
            #resources: &mut #runtime::__private::Vec<&'__resources dyn #runtime::__private::AnyResource>,
        ) {
            #(#lists)*
        }
    };
    let impls = implementations(input, &runtime, &quote!(#generics), &ty, &bounds.to_token_stream(), &take);
    quote!(#impls #(#free)*)
}

/// The two implementations, around what `take` and `list` are.
pub(crate) fn implementations(
    input: &Struct<'_>,
    runtime: &TokenStream,
    generics: &TokenStream,
    ty: &TokenStream,
    bounds: &TokenStream,
    take: &TokenStream,
) -> TokenStream {
    let manifest = manifest(input, runtime);
    quote! {
        #[automatically_derived]
        impl #generics #runtime::BackingServices for #ty #bounds {
            const MANIFEST: &'static #runtime::Manifest = &#manifest;
        }
        #[automatically_derived]
        impl #generics #runtime::__private::Attached for #ty #bounds {
            const CATEGORY: #runtime::__private::Category =
                #runtime::__private::Category::nested(<Self as #runtime::BackingServices>::MANIFEST);
            #take
        }
    }
}

/// Where the generated code finds the runtime.
pub(crate) fn runtime(input: &Struct<'_>) -> TokenStream {
    input.attribute.runtime.clone().unwrap_or_else(|| quote!(::backing_services))
}

/// A local's name that no constant of the user's can capture.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn manifest(input: &Struct<'_>, runtime: &TokenStream) -> TokenStream {
    let name = input.name();
    let fields = input.fields.iter().map(|field| entry(field, runtime));
    // The block makes the slice live for ever, whatever the promotion rules for calls in constants are.
    let mut manifest = quote!(#runtime::Manifest::new(#name, const { &[#(#fields),*] }));
    if !input.docs.is_empty() {
        let docs = &input.docs;
        manifest.extend(quote!(.docs(#docs)));
    }
    if let Prefix::Named(prefix) = &input.attribute.prefix {
        manifest.extend(quote!(.prefix(#prefix)));
    }
    if let Some(deadline) = input.attribute.deadline {
        manifest.extend(quote!(.deadline_seconds(#deadline)));
    }
    manifest
}

/// A field of the manifest.
fn entry(field: &Field<'_>, runtime: &TokenStream) -> TokenStream {
    let declaration = declaration(field, runtime);
    let category = qualified(field, bound(field), "CATEGORY", runtime);
    quote!(#runtime::__private::Field::new(#declaration, #category))
}

/// The trait that a field's type must implement.
fn bound(field: &Field<'_>) -> &'static str {
    match field.kind {
        Kind::Attached => "Attached",
        Kind::Service(_) => "ResourceField",
        Kind::Secret(_) => "SecretField",
        Kind::Setting(_) => "Setting",
    }
}

/// `<Type as Trait>::NAME`.
fn qualified(field: &Field<'_>, bound: &str, name: &str, runtime: &TokenStream) -> TokenStream {
    let ty = &field.original.ty;
    let bound = Ident::new(bound, Span::call_site());
    let name = Ident::new(name, Span::call_site());
    quote!(<#ty as #runtime::__private::#bound>::#name)
}

fn declaration(field: &Field<'_>, runtime: &TokenStream) -> TokenStream {
    let (name, key) = (&field.name, &field.key);
    let mut declaration = quote!(#runtime::__private::Declaration::new(#name, #key));
    let mut call = |method: &str, argument: TokenStream| {
        let method = Ident::new(method, Span::call_site());
        declaration.extend(quote!(.#method(#argument)));
    };
    if !field.docs.is_empty() {
        call("docs", field.docs.to_token_stream());
    }
    if let Some(env) = field.env() {
        call("env", env.value().to_token_stream());
    }
    match &field.kind {
        Kind::Service(attribute) => {
            if let Some(scheme) = &attribute.scheme {
                call("scheme", scheme.value().to_token_stream());
            }
            if let Some(default) = &attribute.default {
                call("default", default.value.value().to_token_stream());
            }
            if let Some(needs) = &attribute.needs {
                call("needs", needs.value().trim().to_token_stream());
            }
            if !attribute.hosts.is_empty() {
                let hosts = &attribute.hosts;
                call("hosts", quote!(&[#(#hosts),*]));
            }
        }
        Kind::Setting(attribute) => {
            if let Some(default) = &attribute.default {
                call("default", default.value.text.to_token_stream());
            }
            if let Some(reason) = &attribute.public {
                call("public", reason.to_token_stream());
            }
        }
        Kind::Attached | Kind::Secret(_) => {}
    }
    if !field.waivers().is_empty() {
        let waivers = field.waivers().iter().map(|waiver| {
            let (rule, reason) = (waiver.rule.name, &waiver.reason);
            let until = match &waiver.until {
                Some(date) => quote!(#runtime::__private::core::option::Option::Some(#date)),
                None => quote!(#runtime::__private::core::option::Option::None),
            };
            quote!(#runtime::__private::Waiver::new(#rule, #reason, #until))
        });
        let waivers = quote!(const { &[#(#waivers),*] });
        call("waivers", waivers);
    }
    declaration
}

/// The field of the struct's literal. They are evaluated in declaration order: that is the contract with `Values`.
fn take(field: &Field<'_>, runtime: &TokenStream, values: &Ident) -> TokenStream {
    let (ident, ty) = (field.ident, &field.original.ty);
    match field.kind {
        Kind::Attached => {
            let take = qualified(field, "Attached", "take", runtime);
            quote!(#ident: #take(#values))
        }
        // Exactly one value each, which needs no trait.
        Kind::Service(_) | Kind::Secret(_) | Kind::Setting(_) => {
            quote!(#ident: #runtime::__private::Values::next::<#ty>(#values))
        }
    }
}

fn list(field: &Field<'_>, runtime: &TokenStream, resources: &Ident) -> TokenStream {
    let ident = field.ident;
    let list = match field.kind {
        Kind::Attached => qualified(field, "Attached", "list", runtime),
        Kind::Service(_) => qualified(field, "ResourceField", "list_resource", runtime),
        Kind::Secret(_) | Kind::Setting(_) => return TokenStream::new(),
    };
    quote!(#list(&self.#ident, #resources);)
}

/// What is asked of rustc in a constant, because it takes a type to answer. The answer stands under the token that it is about.
struct Question {
    expression: TokenStream,
    /// The type of the constant.
    ty: TokenStream,
    span: Span,
    /// Whether the question means something outside of the struct.
    free: bool,
}

impl Question {
    fn free_item(&self) -> TokenStream {
        let Self { expression, ty, span, .. } = self;
        quote_spanned!(*span=> const _: #ty = #expression;)
    }

    fn statement(&self) -> TokenStream {
        let Self { expression, ty, span, .. } = self;
        quote_spanned!(*span=> const { let _: #ty = #expression; };)
    }
}

/// The questions about all fields.
pub(crate) fn free_questions(input: &Struct<'_>, runtime: &TokenStream) -> TokenStream {
    questions(input, runtime).filter(|question| question.free).map(|question| question.free_item()).collect()
}

fn questions<'a>(input: &'a Struct<'_>, runtime: &'a TokenStream) -> impl Iterator<Item = Question> + 'a {
    let is_generic = !input.original.generics.params.is_empty();
    input.fields.iter().flat_map(move |field| {
        let free = !is_generic && !types::mentions_self(&field.original.ty);
        questions_of(field, runtime).into_iter().map(move |(span, expression, ty)| Question {
            expression,
            ty: ty.unwrap_or_else(|| quote!(())),
            span,
            free,
        })
    })
}

fn questions_of(field: &Field<'_>, runtime: &TokenStream) -> Vec<(Span, TokenStream, Option<TokenStream>)> {
    let mut questions = Vec::new();
    let ty = &field.original.ty;
    match &field.kind {
        Kind::Attached | Kind::Secret(_) => {}
        Kind::Service(attribute) => {
            // A plaintext scheme that is waived stands for its encrypted twin, which is the one that the service knows.
            let mut scheme = |literal: &syn::LitStr, name: &str| {
                let name = match scheme::look_up(name) {
                    Some(known) if known.transport == Transport::Plaintext => known.instead.to_owned(),
                    _ => name.to_ascii_lowercase(),
                };
                let span = literal.span();
                let service = qualified(field, "ResourceField", "Service", runtime);
                let name = spanned(&name, span);
                questions.push((span, quote_spanned!(span=> #runtime::__private::assert_scheme::<#service>(#name)), None));
            };
            if let Some(literal) = &attribute.scheme {
                scheme(literal, &literal.value());
            }
            if let Some(default) = &attribute.default {
                let text = default.value.value();
                let name = scheme::of(&text).unwrap_or_default();
                // What `scheme = "…"` says was asked already, and the default's is the same.
                if attribute.scheme.is_none() {
                    scheme(&default.value, name);
                }
            }
            if let Some(literal) = &attribute.needs {
                let span = literal.span();
                let service = qualified(field, "ResourceField", "Service", runtime);
                questions.push((span, quote_spanned!(span=> #runtime::__private::assert_needs::<#service>()), None));
            }
        }
        Kind::Setting(attribute) => {
            if attribute.public.is_none()
                && field.reading.carries_text().is_none()
                && let Some(name) = suspicious_name(field)
            {
                let span = model::span(field);
                let carries_text = qualified(field, "Setting", "CARRIES_TEXT", runtime);
                let name = spanned(&name, span);
                questions.push((span, quote_spanned!(span=> #runtime::__private::assert_public(#carries_text, #name)), None));
            }
            if let Some(default) = &attribute.default
                && is_rustcs_to_judge(field, &default.value.literal)
            {
                let value = &default.value.tokens;
                let span = default.value.literal.span();
                questions.push((span, quote_spanned!(span=> || #value), Some(quote_spanned!(span=> fn() -> #ty))));
            }
        }
    }
    questions
}

/// Whether rustc has to say if a literal is a value of the field's type. A text is not one in Rust, and known types were looked at.
fn is_rustcs_to_judge(field: &Field<'_>, literal: &Lit) -> bool {
    match (field.reading.shape, literal) {
        (_, Lit::Str(_)) => false,
        (Shape::Plain(Plain::Whole { .. }), Lit::Int(number)) => {
            !number.suffix().is_empty() || types::show(&field.original.ty) == "usize"
        }
        (Shape::Plain(_), Lit::Float(number)) => !number.suffix().is_empty(),
        (Shape::Plain(_), _) => false,
        _ => true,
    }
}

/// A text whose squiggle is somebody else's.
fn spanned(text: &str, span: Span) -> TokenTree {
    let mut literal = Literal::string(text);
    literal.set_span(span);
    literal.into()
}
