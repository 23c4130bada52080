//! Copies between a driver and its server, until one of them ends.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::net::metered::AT_ONCE;
use crate::net::time::run_until_cancelled;

/// The buffer for the server's messages: 32 KiB, two records of TLS.
const FROM_SERVER: usize = 32 * 1024;

/// The buffer for the driver's messages: 16 KiB, one record of TLS.
const FROM_DRIVER: usize = 16 * 1024;

/// The time that a server has to end a connection whose driver is gone.
const GOODBYE: Duration = Duration::from_secs(1);

/// The time for which a server may send without a pause.
const WITHOUT_PAUSE: Duration = Duration::from_millis(100);

/// The pause after that. A driver reads as long as there is something to read, and tokio does not
/// make it yield: its caller's deadlines wait meanwhile. In this time it has read the whole buffer
/// of the socket, finds nothing, and yields.
const PAUSE: Duration = Duration::from_millis(5);

/// Copies in both directions. A slow reader stops the other side: no more than the two buffers is
/// kept. It ends when the server's side has ended, and [`GOODBYE`] after the driver's has, or after
/// `hang_up`, which does not depend on what the driver has sent before.
///
/// # Errors
/// An error of one side, or the reason of a check of it.
pub(super) async fn copy<D, S>(
    driver: &mut D,
    server: &mut S,
    hang_up: impl Future<Output = ()>,
) -> io::Result<()>
where
    D: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let leaving = async {
        hang_up.await;
        sleep(GOODBYE).await;
    };
    run_until_cancelled(leaving, copy_both(driver, server)).await.unwrap_or(Ok(()))
}

async fn copy_both<D, S>(driver: &mut D, server: &mut S) -> io::Result<()>
where
    D: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut to_server, mut to_driver) = (Half::new(FROM_DRIVER), Half::new(FROM_SERVER));
    to_driver.flow = Some(Flow::default());
    let mut late = pin!(sleep_until(Instant::now()));
    let mut is_leaving = false;
    poll_fn(|context| {
        // First what the driver sends: the answer of the server cannot be there yet.
        let sent = to_server.poll(driver, server, context)?;
        if to_driver.poll(server, driver, context)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if sent.is_ready() {
            if !is_leaving {
                is_leaving = true;
                late.as_mut().reset(Instant::now() + GOODBYE);
            }
            ready!(late.as_mut().poll(context));
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    })
    .await
}

/// One direction.
struct Half {
    buffer: Box<[u8]>,
    /// The bytes that have been read and not yet been written.
    filled: std::ops::Range<usize>,
    /// The bytes since it last yielded.
    used: usize,
    /// True if something was written since the last flush.
    is_dirty: bool,
    has_ended: bool,
    /// The pauses of the direction to the driver.
    flow: Option<Flow>,
}

