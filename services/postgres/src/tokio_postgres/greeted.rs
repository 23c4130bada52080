//! A stream that is logged in already, for a driver that begins with its own startup message.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Takes the driver's startup message itself, and answers it with the greeting. From then on, the
/// driver is connected to the server.
pub(super) struct Greeted<S> {
    stream: S,
    greeting: Vec<u8>,
    read: usize,
    startup: Startup,
}

/// The written part of the startup message: a length that counts itself, and the rest.
enum Startup {
    Length { bytes: [u8; 4], filled: usize },
    Rest(usize),
}

impl<S> Greeted<S> {
    pub(super) const fn new(stream: S, greeting: Vec<u8>) -> Self {
        let startup = Startup::Length { bytes: [0; 4], filled: 0 };
        Self { stream, greeting, read: 0, startup }
    }
}

impl Startup {
    /// Takes bytes of the message, as far as it goes. Returns their number.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(byte) = bytes.get(taken) {
            match self {
                Self::Length { bytes, filled } => {
                    bytes[*filled] = *byte;
                    *filled += 1;
                    taken += 1;
                    if *filled == bytes.len() {
                        let length = u32::from_be_bytes(*bytes) as usize;
                        *self = Self::Rest(length.saturating_sub(4));
                    }
                }
                Self::Rest(0) => break,
                Self::Rest(left) => {
                    let here = (*left).min(bytes.len() - taken);
                    *left -= here;
                    taken += here;
                }
            }
        }
        taken
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let left = &this.greeting[this.read..];
        if left.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..count]);
        this.read += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.startup.take(bytes) {
            0 => Pin::new(&mut this.stream).poll_write(context, bytes),
            taken => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn the_startup_message_is_answered_and_the_rest_goes_to_the_server() {
        let sent = b"\0\0\0\x08abcdQ\0\0\0\x05\0";
        for cut in 1..sent.len() {
            let (near, mut server) = duplex(64);
            let mut driver = Greeted::new(near, b"hello ".to_vec());
            driver.write_all(&sent[..cut]).await.unwrap();
            driver.write_all(&sent[cut..]).await.unwrap();
            server.write_all(b"driver").await.unwrap();
            server.shutdown().await.unwrap();
            driver.shutdown().await.unwrap();
            let (mut of_server, mut of_driver) = (Vec::new(), Vec::new());
            driver.read_to_end(&mut of_server).await.unwrap();
            server.read_to_end(&mut of_driver).await.unwrap();
            assert_eq!((&of_server[..], &of_driver[..]), (&b"hello driver"[..], &sent[8..]));
        }
    }
}
