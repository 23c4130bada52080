//! Limits on the messages and requests of a server, checked before the driver trusts them.
//!
//! The driver buffers a message until it is complete, up to 2 GiB. These limits read along, header
//! by header. They end the connection at the first header that announces too much, and at an error
//! that contains one of our secrets. They also read the authentication method that the server asks
//! for, and end the connection if that is weaker than was demanded.

use std::sync::{Arc, OnceLock};

use backing_services_runtime::service::metered::{FrameCheck, Metered};
use backing_services_runtime::service::redact;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use crate::postgresql::AuthRequest;

/// The longest message until the connection is settled, in bytes. The list of SASL mechanisms has
/// some 40, an error some 200.
const LONGEST_AT_FIRST: u64 = 16 * 1024;

/// The total until the connection is settled, in bytes: the driver keeps every notice, parameter
/// and row of it. PostgreSQL sends some 2000, and then some 100 for each of the account's
/// privileges, of which there are at most 2000.
const MOST_AT_FIRST: u64 = 1024 * 1024;

/// The fewest iterations of SCRAM: PostgreSQL's own default, and the minimum of RFC 7677. With
/// fewer, an attacker can guess the password from the proof more cheaply.
const FEWEST_ITERATIONS: u64 = 4096;

/// The longest error or notice, in bytes: 256 KiB. It is searched for our credentials.
const LONGEST_TEXT: u64 = 256 * 1024;

/// `ErrorResponse`, `NoticeResponse` and `ParameterStatus`: the driver logs them, or hands them on
/// unchanged.
const TEXTS: [u8; 3] = *b"ENS";

/// The observations of a server on one connection.
#[derive(Default)]
pub(super) struct ServerObservations {
    /// The authentication method that the server asked for.
    pub(super) asked: OnceLock<AuthRequest>,
    /// Set if the server asks for fewer iterations of SCRAM than the minimum.
    pub(super) cheap: OnceLock<()>,
    /// Set if this stream ended the connection, whatever error the driver reports.
    pub(super) refused: OnceLock<()>,
    /// Set when the server has answered the queries of attaching, or of a new connection. From then
    /// on, it may send what the application asks for.
    pub(super) settled: OnceLock<()>,
}

/// The authentication that is demanded of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// SCRAM, bound to the TLS connection.
    Binding,
    /// SCRAM without a binding, as there is no TLS.
    Scram,
    /// No more than the TLS connection, in whose handshake the client's certificate was sent.
    Certificate,
    /// Any method: the rule is waived.
    Anything,
}

impl Demand {
    /// True if the method that the server asks for is enough. `binds` is true if its certificate
    /// defines a binding.
    pub(super) fn is_met(self, asked: AuthRequest, binds: bool) -> bool {
        match self {
            _ if asked == AuthRequest::Unknown => false,
            Self::Binding => asked == AuthRequest::Scram { bound: true } && binds,
            Self::Scram => matches!(asked, AuthRequest::Scram { .. }),
            Self::Certificate => asked == AuthRequest::Nothing,
            Self::Anything => true,
        }
    }
}

/// A stream whose messages stay within the limits. The driver binds its login to it.
pub(super) type Limited<'a> = Box<dyn BoundStream + 'a>;

/// A stream that has a channel binding. The driver's own trait cannot be implemented for
/// [`Metered`], which is of another crate.
pub(super) trait BoundStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// `tls-server-end-point`.
    fn binding(&self) -> Option<&[u8]>;
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> BoundStream for Metered<T, MessageLimits> {
    fn binding(&self) -> Option<&[u8]> {
        self.check().binding.as_deref()
    }
}

impl TlsStream for Limited<'_> {
    fn channel_binding(&self) -> ChannelBinding {
        let binding = self.binding().map(<[u8]>::to_vec);
        binding.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// The state of a stream in the protocol.
pub(super) struct MessageLimits {
    /// `tls-server-end-point`, if the server's certificate defines one.
    binding: Option<Vec<u8>>,
    largest: u64,
    /// The bytes that may still arrive until the connection is settled.
    left: u64,
    /// `None` as soon as the server is ready for a query.
    login: Option<Login>,
    observed: Arc<ServerObservations>,
    state: State,
}

struct Login {
    demand: Demand,
    binds: bool,
}

impl Login {
    /// Reads an `Authentication…` message. The first one asks for a method. Of those of SCRAM, one
    /// has the number of iterations.
    fn read(&self, body: &[u8], observed: &ServerObservations) -> Result<(), &'static str> {
        if observed.asked.get().is_none() {
            let asked =
                AuthRequest::read(body).ok_or("the server sent an authentication that is none")?;
            let asked = *observed.asked.get_or_init(|| asked);
            if !self.demand.is_met(asked, self.binds) {
                return Err("the server asks for less than it has to prove");
            }
        }
        if let Some(challenge) = body.strip_prefix(&[0, 0, 0, 11])
            && self.demand != Demand::Anything
            && iterations(challenge).is_none_or(|iterations| iterations < FEWEST_ITERATIONS)
        {
            let _ = observed.cheap.set(());
            return Err("the server wants too few iterations");
        }
        Ok(())
    }
}

