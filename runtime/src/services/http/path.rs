//! The parts of a path, as the servers that read them differ.

use std::borrow::Cow;

/// Why a part of a path may lead out of the path that it stands below, or break the request, on one
/// server or another.
///
/// Servers disagree about what a part means. Some decode a percent-encoded part before they resolve
/// `..`, some decode it twice (a proxy, then the application). Some cut the parameters of a part
/// (RFC 3986, 3.3), so `..;x` is `..` to a Java servlet container. Some take a backslash for a
/// slash, some ignore blanks at the end of a name, some normalize Unicode. The part is held against
/// all of these readings at once.
pub(crate) fn climbs(part: &str) -> Option<&'static str> {
    let mut part = Cow::Borrowed(part);
    loop {
        if part.chars().any(char::is_control) {
            return Some("it holds a percent-encoded control character");
        }
        // A server that decodes first takes `..%2f` for what it is.
        if part.split(SLASHES).any(is_dots) {
            return Some("it holds a part that is `.` or `..`");
        }
        // Each round is shorter than the one before.
        let Ok(decoded) = percent_encoding::percent_decode_str(&part).decode_utf8() else {
            // An overlong `%c0%ae` is a dot to a decoder that does not check.
            return Some("it is no UTF-8 once it is decoded");
        };
        if decoded == part {
            return None;
        }
        part = Cow::Owned(decoded.into_owned());
    }
}

/// What separates parts: the two slashes, and the characters that Unicode's compatibility
/// normalization (NFKC) makes one of them.
const SLASHES: [char; 5] = ['/', '\\', '\u{ff0f}', '\u{ff3c}', '\u{fe68}'];

/// What begins the parameters of a part, and the characters that NFKC makes it of.
const SEMICOLONS: [char; 4] = [';', '\u{37e}', '\u{fe54}', '\u{ff1b}'];

/// Whether a part is `.` or `..` without its parameters and without the blanks around it. NFKC
/// makes one dot or two of the other characters.
fn is_dots(part: &str) -> bool {
    let name = part.split(SEMICOLONS).next().unwrap_or_default().trim();
    let dots = name.chars().try_fold(0, |dots, c| match c {
        '.' | '\u{2024}' | '\u{fe52}' | '\u{ff0e}' => Some(dots + 1),
        '\u{2025}' => Some(dots + 2),
        _ => None,
    });
    matches!(dots, Some(1 | 2))
}
