//! Spelling: how near a word is to a known one, for "did you mean".

/// The longest word that is compared, in bytes.
pub const LONGEST_WORD: usize = 63;

/// The edit distance in bytes, ignoring ASCII case: bytes added, removed or replaced, or neighbours
/// swapped (optimal string alignment). [`usize::MAX`] if a word is longer than [`LONGEST_WORD`].
#[must_use]
pub const fn distance(a: &[u8], b: &[u8]) -> usize {
    if a.len() > LONGEST_WORD || b.len() > LONGEST_WORD {
        return usize::MAX;
    }
    let mut before = [0; LONGEST_WORD + 1];
    let mut above = [0; LONGEST_WORD + 1];
    let mut j = 0;
    while j <= b.len() {
        above[j] = j;
        j += 1;
    }
    let mut i = 1;
    while i <= a.len() {
        let mut row = [i; LONGEST_WORD + 1];
        let mut j = 1;
        while j <= b.len() {
            let is_same = a[i - 1].eq_ignore_ascii_case(&b[j - 1]);
            let mut least = above[j - 1] + !is_same as usize;
            least = smaller(least, above[j] + 1);
            least = smaller(least, row[j - 1] + 1);
            if i > 1
                && j > 1
                && a[i - 1].eq_ignore_ascii_case(&b[j - 2])
                && a[i - 2].eq_ignore_ascii_case(&b[j - 1])
            {
                least = smaller(least, before[j - 2] + 1);
            }
            row[j] = least;
            j += 1;
        }
        before = above;
        above = row;
        i += 1;
    }
    above[b.len()]
}

const fn smaller(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_a_letter_or_two_neighbours() {
        for (a, b, edits) in [
            ("", "", 0),
            ("SELECT", "select", 0),
            ("selct", "SELECT", 1),
            ("selecct", "select", 1),
            ("sekect", "select", 1),
            ("slect", "select", 1),
            ("seelct", "select", 1),
            ("abcdefgh", "abcdefhg", 1),
            ("abcdefgh", "bacdefgh", 1),
            ("abcdefgh", "abcdhgfe", 3),
            ("ab", "cd", 2),
            ("", "abc", 3),
            ("größe", "grosse", 4),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), edits, "{a} {b}");
            assert_eq!(distance(b.as_bytes(), a.as_bytes()), edits, "{b} {a}");
        }
        let long = [b'a'; LONGEST_WORD + 1];
        assert_eq!(distance(&long, b"a"), usize::MAX);
        assert_eq!(distance(b"a", &long), usize::MAX);
        assert_eq!(distance(&long[1..], b""), LONGEST_WORD);
        assert_eq!(distance(b"", &long[1..]), LONGEST_WORD);
        const _: () = assert!(distance(b"evn", b"env") == 1);
    }
}
