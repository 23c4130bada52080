//! Limits on the server's messages after the login, checked before a driver reads them.
//!
//! A driver buffers a message until it is complete, up to 4 GiB. These limits read along, header by
//! header, and end the connection at the first one that announces too much. Errors and notices
//! become printable, and hold no secret of ours. A driver that reads past the end of a message
//! panics, so that the messages that it does not check itself are read here.

use std::sync::{Arc, OnceLock};

use backing_services_runtime::service::metered::{Checked, FrameCheck};
use backing_services_runtime::service::relay::Settled;
use backing_services_runtime::service::{printable_lines_up_to, printable_up_to, redact};

use super::login::message;

/// The longest message until the connection is settled, in bytes.
const LONGEST_AT_FIRST: u64 = 16 * 1024;

/// The total until the connection is settled, in bytes. The probe's answer has some 2000, and then
/// some 100 for each of the account's privileges, of which there are at most 2000.
const MOST_AT_FIRST: u64 = 1024 * 1024;

/// The longest error, notice or setting, in bytes: 256 KiB. A description of 65 535 parameters is
/// almost as long.
const LONGEST_TEXT: u64 = 256 * 1024;

/// The longest setting, in bytes. The longest of PostgreSQL's is a `search_path`.
const LONGEST_SETTING: u64 = 16 * 1024;

/// The settings that PostgreSQL reports (its documentation, 54.2.7). A driver keeps the last value
/// of each, so that it gets no other one.
const SETTINGS: [&str; 15] = [
    "application_name", "client_encoding", "DateStyle", "default_transaction_read_only",
    "in_hot_standby", "integer_datetimes", "IntervalStyle", "is_superuser", "scram_iterations",
    "search_path", "server_encoding", "server_version", "session_authorization",
    "standard_conforming_strings", "TimeZone",
];

/// The longest notification, in bytes. PostgreSQL's payload is shorter than 8000, and its channel
/// than 64.
const LONGEST_NOTIFICATION: u64 = 16 * 1024;

/// The most fields of an error or a notice. PostgreSQL defines 18 (its documentation, 54.8).
const MOST_FIELDS: usize = 32;

/// The messages that are collected: errors, notices and settings, the description of a statement's
/// parameters, and the beginning of a copy in either direction.
const COLLECTED: &[u8] = b"ENStGH";

/// The longest field of an error or notice that is passed on, in characters.
const LONGEST_FIELD: usize = 16 * 1024;

/// The most notices, errors and changed settings between two queries. A function may well send a
/// notice for each row that it treats; a server that sends them without end is stopped.
const MOST_NOTICES: u32 = 1000;

/// The most bytes of them between two queries: 1 MiB.
const MOST_OF_NOTICES: u64 = 1024 * 1024;

/// The length of a header: a type, and a length that counts itself.
const HEADER: usize = 5;

/// The state of a server's stream after the login.
pub(crate) struct ServerMessages {
    largest: u64,
    settled: Settled,
    /// The bytes that may still arrive until the connection is settled.
    left_at_first: u64,
    /// The bytes of the current message that have not arrived.
    left: u64,
    /// A message that is collected, with its type.
    text: Option<(u8, Vec<u8>)>,
    notices: u32,
    of_notices: u64,
    /// The bytes of those that came while a statement runs: a driver keeps them until its end.
    of_notifications: u64,
    asked: Asked,
    rows: Rows,
    refused: Refused,
}

/// Set if a check has ended the connection, whatever error the driver reports. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Refused(Arc<OnceLock<()>>);

impl Refused {
    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn get(&self) -> bool {
        self.0.get().is_some()
    }
}

impl ServerMessages {
    /// `largest` is the size limit of one message, in bytes.
    pub(crate) fn new(largest: u64, settled: Settled) -> Self {
        Self {
            largest,
            settled,
            left_at_first: MOST_AT_FIRST,
            left: 0,
            text: None,
            notices: 0,
            of_notices: 0,
            of_notifications: 0,
            asked: Asked::default(),
            rows: Rows::default(),
            refused: Refused::default(),
        }
    }

    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn refused(&self) -> Refused {
        self.refused.clone()
    }

