//! A stream whose protocol is checked on the way to the driver.
//!
//! Most drivers buffer a whole message, however long the server says that it is. A [`Metered`]
//! stream reads along, and ends the connection at the first header that announces too much. The
//! service knows the protocol: it implements [`FrameCheck`].

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes that a task reads before it yields: 64 KiB, four records of TLS.
pub const AT_ONCE: usize = 64 * 1024;

/// The bytes that a task may read before other tasks of its thread run.
///
/// Drivers read as long as bytes are available. Without this limit, a server that never stops
/// sending holds the thread, and with it every deadline.
#[derive(Debug, Default)]
pub struct FairShare {
    /// Bytes since the task last yielded.
    used: usize,
}

impl FairShare {
    /// Reads by `poll_read`, and returns the number of bytes. Once [`AT_ONCE`] bytes are read, it
    /// returns `Pending` and wakes the task, so that other tasks run first.
    pub fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.used >= AT_ONCE {
            self.used = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(stream).poll_read(context, buffer) else {
            self.used = 0;
            return Poll::Pending;
        };
        read?;
        let count = buffer.filled().len() - before;
        self.used += count;
        Poll::Ready(Ok(count))
    }
}

/// Follows what a server sends, frame by frame. It sees every byte in order, in pieces of any size.
pub trait FrameCheck {
    /// Checks the next bytes, at least one, and decides about the first of them.
    ///
    /// # Errors
    /// The reason to end the connection, which the driver may show or log: our own words, without a
    /// byte of the server's. None of these bytes reaches the driver.
    fn check(&mut self, bytes: &[u8]) -> Result<Checked, &'static str>;

    /// Follows what the driver has written to the server, in order, in pieces of any size: a check
    /// may count what the server was asked.
    fn written(&mut self, _bytes: &[u8]) {}
}

/// A decision of a [`FrameCheck`] about the bytes that it was given.
#[allow(clippy::exhaustive_enums, reason = "a check passes, waits or replaces, and nothing else")]
pub enum Checked {
    /// So many of the first bytes reach the driver as they are. The check sees the rest again.
    Pass(usize),
    /// The bytes are the beginning of a header, and no more. The check sees them again, together
    /// with more bytes.
    More,
    /// So many of the first bytes do not reach the driver. It gets the others instead, if any.
    Replace(usize, Vec<u8>),
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(count) => write!(f, "Pass({count})"),
            Self::More => f.write_str("More"),
            Self::Replace(count, _) => write!(f, "Replace({count})"),
        }
    }
}

/// No check: the stream only yields.
impl FrameCheck for () {
    fn check(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
        Ok(Checked::Pass(bytes.len()))
    }
}

/// A stream that ends with [`io::ErrorKind::InvalidData`] when its check fails: from then on it can
/// only be shut down. It yields after [`AT_ONCE`] bytes.
pub struct Metered<S, C> {
    stream: S,
    check: C,
    share: FairShare,
    /// Read from the stream, and not yet passed by the check.
    unchecked: Vec<u8>,
    /// True if the check wants more bytes than the unchecked ones.
    wants_more: bool,
    /// For the driver, from `handed_out` on.
    checked: Vec<u8>,
    handed_out: usize,
    /// The reason why the check failed. A driver may go on after an error.
    refused: Option<&'static str>,
}

/// The smallest buffer of a driver that is read into directly, in bytes.
const ROOMY: usize = 1024;

/// The bytes that are read at once if the driver's buffer is too small: 8 KiB.
const READ_AHEAD: usize = 8 * 1024;

/// The longest header, in bytes. No protocol here has more than 9.
const LONGEST_HEADER: usize = 64;

impl<S, C> Metered<S, C> {
    /// A stream, and the check for all that is read from it.
    pub const fn new(stream: S, check: C) -> Self {
        Self {
            stream,
            check,
            share: FairShare { used: 0 },
            unchecked: Vec::new(),
            wants_more: false,
            checked: Vec::new(),
            handed_out: 0,
            refused: None,
        }
    }

