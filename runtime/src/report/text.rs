//! Text from a peer, made safe to print.

use std::fmt::Write as _;

use crate::report::posture::LONGEST_QUOTE;
use crate::report::redact::{self, Piece};

/// Makes a peer's text safe to print. It escapes control characters, line ends, escape sequences,
/// invisible characters and those that change the text direction. It cuts the text after
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
    let mut printed = String::new();
    for piece in redact::beginning(text, longest) {
        let text = match piece {
            Piece::Peers(text) => text,
            Piece::Ours(text) => {
                printed.push_str(text);
                continue;
            }
        };
        for c in text.chars() {
            if c.is_control() || is_invisible(c) {
                // Writing to a `String` does not fail.
                let _ = write!(printed, "{}", c.escape_default());
            } else {
                printed.push(c);
            }
        }
    }
    printed
}

/// Invisible characters, and characters that change the direction of the following text.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    )
        // Noncharacters, and tag characters, which are not displayed.
        || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}
