//! `.env` files, for development builds: dotenvy reads them, and their values never get into the
//! environment.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

use dotenvy::Iter;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Changes, Source, Unreadable, Value, file};

/// A `.env` file, in a build with `debug_assertions`. In any other build, every value of it is
/// refused: a file beside the program is not a place for a production secret, and a left-over one
/// must not decide anything.
///
/// The syntax is that of [dotenvy](https://docs.rs/dotenvy). The process's environment is neither
/// changed nor read:
///
/// - **Nothing is substituted.** dotenvy would replace `$NAME` or `${NAME}` in a value with the
///   process's own variable, or with nothing if there is no such variable. A value with such a
///   replacement is refused: write it in single quotes, or `\$`.
/// - A name that occurs twice is an error.
/// - A file that other users of the machine can write or replace, or that another user owns, is
///   refused. One that they can read is a finding (`readable_secret_file`), as in every source.
/// - Without the file, there are no values.
///
/// ```
/// use backing_services::source::{DotEnv, Environment, Sources};
///
/// // A value in the environment wins.
/// let sources = Sources::new().then(Environment::process()).then(DotEnv::file(".env"));
/// ```
#[derive(Clone)]
pub struct DotEnv {
    path: PathBuf,
    is_development: bool,
}

/// Stands for a literal `$`. It is a private-use character, so no alphabet contains it.
const DOLLAR: &str = "\u{f8ff}";

impl DotEnv {
    /// The file at this path. A relative path starts at the working directory of the process, as is
    /// usual in development.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), is_development: cfg!(debug_assertions) }
    }

    /// The file that a command line names, in any build. It must exist, and a problem of the whole
    /// file is reported here, once.
    pub fn named(path: PathBuf) -> Result<Self, Unreadable> {
        let source = Self { path, is_development: true };
        if let Err(file::Fault::Absent) = file::read(&source.path) {
            return Err(Unreadable::whole(format!(
                "{} is a file that {}",
                source.name(),
                file::Fault::Absent
            )));
        }
        // No variable has an empty name, so this only checks the file.
        source.get("").map(|_| source)
    }

    /// The path as it was given, printable.
    pub fn printable_path(&self) -> String {
        crate::report::text::printable(&self.path.to_string_lossy())
    }

    fn get_of(&self, variable: &str, is_development: bool) -> Result<Option<Value>, Unreadable> {
        let name = self.name();
        let found = match file::read(&self.path) {
            Err(file::Fault::Absent) => return Ok(None),
            found => found
                .map_err(|fault| Unreadable::whole(format!("{name} is a file that {fault}")))?,
        };
        if !is_development {
            let why = "is for development, and this build has no `debug_assertions`: \
                       leave the file out of the deploy";
            return Err(Unreadable::whole(format!("{name} {why}")));
        }
        if let Some(why) = found.notices.iter().find_map(|notice| notice.why_not_ours()) {
            let help = "`namei -l` lists who owns each part of its path, and who can write it";
            return Err(Unreadable::whole(format!("{name} is a file of which {why}: {help}")));
        }
        let Some(text) = found.text else { return Ok(None) };
        let mut values = parse(text.expose_secret())
            .map_err(|why| Unreadable::whole(format!("{name} {why}")))?;
        let value = values
            .remove(variable)
            .map(|(value, _)| value)
            .filter(|value| !value.expose_secret().is_empty());
        let place = self.name().into_owned();
        Ok(value
            .map(|value| Value::new(value, place).of_this_machine().with_notices(found.notices)))
    }
}

/// Gives a text line by line, and counts the lines: dotenvy asks for the next one when it needs it,
/// and reports no line numbers.
struct Lines<'a> {
    rest: &'a [u8],
    count: &'a Cell<usize>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line =
            self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |end| end + 1);
        let length = line.min(buffer.len());
        let (given, rest) = self.rest.split_at(length);
        buffer[..length].copy_from_slice(given);
        self.rest = rest;
        self.count.set(self.count.get() + usize::from(length == line && length > 0));
        Ok(length)
    }
}

