//! Limits on the server's messages after the login, and their order.
//!
//! The driver believes each length, and panics at some malformed packets. [`MessageLimits`] reads
//! along: the header of each packet, and the few bodies that matter. It follows the results, so
//! that it knows a request for a local file from a row that begins with NULL.
//!
//! Protocol: MySQL Internals, "Command Phase"; MariaDB documentation, "Server response packets".

use backing_services_runtime::service::metered::{Checked, FrameCheck};
use backing_services_runtime::service::printable_up_to;
use backing_services_runtime::service::relay::Settled;

/// The length that announces another packet of the same message.
const CONTINUED: u32 = 0x00ff_ffff;

/// The longest message until the service has attached, in bytes: 16 KiB. A line of `SHOW GRANTS`
/// has some 100.
const LONGEST_AT_FIRST: u64 = 16 * 1024;

/// The total until the service has attached, in bytes: 1 MiB.
const MOST_AT_FIRST: u64 = 1024 * 1024;

/// The longest error, in bytes: 16 KiB. Both products cut their texts at 512.
const LONGEST_ERROR: u32 = 16 * 1024;

/// The longest text of an error that reaches the driver, in characters.
const LONGEST_TEXT: usize = 1024;

/// The most columns of a result: `MAX_FIELDS` of both products.
const MOST_COLUMNS: u32 = 4096;

const TOO_LARGE: &str = "the server sent a message that is larger than `max_message` allows";
const TOO_LARGE_AT_FIRST: &str =
    "the server sent more than attaching asks for: 16 KiB in a message, or 1 MiB in all";
const MALFORMED: &str = "the server sent a packet that the protocol does not have there";
const LOCAL_FILE: &str = "the server asked for a file of this machine (`LOCAL INFILE`)";
const LOGIN: &str = "the server sent a message of the login after the login";
const MISREAD: &str = "the server sent a row as text whose first value has 16 MiB or more, which \
    sqlx misreads; use a prepared statement (`sqlx::query`)";

/// Checks the messages of one connection.
pub(crate) struct MessageLimits {
    largest: u64,
    /// `None` once the service has attached.
    attaching: Option<Settled>,
    /// The bytes until the service has attached.
    at_first: u64,
    /// True if results do not end with an EOF packet.
    without_eof: bool,
    expected: Expected,
    /// The bytes of this message so far.
    size: u64,
    /// The bytes that are left of this packet.
    left: u32,
    /// True if another packet of the same message follows.
    is_continued: bool,
    body: Body,
}

/// The server's next packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The first one of a response, or of a result within one.
    Result,
    /// The same, or the definitions of a prepared statement: an OK packet can look like the first
    /// packet of one.
    ResultOr(Definitions),
    Definitions(Definitions),
    /// The EOF packet after definitions.
    End(Definitions),
    Row,
}

/// Definitions that are outstanding: of parameters, and then of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Definitions {
    parameters: u32,
    columns: u32,
    has_rows: bool,
}

/// The packet whose rest is read.
enum Body {
    Any,
    Definition(Definition),
    /// An error, and the number of its packet.
    Error(u8, Vec<u8>),
}

impl MessageLimits {
    /// `largest` is the limit of one message in bytes.
    pub(super) const fn new(largest: u64, attaching: Option<Settled>, without_eof: bool) -> Self {
        Self {
            largest,
            attaching,
            at_first: 0,
            without_eof,
            expected: Expected::Result,
            size: 0,
            left: 0,
            is_continued: false,
            body: Body::Any,
        }
    }

