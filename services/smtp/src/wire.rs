//! The stream for lettre's connection: our own verified stream. It writes the password itself, and
//! redacts it in the lines that lettre reads.
//!
//! With lettre's feature `tracing`, which any crate of a program may enable, lettre logs each line
//! that it writes and reads at `debug`, including the one with the password. So lettre gets
//! placeholders for the user and the password, and this stream replaces them.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use backing_services_runtime::service::{Stream, redact};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::AsyncTokioStream;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The limit for the server's data until we send again, in bytes: sixteen lines of the longest that
/// RFC 5321, 4.5.3.1.5, allows. For each line, lettre parses an answer again from its beginning, so
/// the time grows with the square of the size.
const MAX_ANSWER: usize = 8 * 1024;

/// The length of an answer's code, with the `-` or the blank after it (RFC 5321, 4.2).
const CODE: usize = 4;

/// The size of one read.
const CHUNK: usize = 2 * 1024;

/// The placeholders that lettre gets.
const USER: &str = "(the user)";
const PASSWORD: &str = "(the password)";

/// The credentials that lettre gets: the placeholders.
pub(super) fn credentials() -> Credentials {
    Credentials::new(USER.to_owned(), PASSWORD.to_owned())
}

/// The user and the password, until the login has ended. After that placeholders are not replaced:
/// they might be text of a message.
#[derive(Clone)]
pub(super) struct Login(Arc<Lock<Option<(String, SecretString)>>>);

impl Login {
    pub(super) fn new(login: Option<(&str, &SecretString)>) -> Self {
        Self(Arc::new(Lock::new(login.map(|(user, password)| (user.to_owned(), password.clone())))))
    }

    pub(super) fn done(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The command with the credentials in place of the placeholders; `None` if it has no
    /// placeholder.
    fn written(&self, command: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let login = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (user, password) = login.as_ref()?;
        let command = str::from_utf8(command).ok()?.strip_suffix("\r\n")?;
        let (before, response) = match command.strip_prefix("AUTH PLAIN ") {
            Some(response) => ("AUTH PLAIN ", response),
            None => ("", command),
        };
        let meant = match STANDARD.decode(response).ok()?.as_slice() {
            said if said == plain(USER, PASSWORD).as_bytes() => {
                plain(user, password.expose_secret())
            }
            said if said == USER.as_bytes() => Zeroizing::new(user.clone()),
            said if said == PASSWORD.as_bytes() => {
                Zeroizing::new(password.expose_secret().to_owned())
            }
            _ => return None,
        };
        let encoded = Zeroizing::new(STANDARD.encode(meant.as_bytes()));
        Some(Zeroizing::new([before.as_bytes(), encoded.as_bytes(), b"\r\n"].concat()))
    }
}

/// RFC 4616, 2.
fn plain(user: &str, password: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("\0{user}\0{password}"))
}

/// The stream that lettre gets.
pub(super) struct Wire<S = Stream> {
    stream: S,
    login: Login,
    /// The bytes that the server may still send; `None` once the server is refused. Then nothing is
    /// read or written any more: lettre says `QUIT` after an error.
    left: Option<usize>,
    /// The received part of an incomplete line.
    line: Vec<u8>,
    /// The complete lines, and the number of bytes that lettre has read of them.
    lines: Vec<u8>,
    served: usize,
    /// Bytes that are sent before lettre's next ones.
    pending: Zeroizing<Vec<u8>>,
    sent: usize,
}

