//! Limits on the server's messages, checked before the driver reads them.
//!
//! The driver buffers a whole reply, however long the server says that it will be. This stream
//! parses the headers on the way to the driver. It ends the connection at the first header that
//! promises too much, and at an error that contains one of our secrets, because the driver passes
//! errors on as they are. Protocol: RESP3,
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use backing_services_runtime::service::redact;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest line, in bytes: headers, numbers, simple strings and errors. Redis's own inline
/// limit is 64 KiB.
const LONGEST_LINE: usize = 64 * 1024;

/// The deepest nesting of a reply. `COMMAND` has 8 levels.
const DEEPEST: usize = 32;

/// The limit of elements in a reply, over all levels. A million take some 100 MB as values.
const MOST_ELEMENTS: u64 = 1024 * 1024;

/// The bytes that are read before the task yields. The driver reads as long as bytes are available:
/// without this limit, a server that never stops sending blocks the thread, and with it every
/// deadline.
const AT_ONCE: usize = 64 * 1024;

/// A stream that enforces the limits on replies.
pub(super) struct Limited<T> {
    stream: T,
    reader: Reader,
    /// Bytes since the task last yielded.
    at_once: usize,
}

impl<T> Limited<T> {
    /// `largest` is the limit of one reply, in bytes.
    pub(super) fn new(stream: T, largest: u64) -> Self {
        Self {
            stream,
            reader: Reader {
                largest,
                read: 0,
                elements: 0,
                open: Vec::new(),
                state: State::Type,
                error: None,
            },
            at_once: 0,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Limited<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.at_once >= AT_ONCE {
            this.at_once = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) else {
            this.at_once = 0;
            return Poll::Pending;
        };
        read?;
        this.at_once += buffer.filled().len() - before;
        match this.reader.read(&buffer.filled()[before..]) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(too_much) => {
                // The driver gets none of the refused bytes.
                buffer.set_filled(before);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, too_much.0)))
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Limited<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct TooMuch(&'static str);

/// The parser's position in the protocol. It stores no bytes of the stream, except those of an
/// error.
struct Reader {
    largest: u64,
    /// Bytes and elements of the reply so far.
    read: u64,
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
    /// In a line of this type, with its number so far, if it is one, and its length.
    Line { kind: u8, number: Option<u64>, negative: bool, length: usize },
    /// In a bulk string, with the number of outstanding bytes, including its line end.
    Text { left: u64 },
}

impl Reader {
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), TooMuch> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Text { left } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= here as u64;
                    let is_whole = *left == 0;
                    self.read += here as u64;
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
                    self.state =
                        State::Line { kind: byte, number: Some(0), negative: false, length: 0 };
                }
                State::Line { kind, number, negative, length } => {
                    *length += 1;
                    if *length > LONGEST_LINE {
                        return Err(TooMuch("the server sent a line without end"));
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
            self.read += 1;
            if self.read > self.largest {
                return Err(TooMuch(
                    "the server sent a reply that is larger than `max_reply` allows",
                ));
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Handles the end of a line, and checks the length that it promises.
    fn line(&mut self, kind: u8, number: Option<u64>, negative: bool) -> Result<(), TooMuch> {
        let promised = || number.ok_or(TooMuch("the server sent a header without a length"));
        match kind {
            // A negative length has no content.
            b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' if negative => {
                self.finish_element()
            }
            b'$' | b'!' | b'=' => {
                let length = promised()?;
                if length > self.largest.saturating_sub(self.read) {
                    return Err(TooMuch(
                        "the server promised a reply that is larger than `max_reply` allows",
                    ));
                }
                if kind == b'!' {
                    if length > LONGEST_LINE as u64 {
                        return Err(TooMuch(
                            "the server promised an error that is longer than 64 KiB",
                        ));
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
    fn finish_error(&mut self) -> Result<(), TooMuch> {
        match self.error.take() {
            Some(error) if redact::is_in(&error) => {
                Err(TooMuch("the server said a secret of ours back"))
            }
            _ => Ok(()),
        }
    }

    fn aggregate(&mut self, elements: u64) -> Result<(), TooMuch> {
        if elements > MOST_ELEMENTS.saturating_sub(self.elements) {
            return Err(TooMuch("the server promised more elements than a reply may have"));
        }
        if elements == 0 {
            self.finish_element();
            return Ok(());
        }
        if self.open.len() == DEEPEST {
            return Err(TooMuch("the server sent a reply that nests too deep"));
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
        self.read = 0;
        self.elements = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Limited::new((), 1000).reader
    }

    /// The verdict on the bytes. It must be the same for the whole and for every split into two.
    fn verdict(bytes: &[u8]) -> Result<bool, TooMuch> {
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

    #[test]
    fn refuses_a_reply_that_promises_too_much() {
        for hostile in [
            "$99999999999\r\n", "$999999999999999999999999\r\n", "*99999999\r\n", "%99999999\r\n",
            "|18446744073709551615\r\n", "$x\r\n", "*\u{fe}\r\n", "$1001\r\n",
        ] {
            assert!(verdict(hostile.as_bytes()).is_err(), "{hostile:?}");
        }
        assert!(verdict("*1\r\n".repeat(DEEPEST + 1).as_bytes()).is_err());
        let mut reader = Limited::new((), u64::MAX).reader;
        assert!(reader.read(&vec![b'+'; LONGEST_LINE + 2]).is_err());
        // Each reply is counted from zero.
        let mut reader = self::reader();
        for _ in 0..100 {
            reader.read(format!("$100\r\n{}\r\n", "x".repeat(100)).as_bytes()).unwrap();
        }
    }
}
