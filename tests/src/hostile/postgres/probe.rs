//! Answers of a PostgreSQL server to the probe: a valid one, and invalid ones that every client
//! must refuse.

use std::io;
use std::sync::Arc;

use super::{AUTHENTICATION_OK, KEY, READY, message, startup};
use crate::hostile::Peer;
use crate::pki::Leaf;

/// The columns of an answer.
pub const NAMES: [&str; 11] = [
    "fact", "mark", "privileges", "kind", "space", "name", "detail", "holder", "start", "way",
    "inherits",
];

/// The type `text`.
pub const TEXT: u32 = 25;

/// A row of an answer.
pub type Row<'a> = [Option<&'a str>; NAMES.len()];

/// The answer of a valid server for an account and a database.
#[must_use]
pub const fn good<'a>(user: &'a str, database: &'a str) -> Row<'a> {
    [
        Some("self"),
        Some("1"),
        Some("16.2"),
        Some("true"),
        Some(database),
        Some(user),
        Some(user),
        Some("1 30s"),
        None,
        None,
        None,
    ]
}

/// The same answer with one other value.
#[must_use]
pub const fn with<'a>(mut row: Row<'a>, index: usize, value: Option<&'a str>) -> Row<'a> {
    row[index] = value;
    row
}

/// A role that can become an administrator, with control characters of a terminal in its name.
#[must_use]
pub const fn power(user: &str) -> Row<'_> {
    let attributes = Some("SUPERUSER,\u{1b}[2J\r\n");
    [
        Some("power"),
        Some("attribute"),
        attributes,
        None,
        None,
        None,
        None,
        Some(user),
        Some(user),
        None,
        Some("true"),
    ]
}

/// A privilege on a table.
const fn held(user: &str) -> Row<'_> {
    let privileges = Some("SELECT,INSERT*");
    let (table, public, orders) = (Some("TABLE"), Some("public"), Some("orders"));
    [
        Some("held"),
        None,
        privileges,
        table,
        public,
        orders,
        None,
        Some(user),
        Some(user),
        None,
        Some("true"),
    ]
}

/// An object that the field does not need.
const FOUND: Row<'static> =
    [Some("found"), Some("0"), None, None, None, Some("orders"), None, None, None, None, None];

/// The names of the columns, and their common type.
#[must_use]
pub fn columns(names: &[&str], kind: u32) -> Vec<u8> {
    let mut content = u16::try_from(names.len()).expect("a few").to_be_bytes().to_vec();
    for name in names {
        content.extend_from_slice(name.as_bytes());
        content.extend_from_slice(b"\0\0\0\0\0\0\0");
        content.extend_from_slice(&kind.to_be_bytes());
        content.extend_from_slice(b"\xff\xff\xff\xff\xff\xff\0\0");
    }
    message(b'T', &content)
}

/// The values of a row.
#[must_use]
pub fn row(values: &[Option<&str>]) -> Vec<u8> {
    let mut content = u16::try_from(values.len()).expect("a few").to_be_bytes().to_vec();
    for value in values {
        match value {
            None => content.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(value) => {
                content.extend_from_slice(
                    &u32::try_from(value.len()).expect("a short value").to_be_bytes(),
                );
                content.extend_from_slice(value.as_bytes());
            }
        }
    }
    message(b'D', &content)
}

/// The end of an answer with this number of rows.
#[must_use]
pub fn done(rows: usize) -> Vec<u8> {
    [message(b'C', format!("SELECT {rows}\0").as_bytes()), READY.to_vec()].concat()
}

/// A complete answer.
#[must_use]
pub fn answer(rows: &[Row<'_>]) -> Vec<u8> {
    let values = rows.iter().flat_map(|values| row(values));
    columns(&NAMES, TEXT).into_iter().chain(values).chain(done(rows.len())).collect()
}

/// Invalid answers, each with its fault.
#[must_use]
pub fn bad_answers(user: &str, database: &str) -> Vec<(&'static str, Vec<u8>)> {
    let (good, held) = (good(user, database), held(user));
    let text = columns(&NAMES, TEXT);
    vec![
        ("no row", answer(&[])),
        ("no columns", done(0)),
        ("two rows", answer(&[good, good])),
        ("no account", answer(&[with(good, 5, None)])),
        ("no version", answer(&[with(good, 2, None)])),
        ("unknown", answer(&[with(good, 1, None)])),
        ("known twice", answer(&[with(good, 1, Some("2"))])),
        ("no process", answer(&[with(good, 7, None)])),
        ("another process", answer(&[with(good, 7, Some("x 30s"))])),
        ("another fact", answer(&[good, with(good, 0, Some("gossip"))])),
        ("no fact", answer(&[good, with(good, 0, None)])),
        ("an object of no kind", answer(&[good, with(held, 3, Some("TABLES"))])),
        ("an object without a name", answer(&[good, with(held, 5, None)])),
        ("no privilege", answer(&[good, with(held, 2, None)])),
        ("a privilege that is a statement", answer(&[good, with(held, 2, Some("SELECT; DROP"))])),
        ("another mark", answer(&[good, with(held, 1, Some("fine"))])),
        ("a holder without a start", answer(&[good, with(held, 8, None)])),
        ("neither inherited nor not", answer(&[good, with(held, 10, Some("maybe"))])),
        ("an unrequested fact", answer(&[good, FOUND])),
        ("too many rows", answer(&[&[good][..], &[held; 2001]].concat())),
        ("no word on TLS", answer(&[with(good, 3, None)])),
        ("other columns", [columns(&["a"; NAMES.len()], TEXT), row(&good), done(1)].concat()),
        ("too few columns", [columns(&NAMES[..3], TEXT), row(&good[..3]), done(1)].concat()),
        ("too few values", [text, row(&good[..3]), done(1)].concat()),
        ("nothing", message(b'I', b"").into_iter().chain(READY).collect()),
    ]
}

/// Admits every client without a proof, and answers each statement with these bytes.
///
/// # Errors
/// If the peer disconnects.
pub async fn answering(
    peer: Peer,
    leaf: Arc<Leaf>,
    answer: Arc<Vec<u8>>,
) -> io::Result<Option<Peer>> {
    let mut peer = startup(peer, &leaf).await?;
    peer.write([&AUTHENTICATION_OK[..], &KEY, &READY].concat()).await?;
    loop {
        let statement = peer.read().await?;
        match statement[0] {
            b'Q' => peer.write(&*answer).await?,
            b'S' => peer.write(READY).await?,
            // The client terminates the session.
            b'X' => return Ok(None),
            _ => return Ok(Some(peer)),
        }
    }
}
