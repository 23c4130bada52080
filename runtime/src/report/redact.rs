//! Removes this process's secrets from every text that is shown, whatever its origin.
//!
//! A service knows the password that it was sent. It can repeat the password in its version, in an
//! error, in a certificate's name, or in any other quoted text. So every secret of a target is a
//! [`Guarded`]. Secrets are removed when a text becomes a [`Finding`](crate::Finding), a
//! [`Failure`](crate::Failure), or the result of [`printable`](crate::posture::printable). A peer's
//! text reaches a report, a posture, an error or a log of this crate only through these three, so
//! no output needs a check of its own.
//!
//! A secret is found in these forms: verbatim, in capitals, escaped (percent, JSON, Rust, HTML,
//! doubled quotation marks, and two of these nested), in base64 of both alphabets at any alignment
//! (and so inside `AUTH PLAIN` and `Basic`), and in hexadecimal digits. Other encodings are not
//! detected: a peer that wants to publish the secret can do so anyway.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use secrecy::zeroize::{Zeroize, Zeroizing};
use secrecy::{ExposeSecret as _, SecretString};

use crate::report::posture::Posture;

/// The replacement for a secret.
const REDACTED: &str = "(the password)";

/// Shorter passwords are not removed. Only a waiver admits one, and it occurs in texts by chance,
/// so that the gap would reveal it.
const SHORTEST: usize = 8;

/// The minimum length of a secret's part that is removed where a text was cut.
const SHORTEST_PART: usize = 4;

/// The fewest characters of base64 that hold a whole password.
const SHORTEST_BASE64: usize = SHORTEST * 8 / 6 + 1;

/// The maximum depth of nested escapes: JSON in a URL in a Rust error has three.
const DEEPEST: usize = 3;

/// The searched part of a text, in bytes, if only its beginning is shown.
const LONGEST_SEARCHED: usize = 64 * 1024;

/// A secret that is removed from all texts, from construction until its last clone is dropped.
#[derive(Clone)]
pub struct Guarded(Arc<Known>);

struct Known {
    secret: SecretString,
    kind: Kind,
    /// Computed on the first search: most secrets are never searched for.
    forms: OnceLock<Vec<Form>>,
}

/// The purpose of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It logs in.
    Login,
    /// It is a part of a path. An ordinary path is one too, and an application's own values may
    /// contain that.
    Path,
}

/// Bytes that may be a secret, or the result of decoding a secret's escapes.
type Form = Zeroizing<Vec<u8>>;

/// The secrets of the process. The references are weak: a secret is dropped with the target that
/// logs in with it.
static GUARDED: RwLock<Vec<Weak<Known>>> = RwLock::new(Vec::new());

impl Guarded {
    /// A secret that logs in.
    pub fn new(secret: SecretString) -> Self {
        Self::of(secret, Kind::Login)
    }

    /// A secret in a path: no text shows it, and an answer that holds it ends no connection.
    pub(crate) fn of_path(secret: SecretString) -> Self {
        Self::of(secret, Kind::Path)
    }

    /// A password that texts hold anyway. A gap in a text in its place would show it: with
    /// the password `postgres`, `PostgreSQL` would lose most of its name.
    pub(crate) fn well_known(secret: SecretString) -> Self {
        Self(Arc::new(Known { secret, kind: Kind::Login, forms: OnceLock::new() }))
    }

    fn of(secret: SecretString, kind: Kind) -> Self {
        let secret = Arc::new(Known { secret, kind, forms: OnceLock::new() });
        let mut guarded = GUARDED.write().unwrap_or_else(PoisonError::into_inner);
        guarded.retain(|known| known.strong_count() > 0);
        guarded.push(Arc::downgrade(&secret));
        Self(secret)
    }
}