/// The `i=` of the server's first SCRAM message (RFC 5802, 5.1). The driver enforces the maximum.
fn iterations(challenge: &[u8]) -> Option<u64> {
    let number =
        challenge.split(|byte| *byte == b',').find_map(|field| field.strip_prefix(b"i="))?;
    str::from_utf8(number).ok()?.parse().ok()
}

enum State {
    /// A message's type and length, as far as they have arrived.
    Header { bytes: [u8; 5], filled: usize },
    /// In a message's body, of which `left` bytes have not arrived. The body is kept if it is a
    /// text or an authentication request.
    Body { kind: u8, left: u64, kept: Option<Vec<u8>> },
}

impl FrameCheck for MessageLimits {
    fn check(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.read(bytes).inspect_err(|_| {
            let _ = self.observed.refused.set(());
        })
    }
}

impl MessageLimits {
    /// `largest` is the size limit of one message, in bytes. `binding` is
    /// `tls-server-end-point`, if the server's certificate defines one. `observed` collects the
    /// server's requests.
    pub(super) fn new(
        demand: Demand,
        binding: Option<Vec<u8>>,
        largest: u64,
        observed: Arc<ServerObservations>,
    ) -> Self {
        let login = Some(Login { demand, binds: binding.is_some() });
        let state = State::Header { bytes: [0; 5], filled: 0 };
        Self { binding, largest, left: MOST_AT_FIRST, login, observed, state }
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Header { bytes: header, filled } => {
                    header[*filled] = byte;
                    *filled += 1;
                    bytes = rest;
                    if *filled == header.len() {
                        let [kind, length @ ..] = *header;
                        self.begin(kind, u32::from_be_bytes(length))?;
                    }
                }
                State::Body { left, kept, .. } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    if let Some(kept) = kept {
                        kept.extend_from_slice(&bytes[..here]);
                    }
                    *left -= here as u64;
                    bytes = &bytes[here..];
                }
            }
            // Also if a message has no body.
            if let State::Body { left: 0, .. } = self.state {
                self.end()?;
            }
        }
        Ok(())
    }

    /// Checks a complete header against the limits.
    fn begin(&mut self, kind: u8, length: u32) -> Result<(), &'static str> {
        // The length counts itself.
        let length =
            u64::from(length.checked_sub(4).ok_or("the server sent a length that is none")?);
        if self.observed.settled.get().is_none() {
            if length > LONGEST_AT_FIRST || length + 5 > self.left {
                return Err("the server promised more than it may say at first");
            }
            self.left -= length + 5;
        } else if length > self.largest {
            return Err("the server promised a message that is larger than `max_message` allows");
        }
        let is_text = TEXTS.contains(&kind);
        if is_text && length > LONGEST_TEXT {
            return Err("the server promised an error that is longer than 256 KiB");
        }
        let keep = is_text || kind == b'R' && self.login.is_some();
        self.state = State::Body { kind, left: length, kept: keep.then(Vec::new) };
        Ok(())
    }

    /// Handles a complete message.
    fn end(&mut self) -> Result<(), &'static str> {
        let next = State::Header { bytes: [0; 5], filled: 0 };
        let State::Body { kind, kept, .. } = std::mem::replace(&mut self.state, next) else {
            return Ok(());
        };
        match (kind, &self.login, kept) {
            (b'R', Some(login), Some(body)) => login.read(&body, &self.observed)?,
            (_, _, Some(text)) if redact::is_in(&text) => {
                return Err("the server said a secret of ours back");
            }
            _ => {}
        }
        if kind == b'Z' {
            self.login = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use backing_services_runtime::service::metered::AT_ONCE;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn reader(demand: Demand, binds: bool) -> MessageLimits {
        MessageLimits::new(demand, binds.then(Vec::new), 100_000, Arc::default())
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
    }

    fn asks(code: u32, rest: &[u8]) -> Vec<u8> {
        message(b'R', &[&code.to_be_bytes()[..], rest].concat())
    }

    /// The verdict on the bytes as a whole. Asserts the same verdict if they are cut at any
    /// position.
    fn verdict(demand: Demand, binds: bool, bytes: &[u8]) -> bool {
        let whole = |parts: &[&[u8]]| {
            let mut reader = reader(demand, binds);
            parts.iter().try_for_each(|bytes| reader.read(bytes)).is_ok()
        };
        let verdict = whole(&[bytes]);
        for cut in 0..bytes.len() {
            assert_eq!(whole(&[&bytes[..cut], &bytes[cut..]]), verdict, "cut at {cut}");
        }
        verdict
    }

    const PLUS: &[u8] = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    const SCRAM: &[u8] = b"SCRAM-SHA-256\0\0";

    #[test]
    fn a_server_that_never_stops_sending_does_not_hold_the_thread() {
        let mut limits = reader(Demand::Binding, true);
        limits.largest = u64::MAX;
        let _ = limits.observed.settled.set(());
        // Each message has the type 1 and a length of 16 MiB.
        let flood = tokio::io::repeat(1).take(4 * AT_ONCE as u64);
        let (mut stream, mut read) = (Metered::new(flood, limits), Vec::new());
        let mut context = Context::from_waker(Waker::noop());
        let copied = pin!(tokio::io::copy(&mut stream, &mut read)).poll(&mut context);
        assert!(copied.is_pending());
        assert_eq!(read.len(), AT_ONCE);
    }

    #[test]
    fn each_demand_accepts_its_methods() {
        use Demand::{Anything, Binding, Certificate, Scram};
        for (asked, met_by) in [
            (asks(0, b""), &[Certificate, Anything][..]),
            (asks(3, b""), &[Anything]),
            (asks(5, b"salt"), &[Anything]),
            (asks(10, SCRAM), &[Scram, Anything]),
            (asks(10, PLUS), &[Binding, Scram, Anything]),
            (asks(10, b"OAUTHBEARER\0\0"), &[]),
            (asks(7, b""), &[]),
            (message(b'R', b""), &[]),
        ] {
            for demand in [Binding, Scram, Certificate, Anything] {
                assert_eq!(
                    verdict(demand, true, &asked),
                    met_by.contains(&demand),
                    "{demand:?} {asked:?}"
                );
            }
        }
        assert!(
            !verdict(Binding, false, &asks(10, PLUS)),
            "a certificate that defines no binding binds nothing"
        );
    }

    #[test]
    fn iterations_are_not_too_few() {
        for (challenge, enough) in [
            (&b"r=a,s=b,i=4096"[..], true),
            (b"r=a,s=b,i=100000", true),
            (b"r=a,s=b,i=4095", false),
            (b"r=a,s=b,i=0", false),
            (b"r=a,s=b,i=-1", false),
            (b"r=a,s=b", false),
            (b"", false),
        ] {
            let asked = [asks(10, PLUS), asks(11, challenge)].concat();
            assert_eq!(verdict(Demand::Binding, true, &asked), enough, "{challenge:?}");
            assert!(verdict(Demand::Anything, true, &asked), "that is waived");
        }
    }

    #[test]
    fn follows_a_login_and_what_comes_after() {
        let mut all = asks(10, PLUS);
        all.extend(asks(11, b"r=abc,s=c2FsdA==,i=4096"));
        all.extend(asks(12, b"v=abc"));
        // The driver checks the later ones.
        all.extend(asks(0, b""));
        all.extend(message(b'S', b"server_version\x0016\0"));
        all.extend(message(b'Z', b"I"));
        let mut reader = reader(Demand::Binding, true);
        assert!(reader.read(&all).is_ok());
        let _ = reader.observed.settled.set(());
        let rows = [message(b'D', &[0; 50_000]), message(b'I', b""), message(b'Z', b"I")].concat();
        assert!((0..100).all(|_| reader.read(&rows).is_ok()));
    }

    #[test]
    fn stops_at_a_text_that_contains_a_secret() {
        let _guarded = redact::Guarded::new("poppy-seed-53".into());
        let login = [asks(10, PLUS), message(b'Z', b"I")].concat();
        for kind in TEXTS {
            for said in [&b"SERROR\0Mit was poppy-seed-53\0\0"[..], b"x\0cG9wcHktc2VlZC01Mw==\0"] {
                let said = [&login[..], &message(kind, said)].concat();
                assert!(!verdict(Demand::Binding, true, &said), "{}", said.escape_ascii());
            }
            assert!(verdict(
                Demand::Binding,
                true,
                &[&login[..], &message(kind, b"SERROR\0Mno\0\0")].concat()
            ));
            let huge = [&[kind][..], &(256 * 1024_u32 + 5).to_be_bytes()].concat();
            let mut reader = reader(Demand::Binding, true);
            reader.largest = 1024 * 1024;
            let _ = reader.observed.settled.set(());
            assert!(reader.read(&huge).is_err());
        }
        // Rows belong to the application.
        assert!(verdict(
            Demand::Binding,
            true,
            &[&login[..], &message(b'D', b"poppy-seed-53")].concat()
        ));
    }

    #[test]
    fn stops_at_a_header_that_announces_too_much() {
        for length in [0_u32, 3, 100_005, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let header = [&[b'D'][..], &length.to_be_bytes()].concat();
            assert!(!verdict(Demand::Binding, true, &header), "{length} at first");
            let mut reader = reader(Demand::Binding, true);
            reader.read(&[asks(10, PLUS), message(b'Z', b"I")].concat()).unwrap();
            let _ = reader.observed.settled.set(());
            assert!(reader.read(&header).is_err(), "{length} later");
        }
        let notice = message(b'N', &[b'x'; 1000]);
        let mut reader = reader(Demand::Binding, true);
        assert!(
            (0..2000).any(|_| reader.read(&notice).is_err()),
            "notices without end, before the login"
        );
        let mut reader = self::reader(Demand::Binding, true);
        reader.read(&[asks(10, PLUS), message(b'Z', b"I")].concat()).unwrap();
        assert!(
            (0..2000).any(|_| reader.read(&message(b'D', &[b'x'; 1000])).is_err()),
            "rows without end, as an answer to the probe"
        );
    }
}

