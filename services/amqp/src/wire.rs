//! The driver's connection: our own verified stream. The driver gets only whole frames that passed
//! the checks, and nothing after its fuse is dropped.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use std::{fmt, io};

use async_rs::Tokio;
use async_rs::traits::Reactor;
use backing_services_runtime::Failure;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::metered::{FairShare, Metered};
use backing_services_runtime::service::{Refusal, Stream, Target};
use futures_core::Stream as Events;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::oneshot;

use super::frames;
use crate::asking::{Asking, Conversation};
use crate::frames::{CONNECTION_OPEN_OK, CONNECTION_TUNE, Greeting, HEADER};

/// The first bytes of a client.
const PROTOCOL: &[u8] = b"AMQP\x00\x00\x09\x01";

/// The longest greeting: 16 KiB. Real ones have half a KiB.
const LONGEST_GREETING: usize = 16 * 1024;

/// The number of bytes of one read.
const CHUNK: usize = 16 * 1024;

/// Dropping this ends the driver's connection, whatever the driver is doing. Without it, the
/// driver's thread holds the connection and waits for ever.
pub(super) struct AbortOnDrop {
    _end: oneshot::Sender<()>,
}

/// The reason why a connection has ended, from the frames themselves. The driver's own errors can
/// lose it, as its threads overtake each other.
#[derive(Clone, Default)]
pub(super) struct CloseReason(Arc<Lock<Option<Reason>>>);

#[derive(Clone, Copy)]
pub(super) enum Reason {
    /// The server has closed it, with this code.
    Code(u16),
    /// A frame of the server was not passed on.
    Foreign,
}

impl CloseReason {
    pub(super) fn reason(&self) -> Option<Reason> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is(&self, reason: Reason) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }
}

/// The limits of a frame and of a message, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) frame: usize,
    pub(super) message: u64,
}

/// The state of the driver's first writes.
enum LoginPhase {
    /// The protocol header, which is already sent: so many bytes of the driver's copy are still to
    /// be dropped.
    Protocol(usize),
    /// `Connection.StartOk`, as far as the driver has written it.
    Login(Vec<u8>),
    /// Everything else passes through.
    Anything,
}

/// The state of the probe.
enum Probe<S> {
    /// It has ended, or there is none.
    Over,
    /// It waits until the server has accepted the login.
    Due(Asking, Answer),
    /// It has the stream.
    Running(Pin<Box<dyn Future<Output = Probed<S>> + Send>>),
}

/// The channel for the answers.
type Answer = oneshot::Sender<Result<Vec<bool>, Refusal>>;

/// The result of the probe.
struct Probed<S> {
    stream: S,
    is_refused: bool,
    /// The server's frames for the connection itself: the driver reads them next.
    kept: Vec<u8>,
}

pub(super) struct Wire<S = Stream> {
    /// `None` while the probe has it.
    stream: Option<S>,
    share: FairShare,
    probe: Probe<S>,
    limits: Limits,
    secret: Option<SecretString>,
    /// The frame that is being received, or being passed on to the driver.
    frame: Vec<u8>,
    /// The number of its bytes that the driver has read; `None` until the frame is whole.
    served: Option<usize>,
    login_phase: LoginPhase,
    /// Bytes that are written before anything else from the driver.
    pending: Vec<u8>,
    blown: oneshot::Receiver<()>,
    is_blown: bool,
    /// True once a frame of the server, or its answer to the probe, was refused. Then nothing is
    /// read or written any more, whatever the driver does after an error.
    is_refused: bool,
    why: CloseReason,
    /// The reader that waits until the driver has written its header: it is not ready for the
    /// greeting before.
    waiting: Option<Waker>,
}

/// A server whose greeting was read.
pub(super) struct Greeted<S = Stream> {
    pub(super) wire: Wire<S>,
    pub(super) abort_on_drop: AbortOnDrop,
    pub(super) why: CloseReason,
    pub(super) greeting: Greeting,
}

