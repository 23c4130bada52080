//! The reading of a type's tokens.
//!
//! It never decides instead of rustc: an alias and a path of the user's own are unknown types. It
//! only serves to report common mistakes earlier and with better messages than rustc.

use backing_services_rules::name::suggests_secret;
use quote::ToTokens;
use syn::{GenericArgument, Lit, Path, PathArguments, Type};

/// A type, as far as its tokens show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// It is an `Option` of the shape below.
    pub(crate) optional: bool,
    /// It is a collection of the shape below.
    pub(crate) collection: bool,
    pub(crate) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `Resource<…>`.
    Resource,
    /// `SecretString`, `SecretBox<…>`, `SecretSlice<…>`.
    Secret,
    /// A type that can hold any text, and so a secret: `String`, `&str`, `Vec<u8>`, `PathBuf`.
    Text,
    /// `Url`: a text that can hold a password, and prints it.
    Url,
    /// A type that cannot hold a secret.
    Plain(Plain),
    /// An alias, a type of the user's crate, or a third party's.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// A whole number from the first to the last, without 0 if `nonzero`.
    Whole {
        min: i128,
        max: u128,
        nonzero: bool,
    },
    Fraction,
    Bool,
    Char,
    Duration,
    Ip,
    Ipv4,
    Ipv6,
    Socket,
}

impl Reading {
    const fn of(shape: Shape) -> Self {
        Self { optional: false, collection: false, shape }
    }

    /// True if a value can be a secret; `None` if the tokens do not show it. It mirrors
    /// `Setting::CARRIES_TEXT`.
    pub(crate) const fn carries_text(self) -> Option<bool> {
        match self.shape {
            Shape::Text | Shape::Url => Some(true),
            // Text is a list of characters; a key is a list of bytes or a number of 128 bits.
            Shape::Plain(Plain::Whole { max, .. }) if max > u64::MAX as u128 => Some(true),
            Shape::Plain(_) => Some(self.collection),
            Shape::Resource | Shape::Secret | Shape::Unknown => None,
        }
    }
}

/// Reads a type.
pub(crate) fn read(ty: &Type) -> Reading {
    match ty {
        // A type that comes from a `macro_rules` is in an invisible group.
        Type::Group(group) => read(&group.elem),
        Type::Paren(paren) => read(&paren.elem),
        Type::Reference(reference) => match &*reference.elem {
            Type::Slice(slice) => list(&slice.elem),
            target => read(target),
        },
        Type::Array(array) => list(&array.elem),
        Type::Slice(slice) => list(&slice.elem),
        Type::Tuple(tuple) if !tuple.elems.is_empty() => collection(tuple.elems.iter()),
        Type::Path(path) if path.qself.is_none() => read_path(&path.path),
        _ => Reading::of(Shape::Unknown),
    }
}

fn read_path(path: &Path) -> Reading {
    let unknown = Reading::of(Shape::Unknown);
    let Some(last) = path.segments.last() else { return unknown };
    let name = last.ident.to_string();
    let arguments: Vec<&Type> = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => arguments
            .args
            .iter()
            .filter_map(
                |argument| if let GenericArgument::Type(ty) = argument { Some(ty) } else { None },
            )
            .collect(),
        _ => Vec::new(),
    };
    match (name.as_str(), arguments.as_slice()) {
        ("Resource", [_]) => return Reading::of(Shape::Resource),
        ("SecretString", []) | ("SecretBox" | "SecretSlice", [_]) => {
            return Reading::of(Shape::Secret);
        }
        ("Url" | "Uri", []) => return Reading::of(Shape::Url),
        // It wipes its content, but prints it.
        ("Zeroizing", [held]) => return read(held),
        _ => {}
    }
    // `crate::String` is the user's own type.
    let of_std = path.segments.len() == 1
        || path.segments.first().is_some_and(|first| {
            first.ident == "std" || first.ident == "core" || first.ident == "alloc"
        });
    if !of_std {
        return unknown;
    }
    match (name.as_str(), arguments.as_slice()) {
        ("String" | "str" | "OsString" | "OsStr" | "CString" | "CStr" | "PathBuf" | "Path", []) => {
            Reading::of(Shape::Text)
        }
        ("Option", [held]) => Reading { optional: true, ..read(held) },
        ("Box" | "Arc" | "Rc" | "Cow", [held]) => match read(held) {
            reading @ Reading { shape: Shape::Text | Shape::Url | Shape::Plain(_), .. } => reading,
            // A `Box<Resource<…>>` is not a resource.
            _ => unknown,
        },
        ("Vec" | "VecDeque" | "HashSet" | "BTreeSet" | "HashMap" | "BTreeMap", []) => unknown,
        ("Vec", [element]) => list(element),
        ("VecDeque" | "HashSet" | "BTreeSet" | "HashMap" | "BTreeMap", elements) => {
            collection(elements.iter().copied())
        }
        ("NonZero", [number]) => match read(number).shape {
            Shape::Plain(Plain::Whole { min, max, .. }) => {
                plain(Plain::Whole { min, max, nonzero: true })
            }
            _ => unknown,
        },
        (name, []) => named(name).map_or(unknown, plain),
        _ => unknown,
    }
}