    /// Reads the header of a packet, and what is behind it as far as it decides. `None` if there
    /// are too few bytes.
    fn header(&mut self, bytes: &[u8]) -> Result<Option<()>, &'static str> {
        let Some((&[a, b, c, number], body)) = bytes.split_first_chunk() else { return Ok(None) };
        let length = u32::from_le_bytes([a, b, c, 0]);
        if !self.is_continued {
            let Some(&first) = body.first().filter(|_| length > 0) else {
                return if length == 0 { Err(MALFORMED) } else { Ok(None) };
            };
            // The bytes behind it belong to the next packet.
            let body = body.get(..length as usize).unwrap_or(body);
            if self.first(first, length, number, body)?.is_none() {
                return Ok(None);
            }
            self.size = 0;
        }
        self.count(length)?;
        self.left = length;
        self.is_continued = length == CONTINUED;
        Ok(Some(()))
    }

    fn count(&mut self, length: u32) -> Result<(), &'static str> {
        self.size += u64::from(length);
        if self.attaching.as_ref().is_none_or(Settled::get) {
            self.attaching = None;
            return if self.size > self.largest { Err(TOO_LARGE) } else { Ok(()) };
        }
        self.at_first += 4 + u64::from(length);
        if self.size > LONGEST_AT_FIRST || self.at_first > MOST_AT_FIRST {
            return Err(TOO_LARGE_AT_FIRST);
        }
        Ok(())
    }

    /// Decides about the first packet of a message. `None` if it takes more bytes.
    fn first(
        &mut self,
        first: u8,
        length: u32,
        number: u8,
        body: &[u8],
    ) -> Result<Option<()>, &'static str> {
        if first == 0xff {
            if length > LONGEST_ERROR {
                return Err(MALFORMED);
            }
            self.body = Body::Error(number, Vec::new());
            return Ok(Some(()));
        }
        match self.expected {
            Expected::Row => self.row(first, length).map(Some),
            Expected::Result => self.result(first, length, body),
            Expected::ResultOr(definitions) => {
                if body.len() < DEFINITION.len().min(length as usize) {
                    return Ok(None);
                }
                if body.starts_with(DEFINITION) {
                    self.definition(definitions);
                    return Ok(Some(()));
                }
                self.result(first, length, body)
            }
            Expected::Definitions(definitions) => {
                self.definition(definitions);
                Ok(Some(()))
            }
            Expected::End(definitions) if first == 0xfe && length == EOF => {
                self.expected = definitions.next();
                Ok(Some(()))
            }
            Expected::End(_) => Err(MALFORMED),
        }
    }

    fn row(&mut self, first: u8, length: u32) -> Result<(), &'static str> {
        if first != 0xfe {
            return Ok(());
        }
        if length == CONTINUED {
            return Err(MISREAD);
        }
        if !self.without_eof && length != EOF {
            return Err(MALFORMED);
        }
        self.expected = Expected::Result;
        Ok(())
    }

    fn result(&mut self, first: u8, length: u32, body: &[u8]) -> Result<Option<()>, &'static str> {
        match first {
            0xfb => return Err(LOCAL_FILE),
            0xfe => return Err(LOGIN),
            0 if length != PREPARED => {
                self.expected = Expected::Result;
                return Ok(Some(()));
            }
            0 => {}
            _ if length > 9 => return Err(LOGIN),
            _ => {}
        }
        let Some(body) = body.get(..length as usize) else { return Ok(None) };
        if first == 0 {
            let word = |at: usize| u32::from(u16::from_le_bytes([body[at], body[at + 1]]));
            let definitions =
                Definitions { columns: word(5), parameters: word(7), has_rows: false };
            self.expected = definitions.or_result();
            return Ok(Some(()));
        }
        // The number of columns, and nothing else. `AuthMoreData` begins like a single column.
        let columns = number(body).ok_or(LOGIN)?;
        let columns = u32::try_from(columns).ok();
        let columns = columns.filter(|columns| (1..=MOST_COLUMNS).contains(columns));
        let columns = columns.ok_or(MALFORMED)?;
        self.expected =
            Expected::Definitions(Definitions { parameters: 0, columns, has_rows: true });
        Ok(Some(()))
    }

    fn definition(&mut self, definitions: Definitions) {
        self.body = Body::Definition(Definition::default());
        self.expected = Expected::Definitions(definitions);
    }

    /// The end of a message.
    fn end(&mut self) -> Result<(), &'static str> {
        let Body::Definition(definition) = std::mem::replace(&mut self.body, Body::Any) else {
            return Ok(());
        };
        if !definition.is_complete() {
            return Err(MALFORMED);
        }
        if let Expected::Definitions(mut definitions) = self.expected {
            let is_last = definitions.take();
            self.expected = if !is_last {
                Expected::Definitions(definitions)
            } else if self.without_eof {
                definitions.next()
            } else {
                Expected::End(definitions)
            };
        }
        Ok(())
    }

    /// Takes the next bytes of an error, and hands it on once it is complete.
    fn error(&mut self, bytes: &[u8]) -> Result<Option<Checked>, &'static str> {
        let Body::Error(number, packet) = &mut self.body else { return Ok(None) };
        packet.extend_from_slice(bytes);
        if self.left > 0 {
            return Ok(Some(Checked::Replace(bytes.len(), Vec::new())));
        }
        let shown = shown(*number, packet).ok_or(MALFORMED)?;
        (self.body, self.expected) = (Body::Any, Expected::Result);
        Ok(Some(Checked::Replace(bytes.len(), shown)))
    }
}