#[cfg(test)]
mod fuzz {
    use std::sync::LazyLock;

    use backing_services_fuzz::{Input, check};

    use super::*;

    static MESSAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let message = |kind: u8, body: &[u8]| {
            [&[kind][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
        };
        let asks =
            |code: u32, rest: &[u8]| message(b'R', &[&code.to_be_bytes()[..], rest].concat());
        let login = [
            asks(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
            asks(11, b"r=abc,s=c2FsdA==,i=4096"),
            asks(12, b"v=abc"),
            asks(0, b""),
            message(b'S', b"server_version\x0018.1\0"),
            message(b'K', &[0; 8]),
            message(b'Z', b"I"),
        ];
        let rest = [
            message(b'D', b"\0\x01\0\0\0\x02ab"),
            message(b'E', b"SERROR\0C28P01\0Mno freesia-bulb-73\0\0"),
            message(b'N', b"SNOTICE\0Mfreesia%2dbulb-73\0\0"),
            message(b'I', b""),
            message(b'Z', b"I"),
        ];
        vec![
            login.concat(),
            [&login[..], &rest[..]].concat().concat(),
            asks(3, b""),
            asks(5, b"salt"),
            asks(10, b"SCRAM-SHA-256\0\0"),
            [asks(0, b""), message(b'Z', b"I"), message(b'D', &[b'x'; 600])].concat(),
        ]
    });

    const LARGEST: u64 = 512;

    fn read<'a>(
        demand: Demand,
        is_settled: bool,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> (Result<(), &'static str>, Option<AuthRequest>) {
        let mut limits = MessageLimits::new(demand, Some(Vec::new()), LARGEST, Arc::default());
        for piece in pieces {
            if let Err(why) = limits.check(piece) {
                assert!(limits.observed.refused.get().is_some());
                return (Err(why), limits.observed.asked.get().copied());
            }
            // Some rows later, the connection is settled.
            if is_settled && limits.login.is_none() {
                let _ = limits.observed.settled.set(());
            }
            if let State::Body { left, kept: Some(kept), .. } = &limits.state {
                assert!(kept.len() as u64 + left <= LONGEST_TEXT);
            }
            assert!(limits.left <= MOST_AT_FIRST);
        }
        (Ok(()), limits.observed.asked.get().copied())
    }

    /// The verdict does not depend on the pieces. A server is not ready before it asked for enough,
    /// and none of its texts holds a secret of ours.
    #[test]
    fn any_stream_is_followed_or_refused() {
        check!(&MESSAGES, |input: &Input| {
            let _guarded = redact::Guarded::new("freesia-bulb-73".into());
            let demands = [Demand::Binding, Demand::Scram, Demand::Certificate, Demand::Anything];
            let demand = demands[input.choice() % demands.len()];
            let (verdict, asked) = read(demand, false, [input.bytes()].into_iter());
            assert_eq!(read(demand, false, input.pieces()), (verdict, asked));
            assert_eq!(read(demand, false, input.bytes().chunks(1)), (verdict, asked));
            let _ = read(demand, true, input.pieces());
            if verdict.is_ok() {
                assert!(asked.is_none_or(|asked| demand.is_met(asked, true)), "{asked:?}");
            }
            let _ = AuthRequest::read(input.bytes());
            let _ = super::super::binding::end_point(&input.bytes().to_vec().into());
        });
    }
}