impl Known {
    /// The secret's forms with their escapes decoded. A text may escape some characters of a secret
    /// and leave alone those that look like an escape, so the decoded text is compared with the
    /// decoded secret.
    fn forms(&self) -> &[Form] {
        self.forms.get_or_init(|| {
            let mut forms = vec![Zeroizing::new(self.secret.expose_secret().as_bytes().to_vec())];
            while forms.len() <= DEEPEST
                && let Some(next) = forms.last().and_then(|form| unescaped(&units(form)))
                && next.len() >= SHORTEST
            {
                forms.push(Zeroizing::new(next.iter().map(|unit| unit.byte).collect()));
            }
            forms
        })
    }
}

impl Guarded {
    /// True if both are the same secret.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.expose_secret() == other.expose_secret()
    }
}

impl Deref for Guarded {
    type Target = SecretString;

    fn deref(&self) -> &SecretString {
        &self.0.secret
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded")
    }
}

/// Those of a kind, or all.
fn guarded(kind: Option<Kind>) -> Vec<Arc<Known>> {
    let guarded = GUARDED.read().unwrap_or_else(PoisonError::into_inner);
    let living = guarded
        .iter()
        .filter_map(Weak::upgrade)
        .filter(|known| kind.is_none_or(|kind| known.kind == kind));
    living
        .filter(|known| known.secret.expose_secret().chars().nth(SHORTEST - 1).is_some())
        .collect()
}

/// Redacts a text that may contain text from a peer. A borrowed text is the program's own and is
/// left as it is.
pub(crate) fn redact(text: &mut Cow<'static, str>) {
    if let Cow::Owned(owned) = text {
        redact_text(owned);
    }
}

/// Removes this process's secrets from a peer's text.
pub fn redact_text(text: &mut String) {
    let found = found_in(text.as_bytes(), Cuts::Ellipses, &guarded(None));
    for range in found.iter().rev() {
        let range = whole_characters(text, range);
        text.replace_range(range, REDACTED);
    }
}

/// True if a peer's text contains a secret that logs in.
///
/// A caller ends the connection, so the peer learns the answer. Only whole secrets count: a peer
/// that learns that `tuli…` is the beginning of one finds the rest of it, character by character,
/// and the secret may be another resource's.
///
/// Code of the same process learns it too. That adds nothing: the memory of a process holds every
/// secret of its resources.
pub fn is_in(bytes: &[u8]) -> bool {
    !found_in(bytes, Cuts::Nowhere, &guarded(Some(Kind::Login))).is_empty()
}

/// The first `longest` characters of a peer's text, without secrets of this process, and a `…` if
/// the text is longer. The text is searched before it is cut: half a password would not be found.
pub(crate) fn beginning(text: &str, longest: usize) -> Vec<Piece<'_>> {
    let end = text.char_indices().nth(longest).map(|(end, _)| end);
    let searched = match end {
        Some(_) => &text[..text.floor_char_boundary(LONGEST_SEARCHED)],
        None => text,
    };
    let cuts = if searched.len() < text.len() { Cuts::EllipsesAndEnd } else { Cuts::Ellipses };
    let found = found_in(searched.as_bytes(), cuts, &guarded(None));
    let shown = end.unwrap_or(text.len());
    let mut pieces = Vec::with_capacity(2 * found.len() + 2);
    let mut from = 0;
    for range in found
        .iter()
        .map(|range| whole_characters(text, range))
        .take_while(|range| range.start < shown)
    {
        pieces.push(Piece::Peers(&text[from..range.start]));
        pieces.push(Piece::Ours(REDACTED));
        from = range.end;
    }
    pieces.push(Piece::Peers(text.get(from..shown).unwrap_or_default()));
    if end.is_some() {
        pieces.push(Piece::Ours("…"));
    }
    pieces
}