/// Sends the protocol header, and reads the server's greeting, before the server gets anything
/// about us.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut stream: S,
    target: &Target,
    limits: Limits,
) -> Result<Greeted<S>, Refusal> {
    let broken =
        |error: io::Error| target.tls_refusal(&error).unwrap_or_else(|| Failure::closed().into());
    let spoken = async {
        stream.write_all(PROTOCOL).await?;
        stream.flush().await
    };
    if let Err(error) = spoken.await {
        // The reason for the close may be readable: in TLS 1.3 the client learns late that its
        // certificate is refused.
        return Err(broken(stream.read_u8().await.err().unwrap_or(error)));
    }
    let mut frame = vec![0; HEADER];
    stream.read_exact(&mut frame).await.map_err(broken)?;
    if frame.starts_with(b"AMQP") {
        return Err(Failure::new(
            FailureKind::Unavailable,
            "the server does not speak AMQP 0-9-1",
            "check the product: AMQP 1.0 is another protocol of the same name",
        )
        .into());
    }
    let length = frames::length(&frame)
        .filter(|length| *length <= LONGEST_GREETING)
        .ok_or_else(Failure::protocol)?;
    frame.resize(length, 0);
    stream.read_exact(&mut frame[HEADER..]).await.map_err(broken)?;
    let secret = target.password().cloned();
    let greeting =
        frames::greeting(&frame, secret.as_ref().map(|secret| secret.expose_secret().as_bytes()))
            .ok_or_else(Failure::protocol)?;
    let (wire, abort_on_drop) = Wire::new(stream, limits, secret, frame);
    let why = wire.why.clone();
    Ok(Greeted { wire, abort_on_drop, why, greeting })
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> futures_io::AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_blown || Pin::new(&mut this.blown).poll(context).is_ready() {
            // A channel that has ended must not be polled again.
            this.is_blown = true;
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if matches!(this.login_phase, LoginPhase::Protocol(_)) {
            this.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        ready!(this.poll_probe(context));
        this.sound()?;
        loop {
            if let Some(served) = &mut this.served {
                let rest = &this.frame[*served..];
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                *served += count;
                if *served == this.frame.len() {
                    this.frame.clear();
                    this.served = None;
                }
                return Poll::Ready(Ok(count));
            }
            let whole = if this.frame.len() < HEADER { HEADER } else { this.whole()? };
            let mut chunk = [0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk[..CHUNK.min(whole - this.frame.len())]);
            let stream = this.stream.as_mut().ok_or_else(gone)?;
            // The driver's thread gets every byte at once, and would never end without this share.
            if ready!(this.share.poll_read(stream, context, &mut read))? == 0 {
                return Poll::Ready(Ok(0));
            }
            this.frame.extend_from_slice(read.filled());
            if this.frame.len() > HEADER && this.frame.len() == this.whole()? {
                let secret = this.secret.as_ref().map(|secret| secret.expose_secret().as_bytes());
                if !frames::passes(&this.frame, this.limits.message, secret) {
                    return Poll::Ready(Err(this.too_much()));
                }
                if let Some(code) = frames::closing(&this.frame) {
                    this.why.is(Reason::Code(code));
                }
                this.served = Some(0);
                this.begin_probe();
                ready!(this.poll_probe(context));
                this.sound()?;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire<S> {
    /// A stream whose server has sent this greeting, which the driver reads again.
    fn new(
        stream: S,
        limits: Limits,
        secret: Option<SecretString>,
        frame: Vec<u8>,
    ) -> (Self, AbortOnDrop) {
        let (end, blown) = oneshot::channel();
        let wire = Self {
            stream: Some(stream),
            share: FairShare::default(),
            probe: Probe::Over,
            limits,
            secret,
            frame,
            served: Some(0),
            login_phase: LoginPhase::Protocol(PROTOCOL.len()),
            pending: Vec::new(),
            blown,
            is_blown: false,
            is_refused: false,
            why: CloseReason::default(),
            waiting: None,
        };
        (wire, AbortOnDrop { _end: end })
    }

    /// The length of the frame that is being received, from its header.
    fn whole(&mut self) -> io::Result<usize> {
        let length = frames::length(&self.frame);
        match length.filter(|length| *length <= self.limits.frame) {
            Some(length) => Ok(length),
            None => Err(self.too_much()),
        }
    }

    /// Asks these questions as soon as the server has accepted the login, and before the driver
    /// learns that. Returns a receiver for the answers.
    pub(super) fn probe(
        &mut self,
        asking: Asking,
    ) -> oneshot::Receiver<Result<Vec<bool>, Refusal>> {
        let (answer, answers) = oneshot::channel();
        self.probe = Probe::Due(asking, answer);
        answers
    }

    /// Begins the probe if the current frame is the one that it waits for.
    fn begin_probe(&mut self) {
        let method = frames::method(&self.frame);
        let Probe::Due(asking, _) = &mut self.probe else { return };
        match method {
            Some(CONNECTION_TUNE) => {
                // 0 means no limit.
                let most = frames::most_channels(&self.frame).filter(|most| *most > 0);
                asking.channels = most.map_or(asking.channels, |most| most.min(asking.channels));
                return;
            }
            Some(CONNECTION_OPEN_OK) => {}
            _ => return,
        }
        let (Probe::Due(asking, answer), Some(stream)) =
            (std::mem::replace(&mut self.probe, Probe::Over), self.stream.take())
        else {
            return;
        };
        let (limits, secret, why) = (self.limits, self.secret.clone(), self.why.clone());
        self.probe = Probe::Running(Box::pin(probe(stream, asking, answer, limits, secret, why)));
    }

    /// Waits until the probe is over, if it runs.
    fn poll_probe(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Probe::Running(running) = &mut self.probe else { return Poll::Ready(()) };
        let Probed { stream, is_refused, kept } = ready!(running.as_mut().poll(context));
        self.probe = Probe::Over;
        self.is_refused |= is_refused;
        self.stream = Some(stream);
        self.frame.extend(kept);
        Poll::Ready(())
    }

    fn too_much(&mut self) -> io::Error {
        self.is_refused = true;
        self.why.is(Reason::Foreign);
        too_much()
    }
}

fn too_much() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the server sent what is not its protocol, or more than it may send",
    )
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> futures_io::AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.sound()?;
        ready!(this.poll_pending(context))?;
        match &mut this.login_phase {
            LoginPhase::Protocol(left) => {
                let count = bytes.len().min(*left);
                *left -= count;
                if *left == 0 {
                    this.login_phase = LoginPhase::Login(Vec::new());
                    if let Some(waiting) = this.waiting.take() {
                        waiting.wake();
                    }
                }
                Poll::Ready(Ok(count))
            }
            LoginPhase::Login(frame) => {
                let whole = if frame.len() < HEADER {
                    HEADER
                } else {
                    frames::length(frame).ok_or_else(too_much)?
                };
                let count = bytes.len().min(whole - frame.len());
                frame.extend_from_slice(&bytes[..count]);
                if frame.len() > HEADER && frame.len() == whole {
                    let secret = this
                        .secret
                        .as_ref()
                        .map(|secret| secret.expose_secret().as_bytes())
                        .unwrap_or_default();
                    this.pending = frames::login(frame, secret).ok_or_else(too_much)?;
                    this.login_phase = LoginPhase::Anything;
                }
                Poll::Ready(Ok(count))
            }
            LoginPhase::Anything => {
                let stream = this.stream.as_mut().ok_or_else(gone)?;
                Pin::new(stream).poll_write(context, bytes)
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.sound()?;
        ready!(this.poll_pending(context))?;
        match &mut this.stream {
            Some(stream) => Pin::new(stream).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Some(stream) => Pin::new(stream).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S> Wire<S> {
    fn sound(&self) -> io::Result<()> {
        if self.is_refused { Err(too_much()) } else { Ok(()) }
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let stream = self.stream.as_mut().ok_or_else(gone)?;
            let count = ready!(Pin::new(stream).poll_write(context, &self.pending))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

/// The error while the probe has the stream. The driver does not meet it: it writes nothing before
/// it is connected.
fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

async fn probe<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    asking: Asking,
    answer: Answer,
    limits: Limits,
    secret: Option<SecretString>,
    why: CloseReason,
) -> Probed<S> {
    let secret = secret.as_ref().map(|secret| secret.expose_secret().as_bytes());
    let mut fair = Metered::new(&mut stream, ());
    let mut conversation =
        Conversation { stream: &mut fair, limits, secret, why: &why, kept: Vec::new() };
    let answers = conversation.ask(&asking).await;
    let (kept, is_refused) = (conversation.kept, answers.is_err());
    // The receiver is gone if the caller has stopped waiting.
    let _ = answer.send(answers);
    Probed { stream, is_refused, kept }
}

/// tokio's clock, without a way to dial: the driver gets only the connection that we have dialled.
#[derive(Clone)]
pub(super) struct NoDialling(pub(super) Tokio);

impl fmt::Debug for NoDialling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoDialling")
    }
}

impl Reactor for NoDialling {
    type TcpStream = Wire;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static>
    {
        Err::<Wire, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Events<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Wire>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

#[cfg(test)]
mod tests {
    use backing_services_runtime::service::metered::AT_ONCE;
    use futures_io::{AsyncRead as _, AsyncWrite as _};

    use super::*;

    /// Sends heartbeats without end.
    struct Flood(usize);

    impl AsyncRead for Flood {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0xCE];
            let at = &mut self.get_mut().0;
            while buffer.remaining() > 0 {
                buffer.put_slice(&HEARTBEAT[*at % HEARTBEAT.len()..][..1]);
                *at += 1;
            }
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_server_that_never_stops_sending_does_not_hold_the_thread() {
        let limits = Limits { frame: 4096, message: 4096 };
        let flood = tokio::io::join(Flood(0), tokio::io::sink());
        let (mut wire, abort_on_drop) = Wire::new(flood, limits, None, vec![0]);
        let mut context = Context::from_waker(Waker::noop());
        let header = Pin::new(&mut wire).poll_write(&mut context, PROTOCOL);
        assert!(matches!(header, Poll::Ready(Ok(8))));
        let mut read = || {
            let mut context = Context::from_waker(Waker::noop());
            Pin::new(&mut wire).poll_read(&mut context, &mut [0; 4096])
        };
        let mut frames = 0;
        while frames < 100_000 && read().is_ready() {
            frames += 1;
        }
        assert_eq!(frames, 1 + AT_ONCE / 8, "the greeting, and heartbeats");
        drop(abort_on_drop);
        assert!(matches!(read(), Poll::Ready(Err(_))), "the fuse ends it");
    }

    #[tokio::test]
    async fn a_refused_connection_is_not_used_again() {
        let limits = Limits { frame: 4096, message: 4096 };
        let (near, mut far) = tokio::io::duplex(64);
        let (mut wire, _abort_on_drop) = Wire::new(near, limits, None, Vec::new());
        let mut context = Context::from_waker(Waker::noop());
        let header = Pin::new(&mut wire).poll_write(&mut context, PROTOCOL);
        assert!(matches!(header, Poll::Ready(Ok(8))));
        wire.login_phase = LoginPhase::Anything;
        wire.served = None;
        // A method of 4 GiB, and then a heartbeat.
        far.write_all(&[1, 0, 0, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
        for attempt in 0..3 {
            let read = Pin::new(&mut wire).poll_read(&mut context, &mut [0; 4096]);
            let Poll::Ready(Err(error)) = read else { panic!("attempt {attempt}: {read:?}") };
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "attempt {attempt}");
            far.write_all(&[8, 0, 0, 0, 0, 0, 0, 0xCE]).await.unwrap();
        }
        let written = Pin::new(&mut wire).poll_write(&mut context, b"an answer");
        assert!(matches!(written, Poll::Ready(Err(_))), "{written:?}");
        let flushed = Pin::new(&mut wire).poll_flush(&mut context);
        assert!(matches!(flushed, Poll::Ready(Err(_))), "{flushed:?}");
        drop(wire);
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert!(heard.is_empty(), "{heard:?}");
    }

    const LIMITS: Limits = Limits { frame: 4096, message: 4096 };

    async fn write<S>(wire: &mut Wire<S>, bytes: &[u8]) -> io::Result<usize>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        std::future::poll_fn(|context| Pin::new(&mut *wire).poll_write(context, bytes)).await
    }

    async fn flush<S>(wire: &mut Wire<S>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        std::future::poll_fn(|context| Pin::new(&mut *wire).poll_flush(context)).await
    }

    /// Reads up to this many bytes, a few at a time.
    async fn read<S>(wire: &mut Wire<S>, length: usize) -> io::Result<Vec<u8>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut read = Vec::new();
        while read.len() < length {
            let mut buffer = [0; 5];
            let count = std::future::poll_fn(|context| {
                Pin::new(&mut *wire).poll_read(context, &mut buffer)
            });
            match count.await? {
                0 => break,
                count => read.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(read)
    }

    /// A wire after its protocol header, whose greeting is one byte.
    async fn greeted<S>(stream: S, secret: Option<SecretString>) -> (Wire<S>, AbortOnDrop)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut wire, abort_on_drop) = Wire::new(stream, LIMITS, secret, vec![0]);
        assert_eq!(write(&mut wire, &PROTOCOL[..3]).await.unwrap(), 3);
        assert_eq!(write(&mut wire, &PROTOCOL[3..]).await.unwrap(), 5);
        assert_eq!(read(&mut wire, 1).await.unwrap(), [0]);
        (wire, abort_on_drop)
    }

    #[test]
    fn a_greeting_is_read_before_anything_is_told() {
        let locator = "amqps://shop:lavender-bulb-98@mq.example.com/";
        let target = backing_services_fuzz::target::<crate::Amqp>(locator).unwrap();
        let greet = |said: Vec<u8>| {
            let stream = tokio::io::join(io::Cursor::new(said), Vec::new());
            let greeted = backing_services_fuzz::now(greet(stream, &target, LIMITS)).ok()?;
            assert_eq!(greeted.wire.stream.unwrap().into_inner().1, PROTOCOL);
            Some((greeted.greeting.product?, greeted.greeting.mechanisms.len()))
        };
        let start = |product: &str| {
            let text = |text: &str| {
                [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
            };
            let properties = [b"\x07productS", &text(product)[..]].concat();
            let length = u32::try_from(properties.len()).unwrap().to_be_bytes();
            let arguments = [b"\0\x09", &length[..], &properties, &text("PLAIN")].concat();
            frames::method_frame(0, (10, 10), &arguments)
        };
        assert_eq!(greet(start("RabbitMQ")), Some(("RabbitMQ".to_owned(), 1)));
        let longest = "x".repeat(16 * 1024 - start("").len());
        assert_eq!(greet(start(&longest)), Some((longest.clone(), 1)));
        assert_eq!(greet(start(&format!("{longest}x"))), None);
        assert_eq!(greet(start("lavender-bulb-98")), None, "our own secret");
        assert_eq!(greet(b"AMQP\x00\x01\x00\x00".to_vec()), None, "another version");
        assert_eq!(greet(start("RabbitMQ")[..20].to_vec()), None);
    }

    #[tokio::test]
    async fn the_password_is_added_to_the_login_and_to_nothing_else() {
        let start_ok = |response: &[u8]| {
            let length = u32::try_from(response.len()).unwrap().to_be_bytes();
            let arguments = [b"\0\0\0\0\x05PLAIN", &length[..], response, b"\x05en_US"].concat();
            frames::method_frame(0, (10, 11), &arguments)
        };
        let (near, mut far) = tokio::io::duplex(4096);
        let (mut wire, _abort_on_drop) = greeted(near, Some("crocus-bulb-43".into())).await;
        let said = [start_ok(b"\0shop\0"), b"whatever follows".to_vec()].concat();
        for mut piece in said.chunks(10) {
            while !piece.is_empty() {
                piece = &piece[write(&mut wire, piece).await.unwrap()..];
            }
        }
        flush(&mut wire).await.unwrap();
        let expected = [start_ok(b"\0shop\0crocus-bulb-43"), b"whatever follows".to_vec()].concat();
        let mut heard = vec![0; expected.len()];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, expected);
        std::future::poll_fn(|context| Pin::new(&mut wire).poll_close(context)).await.unwrap();
        let end = tokio::time::timeout(Duration::from_secs(5), far.read(&mut heard)).await;
        assert_eq!(end.unwrap().unwrap(), 0);

        // A stream that takes nothing, and a driver whose login is none.
        let nothing = tokio::io::join(tokio::io::empty(), io::Cursor::new(Box::<[u8]>::default()));
        let (mut wire, _abort_on_drop) = greeted(nothing, None).await;
        for piece in start_ok(b"").chunks(7) {
            assert_eq!(write(&mut wire, piece).await.unwrap(), piece.len());
        }
        assert_eq!(flush(&mut wire).await.unwrap_err().kind(), io::ErrorKind::WriteZero);
        let (near, _far) = tokio::io::duplex(64);
        let (mut wire, _abort_on_drop) = greeted(near, None).await;
        let other = frames::method_frame(0, (10, 31), &[]);
        assert_eq!(write(&mut wire, &other[..7]).await.unwrap(), 7);
        assert!(write(&mut wire, &other[7..]).await.is_err());
    }

    #[tokio::test]
    async fn a_wire_remembers_why_it_ended() {
        let close = |code: u16| {
            frames::method_frame(0, (10, 50), &[&code.to_be_bytes()[..], &[0; 5]].concat())
        };
        let (near, mut far) = tokio::io::duplex(4096);
        let (mut wire, _abort_on_drop) = greeted(near, None).await;
        assert!(wire.why.reason().is_none());
        let said = [close(320), close(541)].concat();
        let in_pieces = async {
            for piece in said.chunks(9) {
                far.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (passed, ()) = tokio::join!(read(&mut wire, said.len()), in_pieces);
        assert_eq!(passed.unwrap(), said);
        assert!(matches!(wire.why.reason(), Some(Reason::Code(320))), "the first one counts");

        let (near, mut far) = tokio::io::duplex(4096);
        let (mut wire, _abort_on_drop) = greeted(near, None).await;
        far.write_all(&frames::method_frame(0, (10, 10), &[])).await.unwrap();
        assert!(read(&mut wire, 1).await.is_err());
        assert!(matches!(wire.why.reason(), Some(Reason::Foreign)));
    }

    /// Probes a server that sends this `Connection.Tune`, accepts the login, and answers each
    /// question for itself, with this code. Returns the answers, what the driver reads, and the
    /// number of questions that were asked at once.
    async fn probed(
        channels: u16,
        code: u16,
    ) -> (Result<Vec<bool>, Refusal>, io::Result<Vec<u8>>, usize) {
        use crate::asking::{Call, Question};
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let (mut wire, _abort_on_drop) = greeted(near, None).await;
        let question = |call| Question { call, queue: "q".to_owned() };
        let questions = [Call::Get, Call::Delete, Call::Declare].map(question).to_vec();
        let answers = wire.probe(Asking { questions, nobodys: "n".to_owned(), channels: 2 });
        let tune = [&channels.to_be_bytes()[..], &[0, 2, 0, 0, 0, 60]].concat();
        let said = [
            frames::method_frame(0, CONNECTION_TUNE, &tune),
            frames::method_frame(0, CONNECTION_OPEN_OK, &[0]),
        ]
        .concat();
        far.write_all(&said).await.unwrap();
        let server = async {
            let (mut asked, mut at_once) = (Vec::new(), 0);
            loop {
                let mut frame = vec![0; HEADER];
                // The client has written all that it can once nothing more comes.
                let reading = far.read_exact(&mut frame);
                match tokio::time::timeout(Duration::from_millis(5), reading).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) => return at_once,
                    Err(_) => {
                        at_once = at_once.max(asked.len());
                        let close = [&code.to_be_bytes()[..], &[0; 5]].concat();
                        for channel in asked.drain(..) {
                            let ok = frames::method_frame(channel, (20, 11), &[0; 4]);
                            let close = frames::method_frame(channel, (20, 40), &close);
                            far.write_all(&[ok, close].concat()).await.unwrap();
                        }
                        continue;
                    }
                }
                frame.resize(frames::length(&frame).unwrap(), 0);
                far.read_exact(&mut frame[HEADER..]).await.unwrap();
                if frames::method(&frame) == Some((20, 10)) {
                    asked.push(frames::channel(&frame).unwrap());
                }
            }
        };
        let driver = async {
            let passed = read(&mut wire, said.len()).await;
            drop(wire);
            passed
        };
        let both = async { tokio::join!(driver, server) };
        let limit = Duration::from_secs(10);
        let (passed, at_once) = tokio::time::timeout(limit, both).await.expect("it ends");
        (answers.await.unwrap(), passed, at_once)
    }

    #[tokio::test]
    async fn the_probe_is_over_before_the_driver_is_connected() {
        let (answers, passed, _) = probed(2047, 404).await;
        assert_eq!(answers.unwrap(), [true; 3]);
        assert_eq!(passed.unwrap().len(), 20 + 13);
        // A code that is no answer: the driver does not get the connection.
        let (answers, passed, _) = probed(2047, 541).await;
        assert!(answers.is_err() && passed.is_err());
    }

    #[tokio::test]
    async fn the_probe_has_as_many_channels_as_the_server_allows() {
        for (allowed, at_once) in [(0, 2), (1, 1), (2, 2), (2047, 2)] {
            let (answers, _, found) = probed(allowed, 403).await;
            assert_eq!((answers.unwrap(), found), (vec![false; 3], at_once), "{allowed}");
        }
    }
}

#[cfg(test)]
mod fuzz {
    use std::sync::LazyLock;

    use backing_services_fuzz::{Input, Peer, check, now};

    use super::*;
    use crate::asking::{Call, Question};
    use crate::frames::method_frame;

    const LIMITS: Limits = Limits { frame: 1024, message: 2048 };

    /// Frames of a server, each after the ones that come before it.
    static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let start = b"\0\x09\0\0\0\x35\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x053.13.0\
            \x0ccapabilitiesF\0\0\0\0\0\0\0\x0ePLAIN AMQPLAIN\0\0\0\x05en_US";
        let close = |code: u16, text: &[u8]| {
            let length = u8::try_from(text.len()).unwrap();
            [&code.to_be_bytes()[..], &[length], text, &[0; 4]].concat()
        };
        let header =
            b"\x02\0\x01\0\0\0\x1a\0\x3c\0\0\0\0\0\0\0\0\0\x05\x20\0\0\0\0\x08\x01xA\0\0\0\
            \x01t\xce";
        let heartbeat = b"\x08\0\0\0\0\0\0\xce";
        vec![
            method_frame(0, (10, 10), start),
            [
                method_frame(0, (10, 30), &[7, 0xff, 0, 2, 0, 0, 0, 60]),
                method_frame(0, (10, 41), &[0]),
                heartbeat.to_vec(),
            ]
            .concat(),
            [
                method_frame(1, (20, 11), &[0; 4]),
                method_frame(1, (20, 40), &close(403, b"ACCESS_REFUSED access to exchange")),
                method_frame(2, (20, 11), &[0; 4]),
                method_frame(2, (20, 40), &close(404, b"NOT_FOUND")),
            ]
            .concat(),
            [
                method_frame(1, (20, 11), &[0; 4]),
                method_frame(1, (60, 71), &[0; 15]),
                header.to_vec(),
                b"\x03\0\x01\0\0\0\x05hello\xce".to_vec(),
                method_frame(1, (20, 41), &[]),
            ]
            .concat(),
            method_frame(0, (10, 50), &close(320, b"lavender-bulb-97")),
            method_frame(0, (10, 11), b"\0\0\0\0\x05PLAIN\0\0\0\x06\0shop\0\x05en_US"),
            b"AMQP\0\0\x09\x01".to_vec(),
        ]
    });

    /// The bytes that the driver gets, and whether all frames of the server were passed on.
    fn read(stream: Peer) -> (Vec<u8>, bool) {
        use futures_io::{AsyncRead as _, AsyncWrite as _};
        let secret = Some(SecretString::from("lavender-bulb-97"));
        let (mut wire, _abort_on_drop) = Wire::new(stream, LIMITS, secret, vec![0]);
        let mut buffer = [0; 64];
        let mut passed = Vec::new();
        now(std::future::poll_fn(|context| {
            Pin::new(&mut wire).poll_write(context, PROTOCOL).map(drop)
        }));
        loop {
            let reading =
                |context: &mut Context<'_>| Pin::new(&mut wire).poll_read(context, &mut buffer);
            match now(std::future::poll_fn(reading)) {
                Ok(0) => return (passed, true),
                Ok(count) => passed.extend_from_slice(&buffer[..count]),
                Err(_) => return (passed, false),
            }
            assert!(wire.frame.capacity() <= 2 * (LIMITS.frame + CHUNK));
        }
    }

    /// The driver gets whole frames that passed the checks, and nothing else, however the server
    /// splits them; and the probe, before it, reads answers or refuses them.
    #[test]
    fn any_stream_is_passed_on_frame_by_frame() {
        check!(&FRAMES, |input: &Input| {
            let (passed, is_whole) = read(input.stream());
            assert_eq!((passed.clone(), is_whole), read(input.whole_stream()));
            // The first byte stands for the greeting.
            let mut rest = &passed[1..];
            assert!(input.bytes().starts_with(rest));
            while !rest.is_empty() {
                let length = frames::length(rest).unwrap();
                assert!(length <= LIMITS.frame);
                let (frame, others) = rest.split_at(length);
                assert!(frames::passes(frame, LIMITS.message, Some(b"lavender-bulb-97")));
                rest = others;
            }
            read_alone(input.bytes());
            answers_are_read_or_refused(input);
        });
    }

    /// Every reader of a frame, with bytes that did not pass the checks.
    fn read_alone(frame: &[u8]) {
        let _ = (frames::length(frame), frames::channel(frame), frames::most_channels(frame));
        let _ = (frames::closing(frame), frames::reason(frame));
        if let Some((class, method)) = frames::method(frame) {
            assert_eq!(frame[7..11], [class.to_be_bytes(), method.to_be_bytes()].concat());
        }
        if let Some(Greeting { product, version, mechanisms }) = frames::greeting(frame, None) {
            let texts = product.iter().chain(&version).chain(&mechanisms);
            assert!(texts.map(String::len).sum::<usize>() <= frame.len());
        }
        if let Some(whole) = frames::login(frame, b"secret") {
            assert_eq!(whole.len(), frame.len() + 6);
            assert!(whole.windows(6).any(|part| part == b"secret"));
        }
    }

    fn answers_are_read_or_refused(input: &Input) {
        fn ask(mut stream: Peer) -> (Option<Vec<bool>>, Vec<u8>) {
            let question = |call| Question { call, queue: "q".to_owned() };
            let questions = [Call::Bind, Call::Get, Call::Delete].map(question).to_vec();
            let asking = Asking { questions, nobodys: "probe.1".to_owned(), channels: 2 };
            let secret = Some(&b"lavender-bulb-97"[..]);
            let why = CloseReason::default();
            let kept = Vec::new();
            let mut conversation =
                Conversation { stream: &mut stream, limits: LIMITS, secret, why: &why, kept };
            let answers = now(conversation.ask(&asking)).ok();
            // A refusal has a reason, unless the connection just ended.
            assert!(answers.is_none() || why.reason().is_none());
            (answers, conversation.kept)
        }
        let (answers, kept) = ask(input.stream());
        assert_eq!((answers.clone(), kept.clone()), ask(input.whole_stream()));
        assert!(answers.is_none_or(|answers| answers.len() == 3));
        assert!(kept.len() <= input.bytes().len());
    }
}
