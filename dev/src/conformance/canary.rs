//! A canary: a text that is part of every password of the tests, and that must not appear anywhere
//! else.

use std::error::Error;
use std::fmt::Debug;

/// Part of every password of the tests. A leaked password is found by this text.
pub const CANARY: &str = "kanarie-7f3a";

/// The application's password.
pub const PASSWORD: &str = "kanarie-7f3a-Wk0qShopZx84";

/// An administrator's password.
pub const ADMIN_PASSWORD: &str = "kanarie-7f3a-Jv5mRootLd21";

/// A password that no account has.
pub const WRONG_PASSWORD: &str = "kanarie-7f3a-Ty7dNoneHb63";

/// Fails if `text` holds the canary in any encoding.
///
/// # Panics
/// On failure. The message does not repeat the text, because the panics are searched too.
#[track_caller]
pub fn assert_silent(place: &str, text: &str) {
    if let Some((form, at)) = find(text.as_bytes()) {
        let shown = text[..floor(text, at)]
            .chars()
            .rev()
            .take(160)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<String>();
        panic!("{place} holds the secret ({form}), behind: {shown}");
    }
}

/// Finds the canary in bytes: plain, in capitals, as hexadecimal digits, percent-encoded, or in
/// base64 at any of the three alignments.
#[must_use]
pub fn find(bytes: &[u8]) -> Option<(&'static str, usize)> {
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        ("plain", CANARY.to_owned()),
        ("capitals", CANARY.to_uppercase()),
        ("hex", hex.clone()),
        ("hex", hex.to_uppercase()),
        ("percent", CANARY.replace('-', "%2D")),
        ("percent", CANARY.replace('-', "%2d")),
    ];
    for skipped in 0..3 {
        // Each character stands for six bits. Characters that also encode a neighbouring byte are
        // left out.
        let text = format!("{}{CANARY}", "x".repeat(skipped));
        let encoded = base64(text.as_bytes());
        forms.push(("base64", encoded[(skipped * 8).div_ceil(6)..text.len() * 8 / 6].to_owned()));
    }
    forms.push((
        "list of bytes",
        format!("{:?}", CANARY.as_bytes()).trim_matches(['[', ']']).to_owned(),
    ));
    forms.into_iter().find_map(|(name, form)| position(bytes, form.as_bytes()).map(|at| (name, at)))
}

/// The position of `needle` in `bytes`.
#[must_use]
pub fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Fails if an error holds the canary by any route, or prints control characters of a terminal.
///
/// # Panics
/// On failure.
#[track_caller]
pub fn assert_error_silent(error: &(dyn Error + 'static)) {
    let mut current = Some(error);
    while let Some(error) = current {
        for (place, text) in [
            ("Display", error.to_string()),
            ("Debug", format!("{error:?}")),
            ("pretty Debug", format!("{error:#?}")),
        ] {
            assert_silent(place, &text);
            assert_harmless(place, &text);
        }
        current = error.source();
    }
}

/// Fails if a `Debug` holds the canary.
///
/// # Panics
/// On failure.
#[track_caller]
pub fn assert_debug_silent(what: &dyn Debug) {
    assert_silent("Debug", &format!("{what:?}"));
    assert_silent("pretty Debug", &format!("{what:#?}"));
}

/// Fails if a text holds a character that controls a terminal, is invisible, or changes the
/// direction of text. Only a line feed is allowed.
///
/// # Panics
/// On failure.
#[track_caller]
pub fn assert_harmless(place: &str, text: &str) {
    let bad = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(*c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(*c, '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if let Some(c) = text.chars().find(bad) {
        panic!("{place} holds {}, which a terminal obeys", c.escape_unicode());
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| (group << 8) | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_it_in_every_form() {
        for text in [
            format!("a{CANARY}b"),
            CANARY.to_uppercase(),
            "6b616e617269652d37663361".to_owned(),
            "postgres://u:kanarie%2D7f3a%2Dx@h".to_owned(),
            format!("{:?}", PASSWORD.as_bytes()),
            format!("{:#?}", CANARY.as_bytes().chunks(40).next())
                .replace(['\n', ' '], "")
                .replace(',', ", "),
        ] {
            assert!(find(text.as_bytes()).is_some(), "{text}");
        }
        for before in ["", "a", "ab", "abc", "user:", "\0user\0"] {
            for after in ["", "1", "12", "123"] {
                let encoded = base64(format!("{before}{CANARY}{after}").as_bytes());
                assert!(find(encoded.as_bytes()).is_some(), "{before} {after}: {encoded}");
            }
        }
        assert_eq!(find(b"kanarie, but another: 7f3a"), None);
        assert_eq!(base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw");
    }

    #[test]
    #[should_panic(expected = "a terminal obeys")]
    fn finds_escape_sequences() {
        assert_harmless("a report", "16.2\u{1b}[2J");
    }
}