/// `Vec<u8>` and `[u8; 32]` are typical types of decoded secrets; a list of anything else is a
/// collection.
fn list(element: &Type) -> Reading {
    match read(element) {
        Reading {
            shape: Shape::Plain(Plain::Whole { min: 0, max: 255, nonzero: false }),
            optional: false,
            collection: false,
        } => Reading::of(Shape::Text),
        _ => collection(std::iter::once(element)),
    }
}

/// A collection has the most sensitive shape of its elements.
fn collection<'a>(elements: impl Iterator<Item = &'a Type>) -> Reading {
    let mut shape = None;
    for element in elements {
        shape = match (shape, read(element).shape) {
            (Some(Shape::Text | Shape::Url), _) => shape,
            (_, text @ (Shape::Text | Shape::Url)) => Some(text),
            (None, Shape::Plain(plain)) => Some(Shape::Plain(plain)),
            (Some(Shape::Plain(_)), Shape::Plain(_)) => shape,
            _ => Some(Shape::Unknown),
        };
    }
    Reading { optional: false, collection: true, shape: shape.unwrap_or(Shape::Unknown) }
}

const fn plain(plain: Plain) -> Reading {
    Reading::of(Shape::Plain(plain))
}

fn named(name: &str) -> Option<Plain> {
    if let Some(number) = name.strip_prefix("NonZero") {
        return match named(&number.to_ascii_lowercase()) {
            Some(Plain::Whole { min, max, .. }) => Some(Plain::Whole { min, max, nonzero: true }),
            _ => None,
        };
    }
    let whole = |min: i128, max: u128| Some(Plain::Whole { min, max, nonzero: false });
    match name {
        "u8" => whole(0, u8::MAX.into()),
        "u16" => whole(0, u16::MAX.into()),
        "u32" => whole(0, u32::MAX.into()),
        // The range of `usize` depends on the target, which a macro does not know: rustc is asked
        // too.
        "u64" | "usize" => whole(0, u64::MAX.into()),
        "u128" => whole(0, u128::MAX),
        "i8" => whole(i8::MIN.into(), i8::MAX as u128),
        "i16" => whole(i16::MIN.into(), i16::MAX as u128),
        "i32" => whole(i32::MIN.into(), i32::MAX as u128),
        "i64" | "isize" => whole(i64::MIN.into(), i64::MAX as u128),
        "i128" => whole(i128::MIN, i128::MAX as u128),
        "f32" | "f64" => Some(Plain::Fraction),
        "bool" => Some(Plain::Bool),
        "char" => Some(Plain::Char),
        "Duration" => Some(Plain::Duration),
        "IpAddr" => Some(Plain::Ip),
        "Ipv4Addr" => Some(Plain::Ipv4),
        "Ipv6Addr" => Some(Plain::Ipv6),
        "SocketAddr" => Some(Plain::Socket),
        _ => None,
    }
}

impl Plain {
    /// True if the runtime accepts `text` as a value. It mirrors the implementations of `Setting`.
    pub(crate) fn reads(self, text: &str) -> bool {
        match self {
            Self::Whole { min, max, nonzero } => match text.strip_prefix('-') {
                Some(_) => text
                    .parse::<i128>()
                    .is_ok_and(|number| number >= min && !(nonzero && number == 0)),
                None => text
                    .parse::<u128>()
                    .is_ok_and(|number| number <= max && !(nonzero && number == 0)),
            },
            Self::Fraction => text.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Bool => {
                matches!(text, "true" | "1" | "yes" | "on" | "false" | "0" | "no" | "off")
            }
            Self::Char => text.chars().count() == 1,
            Self::Duration => {
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                let (number, unit) = text.split_at(digits);
                number.parse::<u64>().is_ok() && matches!(unit, "ms" | "s" | "m" | "h" | "d")
            }
            Self::Ip => text.parse::<std::net::IpAddr>().is_ok(),
            Self::Ipv4 => text.parse::<std::net::Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<std::net::Ipv6Addr>().is_ok(),
            Self::Socket => text.parse::<std::net::SocketAddr>().is_ok(),
        }
    }