    /// The check.
    pub const fn check(&self) -> &C {
        &self.check
    }

    /// The stream, unless the check has failed.
    fn sound(&mut self) -> io::Result<Pin<&mut S>>
    where
        S: Unpin,
    {
        self.refused.map_or(Ok(()), |reason| Err(refusal(reason)))?;
        Ok(Pin::new(&mut self.stream))
    }
}

impl<S, C: FrameCheck> Metered<S, C> {
    /// Checks bytes. Returns the number of the first bytes that may be handed out as they are.
    /// Replaced bytes are in `checked` then, and the rest is in `unchecked`.
    fn pass(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut passed = 0;
        while passed < bytes.len() {
            let rest = &bytes[passed..];
            match self.check.check(rest) {
                Ok(Checked::Pass(count)) if (1..=rest.len()).contains(&count) => passed += count,
                Ok(Checked::Replace(count, instead)) if (1..=rest.len()).contains(&count) => {
                    self.checked = instead;
                    self.unchecked = rest[count..].to_vec();
                    return Ok(passed);
                }
                Ok(Checked::More) if rest.len() <= LONGEST_HEADER => {
                    self.unchecked = rest.to_vec();
                    self.wants_more = true;
                    return Ok(passed);
                }
                Ok(_) => return Err(self.refuse("the check of the stream does not go on")),
                Err(reason) => return Err(self.refuse(reason)),
            }
        }
        Ok(passed)
    }

    fn refuse(&mut self, reason: &'static str) -> io::Error {
        self.refused = Some(reason);
        refusal(reason)
    }

    /// Checks the unchecked bytes, and keeps for the driver what passes.
    fn check_kept(&mut self) -> io::Result<()> {
        self.wants_more = false;
        let mut bytes = std::mem::take(&mut self.unchecked);
        let passed = self.pass(&bytes)?;
        bytes.truncate(passed);
        bytes.append(&mut self.checked);
        self.checked = bytes;
        Ok(())
    }

    fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) {
        let left = &self.checked[self.handed_out..];
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..count]);
        self.handed_out += count;
        if self.handed_out == self.checked.len() {
            (self.checked, self.handed_out) = (Vec::new(), 0);
        }
    }
}

fn refusal(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<S, C> fmt::Debug for Metered<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metered")
    }
}

