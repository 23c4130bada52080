//! Settings: plain, public values.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use crate::declare::manifest::{Category, SettingEntry};
use crate::report::malformed::Malformed;

/// A type that a `#[setting]` can have: each value has one short textual form.
///
/// Implement it for a type of your own:
///
/// ```
/// use backing_services::setting::{Malformed, Setting};
///
/// #[derive(Debug, PartialEq)]
/// enum Tier { Free, Paid }
///
/// impl Setting for Tier {
///     const EXPECTS: &'static str = "`free` or `paid`";
///     const CARRIES_TEXT: bool = false;
///     fn parse(text: &str) -> Result<Self, Malformed> {
///         match text {
///             "free" => Ok(Self::Free),
///             "paid" => Ok(Self::Paid),
///             _ => Err(Malformed::default()),
///         }
///     }
/// }
/// # assert_eq!(Tier::parse("paid"), Ok(Tier::Paid));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a `#[setting]`",
    label = "not a type that a setting can have",
    note = "a locator is a `Resource<…>`, a secret is a `backing_services::secrecy::SecretString`: \
            both without `#[setting]`",
    note = "a public value of another type: implement `backing_services::setting::Setting` for it \
            [unknown_attribute]"
)]
pub trait Setting: Sized + Send + Sync + 'static {
    /// The form of a value, to follow "expected": `a whole number from 0 to 65535`.
    const EXPECTS: &'static str;

    /// True if a value can hold arbitrary text, and so a secret. Then the field's name must not
    /// suggest one. That is true for a list of anything: text is a list of characters, and a key is
    /// a list of bytes. It is also true for a number of 128 bits, which is as long as a key.
    const CARRIES_TEXT: bool = true;

    /// True if the type has a value for a missing variable, as `Option` does.
    #[doc(hidden)]
    const OPTIONAL: bool = false;

    /// The category of a field with `#[setting]`.
    #[doc(hidden)]
    const CATEGORY: Category = Category::Setting(SettingEntry::of::<Self>());

    /// Reads a value. The text has no blanks around it and is not empty.
    ///
    /// # Errors
    /// [`Malformed`] if the text is not a value. The report states the expected form and never
    /// repeats the text.
    fn parse(text: &str) -> Result<Self, Malformed>;

    /// Reads a value, or returns the value for a missing variable.
    #[doc(hidden)]
    fn read(text: Option<&str>) -> Result<Self, Malformed> {
        text.map_or(Err(Malformed), |text| Self::parse(text.trim_ascii()))
    }
}

/// Checks at compile time that a setting of this name is not a secret.
///
/// # Panics
/// If its type carries text and the name suggests a secret: in a constant, that is a compile error.
#[doc(hidden)]
#[track_caller]
pub const fn assert_public(carries_text: bool, name: &str) {
    assert!(
        !carries_text || !backing_services_rules::name::suggests_secret(name),
        "this setting's name suggests a secret, and its type can hold one: \
         make it a `SecretString` without `#[setting]`, or say `#[setting(public, reason = \
         \"…\")]` [raw_secret]"
    );
}

macro_rules! parsed {
    ($($type:ty: $carries_text:expr, $expects:expr;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl Setting for $type {
            const EXPECTS: &'static str = $expects;
            const CARRIES_TEXT: bool = $carries_text;
            fn parse(text: &str) -> Result<Self, Malformed> {
                text.parse().map_err(|_| Malformed)
            }
        }
    )*};
}

parsed! {
    char: false, "one character";
    IpAddr: false, "an IP address";
    Ipv4Addr: false, "an IPv4 address";
    Ipv6Addr: false, "an IPv6 address, without brackets";
    SocketAddr: false, "an IP address and a port, like `127.0.0.1:8080` or `[::1]:8080`";
    String: true, "a text";
    PathBuf: true, "a path";
}

macro_rules! whole_numbers {
    ($($type:ty: $expects:literal,)*) => {
        parsed! {$(
            $type: <$type>::BITS >= 128, $expects;
            NonZero<$type>: <$type>::BITS >= 128, concat!($expects, ", but not 0");
        )*}
    };
}

whole_numbers! {
    u8: "a whole number from 0 to 255",
    u16: "a whole number from 0 to 65535",
    u32: "a whole number from 0 to 4294967295",
    u64: "a whole number from 0 to 18446744073709551615",
    u128: "a whole number of 128 bits, not negative",
    usize: "a whole number, not negative",
    i8: "a whole number from -128 to 127",
    i16: "a whole number from -32768 to 32767",
    i32: "a whole number from -2147483648 to 2147483647",
    i64: "a whole number of 64 bits",
    i128: "a whole number of 128 bits",
    isize: "a whole number",
}

