//! The parser of `needs`. Constants and run time use the same one, so that the text that compiles
//! is the text that is compared. The grammar is in the documentation of [`crate::needs`].
//!
//! A comma or a semicolon inside quotes or parentheses is not a separator. Words are compared
//! without case.

use super::{Grantable, Names};

/// A range of the text, in bytes. Both ends are at ASCII characters or at the ends of the text.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// One privilege on one object.
pub(crate) struct Item {
    /// The index of the service's kind of object.
    pub(crate) kind: usize,
    /// The index of the kind's privilege.
    pub(crate) privilege: usize,
    pub(crate) columns: Option<Span>,
    pub(crate) object: Option<Span>,
}

/// A mistake and its position.
#[derive(Clone, Copy)]
pub(crate) struct Mistake {
    pub(crate) at: Span,
    pub(crate) wrong: Wrong,
}

#[derive(Clone, Copy)]
pub(crate) enum Wrong {
    /// The text is empty.
    Empty,
    /// An unclosed quote or parenthesis.
    Open,
    /// Two commas with nothing between them.
    NoPrivilege,
    /// `ON` without an object.
    NoObject,
    /// A privilege that requires an object.
    NoOn,
    /// This kind of object has no such privilege.
    Privilege { kind: usize },
    /// Columns on a privilege that has none.
    Columns,
    /// A privilege that exists only on all objects at once.
    OfAll,
    /// Not a valid name for this kind of object.
    Name { kind: usize },
}

pub(crate) struct Parser<'a> {
    text: &'a str,
    kinds: &'static [Grantable],
    /// The start of the next clause.
    at: usize,
    clause: Option<Clause>,
    is_empty: bool,
}

/// The current clause.
#[derive(Clone, Copy)]
struct Clause {
    kind: usize,
    /// The unread privileges, including the current one.
    privileges: Span,
    objects: Option<Span>,
    /// The start of the current object.
    object: usize,
}

impl<'a> Parser<'a> {
    pub(crate) const fn new(text: &'a str, kinds: &'static [Grantable]) -> Self {
        Self { text, kinds, at: 0, clause: None, is_empty: true }
    }

    /// The next privilege on the next object: every privilege of a clause is combined with every
    /// object of it.
    pub(crate) const fn next(&mut self) -> Result<Option<Item>, Mistake> {
        let mut clause = match self.clause {
            Some(clause) => clause,
            None => match self.open() {
                Ok(Some(clause)) => clause,
                Ok(None) if self.is_empty => {
                    return Err(Mistake { at: Span { start: 0, end: 0 }, wrong: Wrong::Empty });
                }
                Ok(None) => return Ok(None),
                Err(mistake) => return Err(mistake),
            },
        };
        self.is_empty = false;

        let end = match find(self.bytes(), Wanted::Byte(b','), clause.privileges) {
            Ok(end) => end,
            Err(mistake) => return Err(mistake),
        };
        let (privilege, columns) =
            match self.privilege(clause.kind, Span { start: clause.privileges.start, end }) {
                Ok(found) => found,
                Err(mistake) => return Err(mistake),
            };
        let mut object = None;
        let mut is_last = true;
        if let Some(objects) = clause.objects {
            let (at, end) = match self.object(&clause, objects) {
                Ok(found) => found,
                Err(mistake) => return Err(mistake),
            };
            if self.is_all(clause.kind, at) {
                if let Some(at) = columns {
                    return Err(Mistake { at, wrong: Wrong::Columns });
                }
            } else if self.is_of_all(clause.kind, privilege) {
                return Err(Mistake { at, wrong: Wrong::OfAll });
            }
            object = Some(at);
            is_last = end == objects.end;
            clause.object = if is_last { objects.start } else { end + 1 };
        }
        self.clause = if !is_last {
            Some(clause)
        } else if end == clause.privileges.end {
            None
        } else {
            clause.privileges.start = end + 1;
            Some(clause)
        };
        Ok(Some(Item { kind: clause.kind, privilege, columns, object }))
    }

