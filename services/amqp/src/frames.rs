//! Checks each frame that a server sends: the driver trusts every length, and reads nested tables
//! without a limit.

use backing_services_runtime::service::redact;

/// A frame's type, channel and length.
pub(super) const HEADER: usize = 7;

/// A frame's last byte.
const END: u8 = 0xCE;

/// The limit of nested tables and lists. The headers of brokers and clients have one or two levels.
const DEEPEST: usize = 16;

/// The longest short string of the protocol, in bytes.
pub(super) const LONGEST_SHORT_STRING: usize = 255;

/// A method: its class, and its number in that class.
pub(super) type Method = (u16, u16);

/// The server has accepted the login, and the virtual host is open.
pub(super) const CONNECTION_OPEN_OK: Method = (10, 41);

/// The server's limits: the number of channels of a connection, and the size of its frames.
pub(super) const CONNECTION_TUNE: Method = (10, 30);

const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;

/// The methods with a table that a server has no reason to send after the greeting; and a challenge
/// (`Connection.Secure`), which no login mechanism here uses.
const UNASKED: &[(u16, u16)] = &[
    (10, 10),
    (10, 11),
    (40, 10),
    (40, 30),
    (40, 40),
    (50, 10),
    (50, 20),
    (50, 50),
    (60, 20),
    (10, 20),
];

/// The methods with a free text from the server: it closes the connection or a channel, blocks the
/// connection, or returns a message.
const WITH_TEXTS: &[(u16, u16)] = &[(10, 50), (10, 60), (20, 40), (60, 50)];

/// The length of a whole frame in bytes, from its header.
pub(super) fn length(header: &[u8]) -> Option<usize> {
    let size = Reader(header.get(3..HEADER)?).long()?;
    usize::try_from(size).ok()?.checked_add(HEADER + 1)
}

/// True if a whole frame may be passed on. `secret` is the password of this login: a frame whose
/// text holds it, or any other secret of ours, does not pass.
pub(super) fn passes(frame: &[u8], largest_message: u64, secret: Option<&[u8]>) -> bool {
    let Some((&END, rest)) = frame.split_last() else { return false };
    let (Some(kind), Some(payload)) = (frame.first(), rest.get(HEADER..)) else { return false };
    let mut reader = Reader(payload);
    match *kind {
        METHOD => {
            let Some(method) = reader.short().zip(reader.short()) else { return false };
            let echoes =
                || secret.is_some_and(|secret| contains(payload, secret)) || redact::is_in(payload);
            !(UNASKED.contains(&method) || WITH_TEXTS.contains(&method) && echoes())
        }
        CONTENT_HEADER => content_header(&mut reader, largest_message).is_some(),
        _ => true,
    }
}

fn content_header(reader: &mut Reader<'_>, largest_message: u64) -> Option<()> {
    reader.take(4)?;
    if reader.long_long()? > largest_message {
        return None;
    }
    let flags = reader.short()?;
    // The content's type and its encoding stand before the headers, and nothing after them holds a
    // table.
    for flag in [15, 14] {
        if flags & (1 << flag) != 0 {
            reader.short_string()?;
        }
    }
    if flags & (1 << 13) != 0 {
        table(reader.long_string()?, DEEPEST, &mut |_, _| {})
    } else {
        Some(())
    }
}

/// The server's greeting.
pub(super) struct Greeting {
    pub(super) product: Option<String>,
    pub(super) version: Option<String>,
    pub(super) mechanisms: Vec<String>,
}

