//! The privileges that an account must have, and no others: `needs = "SELECT, INSERT ON orders"`.
//!
//! A service declares its kinds of objects and the privileges on each ([`Grantable`], in
//! [`Service::PRIVILEGES`](crate::service::Service::PRIVILEGES)). The program's `needs` is checked
//! against them at compile time, so that a typing mistake is a compile error. When a resource is
//! attached, `needs` is parsed again and compared with the account's privileges.
//!
//! ```text
//! needs      = clause *( ";" clause ) [ ";" ]
//! clause     = privilege *( "," privilege ) [ "ON" [ kind ] object *( "," object ) ]
//! privilege  = words [ "(" column *( "," column ) ")" ]
//! ```

use std::fmt::{self, Write as _};

use backing_services_rules::rule::{EXCESS_PRIVILEGES, MISSING_PRIVILEGES};

use self::reader::{Item, Parser, Span};
use crate::report::finding::Finding;
use crate::report::text::printable_up_to;

mod mistake;
pub(crate) mod reader;

/// A kind of object of a service, and the privileges that can be granted on it.
///
/// ```
/// use backing_services::needs::{Grantable, Names};
///
/// /// The privileges on a burrow's menus. If `needs` names no kind, the first kind with names is
/// /// meant.
/// const PRIVILEGES: &[Grantable] = &[Grantable::new("MENU", &["READ", "WRITE"], Names::Patterns)];
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Grantable {
    name: &'static str,
    privileges: &'static [&'static str],
    of_columns: &'static [&'static str],
    of_all: &'static [&'static str],
    names: Names,
}

impl Grantable {
    /// A kind of object: its name as the service's own language writes it (`TABLE`; one or more
    /// words), the privileges on it, and the form of such objects' names. A kind without names
    /// ([`Names::None`]) is for privileges that do not apply to an object.
    #[must_use]
    pub const fn new(
        name: &'static str,
        privileges: &'static [&'static str],
        names: Names,
    ) -> Self {
        Self { name, privileges, of_columns: &[], of_all: &[], names }
    }

    /// Sets the privileges that can be granted on single columns: `SELECT (id, name)`.
    #[must_use]
    pub const fn with_columns(mut self, privileges: &'static [&'static str]) -> Self {
        self.of_columns = privileges;
        self
    }

    /// Sets the privileges that exist only on all objects at once: `LOCK TABLES ON shop.*`, of a
    /// kind whose names are [`Names::Wildcards`].
    #[must_use]
    pub const fn with_all(mut self, privileges: &'static [&'static str]) -> Self {
        self.of_all = privileges;
        self
    }

    /// The name of the kind: `TABLE`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The privileges on it.
    #[must_use]
    pub const fn privileges(&self) -> &'static [&'static str] {
        self.privileges
    }
}

/// The form of the names of a kind's objects.
///
/// An identifier consists of letters, digits, `_` and `$`, and does not begin with a digit. In
/// quotation marks (`"` or `` ` ``) it contains any characters except control characters,
/// backslashes and quotation marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Names {
    /// No names: the privilege stands alone.
    None,
    /// Up to this many identifiers, with dots between them: `billing.orders`.
    Identifiers(u8),
    /// The same, and the last may be `*`: `shop.*`.
    Wildcards(u8),
    /// The same as identifiers, with the types of the arguments in parentheses: `settle(int)`.
    Routines(u8),
    /// Printable ASCII without blanks, commas, semicolons and quotation marks; or any printable
    /// text between two apostrophes: `session:*`.
    Patterns,
}

/// The parsed `needs`: privileges, each on one object.
#[derive(Clone, Debug)]
pub struct Needs {
    list: Vec<Need>,
}

/// One privilege on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Need {
    /// The privilege, as [`Grantable::privileges`] writes it.
    pub privilege: &'static str,
    /// The columns to which it is limited; empty if it is not limited.
    pub columns: Vec<Identifier>,
    /// The kind of object, as [`Grantable::name`] writes it.
    pub kind: &'static str,
    /// The object, as `needs` writes it, but without a pattern's apostrophes; `None` if there is
    /// none.
    pub object: Option<String>,
}

/// An identifier, without its quotation marks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identifier {
    /// Its characters.
    pub name: String,
    /// True if it was in quotation marks, so that its case matters.
    pub is_quoted: bool,
}

impl Needs {
    /// Parses `needs` with the vocabulary of a service: its name, and its
    /// [privileges](crate::Service::PRIVILEGES). For a field, the derive has done it.
    ///
    /// # Errors
    /// The description of the first mistake.
    pub fn parse(text: &str, service: &str, kinds: &'static [Grantable]) -> Result<Self, String> {
        let mut reader = Parser::new(text, kinds);
        let mut list: Vec<Need> = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(item)) => {
                    let need = Need::new(text, &item, kinds);
                    if !list.contains(&need) {
                        list.push(need);
                    }
                }
                Ok(None) => return Ok(Self { list }),
                Err(mistake) => {
                    return Err(mistake.message(text, service, kinds).as_str().to_owned());
                }
            }
        }
    }

    /// No privileges.
    pub(crate) const fn none() -> Self {
        Self { list: Vec::new() }
    }

    /// Each privilege on each object, in the order of the text, without duplicates.
    pub fn iter(&self) -> impl Iterator<Item = &Need> {
        self.list.iter()
    }
}

impl Need {
    fn new(text: &str, item: &Item, kinds: &'static [Grantable]) -> Self {
        let kind = &kinds[item.kind];
        let columns = item.columns.map(|at| split(cut(text, at), ',')).unwrap_or_default();
        let object = item.object.map(|at| cut(text, at)).map(|object| match kind.names {
            Names::Patterns => object
                .strip_prefix('\'')
                .and_then(|object| object.strip_suffix('\''))
                .unwrap_or(object)
                .to_owned(),
            _ => object.to_owned(),
        });
        Self { privilege: kind.privileges[item.privilege], columns, kind: kind.name, object }
    }