    /// The next object of a clause, and the end of its text.
    const fn object(&self, clause: &Clause, objects: Span) -> Result<(Span, usize), Mistake> {
        let left = Span { start: clause.object, end: objects.end };
        let end = match find(self.bytes(), Wanted::Byte(b','), left) {
            Ok(end) => end,
            Err(mistake) => return Err(mistake),
        };
        let at = trimmed(self.bytes(), Span { start: clause.object, end });
        if at.start == at.end {
            return Err(Mistake { at: objects, wrong: Wrong::NoObject });
        }
        if !self.kinds[clause.kind].names.hold(self.bytes(), at) {
            return Err(Mistake { at, wrong: Wrong::Name { kind: clause.kind } });
        }
        Ok((at, end))
    }

    /// True if the name ends with `*`.
    const fn is_all(&self, kind: usize, at: Span) -> bool {
        matches!(self.kinds[kind].names, Names::Wildcards(_)) && self.bytes()[at.end - 1] == b'*'
    }

    const fn is_of_all(&self, kind: usize, privilege: usize) -> bool {
        let kind = &self.kinds[kind];
        let mut i = 0;
        while i < kind.of_all.len() {
            if same(kind.of_all[i].as_bytes(), kind.privileges[privilege].as_bytes()) {
                return true;
            }
            i += 1;
        }
        false
    }

    const fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Splits off the next clause and determines its kind of object.
    const fn open(&mut self) -> Result<Option<Clause>, Mistake> {
        let bytes = self.bytes();
        let mut whole;
        loop {
            if self.at >= bytes.len() {
                return Ok(None);
            }
            let end =
                match find(bytes, Wanted::Byte(b';'), Span { start: self.at, end: bytes.len() }) {
                    Ok(end) => end,
                    Err(mistake) => return Err(mistake),
                };
            whole = trimmed(bytes, Span { start: self.at, end });
            self.at = end + 1;
            if whole.start < whole.end {
                break;
            }
        }
        let on = match find(bytes, Wanted::On, whole) {
            Ok(on) => on,
            Err(mistake) => return Err(mistake),
        };
        if on == whole.end {
            let Some(kind) = self.kind_without_name() else {
                return Err(Mistake { at: whole, wrong: Wrong::NoOn });
            };
            return Ok(Some(Clause { kind, privileges: whole, objects: None, object: 0 }));
        }
        let privileges = trimmed(bytes, Span { start: whole.start, end: on });
        if privileges.start == privileges.end {
            return Err(Mistake { at: whole, wrong: Wrong::NoPrivilege });
        }
        let objects = trimmed(bytes, Span { start: on + 2, end: whole.end });
        let (kind, length) = match self.kind(objects) {
            Some(found) => found,
            None => return Err(Mistake { at: whole, wrong: Wrong::NoObject }),
        };
        let objects = trimmed(bytes, Span { start: objects.start + length, end: objects.end });
        if objects.start == objects.end {
            return Err(Mistake { at: whole, wrong: Wrong::NoObject });
        }
        Ok(Some(Clause { kind, privileges, objects: Some(objects), object: objects.start }))
    }

    const fn kind_without_name(&self) -> Option<usize> {
        let mut i = 0;
        while i < self.kinds.len() {
            if matches!(self.kinds[i].names, Names::None) {
                return Some(i);
            }
            i += 1;
        }
        None
    }

    /// The kind of object, and the length of the words that name it. The longest match wins;
    /// without a match it is the first kind that has names.
    const fn kind(&self, objects: Span) -> Option<(usize, usize)> {
        let mut found = None;
        let mut longest = 0;
        let mut i = 0;
        while i < self.kinds.len() {
            let kind = &self.kinds[i];
            if !matches!(kind.names, Names::None) {
                if found.is_none() {
                    found = Some((i, 0));
                }
                if let Some(length) = words_at(self.bytes(), objects, kind.name.as_bytes())
                    && length > longest
                {
                    longest = length;
                    found = Some((i, length));
                }
            }
            i += 1;
        }
        found
    }

