//! The parts of a path, as different servers read them.

use std::borrow::Cow;

/// Returns the reason why a part of a path may leave its base path, or break the request, on some
/// server; `None` if it is safe.
///
/// Servers disagree about the meaning of a part. Some decode a percent-encoded part before they
/// resolve `..`, some decode it twice (a proxy, then the application). Some remove the parameters
/// of a part (RFC 3986, 3.3), so `..;x` is `..` to a Java servlet container. Some treat a backslash
/// as a slash, some ignore blanks at the end of a name, some normalize Unicode. The part is checked
/// against all of these readings at once.
pub fn climbs(part: &str) -> Option<&'static str> {
    let mut part = Cow::Borrowed(part);
    for _ in 0..=MOST_DECODINGS {
        if part.chars().any(char::is_control) {
            return Some("it holds a percent-encoded control character");
        }
        // A server that decodes first reads `..%2f` as `../`.
        if part.split(SLASHES).any(is_dots) {
            return Some("it holds a part that is `.` or `..`");
        }
        let Ok(decoded) = percent_encoding::percent_decode_str(&part).decode_utf8() else {
            // A decoder that does not check reads the overlong `%c0%ae` as a dot.
            return Some("it is no UTF-8 once it is decoded");
        };
        if decoded == part {
            return None;
        }
        part = Cow::Owned(decoded.into_owned());
    }
    Some("it is percent-encoded more often than any server decodes it")
}

/// How often a part is decoded: 8 times, which is more than the proxies on a path do. A part such
/// as `%252525…` can be decoded once for each two of its characters, and a user of the application
/// may have chosen it.
const MOST_DECODINGS: usize = 8;

/// The separators of parts: the two slashes, and the characters that Unicode's compatibility
/// normalization (NFKC) maps to them.
const SLASHES: [char; 5] = ['/', '\\', '\u{ff0f}', '\u{ff3c}', '\u{fe68}'];

/// The separator of a part's parameters, and the characters that NFKC maps to it.
const SEMICOLONS: [char; 4] = [';', '\u{37e}', '\u{fe54}', '\u{ff1b}'];

/// Returns true if a part is `.` or `..`, without its parameters and without the blanks around it.
/// NFKC maps the other characters to one dot or two.
fn is_dots(part: &str) -> bool {
    let name = part.split(SEMICOLONS).next().unwrap_or_default().trim();
    let dots = name.chars().try_fold(0, |dots, c| match c {
        '.' | '\u{2024}' | '\u{fe52}' | '\u{ff0e}' => Some(dots + 1),
        '\u{2025}' => Some(dots + 2),
        _ => None,
    });
    matches!(dots, Some(1 | 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decoding this one to its end takes some minutes in a build without optimization.
    #[test]
    fn a_part_is_not_decoded_without_end() {
        let begun = std::time::Instant::now();
        assert!(climbs(&format!("%{}2e", "25".repeat(100_000))).is_some());
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(climbs(&format!("a%{}", "25".repeat(MOST_DECODINGS - 1))), None);
        assert!(climbs(&format!("%{}2e%2e", "25".repeat(MOST_DECODINGS - 2))).is_some());
    }
}
