//! The generated code: constants, and calls to `__private`.
//!
//! Its size is linear in the number of fields, and it never returns early: values are loaded and checked before [`take`] runs, by a runtime
//! that knows nothing of the struct but its manifest. Paths are absolute, so that a shadowed prelude does not matter.
//!
//! A bound on a field's type is only ever asked for as `<Type as Trait>::NAME`, by tokens that stand where the type stands: what rustc has to
//! say against it is then the same error each time, which it prints once, and without a note about who asked.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};

use crate::model::{Field, Kind, Prefix, Struct};
use crate::place::{Place, moved};
use crate::question::{Question, questions};

/// The implementations for a struct in which nothing is wrong.
pub(crate) fn expand(input: &Struct<'_>) -> TokenStream {
    let runtime = runtime(input);
    let values = local("__values");
    let resources = local("__resources");
    let fields = input.fields.iter().map(|field| take(field, &runtime, &values));
    let lists = input.fields.iter().map(|field| list(field, &runtime, &resources));
    // Of a generic struct, rustc can only ask once the parameters are known: when `take` is compiled for them.
    let (free, inner): (Vec<_>, Vec<_>) = questions(input, &runtime).partition(|question| question.free);
    let free = free.iter().map(Question::item);
    let inner = inner.iter().map(Question::statement);
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
        #[diagnostic::do_not_recommend]
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

/// A parameter's name. It is nobody else's variable by its span; the underscores are there because a constant or a static of the user's
/// would be meant in spite of that.
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

/// `<Type as Trait>::NAME`, where the type stands.
pub(crate) fn qualified(field: &Field<'_>, bound: &str, name: &str, runtime: &TokenStream) -> TokenStream {
    let ty = &field.original.ty;
    let Place { first, last } = Place::of(ty);
    let bound = Ident::new(bound, last);
    let name = Ident::new(name, last);
    let open = quote_spanned!(first=> <);
    let close = quote_spanned!(last=> as #runtime::__private::#bound>::#name);
    quote!(#open #ty #close)
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
    let last = Place::of(ty).last;
    let value = match field.kind {
        Kind::Attached => {
            let take = qualified(field, "Attached", "take", runtime);
            let arguments = quote_spanned!(last=> (#values));
            quote!(#take #arguments)
        }
        // Exactly one value each, which needs no trait.
        Kind::Service(_) | Kind::Secret(_) | Kind::Setting(_) => {
            let next = moved(quote!(#runtime::__private::Values::next::<), Place::of(ty).first);
            let arguments = quote_spanned!(last=> >(#values));
            quote!(#next #ty #arguments)
        }
    };
    quote!(#ident: #value)
}

fn list(field: &Field<'_>, runtime: &TokenStream, resources: &Ident) -> TokenStream {
    let Place { first, last } = Place::of(&field.original.ty);
    let mut ident = field.ident.clone();
    ident.set_span(ident.span().located_at(last));
    let this = quote_spanned!(first=> &self.);
    let list = match field.kind {
        Kind::Attached => qualified(field, "Attached", "list", runtime),
        Kind::Service(_) => qualified(field, "ResourceField", "list_resource", runtime),
        Kind::Secret(_) | Kind::Setting(_) => return TokenStream::new(),
    };
    let arguments = quote_spanned!(last=> (#this #ident, #resources));
    quote!(#list #arguments;)
}
