//! Service bindings: a folder for each service, with a file for each of its values
//! ([servicebinding.io]).
//!
//! [servicebinding.io]: https://servicebinding.io/spec/core/1.1.0/#workload-projection

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;

use super::{Changes, Environment, Source, Unreadable, Value, file, login_within, path_in, split};
use crate::source::base_names::BaseNames;

/// The service bindings below `$SERVICE_BINDING_ROOT`, as Kubernetes operators, buildpacks and
/// Cloud Foundry project them. If it is not set, there are none.
///
/// A binding's name is the base name of a resource's variables, in upper case and with `_` for `-`
/// and `.`: `shop-orders` has the values of `SHOP_ORDERS_URL` and its companions.
/// [`with_binding`](Self::with_binding) gives another name. Bindings hold resources only; other
/// secrets are in the environment or a file.
///
/// | variable | entry |
/// |---|---|
/// | `_URL` | `uri` |
/// | `_HOST`, `_PORT`, `_DATABASE` | `host`, `port`, `database`; not read if there is a `uri` |
/// | `_USER`, `_PASSWORD` | `username`, `password`; not read if the `uri` holds them |
/// | `_CA` | `ca.crt`, or `certificates` without a `private-key` |
/// | `_CLIENT_CERT` | `tls.crt`, or `certificates` beside a `private-key` |
/// | `_CLIENT_KEY` | `tls.key`, or `private-key` |
///
/// The meaning of `certificates` has changed: the client's chain in version 1.0 of the
/// specification, the trusted authorities in 1.1. A `private-key` decides between them. `database`
/// is in no specification and in every binding; `ca.crt`, `tls.crt` and `tls.key` are Kubernetes'
/// names for such files.
///
/// - A binding without a `type` is an error, because the specification requires one. Its text is
///   not read: the field's type determines the service.
/// - Two bindings with one base name are an error, which names both.
/// - A folder whose name the specification does not allow (`[a-z0-9.-]`, 253 at most) is not a
///   binding.
/// - Kubernetes swaps a whole volume by one link, and [`changes`](Source::changes) lists the paths
///   to watch. It never updates a `subPath` mount: that warns (`static_mount`).
/// - A value that refers to a secret store (`vault://…`) is refused, as in every source
///   (`placeholder_value`).
///
/// ```
/// use backing_services::source::ServiceBindings;
///
/// // The binding `orders-db` has the values of DATABASE_URL and its companions.
/// let bindings = ServiceBindings::process().with_binding("orders-db", "DATABASE");
/// ```
#[derive(Clone)]
pub struct ServiceBindings {
    environment: Environment,
    /// Bindings whose base name is not their own name.
    names: BaseNames,
}

const VARIABLE: &str = "SERVICE_BINDING_ROOT";

/// The most entries of the root: a thousand services is more than any process has.
const MOST: usize = 1000;

impl ServiceBindings {
    /// The bindings of this process.
    #[must_use]
    pub fn process() -> Self {
        Self::of(Environment::process())
    }

    /// The bindings in the folder that this environment names.
    #[must_use]
    pub const fn of(environment: Environment) -> Self {
        Self { environment, names: BaseNames::new() }
    }

    /// Gives a binding this base name instead of its own: `DATABASE` for `DATABASE_URL` and its
    /// companions.
    #[must_use]
    pub fn with_binding(mut self, binding: impl Into<String>, base: impl Into<String>) -> Self {
        self.names.add(binding.into(), base.into());
        self
    }

    /// The name and the folder of the binding for a base name.
    fn find(&self, root: &Path, base: &str) -> Result<Option<(String, PathBuf)>, Unreadable> {
        let broken =
            |_| Unreadable::whole(format!("the folder that `{VARIABLE}` names cannot be read"));
        let mut found = None;
        for (count, entry) in std::fs::read_dir(root).map_err(broken)?.enumerate() {
            if count == MOST {
                return Err(Unreadable::whole(format!(
                    "the folder that `{VARIABLE}` names holds more than {MOST} entries"
                )));
            }
            let entry = entry.map_err(broken)?;
            let Some(name) =
                entry.file_name().to_str().filter(|name| is_binding(name)).map(str::to_owned)
            else {
                continue;
            };
            if !self.names.is_of(&name, base) || !entry.path().is_dir() {
                continue;
            }
            if let Some((earlier, _)) = &found {
                // A folder lists its entries in any order; the report must not depend on it.
                let (one, other) =
                    if *earlier < name { (earlier, &name) } else { (&name, earlier) };
                return Err(Unreadable::whole(format!(
                    "the bindings `{one}` and `{other}` are both for `{base}`"
                )));
            }
            found = Some((name, entry.path()));
        }
        Ok(found)
    }
}

/// Returns true for a binding name that the specification allows. Kubernetes' own links begin with
/// two dots.
fn is_binding(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && !name.starts_with("..")
        && name != "."
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        })
}

/// A binding's folder.
struct Binding {
    name: String,
    folder: PathBuf,
}

