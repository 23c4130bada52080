//! Limits on the server's messages after the login, checked before a driver reads them.
//!
//! A driver buffers a message until it is complete, up to 4 GiB. These limits read along, header by
//! header, and end the connection at the first one that announces too much. Errors and notices
//! become printable, and hold no secret of ours. A driver that reads past the end of a message
//! panics, so that the messages that it does not check itself are read here.

use std::sync::{Arc, OnceLock};

use backing_services_runtime::service::metered::{Checked, FrameCheck};
use backing_services_runtime::service::relay::Settled;
use backing_services_runtime::service::{printable_up_to, redact};

use super::login::message;

/// The longest message until the connection is settled, in bytes.
const LONGEST_AT_FIRST: u64 = 16 * 1024;

/// The total until the connection is settled, in bytes. The probe's answer has some 2000, and then
/// some 100 for each of the account's privileges, of which there are at most 2000.
const MOST_AT_FIRST: u64 = 1024 * 1024;

/// The longest error, notice or setting, in bytes: 256 KiB. A description of 65 535 parameters is
/// almost as long.
const LONGEST_TEXT: u64 = 256 * 1024;

/// The messages that are collected: errors, notices and settings, the description of a statement's
/// parameters, and the beginning of a copy in either direction.
const COLLECTED: &[u8] = b"ENStGH";

/// The longest field of an error or notice that is passed on, in characters.
const LONGEST_FIELD: usize = 16 * 1024;

/// The most notices and changed settings between two queries. A function may well send a notice for
/// each row that it treats; a server that sends them without end is stopped. A driver keeps every
/// setting that it gets.
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
    refused: Refused,
}

/// Set if a check has ended the connection, whatever error the driver reports. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Refused(Arc<OnceLock<()>>);

impl Refused {
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
            refused: Refused::default(),
        }
    }

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
            // A process, and two texts.
            b'A' if length < 6 => return Err("the server sent a notification that is none"),
            // What else a server sends in a session (PostgreSQL documentation, 54.7), but for an
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
        if is_collected && length > LONGEST_TEXT {
            return Err("the server promised an error that is longer than 256 KiB");
        }
        if matches!(kind, b'N' | b'S') {
            self.notices += 1;
            self.of_notices += length;
            if self.notices > MOST_NOTICES || self.of_notices > MOST_OF_NOTICES {
                return Err("the server sends notices or settings without end");
            }
        } else if kind == b'Z' {
            (self.notices, self.of_notices) = (0, 0);
        }
        self.left = length;
        Ok(is_collected)
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
            b'S' => check_setting(&text).map(|()| text)?,
            // A number of types, of four bytes each.
            b't' => is_list(&text, 4).then_some(text).ok_or("the server counts wrongly")?,
            // A format of one byte, and a number of formats, of two bytes each.
            _ => {
                let is_list = text.split_first().is_some_and(|(_, formats)| is_list(formats, 2));
                is_list.then_some(text).ok_or("the server counts wrongly")?
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

/// Checks a `ParameterStatus`: a secret of ours, or a version that a driver cannot compute with.
pub(super) fn check_setting(body: &[u8]) -> Result<(), &'static str> {
    if redact::is_in(body) {
        return Err("the server said a secret of ours back");
    }
    let Some(version) = body.strip_prefix(b"server_version\0") else { return Ok(()) };
    let numbers = version.split(|byte| !byte.is_ascii_digit() && *byte != b'.').next();
    let numbers = numbers.unwrap_or_default().split(|byte| *byte == b'.');
    // A third one may be a date.
    let is_short = numbers.zip([4, 4, 9]).all(|(digits, most)| digits.len() <= most);
    if is_short { Ok(()) } else { Err("the server sent a version that is none") }
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
    let mut printed = Vec::new();
    while let Some((kind, rest)) = fields.split_first().filter(|(kind, _)| **kind != 0) {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let text = String::from_utf8_lossy(&rest[..end]);
        printed.push(*kind);
        printed.extend_from_slice(printable_up_to(&text, LONGEST_FIELD).as_bytes());
        printed.push(0);
        fields = &rest[end + 1..];
    }
    printed.push(0);
    fields.is_empty().then_some(printed)
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
        ServerMessages::new(LARGEST, settled)
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
            b"123CDITVcdns".iter().flat_map(|kind| message(*kind, b"\0\x01a")).collect();
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
        let rows = [message(b'D', &[0; 50_000]), message(b'Z', b"I")].concat().repeat(100);
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
        for kind in *COLLECTED.first_chunk::<6>().unwrap() {
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
        let rows = message(b'D', &[b'x'; 1019]);
        let mut messages = messages(false);
        let sent = (0..).take_while(|_| messages.check(&rows).is_ok()).count();
        assert_eq!(sent, 1024);
        // As soon as it is settled, there is no total.
        let settled = Settled::new();
        let mut messages = ServerMessages::new(LARGEST, settled.clone());
        assert!((0..1000).all(|_| messages.check(&rows).is_ok()));
        settled.set();
        assert!((0..10_000).all(|_| messages.check(&rows).is_ok()));
    }

    #[test]
    fn notices_and_settings_between_two_queries_are_bounded() {
        let notice =
            |length: usize| message(b'N', &[&b"M"[..], &vec![b'x'; length - 3], b"\0\0"].concat());
        for (length, most) in [(10, 1000), (16 * 1024, 64), (99_000, 10)] {
            let notice = notice(length);
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
        let row = message(b'D', SECRET.as_bytes());
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

    use super::tests::{assert_same, passed};
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
        examples.push(message(b'N', b"Mx\0\0").repeat(1000));
        examples
    });

    const LARGEST: u64 = 512;

    fn messages(input: &Input) -> ServerMessages {
        let settled = Settled::new();
        if input.choice().is_multiple_of(2) {
            settled.set();
        }
        ServerMessages::new(LARGEST, settled)
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
                b'G' | b'H' => assert!(is_list(&body[1..], 2)),
                b'E' | b'N' => {
                    assert_eq!(body.len(), length, "a text is passed as a whole");
                    let fields = body.strip_suffix(b"\0").unwrap();
                    for field in fields.split_inclusive(|byte| *byte == 0) {
                        let text = str::from_utf8(&field[1..field.len() - 1]).unwrap();
                        assert!(!redact::is_in(text.as_bytes()), "{text}");
                        assert!(!text.contains(char::is_control), "{text}");
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
