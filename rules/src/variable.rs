//! The names of environment variables.

/// True if `name` is a portable name of an environment variable: upper-case ASCII letters, digits
/// and underscores, not beginning with a digit (POSIX.1-2024, Base Definitions, 8.1), and at most
/// [`MAX_LENGTH`] bytes.
///
/// ```
/// use backing_services_rules::variable::is_valid;
/// assert!(is_valid("SHOP_ORDERS_URL"));
/// assert!(!is_valid("shop-orders"));
/// ```
#[must_use]
pub const fn is_valid(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > MAX_LENGTH || bytes[0].is_ascii_digit() {
        return false;
    }
    let mut i = 0;
    while i < bytes.len() {
        if !(bytes[i].is_ascii_uppercase() || bytes[i].is_ascii_digit() || bytes[i] == b'_') {
            return false;
        }
        i += 1;
    }
    true
}

/// The longest name, in bytes. Real names are a tenth as long; a longer one is a mistake.
pub const MAX_LENGTH: usize = 255;

/// The endings of the variables that belong to a resource, after its base name. The first is the
/// locator's own. Each variable may also be read from a file, with `_FILE` after its name.
pub const RESOURCE_ENDINGS: &[&str] = &[
    "_URL", "_HOST", "_PORT", "_DATABASE", "_USER", "_PASSWORD", "_CA", "_CLIENT_CERT",
    "_CLIENT_KEY", "_PIN", "_ENDPOINT",
];

/// The base name that a resource's variables share: `env` without its `_URL`, or `env` itself if it
/// has another ending.
///
/// ```
/// use backing_services_rules::variable::base;
/// assert_eq!(base("DATABASE_URL"), "DATABASE");
/// assert_eq!(base("REDIS"), "REDIS");
/// ```
#[must_use]
pub const fn base(env: &str) -> &str {
    let bytes = env.as_bytes();
    if bytes.len() > 4 && crate::text::holds_at(bytes, bytes.len() - 4, b"_URL") {
        env.split_at(bytes.len() - 4).0
    } else {
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["A", "_A", "SHOP_URL_2", "__"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "2A", "a", "A-B", "A B", "A=B", "Ä", "A\0", "A.B"] {
            assert!(!is_valid(bad), "{bad}");
        }
        const LONGEST: &[u8] = &[b'A'; MAX_LENGTH + 1];
        let longest = core::str::from_utf8(LONGEST).unwrap();
        assert!(is_valid(&longest[1..]) && !is_valid(longest));
        for (env, expected) in [
            ("_URL", "_URL"),
            ("A_URL", "A"),
            ("DATABASE_URL", "DATABASE"),
            ("DATABASE_URL_", "DATABASE_URL_"),
            ("REDIS", "REDIS"),
            ("", ""),
        ] {
            assert_eq!(base(env), expected, "{env}");
        }
    }
}
