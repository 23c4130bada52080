//! Limits on the server's messages, checked before the driver reads them.
//!
//! The driver buffers a whole reply, however long the server says that it will be. These limits
//! parse the headers on the way to the driver. They end the connection at the first header that
//! promises too much, and at an error that contains one of our secrets, because the driver passes
//! errors on as they are. Protocol: RESP3,
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use backing_services_runtime::service::metered::{Checked, FrameCheck};
use backing_services_runtime::service::redact;

/// The longest line, in bytes: headers, numbers, simple strings and errors. Redis's own inline
/// limit is 64 KiB.
const LONGEST_LINE: usize = 64 * 1024;

/// The deepest nesting of a reply. `COMMAND` has 8 levels.
const DEEPEST: usize = 32;

/// The limit of elements in a reply, over all levels. A million take some 100 MB as values.
const MOST_ELEMENTS: u64 = 1024 * 1024;

/// The parser's position in the protocol. It stores no bytes of the stream, except those of an
/// error.
pub(super) struct ReplyLimits {
    largest: u64,
    /// Bytes and elements of the reply so far.
    received: u64,
    elements: u64,
    /// The number of outstanding elements, for each open aggregate.
    open: Vec<u64>,
    state: State,
    /// The received bytes of an error, simple or bulk.
    error: Option<Vec<u8>>,
}

enum State {
    /// The next byte is an element's type.
    Type,
    /// In a line of this type, with its number so far, if it is one, and its length. `ending` is
    /// true after a carriage return.
    Line { kind: u8, number: Option<u64>, negative: bool, length: usize, ending: bool },
    /// In a bulk string, with the number of outstanding bytes, including its line end.
    Text { left: u64 },
}

impl ReplyLimits {
    /// `largest` is the limit of one reply, in bytes.
    pub(super) const fn new(largest: u64) -> Self {
        Self {
            largest,
            received: 0,
            elements: 0,
            open: Vec::new(),
            state: State::Type,
            error: None,
        }
    }
}

impl FrameCheck for ReplyLimits {
    fn check(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
        self.read(bytes).map(|()| Checked::Pass(bytes.len()))
    }
}