/// Every value of a file, and the line on which it ends. The error text follows the file's name. It
/// names lines, and nothing in them: the wrong part may be a secret, or a part of one.
fn parse(text: &str) -> Result<BTreeMap<String, (SecretString, usize)>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains(DOLLAR) {
        return Err("holds a character of a private-use area".to_owned());
    }
    // The text as if no `$` had a meaning, to compare: if a value differs, something was
    // substituted.
    let literal = Zeroizing::new(Zeroizing::new(text.replace("\\$", DOLLAR)).replace('$', DOLLAR));
    let count = Cell::new(0);
    let given = Iter::new(Lines { rest: text.as_bytes(), count: &count });
    let literal = Iter::new(literal.as_bytes());
    let mut values = BTreeMap::new();
    let mut last = 0;
    for (given, literal) in given.zip(literal) {
        // An error of dotenvy holds the line, so it is not repeated.
        let (Ok((name, value)), Ok((_, literal))) = (given, literal) else {
            // Skip empty lines and comments before the wrong line.
            let is_empty =
                |line: &&str| line.trim_start().is_empty() || line.trim_start().starts_with('#');
            let (first, end) =
                (last + text.lines().skip(last).take_while(is_empty).count() + 1, count.get());
            return Err(if first < end {
                format!(
                    "has, from line {first} to line {end}, what is no `NAME=value`: \
                     a quote may be open there"
                )
            } else {
                format!("has a line that is no `NAME=value`: line {end}")
            });
        };
        last = count.get();
        let (value, literal) = (
            SecretString::from(value),
            SecretString::from(Zeroizing::new(literal).replace(DOLLAR, "$")),
        );
        if value.expose_secret() != literal.expose_secret() {
            return Err(format!(
                "holds a `$` that would be replaced: \
                 write the value that ends in line {last} in single quotes"
            ));
        }
        if let Some((_, earlier)) = values.insert(name, (value, last)) {
            return Err(format!("has a variable twice: in line {earlier} and in line {last}"));
        }
    }
    Ok(values)
}

impl Source for DotEnv {
    fn name(&self) -> Cow<'_, str> {
        format!("`{}`", self.printable_path()).into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        self.get_of(variable, self.is_development)
    }

    fn changes(&self) -> Changes {
        Changes::of_files(std::path::absolute(&self.path).ok())
    }
}

