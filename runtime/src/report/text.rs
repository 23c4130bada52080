//! Text from a peer, made safe to print.

use std::fmt::Write as _;

use crate::report::posture::LONGEST_QUOTE;
use crate::report::redact::{self, Piece};

/// Makes a peer's text safe to print. It escapes control characters, line ends, escape sequences,
/// invisible characters, those that change the text direction, and marks that would combine with
/// our own text or pile up on one character. It cuts the text after
/// [`LONGEST_QUOTE`] characters. A password that this process uses to log in is replaced by `(the
/// password)`.
///
/// ```
/// use backing_services::posture::printable;
/// assert_eq!(printable("16.2\u{1b}[2J\r\nroot:"), r"16.2\u{1b}[2J\r\nroot:");
/// ```
#[must_use]
pub fn printable(text: &str) -> String {
    printable_up_to(text, LONGEST_QUOTE)
}

/// As [`printable`], but cuts after `longest` characters.
pub fn printable_up_to(text: &str, longest: usize) -> String {
    escaped(text, longest, |_| false)
}

/// As [`printable_up_to`], but line feeds and tabs stay: for a text that no line of a log holds.
pub fn printable_lines_up_to(text: &str, longest: usize) -> String {
    escaped(text, longest, |c| matches!(c, '\n' | '\t'))
}

/// Escapes all that is not safe to print, but for what is kept.
fn escaped(text: &str, longest: usize, is_kept: impl Fn(char) -> bool) -> String {
    let mut printed = String::new();
    for piece in redact::beginning(text, longest) {
        let text = match piece {
            Piece::Peers(text) => text,
            Piece::Ours(text) => {
                printed.push_str(text);
                continue;
            }
        };
        // The marks on the last character. What stands before a piece is not the peer's.
        let mut marks = MOST_MARKS;
        for c in text.chars() {
            marks = if is_mark(c) { marks + 1 } else { 0 };
            if !is_kept(c) && (c.is_control() || is_invisible(c) || marks > MOST_MARKS) {
                // Writing to a `String` does not fail.
                let _ = write!(printed, "{}", c.escape_default());
                marks = MOST_MARKS;
            } else {
                printed.push(c);
            }
        }
    }
    printed
}

/// The most marks on one character. A letter of Vietnamese, of Hebrew or of the phonetic alphabet
/// has three.
const MOST_MARKS: usize = 4;

/// True for a mark, or a vowel or final of Korean, that combines with the character before it.
/// `char` says this only by its own escaping, which escapes a few blanks and unassigned characters
/// too.
fn is_mark(c: char) -> bool {
    !c.is_ascii() && c.escape_debug().len() > 1
        || matches!(c, '\u{1161}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7fb}')
}

/// Invisible characters, and characters that change the direction of the following text: those
/// that Unicode lets a reader ignore (`Default_Ignorable_Code_Point`), but for variation selectors,
/// which are marks; line and paragraph separators, noncharacters and annotations.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_escaped() {
        for (text, printed) in [
            ("a\u{3164}b\u{115f}\u{ffa0}", "a\\u{3164}b\\u{115f}\\u{ffa0}"),
            ("\u{34f}\u{17b4}\u{180b}\u{fff0}", "\\u{34f}\\u{17b4}\\u{180b}\\u{fff0}"),
            ("\u{1d173}\u{e0041}\u{e0fff}", "\\u{1d173}\\u{e0041}\\u{e0fff}"),
            ("\u{202e}\u{feff}\u{200b}\u{ad}", "\\u{202e}\\u{feff}\\u{200b}\\u{ad}"),
        ] {
            assert_eq!(printable(text), printed);
        }
    }

    #[test]
    fn marks_combine_with_the_peers_own_text_and_do_not_pile_up() {
        let heart = "\u{2764}\u{fe0f} e\u{301}\u{328} \u{928}\u{92e}\u{938}\u{94d}";
        assert_eq!(printable(heart), heart);
        let syllable = "\u{1112}\u{1161}\u{11ab}";
        assert_eq!(printable(syllable), syllable);
        assert_eq!(printable("\u{1164}a"), "\\u{1164}a");
        assert_eq!(printable("\u{301}a\n\u{20dd}"), "\\u{301}a\\n\\u{20dd}");
        let piled = format!("a{}", "\u{301}".repeat(6));
        assert_eq!(printable(&piled), format!("a{}\\u{{301}}\\u{{301}}", "\u{301}".repeat(4)));
        let _guarded = redact::Guarded::new("anemone-bulb-59".into());
        assert_eq!(printable("anemone-bulb-59\u{338}"), "(the password)\\u{338}");
    }
}