impl FrameCheck for MessageLimits {
    fn check(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.left == 0 {
                // An error is handed on by itself.
                let is_error = !self.is_continued && rest.get(4) == Some(&0xff);
                if is_error && at > 0 {
                    break;
                }
                if self.header(rest)?.is_none() {
                    return Ok(if at > 0 { Checked::Pass(at) } else { Checked::More });
                }
                if is_error {
                    return Ok(Checked::Replace(4, Vec::new()));
                }
                at += 4;
            } else {
                let here = rest.len().min(self.left as usize);
                self.left -= u32::try_from(here).unwrap_or(u32::MAX);
                if let Some(checked) = self.error(&rest[..here])? {
                    return Ok(checked);
                }
                if let Body::Definition(definition) = &mut self.body {
                    definition.read(&rest[..here])?;
                }
                at += here;
            }
            if self.left == 0 && !self.is_continued {
                self.end()?;
            }
        }
        Ok(Checked::Pass(at))
    }
}

/// The length of an EOF packet.
const EOF: u32 = 5;

/// The length of the first packet of a prepared statement.
const PREPARED: u32 = 12;

/// The beginning of each definition: its catalog.
const DEFINITION: &[u8] = b"\x03def";

impl Definitions {
    /// Takes one definition. Returns true if it was the last one of its kind.
    const fn take(&mut self) -> bool {
        let kind = if self.parameters > 0 { &mut self.parameters } else { &mut self.columns };
        *kind = kind.saturating_sub(1);
        *kind == 0
    }

    const fn or_result(self) -> Expected {
        if self.parameters == 0 && self.columns == 0 {
            Expected::Result
        } else {
            Expected::ResultOr(self)
        }
    }

    /// The packet after the definitions of one kind.
    const fn next(self) -> Expected {
        if self.columns > 0 {
            Expected::Definitions(self)
        } else if self.has_rows {
            Expected::Row
        } else {
            Expected::Result
        }
    }
}

/// Reads a whole packet as a length-encoded number.
fn number(packet: &[u8]) -> Option<u64> {
    let (first, rest) = packet.split_first()?;
    let expected = match first {
        0..=0xfa => 0,
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => return None,
    };
    if rest.len() != expected {
        return None;
    }
    let bytes = rest.iter().rev();
    Some(if expected == 0 {
        u64::from(*first)
    } else {
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    })
}

/// The error packet for the driver: its text is printable, and without our secrets. `None` if it is
/// malformed.
fn shown(number: u8, packet: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = packet.split_at_checked(3)?;
    let (state, text) = match rest {
        [b'#', rest @ ..] => {
            let (state, text) = rest.split_at_checked(5)?;
            (Some(state).filter(|state| state.iter().all(u8::is_ascii_alphanumeric))?, text)
        }
        text => (&b"HY000"[..], text),
    };
    let text = printable_up_to(&String::from_utf8_lossy(text), LONGEST_TEXT);
    let body = [head, b"#", state, text.as_bytes()].concat();
    let [a, b, c, _] = u32::try_from(body.len()).ok()?.to_le_bytes();
    Some([&[a, b, c, number][..], &body].concat())
}

/// A definition of a column or a parameter. The driver panics if it is too short.
#[derive(Default)]
struct Definition {
    /// The texts that were read: catalog, schema, and four names.
    texts: u8,
    /// The bytes that are left of a text, or of its length.
    text: u64,
    length: u8,
    shift: u8,
    /// The bytes behind the texts.
    fixed: u64,
}

/// The texts of a definition.
const TEXTS: u8 = 6;

/// The fixed part of a definition, with its length.
const FIXED: u64 = 1 + 12 - 2;