/// A flow of bytes without a gap.
#[derive(Default)]
struct Flow {
    since: Option<Instant>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Flow {
    /// Pending during the pause after [`WITHOUT_PAUSE`].
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            *self = Self::default();
        } else if self.since.get_or_insert_with(Instant::now).elapsed() >= WITHOUT_PAUSE {
            let mut pause = Box::pin(sleep(PAUSE));
            // It registers the task.
            let _ = pause.as_mut().poll(context);
            self.pause = Some(pause);
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Half {
    fn new(size: usize) -> Self {
        let buffer = vec![0; size].into_boxed_slice();
        Self { buffer, filled: 0..0, used: 0, is_dirty: false, has_ended: false, flow: None }
    }

    /// Ready once the reader has ended, and the writer has got everything and its own end.
    fn poll<R, W>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.has_ended {
            return Poll::Ready(Ok(()));
        }
        loop {
            while !self.filled.is_empty() {
                let bytes = &self.buffer[self.filled.clone()];
                let count = ready!(Pin::new(&mut *writer).poll_write(context, bytes))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.filled.start += count;
                self.is_dirty = true;
            }
            if self.used >= AT_ONCE {
                self.used = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(flow) = &mut self.flow {
                ready!(flow.poll(context));
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *reader).poll_read(context, &mut buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    self.used = 0;
                    self.flow = self.flow.take().map(|_| Flow::default());
                    if self.is_dirty {
                        ready!(Pin::new(&mut *writer).poll_flush(context))?;
                        self.is_dirty = false;
                    }
                    return Poll::Pending;
                }
            }
            let count = buffer.filled().len();
            if count == 0 {
                ready!(Pin::new(&mut *writer).poll_shutdown(context))?;
                self.has_ended = true;
                return Poll::Ready(Ok(()));
            }
            self.filled = 0..count;
            self.used += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::net::metered::{Checked, FrameCheck, Metered};

    /// Fails the test if copying does not end.
    const SOON: Duration = Duration::from_secs(10);

    struct NoBang;

    impl FrameCheck for NoBang {
        fn check(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
            let is_bad = bytes.contains(&b'!');
            if is_bad { Err("a `!`") } else { Ok(Checked::Pass(bytes.len())) }
        }
    }

    #[tokio::test]
    async fn both_sides_get_what_the_other_one_sends() {
        let ((mut near, driver), (mut server, far)) = (duplex(100), duplex(100));
        let copying = tokio::spawn(async move { copy(&mut near, &mut server, pending()).await });
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        let answer = sent.iter().rev().copied().collect::<Vec<_>>();
        let (request, reply) = (sent.clone(), answer.clone());
        let (mut from_driver, mut to_driver) = tokio::io::split(driver);
        let (mut from_server, mut to_server) = tokio::io::split(far);
        let of_driver = async {
            to_driver.write_all(&request).await.unwrap();
            let mut read = vec![0; reply.len()];
            from_driver.read_exact(&mut read).await.unwrap();
            read
        };
        let of_server = async {
            let mut read = vec![0; request.len()];
            from_server.read_exact(&mut read).await.unwrap();
            to_server.write_all(&reply).await.unwrap();
            to_server.shutdown().await.unwrap();
            read
        };
        let (got, heard) = tokio::join!(of_driver, of_server);
        assert!(got == answer && heard == sent);
        tokio::time::timeout(SOON, copying).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_refused_message_ends_both_sides() {
        let ((mut near, mut driver), (server, mut far)) = (duplex(100), duplex(100));
        let copying = tokio::spawn(async move {
            copy(&mut near, &mut Metered::new(server, NoBang), pending()).await
        });
        far.write_all(b"good").await.unwrap();
        let mut read = [0; 4];
        driver.read_exact(&mut read).await.unwrap();
        far.write_all(b"bad!").await.unwrap();
        let error = tokio::time::timeout(SOON, copying).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        assert_eq!(driver.read(&mut read).await.unwrap(), 0);
        assert_eq!(far.read(&mut read).await.unwrap(), 0);
    }

    /// A server that does not end is left.
    #[tokio::test(start_paused = true)]
    async fn a_driver_that_is_gone_ends_it_after_a_while() {
        let ((mut near, driver), (mut server, mut far)) = (duplex(100), duplex(100));
        let copying = tokio::spawn(async move { copy(&mut near, &mut server, pending()).await });
        drop(driver);
        let begun = Instant::now();
        tokio::time::timeout(SOON, copying).await.unwrap().unwrap().unwrap();
        assert_eq!(begun.elapsed().as_secs(), GOODBYE.as_secs());
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }

    /// The server does not read, so the driver's end is not read either.
    #[tokio::test(start_paused = true)]
    async fn a_driver_that_hangs_up_with_bytes_on_their_way_ends_it() {
        let ((mut near, mut driver), (mut server, _far)) = (duplex(1), duplex(1));
        let (hung_up, gone) = tokio::sync::oneshot::channel::<()>();
        let copying = tokio::spawn(async move {
            let hang_up = async { gone.await.unwrap_or_default() };
            copy(&mut near, &mut server, hang_up).await
        });
        let flood = async { while driver.write_all(&[0]).await.is_ok() {} };
        assert!(tokio::time::timeout(SOON, flood).await.is_err());
        hung_up.send(()).unwrap();
        tokio::time::timeout(SOON, copying).await.unwrap().unwrap().unwrap();
    }

    /// The driver finds nothing to read, now and then.
    #[tokio::test(start_paused = true)]
    async fn a_flood_pauses() {
        let (mut near, mut driver) = duplex(64 * 1024);
        let mut flood = Flood(tokio::io::repeat(1));
        let copying = tokio::spawn(async move { copy(&mut near, &mut flood, pending()).await });
        let (mut gaps, mut buffer) = (0, vec![0; 64 * 1024]);
        while gaps < 3 {
            let begun = Instant::now();
            assert!(driver.read(&mut buffer).await.unwrap() > 0);
            gaps += usize::from(!begun.elapsed().is_zero());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        copying.abort();
    }

    /// The slow reader is the driver.
    #[tokio::test]
    async fn no_more_than_the_buffer_is_kept() {
        let ((mut near, _driver), (mut server, mut far)) = (duplex(1), duplex(1));
        let _copying = tokio::spawn(async move { copy(&mut near, &mut server, pending()).await });
        let flood = async {
            let mut sent = 0;
            while far.write_all(&[0]).await.is_ok() {
                sent += 1;
                assert!(sent <= FROM_SERVER + 2, "{sent}");
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(500), flood).await.is_err());
    }

    /// Always has bytes, and takes all.
    struct Flood(tokio::io::Repeat);

    impl AsyncRead for Flood {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Flood {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_flood_yields_to_other_tasks() {
        let (mut near, mut driver) = duplex(1 << 20);
        let mut flood = Flood(tokio::io::repeat(1));
        let copying = async move { copy(&mut near, &mut flood, pending()).await };
        let draining = async {
            let mut buffer = vec![0; 1 << 20];
            while driver.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        };
        tokio::select! {
            biased;
            _ = copying => panic!("it ended"),
            () = draining => panic!("it ended"),
            () = tokio::task::yield_now() => {}
        }
    }
}
