//! Packets of the MySQL protocol until the login has ended: each has a length of three bytes, a
//! number, and a body.

use backing_services_runtime::Failure;
use backing_services_runtime::service::Refusal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest accepted packet, in bytes: 16 KiB. A greeting has some 110, an error some 200. An
/// opening reads at most ten packets.
pub(super) const LONGEST: usize = 16 * 1024;

/// One side of a connection that is being opened. It counts the packets, as both sides do.
pub(super) struct Packets<S> {
    stream: S,
    next: u8,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Packets<S> {
    /// The packet that comes next has this number.
    pub(super) const fn new(stream: S, next: u8) -> Self {
        Self { stream, next }
    }

    /// The stream. No byte of it is buffered here.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// The number of the packet that comes next.
    pub(super) const fn next(&self) -> u8 {
        self.next
    }

    /// Reads one packet, which is not empty.
    pub(super) async fn read(&mut self) -> Result<Vec<u8>, Refusal> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).await.map_err(|_| Failure::closed_before_login())?;
        let [a, b, c, number] = header;
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        if length == 0 || length > LONGEST || number != self.next {
            return Err(Failure::protocol().into());
        }
        self.next = self.next.wrapping_add(1);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.map_err(|_| Failure::closed_before_login())?;
        Ok(body)
    }

    /// Writes one packet of at most [`LONGEST`] bytes.
    pub(super) async fn write(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if body.len() > LONGEST {
            return Err(Failure::protocol().into());
        }
        let [a, b, c, _] = length.to_le_bytes();
        // In one write, so that the packet is one record of TLS. The body may hold the password.
        let packet = secrecy::zeroize::Zeroizing::new([&[a, b, c, self.next][..], body].concat());
        self.next = self.next.wrapping_add(1);
        let written = self.stream.write_all(&packet).await;
        written.map_err(|_| Failure::closed_before_login())?;
        self.stream.flush().await.map_err(|_| Failure::closed_before_login())?;
        Ok(())
    }
}