#[diagnostic::do_not_recommend]
impl Setting for bool {
    const EXPECTS: &'static str = "`true` or `false`";
    const CARRIES_TEXT: bool = false;
    fn parse(text: &str) -> Result<Self, Malformed> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(Malformed),
        }
    }
}

macro_rules! fractions {
    ($($type:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl Setting for $type {
            const EXPECTS: &'static str = "a number, like `0.25`";
            const CARRIES_TEXT: bool = false;
            fn parse(text: &str) -> Result<Self, Malformed> {
                // `inf` and `NaN` parse, but are never intended: every comparison with a NaN is
                // false.
                text.parse().ok().filter(|number: &$type| number.is_finite()).ok_or(Malformed)
            }
        }
    )*};
}

fractions!(f32, f64);

#[diagnostic::do_not_recommend]
impl Setting for Duration {
    const EXPECTS: &'static str = "a whole number and its unit: `250ms`, `30s`, `5m`, `2h` or `7d`";
    const CARRIES_TEXT: bool = false;
    fn parse(text: &str) -> Result<Self, Malformed> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| Malformed)?;
        let seconds = match unit {
            "ms" => return Ok(Self::from_millis(number)),
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(Malformed),
        };
        number.checked_mul(seconds).map(Self::from_secs).ok_or(Malformed)
    }
}

/// `None` if the variable is missing.
#[diagnostic::do_not_recommend]
impl<T: Setting> Setting for Option<T> {
    const EXPECTS: &'static str = T::EXPECTS;
    const CARRIES_TEXT: bool = T::CARRIES_TEXT;
    const OPTIONAL: bool = true;
    fn parse(text: &str) -> Result<Self, Malformed> {
        T::parse(text).map(Some)
    }
    fn read(text: Option<&str>) -> Result<Self, Malformed> {
        text.map(|text| T::read(Some(text))).transpose()
    }
}

macro_rules! lists {
    ($($type:ident [$($bound:path),*];)*) => {$(
        /// Values separated by commas; blanks around a value are ignored.
        #[diagnostic::do_not_recommend]
        impl<T: Setting $(+ $bound)*> Setting for $type<T> {
            const EXPECTS: &'static str = "a list with commas";
            fn parse(text: &str) -> Result<Self, Malformed> {
                text.split(',').map(|item| match item.trim_ascii() {
                    "" => Err(Malformed),
                    item => T::parse(item),
                }).collect()
            }
        }
    )*};
}

lists! {
    Vec [];
    BTreeSet [Ord];
    HashSet [Eq, std::hash::Hash];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An allowlist: every type that is not listed here carries text.
    #[test]
    fn types_that_cannot_hold_a_secret() {
        macro_rules! carry {
            ($expected:literal: $($type:ty),*) => {$(
                assert_eq!(<$type>::CARRIES_TEXT, $expected, stringify!($type));
                assert_eq!(Option::<$type>::CARRIES_TEXT, $expected, stringify!($type));
            )*};
        }
        carry!(false: u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);
        carry!(false: f32, f64, bool, char, Duration, NonZero<u8>, NonZero<u64>, NonZero<isize>);
        carry!(false: IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr);
        carry!(true: String, PathBuf, u128, i128, NonZero<u128>, NonZero<i128>);
        carry!(true: Vec<String>, Vec<char>, Vec<u8>, Vec<u16>, Vec<u32>, Vec<bool>);
        carry!(true: BTreeSet<u8>, HashSet<char>, Vec<Vec<u8>>);
    }

    #[test]
    fn values() {
        assert_eq!(u16::parse("8080"), Ok(8080));
        assert_eq!(u16::parse("65536"), Err(Malformed));
        assert_eq!(bool::parse("True"), Err(Malformed));
        assert_eq!(f64::parse("NaN"), Err(Malformed));
        assert_eq!(Duration::parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(Duration::parse("2h"), Ok(Duration::from_secs(7200)));
        for bad in
            ["", "s", "30", "1.5s", "-1s", "99999999999999999999s", "999999999999999999d", "1 s"]
        {
            assert_eq!(Duration::parse(bad), Err(Malformed), "{bad}");
        }
        assert_eq!(Vec::<u8>::parse("1, 2,3"), Ok(vec![1, 2, 3]));
        assert_eq!(Vec::<u8>::parse("1,,3"), Err(Malformed));
        assert_eq!(Option::<u8>::read(None), Ok(None));
        assert_eq!(u8::read(None), Err(Malformed));
    }
}