/// A piece of a text that is shown.
pub(crate) enum Piece<'a> {
    /// Text from the peer.
    Peers(&'a str),
    /// The replacement for a secret.
    Ours(&'static str),
}

/// Redacts a posture. A third-party service may copy its peer's text into it.
pub(crate) fn redact_posture(posture: &mut Posture) {
    let Posture { tls, server, account, privileges, authentication, .. } = posture;
    let of_server = server.iter_mut().flat_map(|server| [&mut server.product, &mut server.version]);
    let certificates = tls.iter_mut().map(|tls| &mut tls.certificate);
    let of_certificate = certificates.flat_map(|certificate| {
        [&mut certificate.subject, &mut certificate.issuer, &mut certificate.key]
            .into_iter()
            .chain(&mut certificate.names)
    });
    of_server
        .chain(of_certificate)
        .chain(account)
        .chain(privileges)
        .chain(authentication)
        .for_each(redact_text);
}

/// Extends a range to character boundaries.
fn whole_characters(text: &str, range: &Range<usize>) -> Range<usize> {
    text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end)
}

/// A decoded byte, and its position in the original text.
#[derive(Clone, Copy)]
struct Unit {
    byte: u8,
    start: usize,
    end: usize,
}

/// The ranges that hold a secret, in order, without nested ones.
fn found_in(text: &[u8], where_cut: Cuts, secrets: &[Arc<Known>]) -> Vec<Range<usize>> {
    if secrets.is_empty() {
        return Vec::new();
    }
    let secrets = Secrets::new(secrets);
    let mut found = Vec::new();
    let mut text = units(text);
    for _ in 0..=DEEPEST {
        search(&text, &secrets, where_cut, &mut found);
        match unescaped(&text) {
            Some(next) => text = next,
            None => break,
        }
    }
    merged(found)
}

impl Zeroize for Unit {
    fn zeroize(&mut self) {
        self.byte.zeroize();
    }
}

fn units(text: &[u8]) -> Zeroizing<Vec<Unit>> {
    Zeroizing::new(
        text.iter()
            .enumerate()
            .map(|(start, &byte)| Unit { byte, start, end: start + 1 })
            .collect(),
    )
}

fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|later, earlier| {
        let overlaps = later.start < earlier.end;
        if overlaps {
            earlier.end = earlier.end.max(later.end);
        }
        overlaps
    });
    ranges
}

fn search(units: &[Unit], secrets: &Secrets<'_>, where_cut: Cuts, found: &mut Vec<Range<usize>>) {
    let span = |from: usize, to: usize| units[from].start..units[to - 1].end;
    for from in 0..units.len() {
        for secret in secrets.beginning_with(units[from].byte) {
            let same = units[from..]
                .iter()
                .zip(secret.iter())
                .take_while(|(unit, byte)| is_same(unit.byte, **byte))
                .count();
            let is_cut = |part: &usize| where_cut.is_at(&units[from + part..]);
            let end = if same == secret.len() {
                Some(same)
            } else {
                (SHORTEST_PART..=same).rev().find(is_cut)
            };
            found.extend(end.map(|end| span(from, from + end)));
        }
    }
    for run in runs(units, |byte| sextet(byte).is_some(), SHORTEST_BASE64) {
        let bytes: Vec<_> = units[run.clone()].iter().map(|unit| unit.byte).collect();
        let is_encoded = |skipped: usize| secrets.are_in(&decoded(&bytes[skipped..], 6, sextet));
        if (0..4).any(is_encoded) {
            let padding = units[run.end..].iter().take_while(|unit| unit.byte == b'=').count();
            found.push(span(run.start, run.end + padding));
        }
    }
    for run in runs(units, |byte| byte.is_ascii_hexdigit(), 2 * SHORTEST) {
        let bytes: Vec<_> = units[run.clone()].iter().map(|unit| unit.byte).collect();
        if (0..2).any(|skipped| secrets.are_in(&decoded(&bytes[skipped..], 4, digit))) {
            found.push(span(run.start, run.end));
        }
    }
}

