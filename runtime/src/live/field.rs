//! The possible types of a field without `#[setting]`. The type decides what the field is, through
//! these traits: an alias of `Resource<Postgres>` is a resource, an alias of `String` is not, and a
//! third party's service is a service.

use std::sync::Arc;

use secrecy::SecretBox;

use crate::declare::manifest::{Category, Manifest, ResourceEntry, SecretEntry, Slot};
use crate::declare::secret::SecretValue;
use crate::live::generation::FieldContext;
use crate::live::resource::{AnyResource, Resource};
use crate::load::spec::ConnectionSpec;
use crate::report::malformed::Malformed;
use crate::service::Service;
use crate::service::erased::{Connected, Erased};

/// A field that needs no attribute: a resource, a secret, an `Option` of one, or a struct that
/// derives `BackingServices`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a struct that derives `BackingServices`, as it stands",
    label = "neither a resource, nor a secret, nor a struct that derives `BackingServices`",
    note = "a backing service is a `backing_services::Resource<…>`",
    note = "a secret is a `backing_services::secrecy::SecretString`, \
            or a `SecretBox` of a type that implements `SecretValue`",
    note = "a public value is marked: write `#[setting]` above it [raw_secret]"
)]
pub trait Attached: Sized + 'static {
    const CATEGORY: Category;

    /// Takes the field's value out of the attached values.
    fn take(values: &mut Values) -> Self {
        values.next()
    }

    /// Adds the field's resources.
    fn list<'a>(&'a self, _resources: &mut Vec<&'a dyn AnyResource>) {}
}

/// A field that may have `#[service]`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`#[service]` stands above a resource, and `{Self}` is none",
    label = "not a `Resource<…>`, nor an `Option` of one",
    note = "a backing service is a `backing_services::Resource<…>` [unknown_attribute]"
)]
pub trait ResourceField: Attached {
    type Service: Service;

    const CATEGORY: Category = <Self as Attached>::CATEGORY;

    fn take_resource(values: &mut Values) -> Self {
        Self::take(values)
    }

    fn list_resource<'a>(&'a self, resources: &mut Vec<&'a dyn AnyResource>) {
        self.list(resources);
    }
}

/// A field that may have `#[secret]`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`#[secret]` stands above a secret, and `{Self}` is none",
    label = "not a `SecretString`, a `SecretBox<…>`, nor an `Option` of one",
    note = "a secret is a `backing_services::secrecy::SecretString` [raw_secret]"
)]
pub trait SecretField: Attached {
    const CATEGORY: Category = <Self as Attached>::CATEGORY;
}

/// The values of a struct, in declaration order, before the struct is built.
#[doc(hidden)]
pub struct Values(pub(crate) std::vec::IntoIter<Slot>);

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.0.len())
    }
}

impl Values {
    /// The next value.
    ///
    /// # Panics
    /// If there is none left, or it has another type. The same derive writes the manifest and the
    /// struct, from the same fields in the same order. This stops a hand-written implementation
    /// that contradicts itself.
    #[allow(
        clippy::expect_used,
        reason = "see above: an internal invariant, and no input reaches it"
    )]
    #[allow(clippy::should_implement_trait, reason = "each value has a type of its own")]
    pub fn next<T: 'static>(&mut self) -> T {
        let slot = self.0.next().expect("a value for each field of the manifest");
        *slot.downcast().expect("the value of a field has the type of the field")
    }
}

/// An attached resource before it is in its field. The field knows the service's type.
pub(crate) struct Arrived {
    pub(crate) connected: Connected,
    pub(crate) spec: ConnectionSpec,
    pub(crate) context: Arc<FieldContext>,
}

impl Arrived {
    fn into_resource<S: Service>(self) -> Resource<S> {
        Resource::new(self.connected, self.spec, self.context)
    }
}

#[diagnostic::do_not_recommend]
impl<S: Service> Attached for Resource<S> {
    const CATEGORY: Category =
        Category::Resource(ResourceEntry { service: <S as Erased>::ENTRY, optional: false });

    fn take(values: &mut Values) -> Self {
        // The loader refuses a struct that lacks a required resource.
        let arrived = values.next::<Option<Arrived>>();
        let arrived = arrived.unwrap_or_else(|| unreachable!("a required resource is attached"));
        arrived.into_resource()
    }

    fn list<'a>(&'a self, resources: &mut Vec<&'a dyn AnyResource>) {
        resources.push(self);
    }
}

#[diagnostic::do_not_recommend]
impl<S: Service> ResourceField for Resource<S> {
    type Service = S;
}

/// `SecretString` and `SecretSlice<u8>`: any length, exactly as in the variable.
macro_rules! of_any_length {
    ($($held:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl Attached for SecretBox<$held> {
            const CATEGORY: Category = Category::Secret(SecretEntry {
                optional: false,
                expects: String::EXPECTS,
                read: |text| {
                    let text = text.ok_or(Malformed)?;
                    let held = <Box<$held>>::from(<Box<str>>::from(text));
                    Ok(Box::new(Self::from(held)) as Slot)
                },
            });
        }

        #[diagnostic::do_not_recommend]
        impl SecretField for SecretBox<$held> {}

        #[diagnostic::do_not_recommend]
        impl Optional for SecretBox<$held> {
            const OPTIONAL: Category = Category::Secret(SecretEntry {
                optional: true,
                expects: String::EXPECTS,
                read: |text| {
                    let held = |text: &str| <Box<$held>>::from(<Box<str>>::from(text));
                    Ok(Box::new(text.map(|text| Self::from(held(text)))))
                },
            });
        }
    )*};
}