    /// The privilege and its columns.
    const fn privilege(&self, kind: usize, at: Span) -> Result<(usize, Option<Span>), Mistake> {
        let bytes = self.bytes();
        let at = trimmed(bytes, at);
        if at.start == at.end {
            return Err(Mistake { at, wrong: Wrong::NoPrivilege });
        }
        let mut open = at.start;
        while open < at.end && bytes[open] != b'(' {
            open += 1;
        }
        let word = trimmed(bytes, Span { start: at.start, end: open });
        let grantable = &self.kinds[kind];
        let mut i = 0;
        let privilege = loop {
            if i == grantable.privileges.len() {
                return Err(Mistake { at: word, wrong: Wrong::Privilege { kind } });
            }
            if let Some(length) = words_at(bytes, word, grantable.privileges[i].as_bytes())
                && word.start + length == word.end
            {
                break i;
            }
            i += 1;
        };
        if open == at.end {
            return Ok((privilege, None));
        }
        let columns = trimmed(bytes, Span { start: open + 1, end: at.end - 1 });
        let mut j = 0;
        let mut takes_columns = false;
        while j < grantable.of_columns.len() {
            takes_columns |= same(
                grantable.of_columns[j].as_bytes(),
                grantable.privileges[privilege].as_bytes(),
            );
            j += 1;
        }
        if !takes_columns || bytes[at.end - 1] != b')' {
            return Err(Mistake { at, wrong: Wrong::Columns });
        }
        let mut start = columns.start;
        loop {
            let end = match find(bytes, Wanted::Byte(b','), Span { start, end: columns.end }) {
                Ok(end) => end,
                Err(mistake) => return Err(mistake),
            };
            if !Names::Identifiers(1).hold(bytes, trimmed(bytes, Span { start, end })) {
                return Err(Mistake { at, wrong: Wrong::Columns });
            }
            if end == columns.end {
                return Ok((privilege, Some(columns)));
            }
            start = end + 1;
        }
    }
}

impl Names {
    /// True if it is a valid name for this kind of object.
    const fn hold(self, bytes: &[u8], at: Span) -> bool {
        match self {
            Self::None => false,
            Self::Identifiers(most) => {
                matches!(identifiers(bytes, at, most, false), Some(end) if end == at.end)
            }
            Self::Wildcards(most) => {
                matches!(identifiers(bytes, at, most, true), Some(end) if end == at.end)
            }
            Self::Routines(most) => {
                let Some(open) = identifiers(bytes, at, most, false) else { return false };
                if open >= at.end || bytes[open] != b'(' || bytes[at.end - 1] != b')' {
                    return false;
                }
                let mut i = open + 1;
                while i < at.end - 1 {
                    if !is_of_name(bytes[i])
                        && !matches!(bytes[i], b' ' | b',' | b'.' | b'[' | b']' | b'"')
                    {
                        return false;
                    }
                    i += 1;
                }
                true
            }
            Self::Patterns => {
                let is_quoted = at.end - at.start >= 2
                    && bytes[at.start] == b'\''
                    && bytes[at.end - 1] == b'\'';
                let (mut i, end) =
                    if is_quoted { (at.start + 1, at.end - 1) } else { (at.start, at.end) };
                if i >= end {
                    return false;
                }
                while i < end {
                    let byte = bytes[i];
                    let fits = byte.is_ascii_graphic() && byte != b'\'' && byte != b'"'
                        || byte == b' ' && is_quoted;
                    if !fits {
                        return false;
                    }
                    i += 1;
                }
                true
            }
        }
    }
}

