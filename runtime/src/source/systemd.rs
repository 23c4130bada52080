//! The credentials that systemd gives a service: files in `$CREDENTIALS_DIRECTORY`.

use std::borrow::Cow;
use std::fmt;

use backing_services_rules::variable::is_valid;

use super::{Changes, Environment, Source, Unreadable, Value, file, path_in};

/// The credentials of a systemd unit (`LoadCredential=`, `LoadCredentialEncrypted=`;
/// [systemd.exec(5)]).
///
/// A credential has its variable's name:
/// `LoadCredentialEncrypted=SHOP_ORDERS_PASSWORD:/etc/credstore.encrypted/orders`. Outside a unit,
/// `$CREDENTIALS_DIRECTORY` is not set, and there are none.
///
/// - An empty credential counts as absent: systemd leaves one if a socket did not provide a value.
/// - One line end after the value is removed, as in every file.
/// - `SetCredential=` is in the unit's file, which every user can read: do not use it for secrets.
/// - Credentials do not change while the service runs, unless the unit sets
///   `RefreshOnReload=credentials` (systemd 260 and newer).
///
/// ```
/// use backing_services::source::{Environment, Sources, SystemdCredentials};
///
/// // One rank: the locator may be in the environment, and its password a credential.
/// let sources = Sources::new().then(Environment::process()).beside(SystemdCredentials::process());
/// ```
///
/// [systemd.exec(5)]: https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#Credentials
#[derive(Clone)]
pub struct SystemdCredentials {
    environment: Environment,
}

const VARIABLE: &str = "CREDENTIALS_DIRECTORY";

impl SystemdCredentials {
    /// The credentials of this process.
    #[must_use]
    pub fn process() -> Self {
        Self::of(Environment::process())
    }

    /// The credentials in the folder that this environment names.
    #[must_use]
    pub const fn of(environment: Environment) -> Self {
        Self { environment }
    }
}

impl Source for SystemdCredentials {
    fn name(&self) -> Cow<'_, str> {
        "the systemd credentials".into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        let Some(folder) = path_in(&self.environment, VARIABLE)? else { return Ok(None) };
        if !is_valid(variable) {
            return Err(Unreadable::new("is no name of a variable"));
        }
        if !folder.is_dir() {
            return Err(Unreadable::whole(format!(
                "the folder that `{VARIABLE}` names cannot be read"
            )));
        }
        let found = file::read_in(&folder, variable).map_err(|fault| {
            Unreadable::new(format!("is a systemd credential in a file that {fault}"))
        })?;
        let Some(found) = found else { return Ok(None) };
        let place = format!("the systemd credential `{variable}`");
        Ok(found
            .text
            .map(|text| Value::new(text, place).of_this_machine().with_notices(found.notices)))
    }

    fn changes(&self) -> Changes {
        Changes::of_files(path_in(&self.environment, VARIABLE).ok().flatten())
    }
}

impl fmt::Debug for SystemdCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemdCredentials")
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::source::Notice;
    use secrecy::ExposeSecret as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn credentials_are_files_named_as_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let write = |name: &str, bytes: &[u8], mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("GOOD", b" a b\n", 0o400);
        write("EMPTY", b"", 0o400);
        write("OPEN", b"x", 0o444);
        write("WRITABLE", b"x", 0o602);
        write("LATIN", b"\xff", 0o400);
        write("LARGE", &vec![b'x'; super::super::MAX_VALUE + 1], 0o400);
        std::fs::create_dir(folder.path().join("FOLDER")).unwrap();
        std::os::unix::fs::symlink("LOOP", folder.path().join("LOOP")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("OUT")).unwrap();
        std::process::Command::new("mkfifo").arg(folder.path().join("PIPE")).status().unwrap();

        let source = SystemdCredentials::of(Environment::from_iter([(VARIABLE, path)]));
        let good = source.get("GOOD").unwrap().unwrap();
        assert_eq!(
            (good.text().expose_secret(), good.place(), good.notices().len()),
            (" a b", "the systemd credential `GOOD`", 0)
        );
        for none in ["EMPTY", "ABSENT"] {
            assert!(source.get(none).unwrap().is_none(), "{none}");
        }
        assert_eq!(source.get("OPEN").unwrap().unwrap().notices(), [Notice::OthersRead]);
        assert_eq!(source.get("WRITABLE").unwrap().unwrap().notices(), [Notice::OthersWrite]);
        for bad in [
            "LATIN", "LARGE", "FOLDER", "LOOP", "OUT", "PIPE", "../GOOD", "", "GOOD/", "good",
            "/etc/hostname",
        ] {
            assert!(!source.get(bad).unwrap_err().is_whole(), "{bad}");
        }
        assert_eq!(source.changes().files().collect::<Vec<_>>(), [folder.path()]);
    }

    #[test]
    fn without_its_folder_it_is_empty_or_broken() {
        let none = SystemdCredentials::of(Environment::from_iter([("X", "x")]));
        assert!(none.get("GOOD").unwrap().is_none() && none.changes().is_none());
        for path in ["/does/not/exist", "relative", "/etc/hostname"] {
            let source = SystemdCredentials::of(Environment::from_iter([(VARIABLE, path)]));
            assert!(source.get("GOOD").unwrap_err().is_whole(), "{path}");
        }
    }
}