impl Wire {
    pub(super) fn new(stream: Stream, login: Login) -> Self {
        Self::of(stream, login)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn of(stream: S, login: Login) -> Self {
        let pending = Zeroizing::default();
        Self {
            stream,
            login,
            left: Some(MAX_ANSWER),
            line: Vec::new(),
            lines: Vec::new(),
            served: 0,
            pending,
            sent: 0,
        }
    }

    /// Adds received data, and moves complete lines to `lines`.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self.left.and_then(|left| left.checked_sub(bytes.len()));
        self.sound()?;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.end_line()?;
            }
        }
        Ok(())
    }

    fn sound(&self) -> io::Result<()> {
        self.left.map(drop).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn end_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        // The code is not redacted: its `-` could be one of base64. What begins with no code is no
        // answer, and lettre may log it all the same.
        let is_code = matches!(&*line, [a, b, c, b'-' | b' ', ..]
            if [a, b, c].iter().all(|byte| byte.is_ascii_digit()));
        let (code, text) = line.split_at(if is_code { CODE } else { 0 });
        if !redact::is_in(text) && redact::is_in(&line) {
            self.left = None;
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.lines.extend_from_slice(code);
        if redact::is_in(text) {
            let mut text = String::from_utf8_lossy(text).into_owned();
            redact::redact_text(&mut text);
            self.lines.extend_from_slice(text.as_bytes());
        } else {
            self.lines.extend_from_slice(text);
        }
        Ok(())
    }

    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.pending.len() {
            let count =
                ready!(Pin::new(&mut self.stream).poll_write(context, &self.pending[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        self.pending = Zeroizing::default();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S> fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        // lettre only uses it for messages.
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.sound()?;
        while this.served == this.lines.len() {
            this.lines.clear();
            this.served = 0;
            let mut chunk = [0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            if !read.filled().is_empty() {
                this.take(read.filled())?;
            } else if this.line.is_empty() {
                return Poll::Ready(Ok(()));
            } else {
                this.end_line()?;
            }
        }
        let rest = &this.lines[this.served..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        this.served += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.sound()?;
        ready!(this.poll_pending(context))?;
        this.left = Some(MAX_ANSWER);
        // lettre writes each command in one call.
        match this.login.written(bytes) {
            Some(written) => {
                this.pending = written;
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(&mut this.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.sound()?;
        ready!(this.poll_pending(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use backing_services_fuzz::now;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn a_secret_is_redacted_wherever_it_stands_in_a_line() {
        let read = |said: &'static [u8]| {
            let mut wire = Wire::of(tokio::io::join(said, tokio::io::sink()), Login::new(None));
            let mut buffer = [0; 256];
            let mut buffer = ReadBuf::new(&mut buffer);
            let mut context = Context::from_waker(std::task::Waker::noop());
            match Pin::new(&mut wire).poll_read(&mut context, &mut buffer) {
                Poll::Ready(Ok(())) => Some(String::from_utf8_lossy(buffer.filled()).into_owned()),
                _ => None,
            }
        };
        let _guarded = redact::Guarded::new("gentian-bulb-7".into());
        let _other = redact::Guarded::new("250-gentian-root".into());
        assert_eq!(read(b"535 gentian-bulb-7\r\n").as_deref(), Some("535 (the password)\r\n"));
        assert_eq!(read(b"gentian-bulb-7\r\n").as_deref(), Some("(the password)\r\n"));
        assert_eq!(read(b"25 gentian-bulb-7").as_deref(), Some("25 (the password)"));
        assert_eq!(read(b"250-gentian-root\r\n"), None, "the code is a part of it");
        assert_eq!(read(b"250-SIZE 7\r\n").as_deref(), Some("250-SIZE 7\r\n"));
        assert_eq!(read(b"220 hello\r\n250-gentian-root\r\n"), None, "in any line");
    }

    /// Takes a few bytes at a time, and notes what it took.
    #[derive(Default)]
    struct Slow {
        at_once: usize,
        said: &'static [u8],
        heard: Vec<u8>,
        is_flushed: bool,
        is_shut_down: bool,
    }

    impl AsyncRead for Slow {
        fn poll_read(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().said).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let this = self.get_mut();
            let count = bytes.len().min(this.at_once);
            this.heard.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.get_mut().is_flushed = true;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.get_mut().is_shut_down = true;
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_login_is_sent_whole_and_before_the_next_command() {
        let encoded = |text: &str| format!("{}\r\n", STANDARD.encode(text));
        let password = SecretString::from("crocus-bulb-43");
        let stream = Slow { at_once: 3, ..Slow::default() };
        let mut wire = Wire::of(stream, Login::new(Some(("ada", &password))));
        let user = encoded(USER);
        assert_eq!(now(wire.write(user.as_bytes())).unwrap(), user.len());
        assert!(wire.stream.heard.is_empty());
        now(wire.flush()).unwrap();
        assert!(wire.stream.is_flushed);
        assert_eq!(wire.stream.heard, encoded("ada").as_bytes());
        now(wire.write_all(encoded(PASSWORD).as_bytes())).unwrap();
        assert_eq!(now(wire.write(b"NOOP\r\n")).unwrap(), 3, "as the stream takes it");
        let heard = [encoded("ada"), encoded("crocus-bulb-43"), "NOO".to_owned()].concat();
        assert_eq!(wire.stream.heard, heard.as_bytes());
        assert!(!wire.stream.is_shut_down);
        now(wire.shutdown()).unwrap();
        assert!(wire.stream.is_shut_down);
        // A stream that takes nothing.
        let mut wire = Wire::of(Slow::default(), Login::new(Some(("ada", &password))));
        now(wire.write_all(user.as_bytes())).unwrap();
        assert_eq!(now(wire.flush()).unwrap_err().kind(), io::ErrorKind::WriteZero);
        assert_eq!(format!("{wire:?}"), "Wire");
    }

    #[test]
    fn an_answer_has_an_end_and_a_server_that_exceeds_it_is_left() {
        let read = |length: usize| {
            let said: &'static [u8] = vec![b'x'; length].leak();
            let mut wire = Wire::of(Slow { said, ..Slow::default() }, Login::new(None));
            let mut answer = Vec::new();
            let mut piece = [0; 100];
            loop {
                match now(wire.read(&mut piece)) {
                    Ok(0) => break (wire, answer.len(), true),
                    Ok(count) => answer.extend_from_slice(&piece[..count]),
                    Err(_) => break (wire, answer.len(), false),
                }
            }
        };
        let (_, length, is_whole) = read(8192);
        assert_eq!((length, is_whole), (8192, true));
        let (mut wire, _, is_whole) = read(8193);
        assert!(!is_whole);
        wire.stream.said = b"250 sorry\r\n";
        let errors = [
            now(wire.read(&mut [0; 100])).unwrap_err(),
            now(wire.write(b"QUIT\r\n")).unwrap_err(),
            now(wire.flush()).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.kind() == io::ErrorKind::InvalidData));
        assert!(wire.stream.heard.is_empty() && !wire.stream.is_flushed);
    }

    #[test]
    fn placeholders_are_replaced_until_the_login_has_ended() {
        let password = SecretString::from("crocus-bulb-43");
        let login = Login::new(Some(("ada", &password)));
        let of = |command: String| {
            login
                .written(command.as_bytes())
                .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        };
        let encoded = |text: &str| STANDARD.encode(text);
        let plain = format!("AUTH PLAIN {}\r\n", encoded("\0(the user)\0(the password)"));
        assert_eq!(
            of(plain.clone()),
            Some(format!("AUTH PLAIN {}\r\n", encoded("\0ada\0crocus-bulb-43")))
        );
        assert_eq!(of(format!("{}\r\n", encoded(USER))), Some(format!("{}\r\n", encoded("ada"))));
        assert_eq!(
            of(format!("{}\r\n", encoded(PASSWORD))),
            Some(format!("{}\r\n", encoded("crocus-bulb-43")))
        );
        for other in
            ["EHLO [127.0.0.1]\r\n", "AUTH LOGIN\r\n", "NOOP\r\n", "\r\n", "", "(the password)\r\n"]
        {
            assert_eq!(of(other.to_owned()), None);
        }
        login.done();
        assert_eq!(of(plain), None);
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{Input, check, now};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    const ANSWERS: &[&str] = &[
        "220 mail.example.com ESMTP Exim 4.97\r\n",
        "250-mail.example.com Hello [192.0.2.1]\r\n250-SIZE 52428800\r\n250 AUTH PLAIN LOGIN\r\n",
        "334 VXNlcm5hbWU6\r\n535 Incorrect authentication data (iris-bulb-7100)\r\n",
        "250 aXJpcy1idWxiLTcxMDA=\r\n25\r\n\n250-iris%2dbulb-7100",
        "AUTH PLAIN AGFkYQBjcm9jdXMtYnVsYi00Mw==\r\n",
    ];

    fn read(stream: impl AsyncRead + AsyncWrite + Unpin) -> (Vec<u8>, bool) {
        let mut wire = Wire::of(stream, Login::new(None));
        let mut answer = Vec::new();
        let ended = now(wire.read_to_end(&mut answer));
        assert!(wire.line.len() <= MAX_ANSWER && wire.lines.len() <= 4 * MAX_ANSWER);
        (answer, ended.is_ok())
    }

    /// lettre gets the lines, without our secrets, and no more than an answer may have, however the
    /// server splits them.
    #[test]
    fn any_answer_is_passed_on_without_secrets() {
        check!(ANSWERS, |input: &Input| {
            let _guarded = redact::Guarded::new("iris-bulb-7100".into());
            let (answer, is_whole) = read(input.stream());
            let (whole, same) = read(input.whole_stream());
            assert_eq!(is_whole, same);
            assert!(!is_whole || answer == whole);
            assert!(
                is_whole == (input.bytes().len() <= MAX_ANSWER) || redact::is_in(input.bytes())
            );
            for line in answer.split_inclusive(|byte| *byte == b'\n') {
                assert!(!redact::is_in(line), "{}", line.escape_ascii());
            }
            if !redact::is_in(input.bytes()) && is_whole {
                assert_eq!(answer, input.bytes());
            }
            // lettre's commands are its own.
            let login = Login::new(Some(("ada", &SecretString::from("iris-bulb-7100"))));
            if let Some(written) = login.written(input.bytes()) {
                assert!(written.ends_with(b"\r\n") && input.bytes().ends_with(b"\r\n"));
            }
        });
    }
}