/// The secrets, by their first byte. A peer decides how long a text is, and each place of it is
/// compared with the few secrets that may begin there.
struct Secrets<'a>(Vec<Vec<&'a Form>>);

impl<'a> Secrets<'a> {
    fn new(known: &'a [Arc<Known>]) -> Self {
        let mut secrets = vec![Vec::new(); 1 + usize::from(u8::MAX)];
        for form in known.iter().flat_map(|known| known.forms()) {
            let Some(&first) = form.first() else { continue };
            secrets[usize::from(first.to_ascii_lowercase())].push(form);
            if first == b' ' {
                secrets[usize::from(b'+')].push(form);
            }
        }
        Self(secrets)
    }

    fn beginning_with(&self, byte: u8) -> &[&'a Form] {
        &self.0[usize::from(byte.to_ascii_lowercase())]
    }

    /// Whether one of them is in bytes that a text encodes.
    fn are_in(&self, bytes: &[u8]) -> bool {
        let begins = |bytes: &[u8], secret: &Form| {
            bytes.len() >= secret.len()
                && bytes
                    .iter()
                    .zip(secret.iter())
                    .all(|(one, other)| one.eq_ignore_ascii_case(other))
        };
        (0..bytes.len()).any(|from| {
            self.beginning_with(bytes[from]).iter().any(|secret| begins(&bytes[from..], secret))
        })
    }
}

/// Whatever the case of its letters: a name in a certificate or a header loses it on the way.
const fn is_same(said: u8, secret: u8) -> bool {
    said.eq_ignore_ascii_case(&secret) || (said == b'+' && secret == b' ')
}

/// The places at which a text may have been cut, in the middle of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cuts {
    Nowhere,
    Ellipses,
    EllipsesAndEnd,
}

impl Cuts {
    /// Whether the text was cut before what follows.
    fn is_at(self, rest: &[Unit]) -> bool {
        let begins_with_ellipsis = || {
            rest.len() >= "…".len()
                && rest.iter().zip("…".bytes()).all(|(unit, byte)| unit.byte == byte)
        };
        match self {
            Self::Nowhere => false,
            Self::Ellipses => begins_with_ellipsis(),
            Self::EllipsesAndEnd => rest.is_empty() || begins_with_ellipsis(),
        }
    }
}

/// The longest runs of bytes of one kind.
fn runs(
    units: &[Unit],
    is_of: impl Fn(u8) -> bool,
    shortest: usize,
) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let begin = from + units[from..].iter().position(|unit| is_of(unit.byte))?;
        let length = units[begin..].iter().position(|unit| !is_of(unit.byte));
        from = length.map_or(units.len(), |length| begin + length);
        Some(begin..from)
    })
    .filter(move |run| run.len() >= shortest)
}

/// Decodes digits of `bits` bits each. The first byte that is not a digit ends the input.
fn decoded(text: &[u8], bits: u32, digit: fn(u8) -> Option<u8>) -> Form {
    let (mut bytes, mut waiting, mut count) =
        (Zeroizing::new(Vec::with_capacity(text.len())), 0_u32, 0);
    for digit in text.iter().map_while(|byte| digit(*byte)) {
        waiting = waiting << bits | u32::from(digit);
        count += bits;
        if count >= 8 {
            count -= 8;
            bytes.push((waiting >> count & 0xff) as u8);
        }
    }
    bytes
}

/// A digit of base64 in either alphabet (RFC 4648, 4 and 5).
const fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Decodes the escapes of a text; `None` if it has none.
fn unescaped(units: &[Unit]) -> Option<Zeroizing<Vec<Unit>>> {
    // The buffer does not grow: growing would leave a copy behind.
    let mut out = Zeroizing::new(Vec::with_capacity(units.len()));
    let mut at = 0;
    let mut is_changed = false;
    while at < units.len() {
        match escape(&units[at..]) {
            Some((bytes, taken)) => {
                is_changed = true;
                let (start, end) = (units[at].start, units[at + taken - 1].end);
                out.extend(bytes.as_bytes().iter().map(|&byte| Unit { byte, start, end }));
                at += taken;
            }
            None => {
                out.push(units[at]);
                at += 1;
            }
        }
    }
    is_changed.then_some(out)
}