impl ReplyLimits {
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if !matches!(self.state, State::Text { .. }) {
                self.received += 1;
                if self.received > self.largest {
                    return Err("the server sent a reply that is larger than `max_reply` allows");
                }
            }
            match &mut self.state {
                State::Text { left } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= here as u64;
                    let is_whole = *left == 0;
                    self.received += here as u64;
                    if let Some(error) = &mut self.error {
                        error.extend_from_slice(&bytes[..here]);
                    }
                    bytes = &bytes[here..];
                    if is_whole {
                        self.finish_error()?;
                        self.finish_element();
                    }
                    continue;
                }
                State::Type => {
                    self.elements += 1;
                    self.error = (byte == b'-').then(Vec::new);
                    self.state = State::Line {
                        kind: byte,
                        number: Some(0),
                        negative: false,
                        length: 0,
                        ending: false,
                    };
                }
                State::Line { kind, number, negative, length, ending } => {
                    *length += 1;
                    // The driver ends a line at both bytes, and keeps one of them alone as text.
                    if (byte == b'\n') != std::mem::replace(ending, byte == b'\r') {
                        return Err("the server sent half of a line's end");
                    }
                    if *length > LONGEST_LINE {
                        return Err("the server sent a line without end");
                    }
                    if let Some(error) = &mut self.error {
                        error.push(byte);
                    }
                    match byte {
                        b'\n' => {
                            let (kind, number, negative) = (*kind, *number, *negative);
                            self.line(kind, number, negative)?;
                        }
                        b'\r' => {}
                        b'-' if *length == 1 => *negative = true,
                        b'0'..=b'9' => {
                            *number = number.and_then(|number| {
                                number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
                            })
                        }
                        // Not a number: this matters only if the type requires one.
                        _ => *number = None,
                    }
                }
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Handles the end of a line, and checks the length that it promises.
    fn line(&mut self, kind: u8, number: Option<u64>, negative: bool) -> Result<(), &'static str> {
        let promised = || number.ok_or("the server sent a header without a length");
        match kind {
            // RESP2 has these two for an absent value. The driver reads every other negative length
            // as one without end, or as 0.
            b'$' | b'*' if negative && number == Some(1) => self.finish_element(),
            b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' if negative => {
                return Err("the server sent a negative length");
            }
            b'$' | b'!' | b'=' => {
                let length = promised()?;
                if length > self.largest.saturating_sub(self.received) {
                    return Err(
                        "the server promised a reply that is larger than `max_reply` allows",
                    );
                }
                if kind == b'!' {
                    if length > LONGEST_LINE as u64 {
                        return Err("the server promised an error that is longer than 64 KiB");
                    }
                    self.error = Some(Vec::new());
                }
                self.state = State::Text { left: length + 2 };
            }
            b'*' | b'~' | b'>' => self.aggregate(promised()?)?,
            // Keys and values. Those of an attribute come before the element that they describe.
            b'%' => self.aggregate(promised()?.saturating_mul(2))?,
            b'|' => self.aggregate(promised()?.saturating_mul(2).saturating_add(1))?,
            _ => {
                self.finish_error()?;
                self.finish_element();
            }
        }
        Ok(())
    }

    /// Checks a complete element that is an error.
    fn finish_error(&mut self) -> Result<(), &'static str> {
        match self.error.take() {
            Some(error) if redact::is_in(&error) => Err("the server said a secret of ours back"),
            _ => Ok(()),
        }
    }

    fn aggregate(&mut self, elements: u64) -> Result<(), &'static str> {
        if elements > MOST_ELEMENTS.saturating_sub(self.elements) {
            return Err("the server promised more elements than a reply may have");
        }
        if elements == 0 {
            self.finish_element();
            return Ok(());
        }
        if self.open.len() == DEEPEST {
            return Err("the server sent a reply that nests too deep");
        }
        self.open.push(elements);
        self.state = State::Type;
        Ok(())
    }

    /// Ends a complete element, and each aggregate that is complete with it.
    fn finish_element(&mut self) {
        self.state = State::Type;
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
        self.received = 0;
        self.elements = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use backing_services_runtime::service::metered::{AT_ONCE, Metered};
    use tokio::io::{AsyncRead as _, ReadBuf};

    use super::*;

    fn reader() -> ReplyLimits {
        ReplyLimits::new(1000)
    }

    /// The verdict on the bytes. It must be the same for the whole and for every split into two.
    fn verdict(bytes: &[u8]) -> Result<bool, &'static str> {
        let whole = |bytes: &[&[u8]]| {
            let mut reader = reader();
            bytes
                .iter()
                .try_for_each(|bytes| reader.read(bytes))
                .map(|()| matches!(reader.state, State::Type) && reader.open.is_empty())
        };
        let verdict = whole(&[bytes]);
        for cut in 0..bytes.len() {
            assert_eq!(whole(&[&bytes[..cut], &bytes[cut..]]), verdict, "cut at {cut}");
        }
        verdict
    }

    /// Sends empty replies without end.
    struct Flood(usize);

    impl tokio::io::AsyncRead for Flood {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            let at = &mut self.get_mut().0;
            while buffer.remaining() > 0 {
                buffer.put_slice(&b"+\r\n"[*at % 3..][..1]);
                *at += 1;
            }
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_server_that_never_stops_sending_does_not_hold_the_thread() {
        let mut stream = Metered::new(Flood(0), reader());
        let mut read = || {
            let mut context = Context::from_waker(Waker::noop());
            Pin::new(&mut stream).poll_read(&mut context, &mut ReadBuf::new(&mut [0; 4096]))
        };
        let mut reads = 0;
        while reads < 1000 && read().is_ready() {
            reads += 1;
        }
        assert_eq!(reads, AT_ONCE / 4096);
    }

    #[test]
    fn follows_replies() {
        for reply in [
            "+OK\r\n",
            "-ERR no\r\n",
            ":-1\r\n",
            "_\r\n",
            "#t\r\n",
            ",1.5\r\n",
            "(123456789012345678901234567890\r\n",
            "$5\r\nhello\r\n",
            "$0\r\n\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "*0\r\n",
            "*2\r\n$3\r\nGET\r\n:1\r\n",
            "%1\r\n+a\r\n*2\r\n:1\r\n:2\r\n",
            "~1\r\n+a\r\n",
            ">2\r\n+message\r\n+a\r\n",
            "=7\r\ntxt:abc\r\n",
            "!3\r\nERR\r\n",
            "|1\r\n+ttl\r\n:1\r\n+value\r\n",
            "+OK\r\n+OK\r\n",
        ] {
            assert_eq!(verdict(reply.as_bytes()), Ok(true), "{reply:?}");
        }
        assert_eq!(verdict(b"*2\r\n:1\r\n"), Ok(false));
    }

    #[test]
    fn refuses_an_error_that_contains_a_secret() {
        let _guarded = redact::Guarded::new("paperclip-047".into());
        for hostile in [
            "-ERR paperclip-047\r\n",
            "-ERR paperclip%2d047\r\n",
            "*1\r\n!17\r\nERR paperclip-047\r\n",
        ] {
            assert!(verdict(hostile.as_bytes()).is_err(), "{hostile:?}");
        }
        // A value belongs to the application, and an error without the whole secret passes.
        for reply in [
            "$13\r\npaperclip-047\r\n", "+paperclip-047\r\n", "-ERR paperclip\r\n", "!3\r\nERR\r\n",
        ] {
            assert_eq!(verdict(reply.as_bytes()), Ok(true), "{reply:?}");
        }
    }

    /// The driver ends a line at `\r\n` alone. Else an error could hide what it repeats from us.
    #[test]
    fn refuses_a_line_that_the_driver_ends_elsewhere() {
        let _guarded = redact::Guarded::new("paperclip-048".into());
        for hostile in [
            "-ERR\n+paperclip-048\r\n", "-ERR\r+paperclip-048\r\n", "+OK\n", "+O\rK\r\n",
            "*1\n:1\r\n", "+\r\r\n",
        ] {
            assert!(verdict(hostile.as_bytes()).is_err(), "{hostile:?}");
        }
    }

    /// The driver reads the length as a number without a sign, and then collects without a limit.
    #[test]
    fn refuses_a_negative_length_that_is_not_resp2s_absent_value() {
        for hostile in [
            "!-1\r\n", "=-1\r\n", "%-1\r\n", "|-1\r\n", "~-1\r\n", ">-1\r\n", "$-0\r\n\r\n",
            "*-0\r\n", "$-2\r\n", "*-11\r\n", "$-\r\n", "$-1x\r\n", "$1-\r\n",
        ] {
            assert!(verdict(hostile.as_bytes()).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn a_reply_may_reach_each_limit_and_not_exceed_it() {
        let text = |length: usize| format!("${length}\r\n{}\r\n", "x".repeat(length));
        let line = |length: usize| format!("+{}\r\n", "x".repeat(length - 3));
        for (reply, expected) in [
            (line(1000), Ok(true)),
            (line(1001), Err("the server sent a reply that is larger than `max_reply` allows")),
            (format!("*2\r\n{}{}", line(500), line(496)), Ok(true)),
            (
                format!("*2\r\n{}{}", line(500), line(497)),
                Err("the server sent a reply that is larger than `max_reply` allows"),
            ),
            (text(994), Ok(true)),
            (text(995), Err("the server promised a reply that is larger than `max_reply` allows")),
            (format!("*2\r\n{}{}", text(490), text(492)), Ok(true)),
            (
                format!("*2\r\n{}{}", text(490), text(493)),
                Err("the server promised a reply that is larger than `max_reply` allows"),
            ),
            ("*1048575\r\n".to_owned(), Ok(false)),
            (
                "*1048576\r\n".to_owned(),
                Err("the server promised more elements than a reply may have"),
            ),
            (format!("{}:1\r\n", "*1\r\n".repeat(DEEPEST)), Ok(true)),
        ] {
            assert_eq!(verdict(reply.as_bytes()), expected, "{reply}");
        }
        let mut reader = ReplyLimits::new(u64::MAX);
        reader.read(line(64 * 1024 + 1).as_bytes()).unwrap();
        assert!(reader.read(line(64 * 1024 + 2).as_bytes()).is_err());
        let of = |header: String| ReplyLimits::new(u64::MAX).read(header.as_bytes());
        assert!(of("!65536\r\n".to_owned()).is_ok());
        assert!(of("!65537\r\n".to_owned()).is_err());
    }

    #[test]
    fn refuses_a_reply_that_promises_too_much() {
        for hostile in [
            "$99999999999\r\n", "$999999999999999999999999\r\n", "*99999999\r\n", "%99999999\r\n",
            "|18446744073709551615\r\n", "$x\r\n", "*\u{fe}\r\n", "$1001\r\n",
        ] {
            assert!(verdict(hostile.as_bytes()).is_err(), "{hostile:?}");
        }
        assert!(verdict("*1\r\n".repeat(DEEPEST + 1).as_bytes()).is_err());
        let mut reader = ReplyLimits::new(u64::MAX);
        assert!(reader.read(&vec![b'+'; LONGEST_LINE + 2]).is_err());
        // Each reply is counted from zero.
        let mut reader = self::reader();
        for _ in 0..100 {
            reader.read(format!("$100\r\n{}\r\n", "x".repeat(100)).as_bytes()).unwrap();
        }
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::check;

    use super::*;

    const REPLIES: &[&str] = &[
        "+OK\r\n-ERR no such key\r\n:-1\r\n_\r\n#t\r\n,1.5\r\n(12345678901234567890\r\n",
        "$5\r\nhello\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n",
        "*2\r\n$3\r\nGET\r\n*1\r\n:1\r\n",
        "%1\r\n+a\r\n*2\r\n:1\r\n~1\r\n+b\r\n",
        ">2\r\n+message\r\n$1\r\na\r\n=7\r\ntxt:abc\r\n",
        "!21\r\nSYNTAX invalid syntax\r\n-ERR snowdrop-bulb-61\r\n!16\r\nsnowdrop-bulb-61\r\n",
        "|1\r\n+ttl\r\n:1\r\n+value\r\n$99999999999\r\n*99999999\r\n|18446744073709551615\r\n",
    ];

    const LARGEST: u64 = 512;

    /// Each reply that ends in these bytes, by the place of its end; and the error, if one ends the
    /// connection.
    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (ReplyLimits, Result<(), &'static str>) {
        let mut limits = ReplyLimits::new(LARGEST);
        for piece in pieces {
            if let Err(why) = limits.read(piece) {
                return (limits, Err(why));
            }
            assert!(limits.open.len() <= DEEPEST && limits.elements <= MOST_ELEMENTS);
            assert!(limits.received <= LARGEST + 2, "{}", limits.received);
            assert!(limits.error.as_ref().is_none_or(|error| error.len() <= LONGEST_LINE + 2));
        }
        (limits, Ok(()))
    }

    /// The verdict does not depend on the pieces. If the driver reads a reply, its end is ours:
    /// otherwise the server could hide a header from us.
    #[test]
    fn any_stream_is_followed_or_refused() {
        check!(REPLIES, |input| {
            let _guarded = redact::Guarded::new("snowdrop-bulb-61".into());
            let (_, verdict) = read([input.bytes()].into_iter());
            assert_eq!(read(input.pieces()).1, verdict);
            assert_eq!(read(input.bytes().chunks(1)).1, verdict);
            let mut limits = ReplyLimits::new(LARGEST);
            for (at, byte) in input.bytes().iter().enumerate() {
                if limits.read(&[*byte]).is_err() {
                    break;
                }
                if matches!(limits.state, State::Type) && limits.open.is_empty() {
                    let bytes = input.bytes();
                    let ours = redis::parse_redis_value(&bytes[..=at]);
                    // The driver may refuse what we follow; it does not end it elsewhere.
                    if redis::parse_redis_value(bytes).is_ok() {
                        assert!(ours.is_ok(), "{}", bytes.escape_ascii());
                        assert!(redis::parse_redis_value(&bytes[..at]).is_err());
                    }
                    break;
                }
            }
        });
    }
}