    /// True if a literal of that kind is a value of the type in Rust too. `default = "8080"` on a
    /// number could be parsed, but is not the intended form.
    pub(crate) const fn written_as(self, literal: &Lit) -> bool {
        match self {
            Self::Whole { .. } => matches!(literal, Lit::Int(_)),
            Self::Fraction => matches!(literal, Lit::Float(_) | Lit::Int(_)),
            Self::Bool => matches!(literal, Lit::Bool(_)),
            Self::Char => matches!(literal, Lit::Char(_)),
            Self::Duration | Self::Ip | Self::Ipv4 | Self::Ipv6 | Self::Socket => false,
        }
    }

    /// The form of a value, to follow "expected".
    pub(crate) fn expects(self) -> String {
        match self {
            Self::Whole { min, max, nonzero: false } => format!(
                "a whole number from {min} to \
                 {max}"
            ),
            Self::Whole { min: 0, max, nonzero: true } => format!("a whole number from 1 to {max}"),
            Self::Whole { min, max, nonzero: true } => format!(
                "a whole number from {min} to \
                 {max}, but not 0"
            ),
            Self::Fraction => "a number, like `0.25`".to_owned(),
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Char => "one character".to_owned(),
            Self::Duration => "a whole number and its unit: `\"250ms\"`, `\"30s\"`, `\"5m\"`, \
                               `\"2h\"` or `\"7d\"`"
                .to_owned(),
            Self::Ip => "an IP address, like `\"127.0.0.1\"`".to_owned(),
            Self::Ipv4 => "an IPv4 address, like `\"127.0.0.1\"`".to_owned(),
            Self::Ipv6 => "an IPv6 address without brackets, like `\"::1\"`".to_owned(),
            Self::Socket => "an IP address and a port, like `\"127.0.0.1:8080\"`".to_owned(),
        }
    }
}

/// A type as a person writes it; the tokens alone print as `Option < String >`.
pub(crate) fn show(ty: &Type) -> String {
    let mut text = ty.to_token_stream().to_string();
    for (spaced, tight) in [
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ::", "::"),
        (":: ", "::"),
        (" ,", ","),
        ("& ", "&"),
        (" ;", ";"),
    ] {
        text = text.replace(spaced, tight);
    }
    text
}

/// The name for a field that becomes a `Resource`, whose type shows that it is a locator:
/// `cache_url` → `cache`.
pub(crate) fn without_locator_ending(name: &str) -> Option<&str> {
    [
        "_connection_string", "_conn_string", "_conn_str", "_connection", "_conn", "_conninfo",
        "_locator", "_dsn", "_uri", "_url",
    ]
    .iter()
    .find_map(|ending| name.strip_suffix(ending))
    .filter(|rest| !rest.trim_matches('_').is_empty())
}

/// True if the name suggests a locator.
pub(crate) fn names_a_locator(name: &str) -> bool {
    // `homepage_url` is a link.
    let a_link = (name.ends_with("url") || name.ends_with("uri")) && !suggests_secret(name);
    let is_one = matches!(
        name,
        "url"
            | "uri"
            | "dsn"
            | "locator"
            | "connection_string"
            | "connection"
            | "conn"
            | "conn_str"
            | "broker"
    );
    !a_link && (is_one || name.ends_with("_broker") || without_locator_ending(name).is_some())
}

