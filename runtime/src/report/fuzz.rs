//! Any text of a peer, printed.

use backing_services_fuzz::{Input, check};

use crate::report::posture::{LONGEST_QUOTE, printable};
use crate::report::redact::{Guarded, is_in, redact_text};

/// The password, and what looks like an escape of it.
const TEXTS: &[&str] = &[
    "PostgreSQL 18.1 (Debian 18.1-1), compiled by gcc",
    "7.4 sunflower-41, sunflower-41!",
    "said: sunflower%2d41 sunflower&#45;41 sunflower\\u002d41 \\x2d\\\\",
    "c3VuZmxvd2VyLTQx 73756e666c6f7765722d3431 sunflower…",
    "\u{1b}[2J\u{1b}[31mred\u{1b}]0;title\u{7}\r\n\t\u{8}\u{7f}\u{9b}2J",
    "\u{202e}gnp.exe \u{feff}\u{200b}\u{e0041}\u{ad}\u{2028}",
    "e\u{301}a\u{308}\u{328} \u{4f60}\u{597d} \u{1f337}\u{fe0f} \u{928}\u{92e}\u{938}\u{94d}",
    "\u{3164}\u{115f}\u{ffa0}\u{180b}\u{34f}\u{e0100}\u{1d173}\u{2800}\u{17b4}\u{fff0}",
    "''\"\"%%&amp;&lt;&#x110000;\\u{110000}\\ud83c\\udf37%e2%80%a6",
];

/// A password is removed from any text, wherever it stands in it. What is left, a terminal shows as
/// it is.
#[test]
fn any_text_is_printed_without_secrets_and_without_effects() {
    check!(TEXTS, |input| {
        a_password_is_removed(input);
        a_terminal_shows_what_is_printed(input);
    });
}

fn a_password_is_removed(input: &Input) {
    let secret = "sunflower-41";
    let _guarded = Guarded::new(secret.into());
    let text = input.text();
    let at = text.floor_char_boundary(input.choice() % (text.len() + 1));
    let said = format!("{}{secret}{}", &text[..at], &text[at..]);
    assert!(is_in(said.as_bytes()), "{said:?}");
    assert!(!printable(&said).contains(secret), "{said:?}");
    let mut shown = said.clone();
    redact_text(&mut shown);
    assert!(!shown.contains(secret), "{said:?}");
    // It is shorter than what was taken out, and only that changed.
    let mut again = shown.clone();
    redact_text(&mut again);
    assert_eq!(again, shown, "{said:?}");
    assert!(!is_in(shown.as_bytes()), "{said:?}");
}

/// A terminal shows a printable text as it is. It moves no cursor to another line, and sets no
/// colour and no title.
fn a_terminal_shows_what_is_printed(input: &Input) {
    /// The effects on a terminal, beside showing text.
    #[derive(Default)]
    struct Effects(Vec<&'static str>);

    impl vt100::Callbacks for Effects {
        fn audible_bell(&mut self, _: &mut vt100::Screen) {
            self.0.push("bell");
        }

        fn set_window_title(&mut self, _: &mut vt100::Screen, _: &[u8]) {
            self.0.push("title");
        }

        fn unhandled_control(&mut self, _: &mut vt100::Screen, _: u8) {
            self.0.push("control");
        }
    }

    // This terminal leaves U+FFFD out; others show it.
    let printed = printable(&input.text()).replace('\u{fffd}', "?");
    // An escape of one character has ten.
    let columns = u16::try_from(10 * LONGEST_QUOTE + 100).unwrap();
    let mut terminal = vt100::Parser::new_with_callbacks(2, columns, 0, Effects::default());
    // Our own text stands before it, and nothing combines with that.
    terminal.process(format!("x{printed}").as_bytes());
    let screen = terminal.screen();
    assert_eq!(screen.contents().strip_prefix('x'), Some(printed.as_str()));
    assert_eq!(screen.cell(0, 0).map(vt100::Cell::contents), Some("x"), "{printed:?}");
    assert_eq!(screen.cursor_position().0, 0, "{printed:?}");
    assert_eq!((screen.fgcolor(), screen.bgcolor()), Default::default(), "{printed:?}");
    assert!(!screen.bold() && !screen.inverse() && !screen.hide_cursor(), "{printed:?}");
    assert_eq!(terminal.callbacks().0, [""; 0], "{printed:?}");
}