/// Reads `Connection.Start`, a whole frame; `None` if it is something else.
pub(super) fn greeting(frame: &[u8], secret: Option<&[u8]>) -> Option<Greeting> {
    let (&END, rest) = frame.split_last()? else { return None };
    let payload = rest.get(HEADER..)?;
    let mut reader = Reader(payload);
    if *frame.first()? != METHOD
        || (reader.short()?, reader.short()?) != (10, 10)
        || reader.take(2)? != [0, 9]
    {
        return None;
    }
    if secret.is_some_and(|secret| contains(payload, secret)) || redact::is_in(payload) {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let (mut product, mut version) = (None, None);
    table(reader.long_string()?, DEEPEST, &mut |name, value| match name {
        b"product" => product = text(value),
        b"version" => version = text(value),
        _ => {}
    })?;
    let mechanisms = text(reader.long_string()?)?;
    Some(Greeting {
        product,
        version,
        mechanisms: mechanisms.split_ascii_whitespace().map(str::to_owned).collect(),
    })
}

/// The code of `Connection.Close`; `None` if a whole frame is something else.
pub(super) fn closing(frame: &[u8]) -> Option<u16> {
    let mut reader = Reader(frame.get(HEADER..)?);
    (*frame.first()? == METHOD && (reader.short()?, reader.short()?) == (10, 50))
        .then(|| reader.short())?
}

/// The method of a whole frame; `None` if it is not a method frame.
pub(super) fn method(frame: &[u8]) -> Option<Method> {
    let mut reader = Reader(frame.get(HEADER..)?);
    if *frame.first()? == METHOD { reader.short().zip(reader.short()) } else { None }
}

/// The channel of a frame.
pub(super) fn channel(frame: &[u8]) -> Option<u16> {
    Reader(frame.get(1..3)?).short()
}

/// The number of channels that a `Connection.Tune` allows, a whole frame; 0 means no limit.
pub(super) fn most_channels(frame: &[u8]) -> Option<u16> {
    Reader(frame.get(HEADER + 4..)?).short()
}

/// The code and the text of a `Channel.Close`, a whole frame.
pub(super) fn reason(frame: &[u8]) -> Option<(u16, &[u8])> {
    let mut reader = Reader(frame.get(HEADER + 4..)?);
    reader.short().zip(reader.short_string())
}

/// Builds a whole frame with a method.
pub(super) fn method_frame(channel: u16, (class, method): Method, arguments: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + arguments.len()).unwrap_or(u32::MAX);
    let mut frame = vec![METHOD];
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&class.to_be_bytes());
    frame.extend_from_slice(&method.to_be_bytes());
    frame.extend_from_slice(arguments);
    frame.push(END);
    frame
}

/// Appends the password to the response in the driver's `Connection.StartOk`, a whole frame. The
/// driver does not have the password, as it logs what it sends.
pub(super) fn login(frame: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let payload = frame.get(HEADER..frame.len().checked_sub(1)?)?;
    let mut reader = Reader(payload);
    if (reader.short()?, reader.short()?) != (10, 11) {
        return None;
    }
    reader.long_string()?;
    reader.short_string()?;
    let before = payload.len() - reader.0.len();
    let response = reader.long_string()?;
    let after = reader.0;
    let grown = |length: usize| u32::try_from(length + secret.len()).ok();
    let mut whole = frame.get(..3)?.to_vec();
    whole.extend_from_slice(&grown(payload.len())?.to_be_bytes());
    whole.extend_from_slice(payload.get(..before)?);
    whole.extend_from_slice(&grown(response.len())?.to_be_bytes());
    whole.extend_from_slice(response);
    whole.extend_from_slice(secret);
    whole.extend_from_slice(after);
    whole.push(END);
    Some(whole)
}

/// Walks through a table; `found` gets the texts of its first level.
fn table(bytes: &[u8], depth: usize, found: &mut dyn FnMut(&[u8], &[u8])) -> Option<()> {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let name = reader.short_string()?;
        if let Value::Text(text) = value(&mut reader, depth)? {
            found(name, text);
        }
    }
    Some(())
}

/// A value in a table.
enum Value<'a> {
    Text(&'a [u8]),
    Other,
}