    /// Checks a complete header against the limits. Returns true if the message is collected.
    fn begin(&mut self, kind: u8, length: u32) -> Result<bool, &'static str> {
        let length =
            u64::from(length.checked_sub(4).ok_or("the server sent a length that is none")?);
        let is_collected = COLLECTED.contains(&kind);
        match kind {
            _ if is_collected => {}
            b'Z' if length != 1 => return Err("the server sent a status that is none"),
            // A count, at least.
            b'D' | b'T' if length < 2 => return Err(MISCOUNTED),
            // A process, and two texts.
            b'A' if length < 6 => return Err("the server sent a notification that is none"),
            // The other messages of a session (PostgreSQL documentation, 54.7), but for an
            // authentication, a key, and the beginning of a replication.
            b'1' | b'2' | b'3' | b'A' | b'C' | b'D' | b'I' | b'T' | b'V' | b'Z' | b'c' | b'd'
            | b'n' | b's' => {}
            _ => return Err("the server sent a message that has no place in a session"),
        }
        if !self.settled.get() {
            if length > LONGEST_AT_FIRST || length + HEADER as u64 > self.left_at_first {
                return Err("the server promised more than it may say at first");
            }
            self.left_at_first -= length + HEADER as u64;
        } else if length > self.largest {
            return Err("the server promised a message that is larger than `max_message` allows");
        }
        let longest = match kind {
            b'S' => LONGEST_SETTING,
            b'A' => LONGEST_NOTIFICATION,
            _ if is_collected => LONGEST_TEXT,
            _ => u64::MAX,
        };
        if length > longest {
            return Err("the server promised an error, setting or notification that is too long");
        }
        self.count(kind, length)?;
        self.rows.begin(kind);
        self.left = length;
        Ok(is_collected)
    }

    /// Counts what may come only so often between two queries.
    fn count(&mut self, kind: u8, length: u64) -> Result<(), &'static str> {
        match kind {
            b'N' | b'S' | b'E' => {
                self.notices += 1;
                self.of_notices += length;
                if self.notices > MOST_NOTICES || self.of_notices > MOST_OF_NOTICES {
                    return Err("the server sends notices or settings without end");
                }
            }
            // An idle listener gets them for months.
            b'A' if self.asked.count > 0 => {
                self.of_notifications += length;
                if self.of_notifications > self.largest {
                    return Err("the server sends notifications without end");
                }
            }
            b'Z' => {
                let count = self.asked.count.checked_sub(1);
                self.asked.count = count.ok_or("the server answered what it was not asked")?;
                (self.notices, self.of_notices, self.of_notifications) = (0, 0, 0);
            }
            b'G' => self.asked.begin_copy(),
            _ => {}
        }
        if matches!(kind, b'C' | b'E' | b'Z') {
            self.asked.is_copying = false;
        }
        Ok(())
    }

    /// Collects a message, which the driver gets as a whole.
    fn collect(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left -= here as u64;
        if let Some((_, text)) = &mut self.text {
            text.extend_from_slice(&bytes[..here]);
        }
        if self.left > 0 {
            return Ok(Checked::Replace(here, Vec::new()));
        }
        let (kind, text) = self.text.take().unwrap_or_default();
        let passed = match kind {
            b'E' | b'N' => printed(&text).ok_or("the server sent an error that is none")?,
            b'S' if check_setting(&text)? => text,
            b'S' => return Ok(Checked::Replace(here, Vec::new())),
            // A number of types, of four bytes each.
            b't' => is_list(&text, 4).then_some(text).ok_or(MISCOUNTED)?,
            // A format of one byte, and a number of formats, of two bytes each.
            _ => {
                let is_list = text.split_first().is_some_and(|(_, formats)| is_list(formats, 2));
                is_list.then_some(text).ok_or(MISCOUNTED)?
            }
        };
        Ok(Checked::Replace(here, message(kind, &passed)))
    }
}

impl FrameCheck for ServerMessages {
    fn check(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
        self.read(bytes).inspect_err(|_| {
            let _ = self.refused.0.set(());
        })
    }

    fn written(&mut self, bytes: &[u8]) {
        self.asked.follow(bytes);
    }
}

impl ServerMessages {
    fn read(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
        if self.text.is_some() {
            return self.collect(bytes);
        }
        let mut passed = 0;
        loop {
            let rest = &bytes[passed..];
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            self.left -= here as u64;
            passed += here;
            if here > 0 && self.rows.follows {
                self.rows.follow(&rest[..here])?;
                if self.left == 0 {
                    self.rows.end()?;
                }
            }
            let Some(&[kind, ref length @ ..]) = bytes[passed..].first_chunk::<HEADER>() else {
                // The header is incomplete, or there is none.
                return Ok(if passed > 0 { Checked::Pass(passed) } else { Checked::More });
            };
            if COLLECTED.contains(&kind) && passed > 0 {
                return Ok(Checked::Pass(passed));
            }
            if self.begin(kind, u32::from_be_bytes(*length))? {
                self.text = Some((kind, Vec::new()));
                // A text without a body is complete.
                return if self.left == 0 {
                    self.collect(&[]).map(|text| match text {
                        Checked::Replace(_, text) => Checked::Replace(HEADER, text),
                        other => other,
                    })
                } else {
                    Ok(Checked::Replace(HEADER, Vec::new()))
                };
            }
            passed += HEADER;
        }
    }
}

/// The reason to end a connection whose counts or lengths are not those of the message.
const MISCOUNTED: &str = "the server counts wrongly";

/// The driver's questions. The server answers each of them by one `ReadyForQuery`: a query, a
/// call of a function, and a `Sync`, which may stand alone (PostgreSQL documentation, 54.2).
#[derive(Default)]
struct Asked {
    /// The answers that the server owes.
    count: u32,
    /// The `Sync` messages since the last `Execute`.
    syncs: u32,
    /// The server reads a copy, and ignores each `Sync` until the copy ends (54.2.6).
    is_copying: bool,
    /// The bytes of the current message that have not been written.
    left: u64,
    /// An incomplete header.
    head: Head<HEADER>,
}

impl Asked {
    fn follow(&mut self, mut bytes: &[u8]) {
        loop {
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= here as u64;
            bytes = &bytes[here..];
            let Some([kind, length @ ..]) = self.head.take(&mut bytes) else { return };
            self.left = u64::from(u32::from_be_bytes(length)).saturating_sub(4);
            match kind {
                b'Q' | b'F' => (self.count, self.syncs) = (self.count.saturating_add(1), 0),
                b'E' => self.syncs = 0,
                b'S' if !self.is_copying => {
                    self.count = self.count.saturating_add(1);
                    self.syncs = self.syncs.saturating_add(1);
                }
                b'c' | b'f' => self.is_copying = false,
                _ => {}
            }
        }
    }

