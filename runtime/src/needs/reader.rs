//! Reads `needs`, in a constant as well as at run time: one reader, so that what compiles is what is compared.
//!
//! ```text
//! needs      = clause *( ";" clause ) [ ";" ]
//! clause     = privilege *( "," privilege ) [ "ON" [ kind ] object *( "," object ) ]
//! privilege  = words [ "(" column *( "," column ) ")" ]
//! ```
//!
//! A comma or a semicolon inside of quotes or parentheses separates nothing. Words are compared without case.

use super::{Grantable, Names};

/// Where something stands in the text, in bytes. Both ends are ASCII characters' or the text's.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// One privilege on one object.
pub(crate) struct Item {
    /// Which of the service's kinds of objects.
    pub(crate) kind: usize,
    /// Which of the kind's privileges.
    pub(crate) privilege: usize,
    pub(crate) columns: Option<Span>,
    pub(crate) object: Option<Span>,
}

/// What is wrong, and where.
#[derive(Clone, Copy)]
pub(crate) struct Mistake {
    pub(crate) at: Span,
    pub(crate) wrong: Wrong,
}

#[derive(Clone, Copy)]
pub(crate) enum Wrong {
    /// Nothing is needed.
    Empty,
    /// A quote or a parenthesis that does not end.
    Open,
    /// Two commas with nothing between them.
    NoPrivilege,
    /// `ON`, and nothing after it.
    NoObject,
    /// A privilege that only means something on an object.
    NoOn,
    /// No such privilege on this kind of object.
    Privilege { kind: usize },
    /// Columns where there are none.
    Columns,
    /// A privilege that there is only on all objects at once.
    OfAll,
    /// Not the name of such an object.
    Name { kind: usize },
}

pub(crate) struct Reader<'a> {
    text: &'a str,
    kinds: &'static [Grantable],
    /// Where the next clause begins.
    at: usize,
    clause: Option<Clause>,
    is_empty: bool,
}

/// The clause that is being read.
#[derive(Clone, Copy)]
struct Clause {
    kind: usize,
    /// What of the privileges has not been read, with the current one.
    privileges: Span,
    objects: Option<Span>,
    /// Where the current object begins.
    object: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str, kinds: &'static [Grantable]) -> Self {
        Self { text, kinds, at: 0, clause: None, is_empty: true }
    }

    /// The next privilege on the next object: every privilege of a clause goes with every object of it.
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
            let end = match find(
                self.bytes(),
                Wanted::Byte(b','),
                Span { start: clause.object, end: objects.end },
            ) {
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

    /// Whether the name ends with a `*`.
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

    /// Splits off the next clause, and finds out what kind of object it is about.
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

    /// Which kind of object it is, and how long the words are that say so: the most words win; none mean the first kind that has names.
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

    /// Which privilege it is, and of which columns.
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
    /// Whether it is the name of such an object.
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

/// Reads up to `most` identifiers with dots between them, and says where they end. With `star`, the last may be `*`.
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
                    // A quoted name holds no quotation mark: doubling one is a way to be misread.
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

/// What is looked for.
#[derive(Clone, Copy)]
enum Wanted {
    Byte(u8),
    /// The word `ON`.
    On,
}

/// Where `wanted` stands outside of quotes and parentheses; the end where it does not.
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

/// How long the words are with which the span begins, where they are these: without case, with any blanks between them.
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