impl Definition {
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.length > 0 {
                self.text |= u64::from(byte) << self.shift;
                self.shift += 8;
                self.length -= 1;
                self.texts += u8::from(self.length == 0);
            } else if self.text > 0 {
                let here = usize::try_from(self.text).unwrap_or(usize::MAX).min(bytes.len());
                self.text -= here as u64;
                bytes = &bytes[here..];
                continue;
            } else if self.texts < TEXTS {
                self.shift = 0;
                match byte {
                    0..=0xfa => (self.text, self.texts) = (u64::from(byte), self.texts + 1),
                    0xfc => self.length = 2,
                    0xfd => self.length = 3,
                    0xfe => self.length = 8,
                    _ => return Err(MALFORMED),
                }
            } else {
                // The length of the fixed part. The driver ignores it.
                if self.fixed == 0 && byte != 0x0c {
                    return Err(MALFORMED);
                }
                self.fixed += bytes.len() as u64;
                return Ok(());
            }
            bytes = rest;
        }
        Ok(())
    }

    const fn is_complete(&self) -> bool {
        self.texts == TEXTS && self.text == 0 && self.length == 0 && self.fixed >= FIXED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet: its length, its number, its body.
    fn packet(number: u8, body: &[u8]) -> Vec<u8> {
        let [a, b, c, _] = u32::try_from(body.len()).unwrap().to_le_bytes();
        [&[a, b, c, number], body].concat()
    }

    fn definition(name: &str) -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let texts = ["def", "shop", "o", "orders", name, name].map(text).concat();
        [&texts, &b"\x0c\x2d\0\0\x04\0\0\xfd\0\0\0\0\0"[..]].concat()
    }

    const OK: &[u8] = b"\0\0\0\x02\0\0\0";
    /// The end of rows, with and without EOF packets.
    const END: [&[u8]; 2] = [b"\xfe\0\0\x02\0", b"\xfe\0\0\x02\0\0\0"];
    const ERROR: &[u8] = b"\xff\x7a\x04#42S02Table 'shop.x' doesn't exist";

    /// The packets, numbered, with EOF packets after definitions if the server sends them.
    fn numbered(packets: &[&[u8]]) -> Vec<u8> {
        let mut number = 0;
        let numbered = packets.iter().map(|body| {
            number += 1;
            packet(number, body)
        });
        numbered.collect::<Vec<_>>().concat()
    }

    fn result(without_eof: bool, columns: usize, rows: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut packets = vec![vec![u8::try_from(columns).unwrap()]];
        packets.extend((0..columns).map(|column| definition(&format!("c{column}"))));
        packets.extend((!without_eof).then(|| END[0].to_vec()));
        packets.extend(rows.iter().map(|row| row.to_vec()));
        packets.push(END[usize::from(without_eof)].to_vec());
        packets
    }

    fn limits(without_eof: bool) -> MessageLimits {
        MessageLimits::new(1 << 20, None, without_eof)
    }

    /// The bytes that reach the driver, if the server sends them in pieces of a size.
    fn passed(
        mut limits: MessageLimits,
        bytes: &[u8],
        piece: usize,
    ) -> (Vec<u8>, Result<MessageLimits, &'static str>) {
        let (mut passed, mut kept) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            kept.extend_from_slice(piece);
            while !kept.is_empty() {
                let before = kept.len();
                match limits.check(&kept) {
                    Ok(Checked::Pass(count)) => passed.extend(kept.drain(..count)),
                    Ok(Checked::Replace(count, instead)) => {
                        kept.drain(..count);
                        passed.extend(instead);
                    }
                    Ok(Checked::More) => {
                        assert!(kept.len() <= 64, "the beginning of a header");
                        break;
                    }
                    Err(reason) => return (passed, Err(reason)),
                }
                assert!(kept.len() < before, "it goes on");
            }
        }
        (passed, Ok(limits))
    }

    /// The server's bytes, unchanged, in pieces of every size, and between two responses.
    #[track_caller]
    fn accepted(without_eof: bool, bytes: &[u8]) {
        for piece in (1..20).chain([50, 1000, usize::MAX]) {
            let (passed, limits) = passed(limits(without_eof), bytes, piece);
            let limits = limits.unwrap_or_else(|reason| panic!("{piece}: {reason}"));
            assert!(passed == bytes, "{piece}");
            assert!(limits.left == 0 && !limits.is_continued);
            assert!(
                matches!(limits.expected, Expected::Result | Expected::ResultOr(_)),
                "{piece}: {:?}",
                limits.expected
            );
        }
    }

    #[track_caller]
    fn refused(without_eof: bool, bytes: &[u8], why: &str) {
        for piece in (1..20).chain([50, 1000, usize::MAX]) {
            let reason = passed(limits(without_eof), bytes, piece).1.map(|_| ()).unwrap_err();
            assert_eq!(reason, why, "{piece}");
        }
    }

    #[test]
    fn responses_pass_unchanged() {
        for without_eof in [false, true] {
            let rows = result(without_eof, 2, &[b"\x01a\x01b", b"\xfb\xfb", b"\0\0"]);
            let binary = result(without_eof, 1, &[b"\0\0\x01", b"\0\x04"]);
            let mut prepared = vec![b"\0\x01\0\0\0\x02\0\x01\0\0\0\0".to_vec(), definition("?")];
            prepared.extend((!without_eof).then(|| END[0].to_vec()));
            prepared.extend([definition("a"), definition("b")]);
            prepared.extend((!without_eof).then(|| END[0].to_vec()));
            let without_columns = vec![b"\0\x02\0\0\0\0\0\0\0\0\0\0".to_vec()];
            let ok = vec![OK.to_vec()];
            // It looks like the first packet of a prepared statement.
            let like = vec![b"\0\xfd\x01\x02\x03\xfc\x01\x02\x02\0\0\0".to_vec()];
            let all = [
                &ok, &rows, &binary, &prepared, &binary, &without_columns, &ok, &like, &rows,
                &like, &ok, &like, &like,
            ];
            let mut bytes = Vec::new();
            for response in all {
                let packets: Vec<_> = response.iter().map(Vec::as_slice).collect();
                bytes.extend(numbered(&packets));
                accepted(without_eof, &bytes);
            }
            // Several results in one response.
            let packets: Vec<_> = rows.iter().chain(&rows).chain(&ok).map(Vec::as_slice).collect();
            accepted(without_eof, &numbered(&packets));
        }
    }

    #[test]
    fn a_request_for_a_local_file_is_no_row() {
        let file = b"\xfb/etc/passwd";
        for without_eof in [false, true] {
            refused(without_eof, &packet(1, file), LOCAL_FILE);
            refused(without_eof, &numbered(&[OK, file]), LOCAL_FILE);
            let rows = result(without_eof, 1, &[b"\xfb", b"\xfb"]);
            let mut packets: Vec<_> = rows.iter().map(Vec::as_slice).collect();
            accepted(without_eof, &numbered(&packets));
            packets.push(file);
            refused(without_eof, &numbered(&packets), LOCAL_FILE);
            // After what looks like a prepared statement, and after its definitions.
            let like = b"\0\x01\0\0\0\x02\0\0\0\0\0\0".as_slice();
            refused(without_eof, &numbered(&[like, file]), LOCAL_FILE);
            let definition = definition("a");
            let mut packets = vec![like, &definition, &definition];
            packets.extend((!without_eof).then_some(END[0]));
            accepted(without_eof, &numbered(&packets));
            packets.push(file);
            refused(without_eof, &numbered(&packets), LOCAL_FILE);
            refused(without_eof, &numbered(&[ERROR, file]), LOCAL_FILE);
        }
    }

    #[test]
    fn messages_of_the_login_end_the_connection() {
        for bytes in [
            &b"\xfemysql_clear_password\0abc"[..],
            b"\xfe",
            b"\x01\x03",
            b"\x01\x04",
            b"\x01-----BEGIN PUBLIC KEY-----",
            b"\x02sha256_password\0",
        ] {
            refused(true, &packet(1, bytes), LOGIN);
            refused(false, &numbered(&[OK, bytes]), LOGIN);
        }
    }

    #[test]
    fn malformed_packets_end_the_connection() {
        let short = &definition("a")[..30];
        let long = [&definition("a")[..9], b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"].concat();
        for (without_eof, packets) in [
            (true, vec![&b""[..]]),
            (true, vec![OK, b""]),
            // A number of columns.
            (true, vec![b"\xfc\x01\x10"]),
            (true, vec![b"\xfc\0\0"]),
            (true, vec![b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"]),
            (true, vec![b"\x01", short]),
            (true, vec![b"\x01", &long]),
            (true, vec![b"\x01", b"\xfb"]),
            (true, vec![b"\x01", b""]),
            (false, vec![b"\x01", short]),
            // Without the end of the definitions.
            (
                false,
                vec![
                    b"\x01",
                    b"\x03def\0\0\0\x01a\x01a\x0c\x2d\0\0\x04\0\0\xfd\0\0\0\0\0",
                    b"\x01a",
                ],
            ),
            // An error that is too short.
            (true, vec![b"\xff"]),
            (true, vec![b"\xff\x01"]),
            (true, vec![b"\xff\x01\x02#4200"]),
            (true, vec![b"\xff\x01\x02#42\x1b[2text"]),
        ] {
            for piece in [1, 7, usize::MAX] {
                let bytes = numbered(&packets);
                let reason = passed(limits(without_eof), &bytes, piece).1.map(|_| ());
                assert!(reason.is_err(), "{packets:?}");
            }
        }
        let endless = [&[0xff, 0xff, 0, 1, 0xff][..], &[b'x'; 20_000]].concat();
        refused(true, &endless, MALFORMED);
    }

    #[test]
    fn errors_become_printable() {
        let secret = backing_services_runtime::service::redact::Guarded::new(
            "gladiolus-corm-4711".to_owned().into(),
        );
        let sent = b"\xff\x7a\x04#42S02no \x1b[2J \xff gladiolus-corm-4711".as_slice();
        let expected =
            numbered(&[OK, "\u{0}z\u{4}#42S02no \\u{1b}[2J \u{fffd} (the password)".as_bytes()]);
        for piece in [1, 2, 3, 5, 8, 13, usize::MAX] {
            let (mut passed, limits) = passed(limits(true), &numbered(&[OK, sent]), piece);
            limits.unwrap();
            passed[OK.len() + 8] = 0;
            assert_eq!(passed, expected, "{piece}");
        }
        drop(secret);
        // In the midst of a result, too, and the next response is read as one.
        let rows = result(true, 1, &[b"\x01a"]);
        let mut packets: Vec<_> = rows[..3].iter().map(Vec::as_slice).collect();
        packets.extend([ERROR, OK]);
        accepted(true, &numbered(&packets));
        accepted(true, &numbered(&[b"\x02", &definition("a"), ERROR, OK]));
        // Without a state, it gets the general one.
        let (passed, _) = passed(limits(true), &packet(1, b"\xff\x84\x04out of order"), 3);
        assert_eq!(passed, packet(1, b"\xff\x84\x04#HY000out of order"));
    }

    #[test]
    fn messages_are_bounded_across_packets() {
        let rows = |size: usize| {
            let mut bytes = numbered(&[b"\x01", &definition("a")]);
            bytes.extend(packet(3, &vec![b'x'; size]));
            bytes
        };
        for (size, is_accepted) in [(1 << 20, true), ((1 << 20) + 1, false)] {
            let (passed, limits) = passed(limits(true), &rows(size), usize::MAX);
            assert_eq!(limits.map(drop).is_ok(), is_accepted, "{size}");
            assert!(is_accepted || passed.len() < 200, "nothing of the row is passed");
        }
        // Two packets of one message, the second of which has any content.
        let largest = 0xff_ffff + 5;
        let mut bytes = numbered(&[b"\x01", &definition("a")]);
        bytes.extend([0xff, 0xff, 0xff, 3]);
        bytes.extend(vec![b'x'; 0xff_ffff]);
        for (second, is_accepted) in
            [(&b"\xfe\xff\xfb\0\0"[..], true), (b"", true), (b"sixsix", false)]
        {
            let bytes = [&bytes[..], &packet(4, second)].concat();
            for piece in [7919, usize::MAX] {
                let limits = MessageLimits::new(largest, None, true);
                let (_, limits) = passed(limits, &bytes, piece);
                let expected = limits.map(|limits| limits.expected);
                assert_eq!(expected.is_ok(), is_accepted, "{second:?}");
                assert!(!is_accepted || expected == Ok(Expected::Row));
            }
        }
        // The driver would read it as the end of the rows.
        let mut bytes = numbered(&[b"\x01", &definition("a")]);
        bytes.extend([0xff, 0xff, 0xff, 3, 0xfe]);
        refused(true, &bytes, MISREAD);
    }

    #[test]
    fn a_server_may_send_little_until_the_service_has_attached() {
        let new = || MessageLimits::new(1 << 30, Some(Settled::default()), true);
        let mut bytes = numbered(&[b"\x01", &definition("a")]);
        bytes.extend(packet(3, &[b'x'; 16 * 1024]));
        assert!(passed(new(), &bytes, 100).1.is_ok());
        bytes.extend(packet(4, &[b'x'; 16 * 1024 + 1]));
        assert_eq!(passed(new(), &bytes, 100).1.map(|_| ()).unwrap_err(), TOO_LARGE_AT_FIRST);
        let many = packet(1, OK).repeat(100_000);
        let (before, reason) = passed(new(), &many, 1 << 16);
        assert_eq!(reason.map(|_| ()).unwrap_err(), TOO_LARGE_AT_FIRST);
        assert!(before.len() <= 1 << 20);
        let later = || MessageLimits::new(1 << 30, None, true);
        assert!(passed(later(), &bytes, 100).1.is_ok());
        assert!(passed(later(), &many, 1 << 16).1.is_ok());
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{Input, check};

    use super::*;

    const LARGEST: u64 = 4096;

    const RESPONSES: &[&[u8]] = &[
        b"\x07\0\0\x01\0\0\0\x02\0\0\0",
        b"\x01\0\0\x01\x01\x1b\0\0\x02\x03def\0\0\0\x01a\x01a\x0c\x2d\0\0\x04\0\0\xfd\0\0\0\0\0\
            \x02\0\0\x03\x01b\x01\0\0\x04\xfb\x07\0\0\x05\xfe\0\0\x0a\0\0\0\
            \x07\0\0\x06\0\0\0\x02\0\0\0",
        b"\x0c\0\0\x01\0\x01\0\0\0\x01\0\x01\0\0\0\0\
            \x1b\0\0\x02\x03def\0\0\0\x01?\x01?\x0c\x2d\0\0\x04\0\0\xfd\0\0\0\0\0\
            \x1b\0\0\x03\x03def\0\0\0\x01a\x01a\x0c\x2d\0\0\x04\0\0\xfd\0\0\0\0\0",
        b"\x18\0\0\x01\xff\x7a\x04#42S02ranunculus \x1b[2J",
        b"\x0c\0\0\x01\xfb/etc/passwd\x02\0\0\x01\x01\x04\xff\xff\xff\x02\xfe",
    ];

    /// The bytes for the driver, and the reason why they end.
    fn read<'a>(
        without_eof: bool,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> (Vec<u8>, Option<&'static str>) {
        let mut limits = MessageLimits::new(LARGEST, None, without_eof);
        let (mut passed, mut kept) = (Vec::new(), Vec::new());
        for piece in pieces {
            kept.extend_from_slice(piece);
            while !kept.is_empty() {
                match limits.check(&kept) {
                    Ok(Checked::Pass(count)) => {
                        assert!((1..=kept.len()).contains(&count));
                        passed.extend(kept.drain(..count));
                    }
                    Ok(Checked::Replace(count, instead)) => {
                        assert!((1..=kept.len()).contains(&count));
                        assert!(instead.len() <= 12 * LONGEST_TEXT);
                        kept.drain(..count);
                        passed.extend(instead);
                    }
                    Ok(Checked::More) => {
                        assert!(kept.len() <= 64);
                        break;
                    }
                    Err(reason) => return (passed, Some(reason)),
                }
                assert!(limits.size <= LARGEST && u64::from(limits.left) <= LARGEST);
                if let Body::Error(_, text) = &limits.body {
                    assert!(text.len() <= LONGEST_ERROR as usize);
                }
            }
        }
        (passed, None)
    }

    /// The verdict does not depend on how the server splits the bytes. No request for a file, and
    /// no character that a terminal obeys, reaches the driver in an error.
    #[test]
    fn any_bytes_of_a_server_are_passed_or_refused() {
        check!(RESPONSES, |input: &Input| {
            for without_eof in [false, true] {
                let (whole, reason) = read(without_eof, std::iter::once(input.bytes()));
                let (pieces, other) = read(without_eof, input.pieces());
                let (bytes, third) = read(without_eof, input.bytes().chunks(1));
                assert_eq!((reason, other), (third, third));
                // The packets before a refused one may have been handed on already.
                let common = whole.len().min(pieces.len()).min(bytes.len());
                assert_eq!(whole[..common], pieces[..common]);
                assert_eq!(whole[..common], bytes[..common]);
                assert!(reason.is_some() || whole.len() == bytes.len());
            }
        });
    }
}