impl Binding {
    fn read(&self, entry: &str) -> Result<Option<Value>, Unreadable> {
        let found = file::read_in(&self.folder, entry).map_err(|fault| {
            Unreadable::new(format!(
                "is the entry `{entry}` of the binding `{}`, a file that {fault}",
                self.name
            ))
        })?;
        let Some(found) = found else { return Ok(None) };
        let place = format!("the binding `{}`", self.name);
        Ok(found
            .text
            .map(|text| Value::new(text, place).of_this_machine().with_notices(found.notices)))
    }

    /// The first of these entries that exists.
    fn first(&self, entries: &[&str]) -> Result<Option<Value>, Unreadable> {
        for entry in entries {
            if let Some(value) = self.read(entry)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn get(&self, ending: &str) -> Result<Option<Value>, Unreadable> {
        // Skips an entry if an existing `uri` already holds its value.
        let without = |entry: &str, is_said: fn(&str) -> bool| match self.read("uri")? {
            Some(uri) if is_said(uri.text().expose_secret()) => Ok(None),
            _ => self.read(entry),
        };
        match ending {
            "_URL" => self.read("uri"),
            "_HOST" => without("host", |_| true),
            "_PORT" => without("port", |_| true),
            "_DATABASE" => without("database", |_| true),
            "_USER" => without("username", |uri| login_within(uri).0),
            "_PASSWORD" => without("password", |uri| login_within(uri).1),
            "_CA" if self.read("private-key")?.is_some() => self.read("ca.crt"),
            "_CA" => self.first(&["ca.crt", "certificates"]),
            "_CLIENT_CERT" if self.read("private-key")?.is_some() => {
                self.first(&["tls.crt", "certificates"])
            }
            "_CLIENT_CERT" => self.read("tls.crt"),
            "_CLIENT_KEY" => self.first(&["tls.key", "private-key"]),
            _ => Ok(None),
        }
    }
}

impl Source for ServiceBindings {
    fn name(&self) -> Cow<'_, str> {
        "the service bindings".into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        let Some(root) = path_in(&self.environment, VARIABLE)? else { return Ok(None) };
        let Some((base, ending)) = split(variable) else { return Ok(None) };
        let Some((name, folder)) = self.find(&root, base)? else { return Ok(None) };
        let binding = Binding { name, folder };
        let value = binding.get(ending)?;
        if value.is_some() && binding.read("type")?.is_none() {
            let message = format!(
                "the binding `{}` has no `type`, which the specification demands",
                binding.name
            );
            return Err(Unreadable::whole(message));
        }
        Ok(value)
    }

    fn changes(&self) -> Changes {
        Changes::of_files(path_in(&self.environment, VARIABLE).ok().flatten())
    }
}

impl fmt::Debug for ServiceBindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBindings").field("names", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn write(root: &Path, binding: &str, entries: &[(&str, &str)]) {
        let folder = root.join(binding);
        std::fs::create_dir_all(&folder).unwrap();
        for (entry, value) in entries {
            std::fs::write(folder.join(entry), value).unwrap();
        }
    }

    fn bindings(root: &Path) -> ServiceBindings {
        ServiceBindings::of(Environment::from_iter([(VARIABLE, root)]))
    }

    fn get(source: &ServiceBindings, variable: &str) -> Option<String> {
        let value = source.get(variable).unwrap_or_else(|error| panic!("{variable}: {error}"))?;
        assert!(value.place().starts_with("the binding `"));
        Some(value.text().expose_secret().to_owned())
    }

    #[test]
    fn entries_are_a_resources_variables() {
        let root = tempfile::tempdir().unwrap();
        let parts = [
            ("type", "postgresql"),
            ("host", "db"),
            ("port", "5432"),
            ("database", "d"),
            ("username", "u"),
            ("password", "p"),
        ];
        write(root.path(), "shop-orders", &parts);
        write(
            root.path(),
            "whole",
            &[parts.as_slice(), &[("uri", "postgres://u:p@db/d")]].concat(),
        );
        write(
            root.path(),
            "half",
            &[parts.as_slice(), &[("uri", "postgres://u@db/d"), ("certificates", "ca")]].concat(),
        );
        write(
            root.path(),
            "mutual.tls",
            &[("type", "x"), ("certificates", "chain"), ("private-key", "key"), ("ca.crt", "ca")],
        );
        let source = bindings(root.path()).with_binding("shop-orders", "DATABASE");
        let all = |base: &str| {
            backing_services_rules::variable::RESOURCE_ENDINGS
                .iter()
                .filter_map(|ending| {
                    Some(format!("{ending}={}", get(&source, &format!("{base}{ending}"))?))
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            all("DATABASE"),
            ["_HOST=db", "_PORT=5432", "_DATABASE=d", "_USER=u", "_PASSWORD=p"]
        );
        assert_eq!(all("SHOP_ORDERS"), [""; 0], "it has another name now");
        assert_eq!(all("WHOLE"), ["_URL=postgres://u:p@db/d"]);
        assert_eq!(all("HALF"), ["_URL=postgres://u@db/d", "_PASSWORD=p", "_CA=ca"]);
        assert_eq!(all("MUTUAL_TLS"), ["_CA=ca", "_CLIENT_CERT=chain", "_CLIENT_KEY=key"]);
        for none in [
            "DATABASE", "DATABASE_TYPE", "_URL", "DATABASE_URL_FILE", "..", "../WHOLE_URL",
            "WHOLE/_URL",
        ] {
            assert_eq!(get(&source, none), None, "{none}");
        }
        assert_eq!(source.changes().files().collect::<Vec<_>>(), [root.path()]);
    }

    #[test]
    fn broken_bindings_are_reported() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "untyped", &[("uri", "postgres://db/d")]);
        write(root.path(), "a-b", &[("type", "x"), ("uri", "postgres://db/d")]);
        write(root.path(), "a.b", &[("type", "x"), ("uri", "postgres://db/d")]);
        write(root.path(), "empty", &[("type", ""), ("uri", "")]);
        write(root.path(), "Upper_Case", &[("type", "x"), ("uri", "postgres://db/d")]);
        write(root.path(), "folder", &[("type", "x")]);
        std::fs::create_dir(root.path().join("folder/uri")).unwrap();
        std::fs::write(root.path().join("file"), "x").unwrap();
        let source = bindings(root.path());
        for (variable, message) in [
            ("UNTYPED_URL", "the binding `untyped` has no `type`, which the specification demands"),
            ("A_B_URL", "the bindings `a-b` and `a.b` are both for `A_B`"),
            (
                "FOLDER_URL",
                "is the entry `uri` of the binding `folder`, a file that is not a regular file",
            ),
        ] {
            assert_eq!(source.get(variable).unwrap_err().to_string(), message);
        }
        for none in ["EMPTY_URL", "UPPER_CASE_URL", "FILE_URL", "ABSENT_URL", "UNTYPED_PASSWORD"] {
            assert_eq!(get(&source, none), None, "{none}");
        }
        for root in ["/does/not/exist", "relative", "/etc/hostname"] {
            assert!(bindings(Path::new(root)).get("A_URL").unwrap_err().is_whole(), "{root}");
        }
        assert!(
            ServiceBindings::of(Environment::from_iter([("X", "x")]))
                .get("A_URL")
                .unwrap()
                .is_none()
        );
        for i in 0..=MOST {
            std::fs::create_dir(root.path().join(i.to_string())).unwrap();
        }
        assert!(
            source.get("ABSENT_URL").unwrap_err().to_string().contains("more than 1000 entries")
        );
    }
}