/// Skips a value, of the types that the driver knows.
fn value<'a>(reader: &mut Reader<'a>, depth: usize) -> Option<Value<'a>> {
    let fixed = match reader.take(1)?[0] {
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'V' => 0,
        b'S' => return Some(Value::Text(reader.long_string()?)),
        b'x' => {
            reader.long_string()?;
            0
        }
        b'F' => {
            table(reader.long_string()?, depth.checked_sub(1)?, &mut |_, _| {})?;
            0
        }
        b'A' => {
            let mut items = Reader(reader.long_string()?);
            while !items.0.is_empty() {
                value(&mut items, depth.checked_sub(1)?)?;
            }
            0
        }
        _ => return None,
    };
    reader.take(fixed)?;
    Some(Value::Other)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    !text.is_empty() && bytes.windows(text.len()).any(|window| window == text)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| (number << 8) + u64::from(*byte)))
    }

    fn short(&mut self) -> Option<u16> {
        u16::try_from(self.number(2)?).ok()
    }

    fn long(&mut self) -> Option<u64> {
        self.number(4)
    }

    fn long_long(&mut self) -> Option<u64> {
        self.number(8)
    }

    fn short_string(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    fn long_string(&mut self) -> Option<&'a [u8]> {
        let length = self.long()?;
        self.take(usize::try_from(length).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind, 0, 0];
        frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(payload);
        frame.push(END);
        frame
    }

    /// A table in a table in a table …
    fn nested(depth: usize) -> Vec<u8> {
        let mut table = Vec::new();
        for _ in 1..depth {
            let mut outer = vec![1, b'x', b'F'];
            outer.extend_from_slice(&u32::try_from(table.len()).unwrap().to_be_bytes());
            outer.extend_from_slice(&table);
            table = outer;
        }
        table
    }

    fn headers(size: u64, table: &[u8]) -> Vec<u8> {
        let mut payload = vec![0, 60, 0, 0];
        payload.extend_from_slice(&size.to_be_bytes());
        payload.extend_from_slice(&[0b1110_0000, 0, 1, b'a', 0]);
        payload.extend_from_slice(&u32::try_from(table.len()).unwrap().to_be_bytes());
        payload.extend_from_slice(table);
        frame(CONTENT_HEADER, &payload)
    }

    #[test]
    fn content_headers() {
        assert!(passes(&headers(100, b""), 100, None));
        assert!(passes(&headers(100, &nested(4)), 100, None));
        assert!(!passes(&headers(101, b""), 100, None), "larger than a message may be");
        assert!(!passes(&headers(100, &nested(20)), 100, None), "nested too deep");
        assert!(!passes(&headers(100, &nested(10_000)), 100, None));
        assert!(!passes(&headers(100, &[1, b'x', b'?']), 100, None), "an unknown type");
        assert!(!passes(&headers(100, &[200, b'x']), 100, None), "a length that promises too much");
    }

    #[test]
    fn methods() {
        assert!(passes(&frame(METHOD, &[0, 20, 0, 11, 0, 0, 0, 0]), 0, None));
        assert!(!passes(&frame(METHOD, &[0, 10, 0, 10, 0, 9]), 0, None), "a second greeting");
        assert!(!passes(&frame(METHOD, &[0, 50, 0, 10]), 0, None), "a method of clients");
        let mut close = vec![0, 10, 0, 50, 1, 0x93, 6];
        close.extend_from_slice(b"secret");
        assert!(passes(&frame(METHOD, &close), 0, Some(b"another")));
        assert!(!passes(&frame(METHOD, &close), 0, Some(b"secret")), "our own secret");
        assert!(!passes(&[1, 0, 0, 0, 0, 0, 0, 7], 0, None), "no end");
    }

    /// Every type of value that the driver knows, each with its size.
    #[test]
    fn values_of_a_table_have_their_sizes() {
        let text = |kind: u8, text: &[u8]| {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            [&[kind][..], &length, text].concat()
        };
        let fixed = |kind: u8, size: usize| [vec![kind], vec![0; size]].concat();
        let mut values: Vec<Vec<u8>> = Vec::new();
        for (kinds, size) in
            [(&b"tbB"[..], 1), (b"sUu", 2), (b"Iif", 4), (b"D", 5), (b"lLdT", 8), (b"V", 0)]
        {
            values.extend(kinds.iter().map(|kind| fixed(*kind, size)));
        }
        values.extend([text(b'S', b"abc"), text(b'x', b"abc"), text(b'F', b"\x01at\0")]);
        values.push(text(b'A', &values.concat()));
        for value in &values {
            // Two entries: the second one begins at the end of the first.
            let entry = [&[1, b'x'][..], value].concat();
            let two = [&entry[..], b"\x01yt\x01"].concat();
            assert!(passes(&headers(0, &two), 0, None), "{value:?}");
            if value.len() > 1 {
                let short = &entry[..entry.len() - 1];
                assert!(!passes(&headers(0, short), 0, None), "{value:?}");
            }
        }
        for kind in (0..=255).filter(|kind| !b"tbBsUuIifDlLdTVSxFA".contains(kind)) {
            let entry = [&[1, b'x'][..], &fixed(kind, 16)].concat();
            assert!(!passes(&headers(0, &entry), 0, None), "{kind}");
        }
        // Lists count as levels too.
        let lists = |depth| (0..depth).fold(Vec::new(), |inner, _| text(b'A', &inner));
        assert!(passes(&headers(0, &[&[1, b'x'][..], &lists(17)].concat()), 0, None));
        assert!(!passes(&headers(0, &[&[1, b'x'][..], &lists(18)].concat()), 0, None));
    }

    /// The flags stand for content type, encoding and headers, in this order.
    #[test]
    fn a_content_header_has_what_its_flags_say() {
        let header = |flags: u8, rest: &[u8]| {
            let payload = [&[0, 60, 0, 0][..], &[0; 8], &[flags, 0], rest].concat();
            passes(&frame(CONTENT_HEADER, &payload), 0, None)
        };
        let bad_table: &[u8] = &[0, 0, 0, 1, 9];
        for (flags, before) in [
            (0b0010_0000, &b""[..]),
            (0b1010_0000, b"\x01a"),
            (0b0110_0000, b"\x01a"),
            (0b1110_0000, b"\x01a\x02bc"),
        ] {
            assert!(header(flags, &[before, &[0; 4]].concat()), "{flags:b}");
            assert!(!header(flags, &[before, bad_table].concat()), "{flags:b}");
        }
        assert!(header(0, bad_table), "it is no table");
        assert!(header(0b0001_1111, bad_table), "nor here");
        assert!(!header(0b1000_0000, &[5, b'a']));
        assert!(!header(0b0100_0000, &[5, b'a']));
    }

    #[test]
    fn a_greeting_is_read_if_it_is_one() {
        let properties = b"\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.13.0";
        let start = |method: [u8; 4], version: [u8; 2], properties: &[u8]| {
            let mut payload = [&method[..], &version].concat();
            payload.extend_from_slice(&u32::try_from(properties.len()).unwrap().to_be_bytes());
            payload.extend_from_slice(properties);
            payload.extend_from_slice(b"\0\0\0\x0ePLAIN AMQPLAIN\0\0\0\x05en_US");
            payload
        };
        let good = start([0, 10, 0, 10], [0, 9], properties);
        let read = |kind, payload: &[u8], secret| greeting(&frame(kind, payload), secret);
        let Some(Greeting { product, version, mechanisms }) = read(METHOD, &good, None) else {
            panic!("it is one")
        };
        assert_eq!((product.as_deref(), version.as_deref()), (Some("RabbitMQ"), Some("3.13.0")));
        assert_eq!(mechanisms, ["PLAIN", "AMQPLAIN"]);
        assert!(read(METHOD, &good, Some(b"another")).is_some());
        assert!(read(METHOD, &good, Some(b"AMQPL")).is_none(), "our own secret");
        let _guarded = redact::Guarded::new("crocus-bulb-17".into());
        let hostile = b"\x07productS\0\0\0\x0ecrocus-bulb-17";
        assert!(read(METHOD, &start([0, 10, 0, 10], [0, 9], hostile), None).is_none());
        assert!(read(CONTENT_HEADER, &good, None).is_none());
        for (method, version) in [
            ([0, 10, 0, 11], [0, 9]),
            ([0, 11, 0, 10], [0, 9]),
            ([0, 10, 0, 10], [0, 8]),
            ([0, 10, 0, 10], [1, 0]),
        ] {
            assert!(read(METHOD, &start(method, version, properties), None).is_none());
        }
        assert!(read(METHOD, &start([0, 10, 0, 10], [0, 9], &[1, b'x', b'?']), None).is_none());
    }

    #[test]
    fn the_fields_of_a_method_are_read() {
        let tune = frame(METHOD, &[0, 10, 0, 30, 7, 0xff, 0, 2, 0, 0, 0, 60]);
        assert_eq!(method(&tune), Some(CONNECTION_TUNE));
        assert_eq!(most_channels(&tune), Some(2047));
        assert_eq!(closing(&tune), None);
        let close = [0, 10, 0, 50, 1, 0x40, 0, 0, 0, 0, 0];
        assert_eq!(closing(&frame(METHOD, &close)), Some(320));
        assert_eq!(closing(&frame(CONTENT_HEADER, &close)), None);
        assert_eq!(method(&frame(CONTENT_HEADER, &close)), None);
        assert_eq!(channel(&[1, 2, 3, 0]), Some(0x203));
        let close = frame(METHOD, b"\0\x14\0\x28\x01\x94\x02no\0\0\0\0");
        assert_eq!(reason(&close), Some((404, &b"no"[..])));
        assert_eq!(Reader(&[0x80, 1, 2, 3, 4, 5, 6, 7]).long_long(), Some(0x8001_0203_0405_0607));
    }

    #[test]
    fn logging_in() {
        let start_ok = |response: &[u8]| {
            let mut payload = vec![0, 10, 0, 11, 0, 0, 0, 0, 5];
            payload.extend_from_slice(b"PLAIN");
            payload.extend_from_slice(&u32::try_from(response.len()).unwrap().to_be_bytes());
            payload.extend_from_slice(response);
            payload.extend_from_slice(b"\x05en_US");
            frame(METHOD, &payload)
        };
        assert_eq!(login(&start_ok(b"\0shop\0"), b"secret"), Some(start_ok(b"\0shop\0secret")));
        assert_eq!(login(&start_ok(b""), b""), Some(start_ok(b"")));
        assert_eq!(login(&frame(METHOD, &[0, 10, 0, 31]), b"secret"), None);
    }

    #[test]
    fn lengths() {
        assert_eq!(length(&[1, 0, 0, 0, 0, 0, 5]), Some(13));
        assert_eq!(length(&[1, 0, 0, 0xff, 0xff, 0xff, 0xff]), Some(u32::MAX as usize + 8));
    }
}