/// True if `Self` occurs in a type: it has no meaning outside of the struct.
pub(crate) fn mentions_self(ty: &Type) -> bool {
    fn any(tokens: proc_macro2::TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(ident) => ident == "Self",
            proc_macro2::TokenTree::Group(group) => any(group.stream()),
            _ => false,
        })
    }
    any(ty.to_token_stream())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(ty: &str) -> Reading {
        read(&syn::parse_str(ty).unwrap())
    }

    #[test]
    fn texts() {
        for ty in [
            "String", "std::string::String", "::std::string::String", "&'static str", "Box<str>",
            "Arc<str>", "Rc<str>", "Cow<'static, str>", "std::borrow::Cow<'static, str>",
            "Vec<u8>", "[u8; 32]", "&'static [u8]", "Box<[u8]>", "PathBuf", "Zeroizing<String>",
            "(String)",
        ] {
            assert_eq!(reading(ty), Reading::of(Shape::Text), "{ty}");
        }
        for ty in ["Option<String>", "Option<Box<str>>", "std::option::Option<Vec<u8>>"] {
            assert_eq!(
                reading(ty),
                Reading { optional: true, collection: false, shape: Shape::Text },
                "{ty}"
            );
        }
        for ty in [
            "Vec<String>", "HashMap<String, u16>", "BTreeMap<u16, String>", "HashSet<String>",
            "(u16, String)", "Vec<Vec<u8>>",
        ] {
            assert_eq!(
                reading(ty),
                Reading { optional: false, collection: true, shape: Shape::Text },
                "{ty}"
            );
        }
        for ty in ["Url", "url::Url", "reqwest::Url", "http::Uri"] {
            assert_eq!(reading(ty), Reading::of(Shape::Url), "{ty}");
        }
    }

    #[test]
    fn types_that_the_tokens_do_not_determine() {
        for ty in [
            "Text", "crate::String", "self::Url2", "Vec<Config>", "Box<Resource<P>>",
            "<T as Tr>::String", "fn() -> String", "()",
        ] {
            assert_eq!(reading(ty).shape, Shape::Unknown, "{ty}");
        }
    }

    #[test]
    fn the_rest() {
        assert_eq!(reading("Resource<Postgres>").shape, Shape::Resource);
        assert_eq!(
            reading("Option<backing_services::Resource<Postgres>>"),
            Reading { optional: true, collection: false, shape: Shape::Resource }
        );
        assert_eq!(reading("secrecy::SecretString").shape, Shape::Secret);
        for ty in [
            "SecretBox<Vec<u8>>", "SecretBox<[u8; 32]>", "secrecy::SecretSlice<u8>",
            "Option<SecretBox<[u8; N]>>",
        ] {
            assert_eq!(reading(ty).shape, Shape::Secret, "{ty}");
        }
        assert!(matches!(
            reading("NonZeroU16").shape,
            Shape::Plain(Plain::Whole { min: 0, max: 65535, nonzero: true })
        ));
        assert!(matches!(
            reading("NonZero<u16>").shape,
            Shape::Plain(Plain::Whole { min: 0, max: 65535, nonzero: true })
        ));
        assert!(matches!(reading("std::time::Duration").shape, Shape::Plain(Plain::Duration)));
        assert!(matches!(
            reading("Vec<u16>"),
            Reading { collection: true, shape: Shape::Plain(_), .. }
        ));
    }

    #[test]
    fn types_that_can_hold_a_secret() {
        for ty in [
            "String", "Vec<u8>", "Vec<char>", "Vec<u16>", "Option<Vec<char>>", "HashSet<char>",
            "BTreeSet<u8>", "[char; 8]", "(char, char)", "u128", "i128", "NonZeroU128",
            "NonZero<i128>", "Vec<bool>", "Box<[u8]>", "VecDeque<u8>",
        ] {
            assert_eq!(reading(ty).carries_text(), Some(true), "{ty}");
        }
        for ty in [
            "u8", "i64", "u64", "usize", "char", "bool", "f64", "Duration", "IpAddr",
            "Option<u16>", "NonZeroU64",
        ] {
            assert_eq!(reading(ty).carries_text(), Some(false), "{ty}");
        }
        for ty in ["Bytes", "Vec<Letter>", "Option<Key>"] {
            assert_eq!(reading(ty).carries_text(), None, "{ty}");
        }
    }

    #[test]
    fn values() {
        let reads = |ty: &str, text: &str| match reading(ty).shape {
            Shape::Plain(plain) => plain.reads(text),
            _ => panic!("{ty}"),
        };
        for (ty, good, bad) in [
            ("u16", "65535", "65536"),
            ("u16", "0", "-1"),
            ("i8", "-128", "-129"),
            (
                "i128",
                "-170141183460469231731687303715884105728",
                "170141183460469231731687303715884105728",
            ),
            ("u128", "340282366920938463463374607431768211455", "1.0"),
            ("NonZeroU8", "1", "0"),
            ("f64", "1.5", "NaN"),
            ("bool", "true", "True"),
            ("char", "x", "xy"),
            ("Duration", "30s", "30"),
            ("IpAddr", "::1", "[::1]"),
            ("SocketAddr", "[::1]:80", "::1"),
        ] {
            assert!(reads(ty, good), "{ty} {good}");
            assert!(!reads(ty, bad), "{ty} {bad}");
        }
    }

    #[test]
    fn shows_types_as_people_write_them() {
        for ty in [
            "Option<String>",
            "std::collections::HashMap<String, Vec<u8>>",
            "&'static str",
            "[u8; 32]",
        ] {
            assert_eq!(show(&syn::parse_str(ty).unwrap()), ty);
        }
    }

    #[test]
    fn names_of_locators() {
        assert_eq!(without_locator_ending("cache_url"), Some("cache"));
        assert_eq!(without_locator_ending("_url"), None);
        for (name, locator) in [
            ("cache_url", true),
            ("url", true),
            ("sentry_dsn", true),
            ("connection", true),
            ("db_connection", true),
            ("conn_str", true),
            ("celery_broker", true),
            ("homepage_url", false),
            ("name", false),
            ("max_connections", false),
        ] {
            assert_eq!(names_a_locator(name), locator, "{name}");
        }
    }
}
