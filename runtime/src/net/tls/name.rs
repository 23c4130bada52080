//! A certificate's subject or issuer as text (RFC 4514).
//!
//! x509-cert can format names too, but with a table of all 1,139 registered attributes, which would
//! add 140 KiB to every program. Certificates use the attributes below.

use std::fmt::{self, Write as _};

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Encode as _, Tag, Tagged as _};
use x509_cert::name::Name;

/// The attributes of RFC 4514, 3, and those that RFC 5280, 4.1.2.4 and 4.1.2.6, adds. Every other
/// attribute is written as its number.
const ATTRIBUTES: &[(ObjectIdentifier, &str)] = &[
    (ObjectIdentifier::new_unwrap("2.5.4.3"), "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "ST"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.9"), "STREET"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25"), "DC"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1"), "UID"),
    (ObjectIdentifier::new_unwrap("2.5.4.5"), "SERIALNUMBER"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1"), "EMAILADDRESS"),
];

/// Formats a name, the last part first (RFC 4514, 2.1).
pub(super) fn written(name: &Name) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (at, part) in parts.iter().rev().enumerate() {
        for (beside, attribute) in part.iter().enumerate() {
            text.push_str(match (at, beside) {
                (0, 0) => "",
                (_, 0) => ",",
                _ => "+",
            });
            // Writing to a `String` cannot fail.
            let _ = write(&mut text, attribute);
        }
    }
    text
}

fn write(text: &mut String, attribute: &AttributeTypeAndValue) -> fmt::Result {
    let name = ATTRIBUTES.iter().find(|(oid, _)| *oid == attribute.oid).map(|(_, name)| name);
    let value = match attribute.value.tag() {
        // The other two are subsets of UTF-8.
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
            std::str::from_utf8(attribute.value.value()).ok()
        }
        _ => None,
    };
    match (name, value) {
        (Some(name), Some(value)) => {
            write!(text, "{name}=")?;
            escape(text, value)
        }
        // RFC 4514, 2.4: a value without a short name, or a value that is not text.
        _ => {
            write!(text, "{}=#", attribute.oid)?;
            attribute
                .value
                .to_der()
                .unwrap_or_default()
                .iter()
                .try_for_each(|byte| write!(text, "{byte:02x}"))
        }
    }
}

/// RFC 4514, 2.4.
fn escape(text: &mut String, value: &str) -> fmt::Result {
    let last = value.chars().count().saturating_sub(1);
    value.chars().enumerate().try_for_each(|(at, c)| match c {
        '#' if at == 0 => text.write_str("\\#"),
        ' ' if at == 0 || at == last => text.write_str("\\ "),
        '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(text, "\\{c}"),
        '\0'..='\x1f' | '\x7f' => write!(text, "\\{:02x}", u32::from(c)),
        _ => text.write_char(c),
    })
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    /// A common name with this tag and these bytes.
    fn common_name(tag: u8, value: &[u8]) -> Name {
        let hexadecimal: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        Name::from_str(&format!("2.5.4.3=#{tag:02x}{:02x}{hexadecimal}", value.len())).unwrap()
    }

    #[test]
    fn names_are_formatted_as_x509_cert_does() {
        for name in [
            "CN=db.example",
            "CN=db.example,OU=Data+L=Bristol,O=Example,ST=Somerset,STREET=High Street 1,C=GB",
            "UID=ada,DC=example,DC=net",
            "SERIALNUMBER=42,CN=db",
            "1.3.6.1.4.1.1466.0=#04024869",
        ] {
            let name = Name::from_str(name).unwrap();
            assert_eq!(written(&name), name.to_string());
        }
        // UTF8String, and BMPString, which is written as bytes.
        for tag in [0x0c, 0x1e] {
            for value in [
                "", " ", "#1", " a ", "a#b c", "\"a\"+b;<c>\\,", "db.example",
                "\0a\u{1b}[2J\u{7f}\n",
            ] {
                let name = common_name(tag, value.as_bytes());
                assert_eq!(written(&name), name.to_string(), "{tag} {value:?}");
            }
        }
        let printable = common_name(0x13, b"db.example");
        assert_eq!(written(&printable), printable.to_string());
        assert_eq!(written(&Name::default()), "");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(written(&common_name(0x0c, b"a\0\x1b[2J\x7f")), "CN=a\\00\\1b[2J\\7f");
    }

    #[test]
    fn unknown_attributes_and_binary_values_are_written_in_hexadecimal() {
        let name = Name::from_str("2.5.4.4=#0c0341626e").unwrap();
        assert_eq!(written(&name), "2.5.4.4=#0c0341626e");
        assert_eq!(written(&common_name(0x0c, b"\xff\xfe")), "2.5.4.3=#0c02fffe");
    }
}