    /// The identifiers of the object's name: the two of `billing."Orders"`. Empty if the object's
    /// name has another form.
    #[must_use]
    pub fn identifiers(&self) -> Vec<Identifier> {
        let name = self.object.as_deref().unwrap_or_default();
        split(
            outside(name, '(')
                .next()
                .filter(|_| name.ends_with(')'))
                .map_or(name, |at| &name[..at]),
            '.',
        )
    }

    /// The arguments in the parentheses after a routine's name, as `needs` writes them: the two
    /// types of `settle(int, text)`. Empty if there are none.
    #[must_use]
    pub fn arguments(&self) -> Vec<&str> {
        let name = self.object.as_deref().unwrap_or_default();
        let arguments = outside(name, '(')
            .next()
            .and_then(|at| name[at + 1..].strip_suffix(')'))
            .map(str::trim)
            .unwrap_or_default();
        if arguments.is_empty() { Vec::new() } else { pieces(arguments, ',') }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.privilege)?;
        for (index, column) in self.columns.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { " (" } else { ", " }, column.name)?;
        }
        if !self.columns.is_empty() {
            f.write_char(')')?;
        }
        match &self.object {
            Some(object) => write!(f, " ON {} {object}", self.kind),
            None => Ok(()),
        }
    }
}

fn cut(text: &str, at: Span) -> &str {
    // Both ends are at ASCII characters.
    text.get(at.start..at.end).unwrap_or_default()
}

/// The positions of a character outside of quotes.
fn outside(text: &str, wanted: char) -> impl Iterator<Item = usize> {
    let mut quote = None;
    text.char_indices().filter_map(move |(at, c)| {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '`' => quote = Some(c),
            None if c == wanted => return Some(at),
            _ => {}
        }
        None
    })
}

/// The parts between separators of one byte.
fn pieces(text: &str, separator: char) -> Vec<&str> {
    let mut found = Vec::new();
    let mut from = 0;
    for at in outside(text, separator).chain([text.len()]) {
        found.push(text[from..at].trim());
        from = (at + 1).min(text.len());
    }
    found
}

/// Splits into identifiers at a separator.
fn split(text: &str, separator: char) -> Vec<Identifier> {
    let identifier = |piece: &str| {
        let plain = piece.trim_matches(['"', '`']);
        Identifier { name: plain.to_owned(), is_quoted: plain.len() != piece.len() }
    };
    pieces(text, separator).into_iter().map(identifier).collect()
}

/// A privilege that an account has and should not have, or the reverse; and the statement that
/// corrects it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a difference has to be reported"]
#[non_exhaustive]
pub struct Difference {
    /// The privilege and its object: `INSERT ON public.orders`, fully escaped.
    pub privilege: String,
    /// The statement that grants or removes it, in the service's own language, without a password.
    pub statement: String,
}

/// The longest statement that is shown, in characters. A complete statement reaches this length if
/// it grants on many columns; half a statement would be useless.
const LONGEST_STATEMENT: usize = 4096;

impl Difference {
    /// The privilege, as the report names it, and the statement that grants or removes it. Both may
    /// contain names from the server: they are escaped as by
    /// [`printable`](crate::posture::printable).
    pub fn new(privilege: impl AsRef<str>, statement: impl AsRef<str>) -> Self {
        let escaped = |text: &str| printable_up_to(text, LONGEST_STATEMENT);
        Self { privilege: escaped(privilege.as_ref()), statement: escaped(statement.as_ref()) }
    }

    /// Writes a comment of SQL before the statement: the step without which it fails. It is a fixed
    /// text, so no name of a server can end the comment.
    pub fn with_step_before(mut self, step: &'static str) -> Self {
        self.statement.insert_str(0, &format!("/* {step} */ "));
        self
    }
}

/// The maximum number of excess privileges that are named, with their statements. An account with
/// more was granted everything; replacing it is better.
const MOST_NAMED: usize = 32;

impl Finding {
    /// The finding that an account lacks privileges; `None` if it lacks none. All of them are
    /// named, because `needs` bounds their number.
    pub fn missing_privileges(lacking: &[Difference]) -> Option<Self> {
        let names: Vec<_> =
            lacking.iter().map(|difference| difference.privilege.as_str()).collect();
        let finding =
            Self::new(&MISSING_PRIVILEGES, format!("the account lacks {}", names.join("; ")));
        (!lacking.is_empty()).then(|| finding.with_help(statements(lacking)))
    }

    /// The finding that an account has privileges that the field does not need; `None` if it has
    /// none.
    pub fn excess_privileges(excess: &[Difference]) -> Option<Self> {
        let named = &excess[..excess.len().min(MOST_NAMED)];
        let mut names = named
            .iter()
            .map(|difference| difference.privilege.as_str())
            .collect::<Vec<_>>()
            .join("; ");
        if excess.len() > MOST_NAMED {
            // Writing to a `String` does not fail.
            let _ = write!(names, "; and {} more", excess.len() - MOST_NAMED);
        }
        let finding = Self::new(
            &EXCESS_PRIVILEGES,
            format!("the account may do what the field does not need: {names}"),
        );
        (!excess.is_empty()).then(|| finding.with_help(statements(named)))
    }
}

/// Each statement once, in order: one statement may correct several differences.
pub fn statements(differences: &[Difference]) -> String {
    let mut statements: Vec<&str> = Vec::new();
    for difference in differences {
        if !difference.statement.is_empty() && !statements.contains(&difference.statement.as_str())
        {
            statements.push(&difference.statement);
        }
    }
    statements.join(" ")
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
