//! The generated code: constants, and calls to `__private`.
//!
//! Its size is linear in the number of fields, and it never returns early: values are loaded and
//! checked before [`take`] runs, by a runtime that knows only the struct's manifest. It does not
//! depend on the prelude: it is in a block of its own, in which two names with underscores refer to
//! the runtime.
//!
//! A bound on a field's type is only ever required as `<Type as Trait>::NAME`, with tokens at the
//! type's position. If it does not hold, rustc gives the same error each time, so it prints the
//! error once, and without a note about its origin.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};

use crate::model::{Field, Kind, Prefix, Struct};
use crate::place::Place;
use crate::question::{Question, questions};

/// The implementations for a struct without mistakes.
pub(crate) fn expand(input: &Struct<'_>) -> TokenStream {
    let values = local("__values");
    let resources = local("__resources");
    let fields = input.fields.iter().map(|field| take(field, &values));
    let lists = input.fields.iter().map(|field| list(field, &resources));
    // For a generic struct, rustc can check only when `take` is compiled with known parameters.
    let (free, inner): (Vec<_>, Vec<_>) = questions(input).partition(|question| question.free);
    let free = free.iter().map(Question::item);
    let inner = inner.iter().map(Question::statement);
    let body = quote! {
        fn take(#values: &mut __private::Values) -> Self {
            #(#inner)*
            Self { #(#fields,)* }
        }
        fn list<'__resources>(
            &'__resources self,
            #resources: &mut __private::Vec<&'__resources dyn __private::AnyResource>,
        ) {
            #(#lists)*
        }
    };
    let (generics, ty, bounds) = input.original.generics.split_for_impl();
    let ident = &input.original.ident;
    implementations(
        input,
        [quote!(#generics), quote!(#ident #ty), quote!(#bounds)],
        &body,
        &quote!(#(#free)*),
    )
}

/// The two implementations for a type with its parameters and bounds, with the functions of the
/// second one, and the items beside them.
pub(crate) fn implementations(
    input: &Struct<'_>,
    [generics, ty, bounds]: [TokenStream; 3],
    functions: &TokenStream,
    items: &TokenStream,
) -> TokenStream {
    let runtime = input.attribute.runtime.clone().unwrap_or_else(|| quote!(::backing_services));
    let manifest = manifest(input);
    quote! {
        const _: () = {
            use #runtime as __runtime;
            use #runtime::__private as __private;
            #[automatically_derived]
            impl #generics __runtime::BackingServices for #ty #bounds {
                const MANIFEST: &'static __runtime::Manifest = &#manifest;
            }
            #[automatically_derived]
            #[diagnostic::do_not_recommend]
            impl #generics __private::Attached for #ty #bounds {
                const CATEGORY: __private::Category =
                    __private::Category::nested(<Self as __runtime::BackingServices>::MANIFEST);
                #functions
            }
            #items
        };
    }
}

/// A parameter's name. Its span keeps it apart from the user's variables. The underscores are
/// necessary because the name would still resolve to a constant or a static of the user's.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn manifest(input: &Struct<'_>) -> TokenStream {
    let name = input.name();
    let fields = input.fields.iter().map(entry);
    // The block makes the slice `'static`, whatever the promotion rules for calls in constants are.
    let mut manifest = quote!(__runtime::Manifest::new(#name, const { &[#(#fields,)*] }));
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

/// A field of the manifest. The field's attribute selects the trait that gives its category.
fn entry(field: &Field<'_>) -> TokenStream {
    let declaration = declaration(field);
    let bound = match field.kind {
        Kind::Attached => "Attached",
        Kind::Service(_) => "ResourceField",
        Kind::Secret(_) => "SecretField",
        Kind::Setting(_) => "Setting",
    };
    let category = qualified(field, bound, "CATEGORY");
    quote!(__private::Field::new(#declaration, #category))
}

/// `<Type as Trait>::NAME`, at the type's position.
pub(crate) fn qualified(field: &Field<'_>, bound: &str, name: &str) -> TokenStream {
    let ty = &field.original.ty;
    let Place { first, last } = field.place;
    let bound = Ident::new(bound, last);
    let name = Ident::new(name, last);
    let mut path = quote_spanned!(first=> <);
    ty.to_tokens(&mut path);
    path.extend(quote_spanned!(last=> as __private::#bound>::#name));
    path
}

fn declaration(field: &Field<'_>) -> TokenStream {
    let (name, key) = (&field.name, &field.key);
    let mut declaration = quote!(__private::Declaration::new(#name, #key));
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
                Some(date) => quote!(__private::core::option::Option::Some(#date)),
                None => quote!(__private::core::option::Option::None),
            };
            let debug_only = waiver.debug_only.then(|| quote!(.debug_only()));
            quote!(__private::Waiver::new(#rule, #reason, #until) #debug_only)
        });
        let waivers = quote!(const { &[#(#waivers),*] });
        call("waivers", waivers);
    }
    declaration
}

/// The field's expression in the struct literal. The expressions are evaluated in declaration
/// order: that is the contract with `Values`.
fn take(field: &Field<'_>, values: &Ident) -> TokenStream {
    let (ident, ty) = (field.ident, &field.original.ty);
    let Place { first, last } = field.place;
    match field.kind {
        Kind::Attached | Kind::Service(_) => {
            let take = match field.kind {
                Kind::Service(_) => qualified(field, "ResourceField", "take_resource"),
                _ => qualified(field, "Attached", "take"),
            };
            let arguments = quote_spanned!(last=> (#values));
            quote!(#ident: #take #arguments)
        }
        // Exactly one value each, which requires no trait.
        Kind::Secret(_) | Kind::Setting(_) => {
            let next = quote_spanned!(first=> __private::Values::next::<);
            let arguments = quote_spanned!(last=> >(#values));
            quote!(#ident: #next #ty #arguments)
        }
    }
}

fn list(field: &Field<'_>, resources: &Ident) -> TokenStream {
    let list = match field.kind {
        Kind::Attached => qualified(field, "Attached", "list"),
        Kind::Service(_) => qualified(field, "ResourceField", "list_resource"),
        Kind::Secret(_) | Kind::Setting(_) => return TokenStream::new(),
    };
    let Place { first, last } = field.place;
    let mut ident = field.ident.clone();
    ident.set_span(ident.span().located_at(last));
    // `self` has the function's hygiene, even if a macro wrote the struct and received the type as
    // an argument.
    let here = Span::call_site().located_at(first);
    let this = quote_spanned!(here=> &self.);
    let arguments = quote_spanned!(last=> (#this #ident, #resources));
    quote!(#list #arguments;)
}
