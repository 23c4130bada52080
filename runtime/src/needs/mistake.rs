//! Messages about mistakes in `needs`. A constant cannot use `format!`, so the text is assembled by
//! hand.

use backing_services_rules::spelling::distance;

use super::{Grantable, Names};
use crate::needs::reader::{Mistake, Span, Wrong};

/// The maximum length of a message, in bytes; a longer one is cut.
const LONGEST: usize = 512;

/// The maximum length of a quoted word, in bytes; a longer one is cut, so that the rest of the
/// message has its place.
const LONGEST_WORD: usize = 128;

/// The maximum number of privileges that are listed if none is similar. A service with more lists
/// them in its documentation.
const MOST_LISTED: usize = 16;

/// The maximum edit distance of a suggestion.
const MOST_CHANGES: usize = 2;

/// A text that is assembled in a constant.
pub(crate) struct Message {
    bytes: [u8; LONGEST],
    end: usize,
}

impl Message {
    pub(crate) const fn as_str(&self) -> &str {
        match std::str::from_utf8(self.bytes.split_at(self.end).0) {
            Ok(text) => text,
            // Cut in the middle of a character.
            Err(_) => "`needs` cannot be read [malformed_value]",
        }
    }

    const fn add(&mut self, text: &[u8]) {
        let mut i = 0;
        while i < text.len() && self.end < LONGEST {
            self.bytes[self.end] = text[i];
            self.end += 1;
            i += 1;
        }
    }

    const fn quote(&mut self, text: &[u8]) {
        self.add(b"`");
        if text.len() <= LONGEST_WORD {
            self.add(text);
        } else {
            let mut end = LONGEST_WORD;
            // Not in the middle of a character.
            while end > 0 && text[end] & 0xc0 == 0x80 {
                end -= 1;
            }
            self.add(text.split_at(end).0);
            self.add("…".as_bytes());
        }
        self.add(b"`");
    }
}

impl Mistake {
    /// The message for a mistake in this text, for a service with this name and these kinds of
    /// objects.
    pub(crate) const fn message(
        self,
        text: &str,
        service: &str,
        kinds: &'static [Grantable],
    ) -> Message {
        let mut message = Message { bytes: [0; LONGEST], end: 0 };
        let word = part(text.as_bytes(), self.at);
        match self.wrong {
            Wrong::Empty => message.add(b"`needs` names no privilege"),
            Wrong::Open => {
                message.quote(word);
                message.add(b": a quotation mark or a parenthesis has no partner");
            }
            Wrong::NoPrivilege => {
                message.add(b"a privilege is missing before a comma, or before `ON`")
            }
            Wrong::NoObject => message.add(b"a name is missing after `ON`, or after a comma"),
            Wrong::NoOn => {
                message.quote(word);
                message.add(b" does not say on what: write `ON` and a name after it");
            }
            Wrong::Privilege { kind } => unknown(&mut message, word, service, &kinds[kind]),
            Wrong::Columns => {
                message.quote(word);
                message.add(b": no columns can be named here, or not these");
            }
            Wrong::OfAll => {
                message.quote(word);
                message.add(
                    b" is one object, and this privilege is on all of them or none: write `name.*`",
                );
            }
            Wrong::Name { kind } => {
                message.quote(word);
                message.add(b" is no ");
                message.add(kinds[kind].name.as_bytes());
                message.add(match kinds[kind].names {
                    Names::Routines(_) => {
                        b": write its name and the types of its arguments, \
                         `settle(int)`"
                    }
                    Names::Patterns => {
                        b": write it without blanks, or between apostrophes".as_slice()
                    }
                    _ => {
                        b": write a name, or one between quotation marks if it has blanks or \
                           capitals"
                    }
                });
            }
        }
        message.add(b" [malformed_value]");
        message
    }
}

const fn unknown(message: &mut Message, word: &[u8], service: &str, kind: &Grantable) {
    message.quote(word);
    message.add(b" is not a privilege of ");
    message.add(service.as_bytes());
    if !kind.name.is_empty() {
        message.add(b" on a ");
        message.add(kind.name.as_bytes());
    }
    let near = nearest(word, kind.privileges);
    if let Some(near) = near {
        message.add(b": write ");
        message.quote(near.as_bytes());
    } else if kind.privileges.len() <= MOST_LISTED {
        message.add(b": there are ");
        let mut i = 0;
        while i < kind.privileges.len() {
            if i > 0 {
                message.add(b", ");
            }
            message.quote(kind.privileges[i].as_bytes());
            i += 1;
        }
    }
}

/// The privilege that was probably meant.
const fn nearest(word: &[u8], privileges: &'static [&'static str]) -> Option<&'static str> {
    let mut best = None;
    let mut least = MOST_CHANGES + 1;
    let mut i = 0;
    while i < privileges.len() {
        let changes = distance(word, privileges[i].as_bytes());
        if changes < least {
            least = changes;
            best = Some(privileges[i]);
        }
        i += 1;
    }
    best
}

const fn part(bytes: &[u8], at: Span) -> &[u8] {
    bytes.split_at(at.end).0.split_at(at.start).1
}