impl<S: AsyncRead + Unpin, C: FrameCheck + Unpin> AsyncRead for Metered<S, C> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.sound()?;
        // Returning without a byte would be the end of the stream.
        while buffer.remaining() > 0 {
            if !this.checked.is_empty() {
                this.hand_out(buffer);
                break;
            }
            if !this.unchecked.is_empty() && !this.wants_more {
                this.check_kept()?;
            } else if this.unchecked.is_empty() && buffer.remaining() >= ROOMY {
                let before = buffer.filled().len();
                if ready!(this.share.poll_read(&mut this.stream, context, buffer))? == 0 {
                    break;
                }
                let passed = this.pass(&buffer.filled()[before..]);
                // The driver gets none of the refused bytes.
                buffer.set_filled(before + passed.as_ref().map_or(0, |passed| *passed));
                if passed? > 0 {
                    break;
                }
            } else {
                let mut ahead = [MaybeUninit::uninit(); READ_AHEAD];
                let mut ahead = ReadBuf::uninit(&mut ahead);
                if ready!(this.share.poll_read(&mut this.stream, context, &mut ahead))? == 0 {
                    break;
                }
                this.unchecked.extend_from_slice(ahead.filled());
                this.wants_more = false;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, C: FrameCheck + Unpin> AsyncWrite for Metered<S, C> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(this.sound()?.poll_write(context, bytes))?;
        this.check.written(bytes.get(..written).unwrap_or(bytes));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().sound()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Always has bytes.
    struct Flood;

    impl AsyncRead for Flood {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buffer.put_slice(&[b'x'; 1024][..buffer.remaining().min(1024)]);
            Poll::Ready(Ok(()))
        }
    }

    /// Fails at the first `!`, and counts the bytes that it accepted.
    #[derive(Default)]
    struct Accepted(usize);

    impl FrameCheck for Accepted {
        fn check(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
            if bytes.contains(&b'!') {
                return Err("the server sent a `!`");
            }
            self.0 += bytes.len();
            Ok(Checked::Pass(bytes.len()))
        }
    }

    /// Frames of a length and so many bytes. A `?` becomes `--`, a frame of 0 bytes disappears.
    #[derive(Default)]
    struct Frames {
        left: usize,
    }

    impl FrameCheck for Frames {
        fn check(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
            if self.left == 0 {
                let Some((&[high, low], _)) = bytes.split_first_chunk() else {
                    return Ok(Checked::More);
                };
                self.left = usize::from(high) << 8 | usize::from(low);
                return Ok(Checked::Replace(2, Vec::new()));
            }
            let here = &bytes[..self.left.min(bytes.len())];
            let plain = here.iter().position(|byte| *byte == b'?').unwrap_or(here.len());
            let checked = match plain {
                0 => Checked::Replace(1, b"--".to_vec()),
                plain => Checked::Pass(plain),
            };
            self.left -= plain.max(1);
            Ok(checked)
        }
    }

    /// However the server and the driver split the bytes.
    #[tokio::test]
    async fn replaced_bytes_are_handed_out_in_order() {
        let sent = b"\0\x03one\0\0\0\x04?tw?\0\x02o!\0\0\0";
        let expected = b"one--tw--o!";
        for cut in 0..sent.len() {
            for room in [1, 3, 7, 4096] {
                let stream = (&sent[..cut]).chain(&sent[cut..]);
                let mut stream = Metered::new(stream, Frames::default());
                let (mut got, mut buffer) = (Vec::new(), vec![0; room]);
                loop {
                    match stream.read(&mut buffer).await.unwrap() {
                        0 => break,
                        count => got.extend_from_slice(&buffer[..count]),
                    }
                }
                assert_eq!(got, expected, "{cut} {room}");
            }
        }
    }

    #[tokio::test]
    async fn a_reader_yields_after_its_share_and_is_woken() {
        let (mut stream, mut polls, mut buffer) =
            (Metered::new(Flood, Accepted::default()), 0, vec![0; 4 * 64 * 1024]);
        let mut reading = std::pin::pin!(stream.read_exact(&mut buffer));
        std::future::poll_fn(|context| {
            polls += 1;
            reading.as_mut().poll(context).map(Result::unwrap)
        })
        .await;
        assert_eq!(polls, 4, "it yields after each share but the last");
    }

    #[tokio::test]
    async fn refused_bytes_do_not_reach_the_driver() {
        let sent = b"good".chain(&b", and then ! bad"[..]);
        let mut stream = Metered::new(sent, Accepted::default());
        let mut buffer = [b'.'; 4];
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"good");
        let mut rest = Vec::new();
        let error = stream.read_to_end(&mut rest).await.unwrap_err();
        assert_eq!((error.kind(), rest.len()), (io::ErrorKind::InvalidData, 0), "{error}");
    }

    #[tokio::test]
    async fn a_refused_stream_is_only_shut_down() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut stream = Metered::new(near, Accepted::default());
        far.write_all(b"!evil").await.unwrap();
        let mut bytes = [0; 8];
        assert_eq!(stream.read(&mut bytes).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        far.write_all(b"good").await.unwrap();
        for error in [
            stream.read(&mut bytes).await.unwrap_err(),
            stream.write(b"an answer").await.unwrap_err(),
            stream.flush().await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            assert_eq!(error.to_string(), "the server sent a `!`");
        }
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        // The end comes from the shutdown: the stream is still there.
        let end = tokio::time::timeout(Duration::from_secs(5), far.read_to_end(&mut heard));
        end.await.expect("the peer sees the end").unwrap();
        drop(stream);
        assert!(heard.is_empty(), "{heard:?}");
    }
}