/// The meaning of an escape.
enum Escaped {
    Byte([u8; 1]),
    Character([u8; 4], usize),
}

impl Escaped {
    fn of(number: u32) -> Option<Self> {
        let mut bytes = [0; 4];
        let length = char::from_u32(number)?.encode_utf8(&mut bytes).len();
        Some(Self::Character(bytes, length))
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Byte(byte) => byte,
            Self::Character(bytes, length) => &bytes[..*length],
        }
    }
}

/// The escape at the beginning of a text, and its length.
fn escape(units: &[Unit]) -> Option<(Escaped, usize)> {
    /// The longest escape that is recognised.
    const LONGEST: usize = 12;
    let mut bytes = [0; LONGEST];
    let length = units.len().min(LONGEST);
    for (byte, unit) in bytes.iter_mut().zip(units) {
        *byte = unit.byte;
    }
    let bytes = &bytes[..length];
    let byte = |digits: &[u8]| {
        number(digits, 16).and_then(|number| Some(Escaped::Byte([u8::try_from(number).ok()?])))
    };
    match bytes {
        [b'%', digits @ ..] => Some((byte(digits.get(..2)?)?, 3)),
        [b'\\', b'x', digits @ ..] => Some((byte(digits.get(..2)?)?, 4)),
        [b'\\', b'u', b'{', rest @ ..] => {
            let end = rest.iter().position(|byte| *byte == b'}')?;
            Some((Escaped::of(number(&rest[..end], 16)?)?, end + 4))
        }
        [b'\\', b'u', rest @ ..] => utf16(rest),
        [b'\\', simple, ..] => {
            let meant = match simple {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'0' => 0,
                other => *other,
            };
            Some((Escaped::Byte([meant]), 2))
        }
        [b'&', rest @ ..] => {
            let end = rest.iter().position(|byte| *byte == b';')?;
            Some((entity(&rest[..end])?, end + 2))
        }
        [quote @ (b'\'' | b'"' | b'`'), second, ..] if quote == second => {
            Some((Escaped::Byte([*quote]), 2))
        }
        _ => None,
    }
}

/// JSON's `\uXXXX`, after the `\u`. Two surrogates are one character.
fn utf16(rest: &[u8]) -> Option<(Escaped, usize)> {
    let first = number(rest.get(..4)?, 16)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((Escaped::of(first)?, 6));
    }
    let second = number(rest.get(4..)?.strip_prefix(b"\\u")?.get(..4)?, 16)?.checked_sub(0xdc00)?;
    Some((Escaped::of(0x1_0000 + ((first - 0xd800) << 10) + second)?, 12))
}