    /// The server begins to read a copy. A `Sync` that follows the `Execute` is a part of it.
    fn begin_copy(&mut self) {
        self.count = self.count.saturating_sub(self.syncs);
        (self.syncs, self.is_copying) = (0, true);
    }
}

/// The beginning of a few bytes that belong together.
struct Head<const N: usize> {
    bytes: [u8; N],
    filled: usize,
}

impl<const N: usize> Default for Head<N> {
    fn default() -> Self {
        Self { bytes: [0; N], filled: 0 }
    }
}

impl<const N: usize> Head<N> {
    /// Takes as many of the bytes as are missing. `None` if there are fewer.
    fn take(&mut self, bytes: &mut &[u8]) -> Option<[u8; N]> {
        if self.filled == 0
            && let Some((head, rest)) = bytes.split_first_chunk()
        {
            *bytes = rest;
            return Some(*head);
        }
        let missing = &mut self.bytes[self.filled..];
        let here = missing.len().min(bytes.len());
        missing[..here].copy_from_slice(&bytes[..here]);
        *bytes = &bytes[here..];
        self.filled += here;
        if self.filled < N {
            return None;
        }
        self.filled = 0;
        Some(self.bytes)
    }
}

/// The counts and the lengths in rows. sqlx reads a row without comparing them with its length, or
/// with the description of its columns.
///
/// A description holds for the rows that follow it at once. The driver describes a statement that
/// it keeps only once, so that other rows have as many values as any description on the connection.
#[derive(Default)]
struct Rows {
    /// The number of columns of the description before this row, if that is of the same statement.
    described: Option<u16>,
    /// True in a row and in a description.
    follows: bool,
    is_row: bool,
    /// The values that are still to come, once their number is read.
    values: Option<u16>,
    /// The bytes of the current value that have not arrived.
    value: usize,
    count: Head<2>,
    length: Head<4>,
}

impl Rows {
    /// Begins a message of any type.
    fn begin(&mut self, kind: u8) {
        match kind {
            b'D' | b'T' => (self.follows, self.is_row, self.values) = (true, kind == b'D', None),
            // The end of a statement, and the beginning of one that was described before.
            b'2' | b'C' | b'E' | b'I' | b'Z' | b's' => self.described = None,
            _ => {}
        }
    }

    /// Reads a part of the message's body.
    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        let mut left = match self.values {
            Some(left) => left,
            None => {
                let Some(count) = self.count.take(&mut bytes) else { return Ok(()) };
                self.counted(u16::from_be_bytes(count))?
            }
        };
        while self.is_row {
            let here = self.value.min(bytes.len());
            bytes = &bytes[here..];
            self.value -= here;
            if bytes.is_empty() {
                break;
            }
            if left == 0 {
                return Err(MISCOUNTED);
            }
            let Some(length) = self.length.take(&mut bytes) else { break };
            left -= 1;
            self.value = match i32::from_be_bytes(length) {
                // Null.
                -1 => 0,
                length => usize::try_from(length).map_err(|_| MISCOUNTED)?,
            };
        }
        self.values = Some(left);
        Ok(())
    }

    /// The number of a row's values, or of the columns of a description.
    fn counted(&mut self, count: u16) -> Result<u16, &'static str> {
        if !self.is_row {
            self.described = Some(count);
            return Ok(count);
        }
        // A statement that was prepared may have been described on another connection.
        let is_described = self.described.is_none_or(|described| described == count);
        if is_described { Ok(count) } else { Err(MISCOUNTED) }
    }

    /// Ends the message.
    fn end(&mut self) -> Result<(), &'static str> {
        self.follows = false;
        let is_whole = !self.is_row || self.values == Some(0) && self.value == 0;
        if is_whole { Ok(()) } else { Err(MISCOUNTED) }
    }
}

/// Checks a `ParameterStatus`: a secret of ours, or a version that a driver cannot compute with.
/// Returns true if the driver may keep it.
pub(super) fn check_setting(body: &[u8]) -> Result<bool, &'static str> {
    if redact::is_in(body) {
        return Err("the server said a secret of ours back");
    }
    let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
    if !SETTINGS.iter().any(|setting| setting.as_bytes().eq_ignore_ascii_case(name)) {
        return Ok(false);
    }
    let Some(version) = body.strip_prefix(b"server_version\0") else { return Ok(true) };
    let numbers = version.split(|byte| !byte.is_ascii_digit() && *byte != b'.').next();
    let numbers = numbers.unwrap_or_default().split(|byte| *byte == b'.');
    // A third one may be a date.
    let is_short = numbers.zip([4, 4, 9]).all(|(digits, most)| digits.len() <= most);
    if is_short { Ok(true) } else { Err("the server sent a version that is none") }
}

/// True if it is a number, and then so many values of this size.
fn is_list(body: &[u8], size: usize) -> bool {
    let Some((count, values)) = body.split_first_chunk() else { return false };
    values.len() == usize::from(u16::from_be_bytes(*count)) * size
}

