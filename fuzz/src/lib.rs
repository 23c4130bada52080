//! The inputs of the fuzz targets.
//!
//! A target is a unit test beside the reader that it tests, in a module `fuzz`. `cargo test`
//! replays its corpus and then tries random inputs for a second; `ci/fuzz` searches with libFuzzer,
//! which the coverage guides.
//!
//! Random bytes seldom get past the first check of a grammar. So most inputs are examples with a
//! few edits.

use std::borrow::Cow;
use std::io;
use std::net::ToSocketAddrs as _;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use backing_services_runtime::service::{Host, Target};
use backing_services_runtime::{Environment, Service, store};
pub use bolero;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

/// Runs a target: the check gets an [`Input`] that is made from the examples.
#[macro_export]
macro_rules! check {
    ($examples:expr, $check:expr $(,)?) => {
        $crate::bolero::check!().for_each(|bytes: &[u8]| {
            let check: fn(&$crate::Input) = $check;
            check(&$crate::Input::new(bytes, $examples));
        })
    };
}

/// An input of a target.
#[derive(Clone, Debug)]
pub struct Input {
    bytes: Vec<u8>,
    piece: usize,
}

/// The most edits of an example. With more, few inputs would be accepted.
const MOST_EDITS: usize = 8;

/// The longest range that one edit removes or copies, in bytes.
const LONGEST_EDIT: usize = 32;

impl Input {
    /// Makes an input from the bytes of the fuzzer. The first byte chooses an example, or no
    /// example if it is one of the last 32; the second the number of edits; the third the size of
    /// the pieces. An edit has four bytes.
    #[must_use]
    pub fn new<E: AsRef<[u8]>>(bytes: &[u8], examples: &[E]) -> Self {
        let [first, count, piece, rest @ ..] = bytes else {
            return Self { bytes: bytes.to_vec(), piece: 1 };
        };
        let piece = 1 + usize::from(*piece);
        let example = |choice: u8| examples[usize::from(choice) % examples.len()].as_ref();
        if *first >= 0xe0 || examples.is_empty() {
            return Self { bytes: rest.to_vec(), piece };
        }
        let mut bytes = example(*first).to_vec();
        for edit in rest.as_chunks().0.iter().take(usize::from(*count) % (MOST_EDITS + 1)) {
            edited(&mut bytes, *edit, example);
        }
        Self { bytes, piece }
    }

    /// The whole input.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The input as text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// The input in pieces of one size, as a network may split it.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(self.piece)
    }

    /// The input as what a peer sends, in pieces. What is written to it is dropped.
    #[must_use]
    pub fn stream(&self) -> Peer {
        Peer { bytes: self.bytes.clone(), at: 0, piece: self.piece }
    }

    /// The same in one piece.
    #[must_use]
    pub fn whole_stream(&self) -> Peer {
        Peer { bytes: self.bytes.clone(), at: 0, piece: usize::MAX }
    }

    /// A number from the input, for a choice that the bytes do not make.
    #[must_use]
    pub const fn choice(&self) -> usize {
        self.piece
    }
}

/// Edits an example: the kind of edit, two bytes of position, and a value.
fn edited<'a>(bytes: &mut Vec<u8>, edit: [u8; 4], example: impl Fn(u8) -> &'a [u8]) {
    let [kind, high, low, value] = edit;
    let position = usize::from(u16::from_be_bytes([high, low]));
    let scaled = |length: usize| (position * length) >> 16;
    let at = scaled(bytes.len());
    let length = 1 + usize::from(kind / 8) % LONGEST_EDIT;
    let end = (at + length).min(bytes.len());
    match kind % 8 {
        0 if at < bytes.len() => bytes[at] = value,
        1 | 2 => bytes.insert(at, value),
        3 => drop(bytes.drain(at..end)),
        4 => bytes.truncate(at),
        // A range again, as often as the value says.
        5 => {
            let again = bytes[at..end].repeat(usize::from(value % 4));
            bytes.splice(at..at, again);
        }
        // A part of another example, in place of one of this, or before it.
        _ => {
            let other = example(value);
            let from = scaled(other.len());
            let part = other[from..(from + length).min(other.len())].iter().copied();
            let replaced = if kind % 8 == 6 { at..end } else { at..at };
            bytes.splice(replaced, part);
        }
    }
}

/// A peer that sends an input, and then ends the connection.
#[derive(Clone, Debug)]
pub struct Peer {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
}

impl AsyncRead for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = &this.bytes[this.at..];
        let count = rest.len().min(this.piece).min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        this.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
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

/// Runs what never waits for long: a [`Peer`] has its bytes at once, and a reader yields now and
/// then.
///
/// # Panics
/// If it waits for something else.
pub fn now<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return done;
        }
    }
    panic!("it waits for something that does not come")
}

/// The target of a locator, if all rules accept it.
#[must_use]
#[allow(clippy::expect_used, reason = "a test needs a runtime")]
pub fn target<S: Service>(locator: &str) -> Option<Target> {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    });
    let source = Arc::new(Environment::from_iter([("FUZZ_URL", locator)]));
    let loading = store::load::<S>("fuzz", source, "FUZZ", Duration::from_secs(10));
    let loaded = RUNTIME.block_on(loading);
    loaded.ok().map(|loaded| loaded.target().clone())
}

/// True if a driver that reads this text as the host would dial the host of our locator.
#[must_use]
pub fn is_same_host(ours: &Host, theirs: &str) -> bool {
    let theirs = theirs.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(theirs);
    let theirs = theirs.strip_suffix('.').unwrap_or(theirs);
    match ours {
        Host::Address(ours) => (theirs, 1)
            .to_socket_addrs()
            .is_ok_and(|mut addresses| addresses.all(|theirs| theirs.ip().to_canonical() == *ours)),
        ours => ours.to_string().eq_ignore_ascii_case(theirs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_an_example_with_edits_or_what_the_fuzzer_wrote() {
        let of = |bytes: &[u8]| Input::new(bytes, &["abcd", "xyz"]).bytes().to_vec();
        assert_eq!(of(&[0, 0, 0]), b"abcd");
        assert_eq!(of(&[1, 9, 0, 0, 0, 0, b'?']), b"xyz", "nine edits are none");
        assert_eq!(of(&[0, 1, 0, 0, 0x40, 0, b'?']), b"a?cd");
        assert_eq!(of(&[0, 1, 0, 1, 0x40, 0, b'?']), b"a?bcd");
        assert_eq!(of(&[0, 1, 0, 3 + 8, 0x40, 0, 0]), b"ad");
        assert_eq!(of(&[0, 1, 0, 4, 0x80, 0, 0]), b"ab");
        assert_eq!(of(&[0, 1, 0, 5, 0x40, 0, 2]), b"abbbcd");
        assert_eq!(of(&[0, 1, 0, 6 + 8, 0x40, 0, 1]), b"axyd");
        assert_eq!(of(&[0, 1, 0, 7 + 8, 0x40, 0, 1]), b"axybcd");
        assert_eq!(of(&[0, 3, 0, 4, 0, 0, 0, 0, 0, 0, b'?', 3, 0, 0, 0]), b"");
        assert_eq!(of(&[0xff, 9, 9, b'r', b'a', b'w']), b"raw");
        assert_eq!(of(b"ab"), b"ab");
    }

    #[test]
    fn pieces_are_the_whole() {
        let input = Input::new(&[0, 0, 2], &["abcdefgh"]);
        assert_eq!(input.pieces().collect::<Vec<_>>(), [&b"abc"[..], b"def", b"gh"]);
        assert_eq!((input.text().as_ref(), input.choice()), ("abcdefgh", 3));
    }
}