fn entity(name: &[u8]) -> Option<Escaped> {
    Escaped::of(match name {
        b"amp" => u32::from('&'),
        b"lt" => u32::from('<'),
        b"gt" => u32::from('>'),
        b"quot" => u32::from('"'),
        b"apos" => u32::from('\''),
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16)?,
        [b'#', digits @ ..] => number(digits, 10)?,
        _ => return None,
    })
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    // `from_str_radix` alone would accept a sign.
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    is_number.then(|| u32::from_str_radix(str::from_utf8(digits).ok()?, radix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::finding::{Failure, FailureKind, Finding};
    use crate::report::text::printable;
    use backing_services_rules::rule::UNVERIFIED_TLS;

    /// The registry is global to the process: each test uses secrets of its own.
    fn shown(text: &str) -> String {
        let mut text = text.to_owned();
        redact_text(&mut text);
        text
    }

    #[test]
    fn a_password_is_removed_from_a_text() {
        let _guarded = Guarded::new("tulip-bulb-19".into());
        for (said, expected) in [
            ("7.4 tulip-bulb-19, tulip-bulb-19!", "7.4 (the password), (the password)!"),
            ("7.4 tulip-bul…", "7.4 (the password)…"),
            ("redis 7.4 tulip… gets no fixes", "redis 7.4 (the password)… gets no fixes"),
            ("7.4 tul…", "7.4 tul…"),
            ("tulip and bulbs", "tulip and bulbs"),
            ("CN=TULIP-BULB-19", "CN=(the password)"),
            ("tulip-bulb-1tulip-bulb-19", "tulip-bulb-1(the password)"),
        ] {
            assert_eq!(shown(said), expected);
        }
    }

    #[test]
    fn a_password_is_found_in_every_encoding() {
        let _guarded = Guarded::new("p'ä \"%<&\\/\u{1f337}\u{7}7z".into());
        for said in [
            "p'ä \"%<&\\/\u{1f337}\u{7}7z",
            "p%27%C3%A4%20%22%25%3C%26%5C%2F%F0%9F%8C%B7%077z",
            "p%27%c3%a4+%22%25%3c%26%5c/%f0%9f%8c%b7%077z",
            r#"p'ä \"%<&\\/🌷\u00077z"#,
            r#"p\u0027\u00e4 \"%<&\\\/\ud83c\udf37\u00077z"#,
            r#"p\'ä \"%<&\\/🌷\u{7}7z"#,
            r#"p\'\u{e4} \"%<&\\/\u{1f337}\x077z"#,
            r#"p\\'ä \\\"%<&\\\\/🌷\\u{7}7z"#,
            "p''ä \"%<&\\/\u{1f337}\u{7}7z",
            "p&#39;ä &quot;%&lt;&amp;\\/\u{1f337}\u{7}7z",
            "p&#x27;&#xE4; &quot;%&lt;&amp;\\/\u{1f337}&#7;7z",
            "p%2527%25C3%25A4%2520%2522%2525%253C%2526%255C%252F%25F0%259F%258C%25B7%25077z",
            "7027c3a42022253c265c2ff09f8cb707377a",
            "7027C3A42022253C265C2FF09F8CB707377A",
        ] {
            assert_eq!(shown(&format!("said: {said}.")), "said: (the password).", "{said}");
            assert_eq!(printable(&format!("ab {said}\n")), "ab (the password)\\n", "{said}");
        }
        // Text that only looks like an escape stays as it is.
        for other in [
            "100%", "%", "\\", "a\\", "%zz", "\\u{", "\\u{110000}", "\\ud83c", "&#;", "&;", "''",
            "% 2d",
        ] {
            assert_eq!(shown(other), other);
        }
    }

    #[test]
    fn a_password_is_found_in_base64_at_any_alignment() {
        use base64::Engine as _;
        use base64::engine::general_purpose::{
            STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD,
        };

        // Its base64 has digits in which the two alphabets differ.
        let secret = "crocus>>?ÿ~~?";
        let _guarded = Guarded::new(secret.into());
        for before in ["", "\0", "\0u\0", "user:", "ab", "abc"] {
            for after in ["", "x", "xy", "\0\0\0"] {
                let plain = format!("{before}{secret}{after}");
                for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                    let encoded = engine.encode(&plain);
                    for glued in ["AUTH PLAIN ", "token=", "x", "xx", "xxx"] {
                        let text = shown(&format!("({glued}{encoded})"));
                        assert!(!text.contains(&encoded[6..10]), "{plain:?} {glued}: {text}");
                    }
                }
            }
        }
        let other = STANDARD.encode("another secret altogether");
        assert_eq!(shown(&other), other);
    }

    #[test]
    fn findings_and_failures_are_redacted() {
        let _guarded = Guarded::new("white-lily-23".into());
        let told = |text: &str| format!("the server says {text}");
        let finding = Finding::new(&UNVERIFIED_TLS, told("white-lily-23"))
            .with_help(told("white%2Dlily%2d23"));
        assert_eq!(finding.message(), "the server says (the password)");
        assert_eq!(finding.help(), "the server says (the password)");
        let failure = Failure::new(
            FailureKind::Protocol,
            told("white-lily-23"),
            told("d2hpdGUtbGlseS0yMw=="),
        );
        assert_eq!(failure.message(), "the server says (the password)");
        assert_eq!(failure.help(), "the server says (the password)");
    }

    /// The peer sees that its connection ends. If the beginning of a secret were enough, it would
    /// find the secrets of every other resource, one character after the other.
    #[test]
    fn a_peer_that_guesses_learns_nothing_from_a_part_of_a_secret() {
        let secret = "fresia-knol-61";
        let _guarded = Guarded::new(secret.into());
        for length in 1..secret.len() {
            for guess in
                [format!("ERR {}…", &secret[..length]), format!("ERR {}", &secret[..length])]
            {
                assert!(!is_in(guess.as_bytes()), "{guess}");
            }
        }
        assert!(is_in(b"ERR fresia-knol-61"));
    }

    /// `https://api.example/customers/orders` has such a path, and a value of the application may
    /// have it too.
    #[test]
    fn a_path_is_taken_out_of_texts_and_ends_no_connection() {
        let _guarded = Guarded::of_path("customers/orders-67".into());
        assert!(!is_in(b"ERR no such key: customers/orders-67"));
        assert_eq!(shown("no such key: customers/orders-67"), "no such key: (the password)");
    }

    /// It is 20 ms in a build without optimization, and was 3 s when each of the cuts was compared
    /// with each beginning of each secret.
    #[test]
    fn a_peer_cannot_make_the_search_long() {
        let key =
            format!("-----BEGIN PRIVATE KEY-----\n{}", "MIIEvQIBADANBgkqhkiG9w0BAQ\n".repeat(60));
        let _key = Guarded::new(key.into());
        let _passwords: Vec<_> =
            (0..20).map(|number| Guarded::new(format!("gladiool-{number}-73").into())).collect();
        let begun = std::time::Instant::now();
        let _ = printable(&"…".repeat(LONGEST_SEARCHED / "…".len()));
        assert!(begun.elapsed() < std::time::Duration::from_millis(1500), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_password_that_texts_hold_anyway_leaves_no_gap() {
        let _guarded = Guarded::well_known("lelietje-71".into());
        assert_eq!(shown("Lelietje-71 16.2"), "Lelietje-71 16.2");
    }

    #[test]
    fn a_text_is_searched_before_it_is_cut() {
        let _guarded = Guarded::new("blue-flower-29".into());
        let cut = printable(&format!("{}blue-flower-29 and more", "x".repeat(190)));
        assert_eq!(cut, format!("{}(the password)…", "x".repeat(190)));
        let cut = printable(&format!("{}blue-flower-29 and more", "x".repeat(198)));
        assert_eq!(cut, format!("{}(the password)…", "x".repeat(198)));
        let whole = printable(&format!("{}blue-flower-29", "x".repeat(186)));
        assert_eq!(whole, format!("{}(the password)", "x".repeat(186)));
    }

    #[test]
    fn a_secret_is_guarded_until_its_last_clone_is_dropped() {
        let first = Guarded::new("red-flower-31".into());
        let second = first.clone();
        drop(first);
        assert_eq!(shown("red-flower-31"), "(the password)");
        drop(second);
        // Another test may hold the secret while it searches for it.
        let is_gone = || shown("red-flower-31") == "red-flower-31";
        let mut tries = 0..1000;
        while !is_gone() {
            assert!(tries.next().is_some(), "it is still guarded");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn a_short_password_is_not_removed() {
        let _guarded = Guarded::new("rose-37".into());
        assert_eq!(shown("rose-37"), "rose-37");
    }
}