impl fmt::Debug for DotEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DotEnv").field("path", &self.path).finish()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::source::Notice;
    use std::os::unix::fs::PermissionsExt as _;

    fn parsed(text: &str) -> Result<Vec<String>, String> {
        let values = parse(text)?;
        Ok(values
            .iter()
            .map(|(name, (value, _))| format!("{name}={}", value.expose_secret()))
            .collect())
    }

    #[test]
    fn values_are_read_literally() {
        for (text, values) in [
            ("A=1\nexport B=\"two words\" # why\n\n# C=3\n", vec!["A=1", "B=two words"]),
            ("\u{feff}A=1", vec!["A=1"]),
            (
                "A='pa$$word ${HOME}'\nB=pa\\$word\nC=\"a\\$b\"",
                vec!["A=pa$$word ${HOME}", "B=pa$word", "C=a$b"],
            ),
            ("A='one\ntwo'\nB=2", vec!["A=one\ntwo", "B=2"]),
            ("A=", vec!["A="]),
            ("", vec![]),
        ] {
            assert_eq!(parsed(text).unwrap(), values, "{text:?}");
        }
    }

    #[test]
    fn substitutions_and_malformed_lines_are_refused() {
        for (text, message) in [
            (
                "A=1\nB=$PATH",
                "holds a `$` that would be replaced: \
                 write the value that ends in line 2 in single quotes",
            ),
            (
                "A=${PATH}s3cret",
                "holds a `$` that would be replaced: \
                 write the value that ends in line 1 in single quotes",
            ),
            (
                "A=1\nB=\"x${A}\"",
                "holds a `$` that would be replaced: \
                 write the value that ends in line 2 in single quotes",
            ),
            (
                "A=pa$s3cret",
                "holds a `$` that would be replaced: \
                 write the value that ends in line 1 in single quotes",
            ),
            ("A=1\nA=2", "has a variable twice: in line 1 and in line 2"),
            (
                "A='1\n2'\n\n# s3cret\ns3cret=1\ns3cret=2\n",
                "has a variable twice: in line 5 and in line 6",
            ),
            ("A=1\ns3cret", "has a line that is no `NAME=value`: line 2"),
            ("A=1\n\n # B\r\ns3cret\nB=2", "has a line that is no `NAME=value`: line 4"),
            ("s3cret", "has a line that is no `NAME=value`: line 1"),
            ("A='s3cret", "has a line that is no `NAME=value`: line 1"),
            (
                "A=1\n# B\nB='s3\ncret\n",
                "has, from line 3 to line 4, what is no `NAME=value`: a quote may be open there",
            ),
            ("A=s3 cret", "has a line that is no `NAME=value`: line 1"),
            ("A=\u{f8ff}", "holds a character of a private-use area"),
        ] {
            assert_eq!(parsed(text).unwrap_err(), message, "{text:?}");
        }
    }

    #[test]
    fn the_file_is_for_development() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let source = DotEnv::file(&path);
        let name = source.name().into_owned();
        assert!(
            source.get_of("A", true).unwrap().is_none()
                && source.get_of("A", false).unwrap().is_none()
        );
        let set =
            |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::write(&path, "A=1\nB=\n").unwrap();
        set(0o600);
        let value = source.get_of("A", true).unwrap().unwrap();
        assert_eq!(
            (value.text().expose_secret(), value.place(), value.notices().len()),
            ("1", name.as_str(), 0)
        );
        assert!(
            source.get_of("B", true).unwrap().is_none()
                && source.get_of("C", true).unwrap().is_none()
        );
        let error = source.get_of("A", false).unwrap_err();
        assert!(error.is_whole() && error.to_string().contains("`debug_assertions`"), "{error}");
        set(0o644);
        assert_eq!(source.get_of("A", true).unwrap().unwrap().notices(), [Notice::OthersRead]);
        set(0o666);
        let error = source.get_of("A", true).unwrap_err().to_string();
        assert!(
            error.contains("is a file of which other users of this machine can write the text"),
            "{error}"
        );
        set(0o600);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = source.get_of("A", true).unwrap_err().to_string();
        assert!(
            error.contains("is a file of which other users of this machine can write a folder"),
            "{error}"
        );
        for bad in ["/etc", "/dev/zero"] {
            assert!(DotEnv::file(bad).get_of("A", true).unwrap_err().is_whole(), "{bad}");
        }
        assert_eq!(source.changes().files().collect::<Vec<_>>(), [path]);
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::check;

    use super::*;

    const EXAMPLES: &[&str] = &[
        "# a comment\nSHOP_ORDERS_URL=postgres://u:p@db/d\nexport B = c # not of it\n",
        "A='s3cr$t'\r\nB=\"b \\n \\$x\"\nC=a\\$b\n\n\u{feff}",
        "A=\"two\nlines\"\nB=${A}\nC=$A-x\n",
        "_A.b=''\nA=1\nA=2",
        "\u{feff}KEY=\u{f8ff}\u{e4}\nB: c\nD=\"open\n",
    ];

    /// A file is read or refused. What was read, written between apostrophes, is read as the same.
    #[test]
    fn any_file_is_read_or_refused() {
        check!(EXAMPLES, |input| {
            let text = input.text();
            let lines = text.lines().count();
            let values = match parse(&text) {
                Ok(values) => values,
                Err(why) => {
                    assert!(why.len() < 200 && !why.contains("s3cr"), "{text:?}: {why}");
                    return;
                }
            };
            let mut ends: Vec<_> = values.values().map(|(_, line)| *line).collect();
            ends.sort_unstable();
            assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{text:?}: {ends:?}");
            assert!(ends.iter().all(|line| (1..=lines).contains(line)), "{text:?}: {ends:?}");
            let plain = values.iter().map(|(name, (value, _))| (name, value.expose_secret()));
            // An apostrophe ends such a value, but for one behind a backslash, and dotenvy trims
            // the lines of others.
            let plain = plain.filter(|(_, value)| !value.contains(['\'', '\\', '\n', '\r']));
            let again: String =
                plain.clone().map(|(name, value)| format!("{name}='{value}'\n")).collect();
            let read = parse(&again).unwrap_or_else(|why| panic!("{again:?} {why}"));
            let read = read.iter().map(|(name, (value, _))| (name, value.expose_secret()));
            assert!(read.eq(plain), "{again:?}");
        });
    }
}
