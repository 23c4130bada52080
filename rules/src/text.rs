//! Text comparison in constants, where `str`'s own methods are not `const` yet. ASCII case never
//! matters here.

/// True if both texts are equal, ignoring ASCII case.
pub(crate) const fn same(a: &str, b: &str) -> bool {
    a.as_bytes().eq_ignore_ascii_case(b.as_bytes())
}

/// True if `text` contains `part` at byte `at`, ignoring ASCII case.
pub(crate) const fn holds_at(text: &[u8], at: usize, part: &[u8]) -> bool {
    if at + part.len() > text.len() {
        return false;
    }
    let mut i = 0;
    while i < part.len() {
        if !text[at + i].eq_ignore_ascii_case(&part[i]) {
            return false;
        }
        i += 1;
    }
    true
}

/// True if the list contains `text`, ignoring ASCII case.
pub(crate) const fn listed(list: &[&str], text: &str) -> bool {
    let mut i = 0;
    while i < list.len() {
        if same(list[i], text) {
            return true;
        }
        i += 1;
    }
    false
}

/// `text` without leading and trailing blanks and control characters, which could otherwise hide a
/// scheme.
pub(crate) const fn trimmed(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut start = 0;
    let mut end = bytes.len();
    while start < end && is_blank(bytes[start]) {
        start += 1;
    }
    while end > start && is_blank(bytes[end - 1]) {
        end -= 1;
    }
    // Blanks are ASCII, so both cuts are on character boundaries.
    text.split_at(end).0.split_at(start).1
}

const fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}
