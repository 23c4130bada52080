//! The types that a secret field may hold.

use secrecy::zeroize::Zeroize;

use crate::report::malformed::Malformed;

/// The content of a [`SecretBox`](secrecy::SecretBox) field: a `String` or a `Vec<u8>` with the
/// variable's bytes, a
/// `[u8; N]` from 2 N hexadecimal digits, or a type of your own.
#[diagnostic::on_unimplemented(
    message = "`SecretBox<{Self}>` cannot be read from a variable",
    label = "no `SecretValue`",
    note = "`SecretString` holds any text; for a type of your own, implement \
            `backing_services::setting::SecretValue`"
)]
pub trait SecretValue: Zeroize + Sized + Send + Sync + 'static {
    /// The form of a value, to follow "write": `64 hexadecimal digits`.
    const EXPECTS: &'static str = "it as the field's type asks";

    /// Reads the value from the variable's unchanged text.
    ///
    /// # Errors
    /// [`Malformed`] if the text is not a value; the report names the variable and never repeats
    /// the text.
    fn parse(text: &str) -> Result<Self, Malformed>;

    /// Reads the value directly into its final place. Implement it too for a type that stores its
    /// bytes inline: moving such a value out of [`SecretValue::parse`] leaves a copy behind that is
    /// not wiped.
    ///
    /// # Errors
    /// As [`SecretValue::parse`].
    fn parse_boxed(text: &str) -> Result<Box<Self>, Malformed> {
        Self::parse(text).map(Box::new)
    }
}

impl SecretValue for String {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Ok(text.to_owned())
    }
}

impl SecretValue for Vec<u8> {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Ok(text.as_bytes().to_vec())
    }
}

/// A key of fixed length, in hexadecimal: a variable cannot hold every byte, and a single encoding
/// is unambiguous.
impl<const N: usize> SecretValue for [u8; N] {
    const EXPECTS: &'static str =
        "two hexadecimal digits for each byte of the array, as `openssl rand -hex` does";

    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::parse_boxed(text).map(|value| *value)
    }

    fn parse_boxed(text: &str) -> Result<Box<Self>, Malformed> {
        let (digits, rest) = text.as_bytes().as_chunks::<2>();
        if digits.len() != N || !rest.is_empty() {
            return Err(Malformed);
        }
        let mut value = Box::new([0; N]);
        for (byte, [high, low]) in value.iter_mut().zip(digits) {
            let digit = |digit: &u8| {
                char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
            };
            let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                value.zeroize();
                return Err(Malformed);
            };
            *byte = high << 4 | low;
        }
        Ok(value)
    }
}