/// Reads up to `most` identifiers with dots between them, and returns their end. With `star`, the
/// last may be `*`.
const fn identifiers(bytes: &[u8], at: Span, most: u8, star: bool) -> Option<usize> {
    let mut i = at.start;
    let mut count = 0;
    loop {
        if count == most || i >= at.end {
            return None;
        }
        match bytes[i] {
            quote @ (b'"' | b'`') => {
                i += 1;
                let start = i;
                loop {
                    // A quoted name contains no quotation mark: a doubled one could be misread.
                    if i >= at.end || bytes[i] < b' ' || bytes[i] == b'\\' || bytes[i] == 0x7f {
                        return None;
                    }
                    if bytes[i] == quote {
                        break;
                    }
                    if matches!(bytes[i], b'"' | b'`' | b'\'') {
                        return None;
                    }
                    i += 1;
                }
                if i == start {
                    return None;
                }
                i += 1;
            }
            b'*' if star && i + 1 == at.end => i += 1,
            byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                while i < at.end && is_of_name(bytes[i]) {
                    i += 1;
                }
            }
            _ => return None,
        }
        count += 1;
        if i >= at.end || bytes[i] != b'.' {
            return Some(i);
        }
        i += 1;
    }
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

/// The delimiter to search for.
#[derive(Clone, Copy)]
enum Wanted {
    Byte(u8),
    /// The word `ON`.
    On,
}

/// The position of `wanted` outside of quotes and parentheses; the end if there is none.
const fn find(bytes: &[u8], wanted: Wanted, at: Span) -> Result<usize, Mistake> {
    let mut quote = 0;
    let mut opened = at.start;
    let mut depth = 0;
    let mut i = at.start;
    while i < at.end {
        let byte = bytes[i];
        if quote != 0 {
            if byte == quote {
                quote = 0;
            }
        } else if matches!(byte, b'"' | b'`' | b'\'') {
            quote = byte;
            opened = i;
        } else if byte == b'(' {
            if depth == 0 {
                opened = i;
            }
            depth += 1;
        } else if byte == b')' {
            if depth == 0 {
                return Err(Mistake { at: Span { start: i, end: i + 1 }, wrong: Wrong::Open });
            }
            depth -= 1;
        } else if depth == 0 && is_at(bytes, wanted, i, at) {
            return Ok(i);
        }
        i += 1;
    }
    if quote != 0 || depth != 0 {
        return Err(Mistake { at: Span { start: opened, end: at.end }, wrong: Wrong::Open });
    }
    Ok(at.end)
}

const fn is_at(bytes: &[u8], wanted: Wanted, i: usize, at: Span) -> bool {
    match wanted {
        Wanted::Byte(byte) => bytes[i] == byte,
        Wanted::On => {
            (i == at.start || is_blank(bytes[i - 1]) || bytes[i - 1] == b')')
                && words_at(bytes, Span { start: i, end: at.end }, b"ON").is_some()
        }
    }
}

/// The length of `words` at the beginning of the span, if the span begins with them, ignoring case
/// and with any blanks between them.
const fn words_at(bytes: &[u8], at: Span, words: &[u8]) -> Option<usize> {
    if words.is_empty() {
        return None;
    }
    let mut i = at.start;
    let mut j = 0;
    while j < words.len() {
        if i >= at.end {
            return None;
        }
        if words[j] == b' ' {
            if !is_blank(bytes[i]) {
                return None;
            }
            while i < at.end && is_blank(bytes[i]) {
                i += 1;
            }
        } else {
            if !bytes[i].eq_ignore_ascii_case(&words[j]) {
                return None;
            }
            i += 1;
        }
        j += 1;
    }
    if i == at.end || is_blank(bytes[i]) { Some(i - at.start) } else { None }
}

pub(crate) const fn same(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

const fn trimmed(bytes: &[u8], at: Span) -> Span {
    let Span { mut start, mut end } = at;
    while start < end && is_blank(bytes[start]) {
        start += 1;
    }
    while end > start && is_blank(bytes[end - 1]) {
        end -= 1;
    }
    Span { start, end }
}
