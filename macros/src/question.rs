//! Questions that rustc answers in a constant, because the answer needs types. An error appears
//! under the token that it is about.

use backing_services_rules::scheme::{self, Transport};
use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Lit, LitStr};

use crate::check::suspicious_name;
use crate::expand::qualified;
use crate::model::{Field, Kind, ServiceAttribute, SettingAttribute, Struct};
use crate::place::Place;
use crate::types::{self, Plain, Shape};

pub(crate) struct Question {
    /// The type and the value of the constant.
    ty: TokenStream,
    value: TokenStream,
    place: Place,
    /// True if it can be evaluated outside of the struct: without parameters and without `Self`.
    pub(crate) free: bool,
}

impl Question {
    /// An item, which rustc evaluates immediately.
    pub(crate) fn item(&self) -> TokenStream {
        let Self { ty, value, place, .. } = self;
        let last = place.last;
        let end = quote_spanned!(last=> ;);
        quote!(const _: #ty = #value #end)
    }

    /// A statement, which rustc evaluates for each set of parameters for which the code is
    /// compiled.
    pub(crate) fn statement(&self) -> TokenStream {
        let Self { ty, value, .. } = self;
        quote!(const { let _: #ty = #value; };)
    }
}

/// The questions about all fields.
pub(crate) fn questions<'a>(input: &'a Struct<'_>) -> impl Iterator<Item = Question> + 'a {
    let is_generic = !input.original.generics.params.is_empty();
    input.fields.iter().flat_map(move |field| {
        let free = !is_generic && !types::mentions_self(&field.original.ty);
        let mut asker = Asker { field, free, questions: Vec::new() };
        match &field.kind {
            Kind::Attached | Kind::Secret(_) => {}
            Kind::Service(attribute) => asker.service(attribute),
            Kind::Setting(attribute) => asker.setting(attribute),
        }
        asker.questions
    })
}

struct Asker<'a> {
    field: &'a Field<'a>,
    free: bool,
    questions: Vec<Question>,
}

impl Asker<'_> {
    fn service(&mut self, attribute: &ServiceAttribute) {
        // If both exist, they have the same scheme.
        if let Some(literal) = &attribute.scheme {
            self.scheme(literal, &literal.value());
        } else if let Some(default) = &attribute.default {
            let text = default.value.value();
            self.scheme(&default.value, scheme::of(&text).unwrap_or_default());
        }
        if let Some(literal) = &attribute.needs {
            let service = qualified(self.field, "ResourceField", "Service");
            let needs = literal.value();
            self.ask(Place::of(literal), "assert_needs", Some(service), &quote!(#needs));
        }
    }

    fn scheme(&mut self, literal: &LitStr, name: &str) {
        // A waived plaintext scheme is replaced by its encrypted twin, which is the one that the
        // service knows.
        let name = match scheme::look_up(name) {
            Some(known) if known.transport == Transport::Plaintext => known.instead.to_owned(),
            _ => name.to_ascii_lowercase(),
        };
        let service = qualified(self.field, "ResourceField", "Service");
        self.ask(Place::of(literal), "assert_scheme", Some(service), &quote!(#name));
    }

    fn setting(&mut self, attribute: &SettingAttribute) {
        if attribute.public.is_none()
            && self.field.reading.carries_text().is_none()
            && let Some(name) = suspicious_name(self.field)
        {
            let carries_text = qualified(self.field, "Setting", "CARRIES_TEXT");
            self.ask(self.field.place, "assert_public", None, &quote!(#carries_text, #name));
        }
        if let Some(default) = &attribute.default
            && self.is_rustcs_to_judge(&default.value.literal)
        {
            let ty = &self.field.original.ty;
            let place = Place::of(&default.value.tokens);
            let (first, literal) = (place.first, &default.value.tokens);
            let value = quote_spanned!(first=> || #literal);
            self.questions.push(Question {
                ty: quote!(fn() -> #ty),
                value,
                place,
                free: self.free,
            });
        }
    }

    /// Asks with a call of a runtime function that panics at its caller.
    fn ask(
        &mut self,
        place: Place,
        function: &str,
        service: Option<TokenStream>,
        arguments: &TokenStream,
    ) {
        let Place { first, last } = place;
        let function = Ident::new(function, first);
        let mut value = quote_spanned!(first=> __private::#function);
        if let Some(service) = service {
            value.extend(quote_spanned!(last=> ::<#service>));
        }
        value.extend(quote_spanned!(last=> (#arguments)));
        self.questions.push(Question { ty: quote!(()), value, place, free: self.free });
    }

    /// True if rustc has to check whether the literal is a value of the field's type. A text is
    /// not, in Rust, and known types have been checked already.
    fn is_rustcs_to_judge(&self, literal: &Lit) -> bool {
        match (self.field.reading.shape, literal) {
            (_, Lit::Str(_)) => false,
            (Shape::Plain(Plain::Whole { .. }), Lit::Int(number)) => {
                !number.suffix().is_empty() || types::show(&self.field.original.ty) == "usize"
            }
            (Shape::Plain(_), Lit::Float(number)) => !number.suffix().is_empty(),
            (Shape::Plain(_), _) => false,
            _ => true,
        }
    }
}