#[cfg(test)]
#[cfg(unix)]
mod fuzz {
    use std::cell::LazyCell;

    use backing_services_fuzz::check;
    use backing_services_rules::variable::RESOURCE_ENDINGS;

    use super::*;

    /// A binding's entries, one a line, each after its name.
    const EXAMPLES: &[&str] = &[
        "type postgresql\nhost db\nport 5432\ndatabase d\nusername u\npassword p",
        "type x\nuri postgres://u:p@db/d\nusername u\npassword p\nca.crt ca",
        "type x\nuri postgres://u@db/d\rpassword p\ncertificates c\nprivate-key k",
        "type x\nuri redis://:p@h\ntls.crt t\ntls.key k\npassword \u{e4}",
        "uri x://@:@/?#@",
        "type \nuri \nhost \r",
    ];

    const ENTRIES: &[&str] = &[
        "type", "uri", "host", "port", "database", "username", "password", "ca.crt",
        "certificates", "private-key", "tls.crt", "tls.key",
    ];

    thread_local! {
        static ROOT: LazyCell<tempfile::TempDir> = LazyCell::new(|| {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("a-b")).unwrap();
            root
        });
    }

    /// Any entries are read or refused. Each value is what an entry of the binding holds, without
    /// one line end.
    #[test]
    fn any_entries_are_read_or_refused() {
        check!(EXAMPLES, |input| ROOT.with(|root| {
            let folder = root.path().join("a-b");
            let lines = input.bytes().split(|byte| *byte == b'\n');
            let entries: Vec<_> = lines
                .filter_map(|line| {
                    let (name, text) = line.split_at(line.iter().position(|byte| *byte == b' ')?);
                    let name = ENTRIES.iter().find(|entry| entry.as_bytes() == name)?;
                    Some((*name, &text[1..]))
                })
                .collect();
            for (name, text) in &entries {
                std::fs::write(folder.join(name), text).unwrap();
            }
            let source = ServiceBindings::of(Environment::from_iter([(VARIABLE, root.path())]));
            for ending in RESOURCE_ENDINGS {
                let Ok(Some(value)) = source.get(&format!("A_B{ending}")) else { continue };
                let value = value.text().expose_secret().as_bytes();
                let is_it = |text: &[u8]| text == value || text.strip_suffix(b"\r") == Some(value);
                assert!(entries.iter().any(|(_, text)| is_it(text)), "{ending}: {entries:?}");
                assert!(entries.iter().any(|(name, text)| *name == "type" && !text.is_empty()));
            }
            for (name, _) in &entries {
                let _ = std::fs::remove_file(folder.join(name));
            }
            let name = input.text();
            assert!(!is_binding(&name) || !name.contains(['/', '\0']) && name != "..", "{name:?}");
        }));
    }
}
