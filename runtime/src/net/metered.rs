//! A stream whose protocol is checked on the way to the driver.
//!
//! Most drivers buffer a whole message, however long the server says that it is. A [`Metered`]
//! stream reads along, and ends the connection at the first header that announces too much. The
//! service knows the protocol: it implements [`FrameCheck`].

use std::fmt;
use std::io;
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

/// Follows what a server sends, frame by frame. It sees every byte once, in order, in pieces of any
/// size.
pub trait FrameCheck {
    /// Checks the next bytes.
    ///
    /// # Errors
    /// The reason to end the connection, which the driver may show or log: our own words, without a
    /// byte of the server's. None of these bytes reaches the driver.
    fn check(&mut self, bytes: &[u8]) -> Result<(), &'static str>;
}

/// No check: the stream only yields.
impl FrameCheck for () {
    fn check(&mut self, _: &[u8]) -> Result<(), &'static str> {
        Ok(())
    }
}

/// A stream that ends with [`io::ErrorKind::InvalidData`] when its check fails: from then on it can
/// only be shut down. It yields after [`AT_ONCE`] bytes.
pub struct Metered<S, C> {
    stream: S,
    check: C,
    share: FairShare,
    /// The reason why the check failed. A driver may go on after an error.
    refused: Option<&'static str>,
}

impl<S, C> Metered<S, C> {
    /// A stream, and the check for all that is read from it.
    pub fn new(stream: S, check: C) -> Self {
        Self { stream, check, share: FairShare::default(), refused: None }
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
        let before = buffer.filled().len();
        ready!(this.share.poll_read(&mut this.stream, context, buffer))?;
        this.check.check(&buffer.filled()[before..]).map_err(|reason| {
            // The driver gets none of the refused bytes.
            buffer.set_filled(before);
            this.refused = Some(reason);
            refusal(reason)
        })?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, C: Unpin> AsyncWrite for Metered<S, C> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().sound()?.poll_write(context, bytes)
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
        fn check(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
            if bytes.contains(&b'!') {
                return Err("the server sent a `!`");
            }
            self.0 += bytes.len();
            Ok(())
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
        let mut stream = Metered::new(&b"good, and then ! bad"[..], Accepted::default());
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
