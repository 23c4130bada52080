//! Limits on the server's messages after the login, checked before a driver reads them.
//!
//! A driver buffers a message until it is complete, up to 4 GiB. These limits read along, header by
//! header, and end the connection at the first one that announces too much. Errors and notices
//! become printable, and hold no secret of ours.

use std::sync::{Arc, OnceLock};

use backing_services_runtime::service::metered::{Checked, FrameCheck};
use backing_services_runtime::service::relay::Settled;
use backing_services_runtime::service::{printable_up_to, redact};

use super::login::message;

/// The longest message until the connection is settled, in bytes.
const LONGEST_AT_FIRST: u64 = 16 * 1024;

/// The total until the connection is settled, in bytes. The probe's answer has some 2000, and then
/// some 100 for each of the account's privileges, of which there are at most 2000.
const MOST_AT_FIRST: u64 = 1024 * 1024;

/// The longest error or notice, in bytes: 256 KiB.
const LONGEST_TEXT: u64 = 256 * 1024;

/// The longest field of an error or notice that is passed on, in characters.
const LONGEST_FIELD: usize = 16 * 1024;

/// The most notices between two queries. A function may well send one for each row that it treats;
/// a server that sends them without end is stopped.
const MOST_NOTICES: u32 = 1000;

/// The most bytes of notices between two queries: 1 MiB.
const MOST_OF_NOTICES: u64 = 1024 * 1024;

/// The length of a header: a type, and a length that counts itself.
const HEADER: usize = 5;

/// The state of a server's stream after the login.
pub(crate) struct ServerMessages {
    largest: u64,
    settled: Settled,
    /// The bytes that may still arrive until the connection is settled.
    left_at_first: u64,
    /// The bytes of the current message that have not arrived.
    left: u64,
    /// A text that is collected, with its type.
    text: Option<(u8, Vec<u8>)>,
    notices: u32,
    of_notices: u64,
    refused: Refused,
}

/// Set if a check has ended the connection, whatever error the driver reports. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Refused(Arc<OnceLock<()>>);

impl Refused {
    pub(crate) fn get(&self) -> bool {
        self.0.get().is_some()
    }
}

impl ServerMessages {
    /// `largest` is the size limit of one message, in bytes.
    pub(crate) fn new(largest: u64, settled: Settled) -> Self {
        Self {
            largest,
            settled,
            left_at_first: MOST_AT_FIRST,
            left: 0,
            text: None,
            notices: 0,
            of_notices: 0,
            refused: Refused::default(),
        }
    }

    pub(crate) fn refused(&self) -> Refused {
        self.refused.clone()
    }

    /// Checks a complete header against the limits. Returns true if the message is a text.
    fn begin(&mut self, kind: u8, length: u32) -> Result<bool, &'static str> {
        let length =
            u64::from(length.checked_sub(4).ok_or("the server sent a length that is none")?);
        let is_text = match kind {
            b'E' | b'N' | b'S' => true,
            // What a server sends in a session (PostgreSQL documentation, 54.7), but for an
            // authentication, a key, and the beginning of a replication.
            b'1' | b'2' | b'3' | b'A' | b'C' | b'D' | b'G' | b'H' | b'I' | b'T' | b'V' | b'Z'
            | b'c' | b'd' | b'n' | b's' | b't' => false,
            _ => return Err("the server sent a message that has no place in a session"),
        };
        if !self.settled.get() {
            if length > LONGEST_AT_FIRST || length + HEADER as u64 > self.left_at_first {
                return Err("the server promised more than it may say at first");
            }
            self.left_at_first -= length + HEADER as u64;
        } else if length > self.largest {
            return Err("the server promised a message that is larger than `max_message` allows");
        }
        if is_text && length > LONGEST_TEXT {
            return Err("the server promised an error that is longer than 256 KiB");
        }
        if kind == b'N' {
            self.notices += 1;
            self.of_notices += length;
            if self.notices > MOST_NOTICES || self.of_notices > MOST_OF_NOTICES {
                return Err("the server sends notices without end");
            }
        } else if kind == b'Z' {
            (self.notices, self.of_notices) = (0, 0);
        }
        self.left = length;
        Ok(is_text)
    }

    /// Collects a text, which the driver gets as a whole.
    fn collect(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left -= here as u64;
        if let Some((_, text)) = &mut self.text {
            text.extend_from_slice(&bytes[..here]);
        }
        if self.left > 0 {
            return Ok(Checked::Replace(here, Vec::new()));
        }
        let (kind, text) = self.text.take().unwrap_or_default();
        let passed = match kind {
            b'S' if redact::is_in(&text) => {
                return Err("the server said a secret of ours back");
            }
            b'S' => message(kind, &text),
            _ => message(kind, &printed(&text).ok_or("the server sent an error that is none")?),
        };
        Ok(Checked::Replace(here, passed))
    }
}

impl FrameCheck for ServerMessages {
    fn check(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
        self.read(bytes).inspect_err(|_| {
            let _ = self.refused.0.set(());
        })
    }
}

impl ServerMessages {
    fn read(&mut self, bytes: &[u8]) -> Result<Checked, &'static str> {
        if self.text.is_some() {
            return self.collect(bytes);
        }
        let mut passed = 0;
        loop {
            let rest = &bytes[passed..];
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            self.left -= here as u64;
            passed += here;
            let Some(&[kind, ref length @ ..]) = bytes[passed..].first_chunk::<HEADER>() else {
                // The header is incomplete, or there is none.
                return Ok(if passed > 0 { Checked::Pass(passed) } else { Checked::More });
            };
            if matches!(kind, b'E' | b'N' | b'S') && passed > 0 {
                return Ok(Checked::Pass(passed));
            }
            if self.begin(kind, u32::from_be_bytes(*length))? {
                self.text = Some((kind, Vec::new()));
                // A text without a body is complete.
                return if self.left == 0 {
                    self.collect(&[]).map(|text| match text {
                        Checked::Replace(_, text) => Checked::Replace(HEADER, text),
                        other => other,
                    })
                } else {
                    Ok(Checked::Replace(HEADER, Vec::new()))
                };
            }
            passed += HEADER;
        }
    }
}

/// The fields of an error or a notice, made printable: each a type and a text that ends with a NUL,
/// then a NUL. `None` if it is not one.
fn printed(body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = body.strip_suffix(b"\0")?;
    let mut printed = Vec::new();
    while let Some((kind, rest)) = fields.split_first() {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let text = String::from_utf8_lossy(&rest[..end]);
        printed.push(*kind);
        printed.extend_from_slice(printable_up_to(&text, LONGEST_FIELD).as_bytes());
        printed.push(0);
        fields = &rest[end + 1..];
    }
    printed.push(0);
    Some(printed)
}