/// The fields of an error or a notice, made printable: each a type and a text that ends with a NUL,
/// then a NUL. `None` if it is not one.
fn printed(body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = body.strip_suffix(b"\0")?;
    let (mut printed, mut count) = (Vec::new(), 0);
    while let Some((kind, rest)) = fields.split_first().filter(|(kind, _)| **kind != 0) {
        let end = rest.iter().position(|byte| *byte == 0)?;
        count += 1;
        if count > MOST_FIELDS {
            return None;
        }
        printed.push(*kind);
        printed.extend_from_slice(field(*kind, &rest[..end]).as_bytes());
        printed.push(0);
        fields = &rest[end + 1..];
    }
    printed.push(0);
    fields.is_empty().then_some(printed)
}

/// One field. A program compares names, so that they stay as they are if they can; a person reads
/// the message, the detail, the hint and the context, which may have several lines.
fn field(kind: u8, text: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(text);
    match kind {
        b's' | b't' | b'c' | b'd' | b'n'
            if text.len() <= LONGEST_FIELD
                && !lossy.contains(char::is_control)
                && !redact::is_in(text) =>
        {
            lossy.into_owned()
        }
        b'M' | b'D' | b'H' | b'W' => printable_lines_up_to(&lossy, LONGEST_FIELD),
        _ => printable_up_to(&lossy, LONGEST_FIELD),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use backing_services_runtime::service::metered::{AT_ONCE, Metered};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// The size limit of a message, in bytes.
    const LARGEST: u64 = 100_000;

    const SECRET: &str = "poppy-seed-53";

    type Verdict = Result<(), &'static str>;

    fn messages(is_settled: bool) -> ServerMessages {
        let settled = Settled::new();
        if is_settled {
            settled.set();
        }
        asked(ServerMessages::new(LARGEST, settled))
    }

    /// The driver has asked more than the server answers here, and the rows of these tests were
    /// described.
    pub(super) fn asked(mut messages: ServerMessages) -> ServerMessages {
        messages.written(&message(b'Q', b"\0").repeat(1000));
        for count in [0, 1] {
            messages.rows.begin(b'T');
            messages.rows.counted(count).unwrap();
            messages.rows.end().unwrap();
        }
        messages.rows.described = None;
        messages
    }

    /// A row of one value.
    fn row(length: usize) -> Vec<u8> {
        let value = vec![b'x'; length];
        let length = u32::try_from(length).unwrap().to_be_bytes();
        message(b'D', &[b"\0\x01", &length[..], &value].concat())
    }

    /// The bytes that the driver gets, and the verdict.
    pub(super) fn passed<'a>(
        mut messages: ServerMessages,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> (Vec<u8>, Verdict) {
        let (mut kept, mut output) = (Vec::new(), Vec::new());
        for piece in pieces {
            kept.extend_from_slice(piece);
            while !kept.is_empty() {
                match messages.check(&kept) {
                    Ok(Checked::Pass(count)) if (1..=kept.len()).contains(&count) => {
                        output.extend(kept.drain(..count));
                    }
                    Ok(Checked::Replace(count, instead)) if (1..=kept.len()).contains(&count) => {
                        kept.drain(..count);
                        output.extend(instead);
                    }
                    Ok(Checked::More) if kept.len() < HEADER => break,
                    Ok(other) => panic!("{other:?} of {} bytes", kept.len()),
                    Err(reason) => {
                        assert!(messages.refused.get());
                        return (output, Err(reason));
                    }
                }
            }
        }
        assert!(!messages.refused.get());
        (output, Ok(()))
    }

    /// Asserts that two ways to split the same bytes have the same result.
    pub(super) fn assert_same((output, verdict): &(Vec<u8>, Verdict), other: &(Vec<u8>, Verdict)) {
        assert_eq!(*verdict, other.1);
        match verdict {
            Ok(()) => assert_eq!(*output, other.0),
            // The messages before the refused one may have arrived with it.
            Err(_) => assert!(output.starts_with(&other.0) || other.0.starts_with(output)),
        }
    }

    /// The output for the bytes as a whole. Asserts the same one if they are cut at any position.
    fn output(is_settled: bool, bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
        let whole = passed(messages(is_settled), [bytes].into_iter());
        for cut in 0..bytes.len() {
            let pieces = [&bytes[..cut], &bytes[cut..]];
            assert_same(&whole, &passed(messages(is_settled), pieces.into_iter()));
        }
        assert_same(&whole, &passed(messages(is_settled), bytes.chunks(1)));
        whole.1.map(|()| whole.0)
    }

    fn header(kind: u8, length: u32) -> Vec<u8> {
        [&[kind][..], &length.to_be_bytes()].concat()
    }

    #[test]
    fn a_server_that_never_stops_sending_does_not_hold_the_thread() {
        // Each message has the type `1` and some 800 MB.
        let flood = tokio::io::repeat(b'1').take(4 * AT_ONCE as u64);
        let settled = Settled::new();
        settled.set();
        let mut stream = Metered::new(flood, ServerMessages::new(u64::MAX, settled));
        let (mut read, mut context) = (Vec::new(), Context::from_waker(Waker::noop()));
        let copied = pin!(tokio::io::copy(&mut stream, &mut read)).poll(&mut context);
        assert!(copied.is_pending());
        assert_eq!(read.len(), AT_ONCE);
    }

    #[test]
    fn a_session_passes_as_it_is() {
        let mut session: Vec<u8> =
            b"123CITVcdns".iter().flat_map(|kind| message(*kind, b"\0\x01a")).collect();
        session.extend(row(3));
        session.extend(message(b'A', b"\0\0\0\x01jobs\0one\0"));
        session.extend(message(b't', b"\0\x02\0\0\0\x19\0\0\0\x17"));
        session.extend(message(b'G', b"\0\0\x01\0\0"));
        session.extend(message(b'H', b"\x01\0\0"));
        session.extend(message(b'S', b"server_version\x0014.5.20220921 (Debian 99999999)\0"));
        session.extend(message(b'I', b""));
        session.extend(message(b'N', b"SNOTICE\0C00000\0Mone\0\0"));
        session.extend(message(b'S', b"TimeZone\0Europe/Brussels\0"));
        session.extend(message(b'E', "SERROR\0C23505\0Mclé dupliquée\0Dtwo\0\0".as_bytes()));
        session.extend(message(b'Z', b"I"));
        for is_settled in [false, true] {
            assert_eq!(output(is_settled, &session).unwrap(), session);
        }
        let rows = [row(50_000), message(b'Z', b"I")].concat().repeat(100);
        let later = passed(messages(true), rows.chunks(16 * 1024));
        assert_eq!(later.1, Ok(()));
        assert!(later.0 == rows);
    }

    /// An authentication, a key, the beginning of a replication, a negotiation, a call of a
    /// function, and what only a client sends.
    #[test]
    fn a_message_that_has_no_place_in_a_session_ends_it() {
        for kind in *b"RKWvVFpQXPBd\0!\xff" {
            let is_known = matches!(kind, b'V' | b'd');
            let sent = [message(b'Z', b"I"), message(kind, b"\0\0\0\0")].concat();
            for is_settled in [false, true] {
                assert_eq!(output(is_settled, &sent).is_ok(), is_known, "{}", kind as char);
            }
        }
    }

    #[test]
    fn a_header_that_announces_too_much_ends_it() {
        for kind in *b"DNESC" {
            for length in [0_u32, 3, 100_005, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
                for is_settled in [false, true] {
                    let sent = header(kind, length);
                    assert!(output(is_settled, &sent).is_err(), "{} {length}", kind as char);
                }
            }
        }
        assert!(output(false, &header(b'D', 16 * 1024 + 4)).is_ok());
        assert!(output(false, &header(b'D', 16 * 1024 + 5)).is_err());
        assert!(output(true, &header(b'D', 100_004)).is_ok());
        for kind in *b"ENtGH" {
            let settled = Settled::new();
            settled.set();
            let roomy = || ServerMessages::new(u64::MAX, settled.clone());
            for (length, is_accepted) in [(256 * 1024 + 4, true), (256 * 1024 + 5, false)] {
                let sent = header(kind, length);
                assert_eq!(passed(roomy(), [&sent[..]].into_iter()).1.is_ok(), is_accepted);
            }
        }
    }

    #[test]
    fn the_total_is_bounded_until_it_is_settled() {
        let rows = row(1013);
        let mut messages = messages(false);
        let sent = (0..).take_while(|_| messages.check(&rows).is_ok()).count();
        assert_eq!(sent, 1024);
        // As soon as it is settled, there is no total.
        let settled = Settled::new();
        let mut messages = asked(ServerMessages::new(LARGEST, settled.clone()));
        assert!((0..1000).all(|_| messages.check(&rows).is_ok()));
        settled.set();
        assert!((0..10_000).all(|_| messages.check(&rows).is_ok()));
    }

    #[test]
    fn notices_and_settings_between_two_queries_are_bounded() {
        let notice =
            |length: usize| message(b'N', &[&b"M"[..], &vec![b'x'; length - 3], b"\0\0"].concat());
        for (length, most) in [(10, 1000), (16 * 1024, 64), (99_000, 10)] {
            // An error counts as a notice does.
            let (notice, error) = (notice(length), [b"E", &notice(length)[1..]].concat());
            let errors = error.repeat(most + 1);
            assert!(passed(messages(true), errors.chunks(1024)).1.is_err());
            let flood = notice.repeat(most + 1);
            let (output, verdict) = passed(messages(true), flood.chunks(1024));
            assert_eq!(verdict, Err("the server sends notices or settings without end"));
            assert!(output.len() <= most * notice.len());
            let again = [notice.repeat(most), message(b'Z', b"I")].concat().repeat(3);
            assert_eq!(passed(messages(true), again.chunks(1024)).1, Ok(()), "{length}");
        }
        // Settings count too. Rows between them do not count, and do not help.
        let between = [notice(10), message(b'S', b"a\0b\0"), message(b'D', b"\0\0")].concat();
        assert_eq!(passed(messages(true), [&between.repeat(500)[..]].into_iter()).1, Ok(()));
        assert!(passed(messages(true), [&between.repeat(501)[..]].into_iter()).1.is_err());
    }

    #[test]
    fn a_secret_of_ours_is_replaced_in_a_text_and_ends_a_status() {
        let _guarded = redact::Guarded::new(SECRET.into());
        for said in [SECRET, "POPPY-SEED-53", "poppy%2Dseed-53", "cG9wcHktc2VlZC01Mw=="] {
            for kind in *b"EN" {
                let sent = format!("SERROR\0C28P01\0Mit was {said}, yes\0D{said}\0\0");
                let got = output(true, &message(kind, sent.as_bytes())).unwrap();
                let text = String::from_utf8(got).unwrap();
                assert!(!redact::is_in(text.as_bytes()), "{text:?}");
                assert!(text.contains("C28P01\0Mit was (the password), yes\0"), "{text:?}");
                // The length is that of the replaced text.
                assert_eq!(text.as_bytes()[1..5], (text.len() as u32 - 1).to_be_bytes());
            }
            let status = message(b'S', format!("motd\0{said}\0").as_bytes());
            for is_settled in [false, true] {
                assert_eq!(
                    output(is_settled, &status),
                    Err("the server said a secret of ours back"),
                    "{said}"
                );
            }
        }
        // Rows belong to the application.
        let secret = [b"\0\x01\0\0\0\x0d", SECRET.as_bytes()].concat();
        let row = message(b'D', &secret);
        assert_eq!(output(true, &row).unwrap(), row);
    }

    #[test]
    fn a_text_is_printable_and_its_fields_are_cut() {
        let escapes = "Sa\u{1b}[2J\r\n\u{202e}b\0M\u{9b}31m\0\0";
        let got = output(true, &message(b'N', escapes.as_bytes())).unwrap();
        let printed = "Sa\\u{1b}[2J\\r\\n\\u{202e}b\0M\\u{9b}31m\0\0";
        assert_eq!(got, message(b'N', printed.as_bytes()));
        let got = output(true, &message(b'E', b"M\xff\xfe\0\0")).unwrap();
        assert_eq!(got, message(b'E', "M\u{fffd}\u{fffd}\0\0".as_bytes()));
        let long = [&b"M"[..], &[b'x'; 50_000], b"\0C00000\0\0"].concat();
        let (got, verdict) = passed(messages(true), [&message(b'E', &long)[..]].into_iter());
        assert_eq!(verdict, Ok(()));
        assert!((16 * 1024..17 * 1024).contains(&got.len()), "{}", got.len());
        assert!(got.ends_with(b"\0C00000\0\0"));
    }

    /// sqlx reads these without looking at their length.
    #[test]
    fn a_message_that_is_shorter_than_it_says_ends_it() {
        for (kind, body) in [
            (b'Z', &b""[..]),
            (b'Z', b"II"),
            (b'A', b""),
            (b'A', b"\0\0\0\x01\0"),
            (b't', b""),
            (b't', b"\0"),
            (b't', b"\0\x02\0\0\0\x19\0\0\0"),
            (b't', b"\0\x01\0\0\0\x19\0"),
            (b't', b"\xff\xff\0\0\0\x19"),
            (b'G', b""),
            (b'G', b"\0\0"),
            (b'G', b"\0\0\x01\0"),
            (b'H', b"\0\0\x01\0\0\0"),
            (b'H', b"\0\xff\xff\0\0"),
            (b'D', b""),
            (b'D', b"\0"),
            (b'D', b"\0\x01"),
            (b'D', b"\0\x01\0\0\0"),
            (b'D', b"\0\x01\0\0\0\x02a"),
            (b'D', b"\0\x01\0\0\0\x02abc"),
            (b'D', b"\0\x01\x7f\xff\xff\xffab"),
            (b'D', b"\0\x01\xff\xff\xff\xfe"),
            (b'D', b"\0\0\0"),
            (b'T', b""),
            (b'T', b"\0"),
            (b'S', b"server_version\x004294967295.1\0"),
            (b'S', b"server_version\x0016.99999\0"),
            (b'S', b"server_version\x0016.1.4294967295\0"),
        ] {
            for is_settled in [false, true] {
                let sent = message(kind, body);
                assert!(output(is_settled, &sent).is_err(), "{}", sent.escape_ascii());
            }
        }
    }

    #[test]
    fn a_row_has_as_many_values_as_were_described() {
        let described = |count: u8| message(b'T', &[b"\0", &[count][..]].concat());
        let nulls = |count: u8| {
            let values = b"\xff\xff\xff\xff".repeat(usize::from(count));
            message(b'D', &[b"\0", &[count][..], &values].concat())
        };
        let end = || message(b'C', b"SELECT 1\0");
        for (sent, is_accepted) in [
            (vec![described(3), nulls(3), nulls(3)], true),
            (vec![described(3), nulls(2)], false),
            (vec![described(3), nulls(4)], false),
            (vec![described(3), nulls(3), end(), described(200), nulls(200)], true),
            (vec![described(3), nulls(3), end(), described(200), nulls(3)], false),
            // Statements that the driver keeps, in any order.
            (vec![described(3), message(b'Z', b"I"), message(b'2', b""), nulls(3)], true),
            (vec![described(3), described(7), message(b'2', b""), nulls(3)], true),
            // A statement that was described on another connection.
            (vec![described(3), described(7), message(b'2', b""), nulls(6)], true),
            (vec![nulls(9)], true),
        ] {
            let sent = sent.concat();
            assert_eq!(output(true, &sent).is_ok(), is_accepted, "{}", sent.escape_ascii());
        }
    }

    #[test]
    fn only_settings_that_postgresql_has_reach_the_driver() {
        for (name, is_passed) in [
            ("TimeZone", true),
            ("datestyle", true),
            ("in_hot_standby", true),
            ("a", false),
            ("TimeZone ", false),
            ("", false),
        ] {
            let setting = message(b'S', format!("{name}\0b\0").as_bytes());
            for is_settled in [false, true] {
                let got = output(is_settled, &setting).unwrap();
                assert_eq!(got, if is_passed { setting.clone() } else { Vec::new() }, "{name}");
            }
        }
        for (length, is_accepted) in [(16 * 1024 + 4, true), (16 * 1024 + 5, false)] {
            for kind in *b"SA" {
                assert_eq!(output(true, &header(kind, length)).is_ok(), is_accepted);
            }
        }
    }

    #[test]
    fn an_answer_that_was_not_asked_for_ends_it() {
        let settled = Settled::new();
        settled.set();
        let ready = message(b'Z', b"I");
        let extended = || [message(b'P', b"\0SELECT 1\0\0\0"), message(b'E', b"\0\0\0\0\0")];
        let sync = message(b'S', b"");
        for (asked, answers) in [
            (Vec::new(), 0),
            // As sqlx pings.
            (sync.clone(), 1),
            (message(b'Q', b"\0"), 1),
            ([extended().concat(), sync.clone()].concat().repeat(3), 3),
            (extended().concat(), 0),
            (message(b'd', &message(b'Q', b"\0")), 0),
        ] {
            for pieces in [1, 3, asked.len().max(1)] {
                let mut messages = ServerMessages::new(LARGEST, settled.clone());
                asked.chunks(pieces).for_each(|piece| messages.written(piece));
                for _ in 0..answers {
                    assert!(messages.check(&ready).is_ok());
                }
                assert!(messages.check(&ready).is_err(), "{}", asked.escape_ascii());
            }
        }
    }

    /// tokio-postgres sends a `Sync` before a copy, which the server ignores, and one after it.
    #[test]
    fn a_copy_is_one_question() {
        let settled = Settled::new();
        settled.set();
        let (execute, sync) = (message(b'E', b"\0\0\0\0\0"), message(b'S', b""));
        let (begun, ready) = (message(b'G', b"\0\0\0"), message(b'Z', b"I"));
        for end in *b"cf" {
            for (before, after) in
                [([&execute[..], &sync].concat(), &sync[..]), (message(b'Q', b"COPY\0"), b"")]
            {
                let mut messages = ServerMessages::new(LARGEST, settled.clone());
                messages.written(&before);
                messages.check(&begun).unwrap();
                messages.written(&message(b'd', b"1\n").repeat(3));
                messages.written(&message(end, b""));
                messages.written(after);
                messages.check(&message(b'C', b"COPY 3\0")).unwrap();
                messages.check(&ready).unwrap();
                assert!(messages.check(&ready).is_err());
            }
        }
        // The copy has failed before the driver sent all of it.
        let mut messages = ServerMessages::new(LARGEST, settled);
        messages.written(&[execute, sync.clone()].concat());
        messages.check(&begun).unwrap();
        let error = message(b'E', b"SERROR\0\0");
        assert!(messages.check(&error).is_ok());
        messages.written(&[message(b'f', b"\0"), sync].concat());
        messages.check(&ready).unwrap();
        assert!(messages.check(&ready).is_err());
    }

    #[test]
    fn notifications_are_bounded_while_a_statement_runs() {
        let settled = Settled::new();
        settled.set();
        let notification =
            message(b'A', &[&b"\0\0\0\x01jobs\0"[..], &[b'x'; 1014], b"\0"].concat());
        // Each has 1024 bytes.
        let mut messages = ServerMessages::new(MOST_OF_NOTICES, settled);
        assert!((0..10_000).all(|_| messages.check(&notification).is_ok()));
        for _ in 0..2 {
            messages.written(&message(b'S', b""));
            assert!((0..1024).all(|_| messages.check(&notification).is_ok()));
            messages.check(&message(b'Z', b"I")).unwrap();
        }
        messages.written(&message(b'S', b""));
        assert_eq!((0..10_000).take_while(|_| messages.check(&notification).is_ok()).count(), 1024);
    }

    #[test]
    fn lines_of_a_text_stay_and_so_do_names() {
        let _guarded = redact::Guarded::new(SECRET.into());
        let sent = "SE\nR\0Mone\n\ttwo\r\u{1b}\0Wline 1\nline 2\0sa\u{200c}b\0to\nrders\0\
                    cpoppy-seed-53\0\0";
        let printed = "SE\\nR\0Mone\n\ttwo\\r\\u{1b}\0Wline 1\nline 2\0sa\u{200c}b\0\
                       to\\nrders\0c(the password)\0\0";
        for kind in *b"EN" {
            let got = output(true, &message(kind, sent.as_bytes())).unwrap();
            assert_eq!(got, message(kind, printed.as_bytes()));
        }
    }

    #[test]
    fn a_text_has_few_fields() {
        for (count, is_accepted) in [(32, true), (33, false)] {
            let text = [b"Mx\0".repeat(count), b"\0".to_vec()].concat();
            assert_eq!(output(true, &message(b'E', &text)).is_ok(), is_accepted);
        }
    }

    #[test]
    fn a_text_that_is_none_ends_it() {
        for body in [&b""[..], b"M", b"Mno end", b"Mno end\0", b"Ma\0Cb\0\0c", b"Ma\0\0Cb\0\0"] {
            for kind in *b"EN" {
                let ended = output(true, &message(kind, body));
                assert_eq!(ended, Err("the server sent an error that is none"), "{body:?}");
            }
        }
        let empty = message(b'E', b"\0");
        assert_eq!(output(true, &empty).unwrap(), empty);
    }
}

#[cfg(test)]
mod fuzz {
    use std::sync::LazyLock;

    use backing_services_fuzz::{Input, check, now};
    use backing_services_runtime::service::metered::Metered;
    use tokio::io::{AsyncRead, AsyncReadExt as _};

    use super::tests::{asked, assert_same, passed};
    use super::*;

    static SESSIONS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let all = [
            message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"),
            message(b'D', b"\0\x01\0\0\0\x02ab"),
            message(b'E', b"SERROR\0C28P01\0Mno freesia-bulb-73\0\0"),
            message(b'N', b"SNOTICE\0Mfreesia%2dbulb-73\0\0"),
            message(b'N', "SNOTICE\0M\u{1b}[2J\u{202e}\r\n\0\0".as_bytes()),
            message(b'S', b"server_version\x0018.1\0"),
            message(b'S', b"motd\0freesia-bulb-73\0"),
            message(b'A', b"\0\0\0\x01jobs\0\0"),
            message(b't', b"\0\x01\0\0\0\x19"),
            message(b'G', b"\0\0\x01\0\0"),
            message(b'd', b"1\n"),
            message(b'c', b""),
            message(b'C', b"COPY 1\0"),
            message(b'I', b""),
            message(b'Z', b"I"),
            message(b'W', b"\0\0\0"),
            message(b'R', b"\0\0\0\0"),
        ];
        let mut examples: Vec<_> = (0..all.len()).map(|from| all[from..].concat()).collect();
        examples.push(message(b'D', &[b'x'; 600]));
        examples.push(message(b'D', b"\0\x01\xff\xff\xff\xff").repeat(20));
        examples.push(message(b'N', b"Mx\0\0").repeat(1000));
        examples
    });

    const LARGEST: u64 = 512;

    fn messages(input: &Input) -> ServerMessages {
        let settled = Settled::new();
        if input.choice().is_multiple_of(2) {
            settled.set();
        }
        asked(ServerMessages::new(LARGEST, settled))
    }

    /// The bytes that a driver reads from a stream, with a buffer of this size.
    fn read(messages: ServerMessages, stream: impl AsyncRead + Unpin, room: usize) -> Vec<u8> {
        let mut stream = Metered::new(stream, messages);
        let (mut output, mut buffer) = (Vec::new(), vec![0; room]);
        now(async {
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                output.extend_from_slice(&buffer[..count]);
            }
        });
        output
    }

    /// The driver gets only known messages, within their limits, and no text with a secret of ours
    /// or a control character. The last message may be incomplete.
    fn assert_sound(mut output: &[u8], is_settled: bool) {
        while let Some((&[kind, ref length @ ..], rest)) = output.split_first_chunk::<HEADER>() {
            let length = u32::from_be_bytes(*length) as usize - 4;
            assert!(b"123ACDEGHINSTVZcdnst".contains(&kind), "{kind}");
            let body = &rest[..length.min(rest.len())];
            match kind {
                b'S' => assert!(!redact::is_in(body)),
                b'Z' => assert_eq!(length, 1),
                b'A' => assert!(length >= 6),
                b't' => assert!(is_list(body, 4)),
                b'D' if body.len() == length => {
                    let (mut values, mut rest) = (0, &body[2..]);
                    while let Some((length, after)) = rest.split_first_chunk() {
                        let length = i32::from_be_bytes(*length).max(0) as usize;
                        (values, rest) = (values + 1, &after[length..]);
                    }
                    assert!(rest.is_empty());
                    assert_eq!(u16::from_be_bytes([body[0], body[1]]), values);
                }
                b'G' | b'H' => assert!(is_list(&body[1..], 2)),
                b'E' | b'N' => {
                    assert_eq!(body.len(), length, "a text is passed as a whole");
                    let fields = body.strip_suffix(b"\0").unwrap();
                    let fields = fields.strip_suffix(b"\0").unwrap_or_default();
                    for field in fields.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
                        let text = str::from_utf8(&field[1..]).unwrap();
                        assert!(!redact::is_in(text.as_bytes()), "{text}");
                        let is_kept = |c| matches!(c, '\n' | '\t') && b"MDHW".contains(&field[0]);
                        let is_odd = |c: char| c.is_control() && !is_kept(c);
                        assert!(!text.contains(is_odd), "{text}");
                    }
                }
                _ if is_settled => assert!(length as u64 <= LARGEST),
                _ => assert!(length as u64 <= LONGEST_AT_FIRST),
            }
            output = &rest[body.len()..];
        }
        assert!(output.is_empty() || output.len() < HEADER);
    }

    /// The output and the verdict do not depend on the pieces, nor on the driver's buffer.
    #[test]
    fn any_session_is_followed_or_refused() {
        check!(&SESSIONS, |input: &Input| {
            let _guarded = redact::Guarded::new("freesia-bulb-73".into());
            let whole = passed(messages(input), [input.bytes()].into_iter());
            let split = passed(messages(input), input.pieces());
            assert_same(&whole, &split);
            assert_same(&whole, &passed(messages(input), input.bytes().chunks(1)));
            assert_sound(&split.0, messages(input).settled.get());
            assert!(split.0.len() <= 8 * input.bytes().len());
            for room in [1, 7, 4096] {
                let at_once = read(messages(input), input.whole_stream(), room);
                let in_pieces = read(messages(input), input.stream(), room);
                for output in [at_once, in_pieces] {
                    assert_same(&split, &(output, split.1));
                }
            }
        });
    }
}