of_any_length!(str, [u8]);

#[diagnostic::do_not_recommend]
impl<T: SecretValue> Attached for SecretBox<T> {
    const CATEGORY: Category = Category::Secret(SecretEntry {
        optional: false,
        expects: T::EXPECTS,
        read: |text| Ok(Box::new(Self::new(T::parse_boxed(text.ok_or(Malformed)?)?))),
    });
}

#[diagnostic::do_not_recommend]
impl<T: SecretValue> SecretField for SecretBox<T> {}

/// The type in an `Option` field: one resource or one secret.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`Option<{Self}>` cannot be a field of a struct that derives `BackingServices`, \
               as it stands",
    label = "an `Option` holds a `Resource<…>` or a `SecretString` here",
    note = "a public value is marked: write `#[setting]` above it [raw_secret]"
)]
pub trait Optional: Attached {
    const OPTIONAL: Category;

    /// Takes the field's value out of the attached values.
    fn take_optional(values: &mut Values) -> Option<Self> {
        values.next()
    }
}

#[diagnostic::do_not_recommend]
impl<S: Service> Optional for Resource<S> {
    const OPTIONAL: Category =
        Category::Resource(ResourceEntry { service: <S as Erased>::ENTRY, optional: true });

    fn take_optional(values: &mut Values) -> Option<Self> {
        values.next::<Option<Arrived>>().map(Arrived::into_resource)
    }
}

#[diagnostic::do_not_recommend]
impl<T: SecretValue> Optional for SecretBox<T> {
    const OPTIONAL: Category = Category::Secret(SecretEntry {
        optional: true,
        expects: T::EXPECTS,
        read: |text| Ok(Box::new(text.map(T::parse_boxed).transpose()?.map(Self::new))),
    });
}

#[diagnostic::do_not_recommend]
impl<T: Optional> Attached for Option<T> {
    const CATEGORY: Category = T::OPTIONAL;

    fn take(values: &mut Values) -> Self {
        T::take_optional(values)
    }

    fn list<'a>(&'a self, resources: &mut Vec<&'a dyn AnyResource>) {
        if let Some(field) = self {
            field.list(resources);
        }
    }
}

#[diagnostic::do_not_recommend]
impl<T: Optional + ResourceField> ResourceField for Option<T> {
    type Service = T::Service;
}

#[diagnostic::do_not_recommend]
impl<T: Optional + SecretField> SecretField for Option<T> {}

/// Used by the derive in a struct's own constants.
impl Category {
    #[doc(hidden)]
    #[must_use]
    pub const fn nested(manifest: &'static Manifest) -> Self {
        Self::Nested(manifest)
    }
}

/// Checks the scheme of a locator literal in an attribute, at compile time, once the service is
/// known.
///
/// # Panics
/// If the service does not accept the literal's scheme: in a constant, that is a compile error.
#[doc(hidden)]
#[track_caller]
pub const fn assert_scheme<S: Service>(scheme: &str) {
    let schemes = S::SCHEMES;
    let mut i = 0;
    while i < schemes.len() {
        if schemes[i].is(scheme) {
            return;
        }
        i += 1;
    }
    // A constant cannot format, but it can print one text, so the text is concatenated by hand.
    let mut text = [0; 256];
    let mut end = append(&mut text, 0, S::NAME);
    end = append(&mut text, end, " is not reached by this scheme: write `");
    i = 0;
    while i < schemes.len() {
        if i > 0 {
            end = append(&mut text, end, "` or `");
        }
        end = append(&mut text, end, schemes[i].name());
        i += 1;
    }
    end = append(&mut text, end, "` [unknown_scheme]");
    match std::str::from_utf8(text.split_at(end).0) {
        Ok(text) => panic!("{}", text),
        Err(_) => panic!("this service is not reached by this scheme [unknown_scheme]"),
    }
}

/// Writes as much as fits, and returns the end of the text.
const fn append(text: &mut [u8], at: usize, piece: &str) -> usize {
    let mut i = 0;
    while i < piece.len() && at + i < text.len() {
        text[at + i] = piece.as_bytes()[i];
        i += 1;
    }
    at + i
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_bytes_is_read_from_hexadecimal_digits() {
        assert_eq!(<[u8; 4]>::parse("00fF10a9"), Ok([0, 0xff, 0x10, 0xa9]));
        assert_eq!(*<[u8; 32]>::parse_boxed(&"5a".repeat(32)).unwrap(), [0x5a; 32]);
        for bad in [
            "", "00ff10", "00ff10a", "00ff10a90", "00ff10a900", "0x00ff10", "00ff10ag", "+0ff10a9",
            "00 ff10a", "٠٠ff", "AP8Qqb==",
        ] {
            assert_eq!(<[u8; 4]>::parse(bad), Err(Malformed), "{bad}");
        }
    }
}
