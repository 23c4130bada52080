//! The folder with the file of variables: `.shop/env`.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use backing_services_runtime::posture::printable;

use crate::template::in_env_file;

/// The name of the file of variables.
const ENV: &str = "env";

/// The first line of the file of variables, by which a file of another origin is known.
const HEAD: &str = "# Written by `dev`, which replaces this file, and removes it with the servers.";

/// The end of the name of a file with one value.
const VALUE: &str = ".dev";

/// The folder of the data that are kept.
const DATA: &str = "data";

/// The file with what Git leaves out, and its text.
const IGNORE: &str = ".gitignore";
const IGNORE_ALL: &str = "*\n";

/// The folder, which no other user can read. It is locked while this value exists. Dropping it
/// removes all that was written, but for kept data.
pub(super) struct Folder {
    /// As a user types it.
    name: String,
    path: PathBuf,
    /// In the order of their creation.
    written: Vec<PathBuf>,
    /// The lock ends with the process, however that ends.
    _lock: File,
}

impl Folder {
    /// Makes the folder in the working directory, or takes the one that is there.
    /// If data are kept in it, the servers of root, which have another account, may pass through.
    pub(super) fn take(name: String, keeps: bool) -> Result<Self, String> {
        let failed = |what: &str, error: io::Error| format!("cannot {what} `{name}`: {error}");
        match fs::DirBuilder::new().mode(0o700).create(&name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("make the folder", error));
            }
            _ => {}
        }
        let found = fs::symlink_metadata(&name).map_err(|error| failed("read", error))?;
        if !found.is_dir() {
            return Err(format!("`{name}` is not a folder: move it away"));
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(format!(
                "the folder `{name}` belongs to another user, who could read the passwords in it: \
                 move it away"
            ));
        }
        let has_to_pass = keeps && rustix::process::geteuid().is_root();
        let mode = if has_to_pass { 0o711 } else { 0o700 };
        fs::set_permissions(&name, fs::Permissions::from_mode(mode))
            .map_err(|error| failed("change the mode of", error))?;
        let lock = File::open(&name).map_err(|error| failed("read", error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                format!("another `dev` runs in this folder, and uses `{name}`: stop it first")
            }
            TryLockError::Error(error) => failed("lock", error),
        })?;
        let path = fs::canonicalize(&name).map_err(|error| failed("read", error))?;
        let folder = Self { name, path, written: Vec::new(), _lock: lock };
        folder.check_env()?;
        folder.ignore()?;
        Ok(folder)
    }

    /// The path of the file of variables, as a user types it.
    pub(super) fn env(&self) -> String {
        format!("{}/{ENV}", self.name)
    }

    /// The folder of kept data, as a user types it.
    pub(super) fn data(&self) -> String {
        format!("{}/{DATA}", self.name)
    }

    /// A file that is there is replaced only if an earlier run wrote it.
    fn check_env(&self) -> Result<(), String> {
        match fs::read(self.path.join(ENV)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(text) if text.starts_with(HEAD.as_bytes()) => Ok(()),
            _ => Err(format!(
                "`{}` was not written by `dev`, which would replace it: move it away first",
                self.env()
            )),
        }
    }

    /// Git leaves the folder out, as long as it is there.
    fn ignore(&self) -> Result<(), String> {
        let path = self.path.join(IGNORE);
        if path.exists() { Ok(()) } else { self.write_file(IGNORE, IGNORE_ALL).map(drop) }
    }

    /// Writes the file of variables. A value that no quoting protects in it, such as a certificate
    /// with several lines, is in a file of its own.
    pub(super) fn write_env<'a>(
        &mut self,
        variables: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), String> {
        let mut text = format!("{HEAD}\n");
        for (name, value) in variables {
            match in_env_file(value) {
                Some(value) => text.push_str(&format!("{name}={value}\n")),
                None => {
                    let path = self.write(&format!("{name}{VALUE}"), value)?;
                    let path = path.to_str().and_then(in_env_file).ok_or_else(|| {
                        format!(
                            "`{}` cannot be written into a file of variables",
                            printable(&path.to_string_lossy())
                        )
                    })?;
                    text.push_str(&format!("{name}_FILE={path}\n"));
                }
            }
        }
        self.write(ENV, &text).map(drop)
    }

    /// Writes a file that goes with this value.
    fn write(&mut self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.write_file(name, text)?;
        self.written.push(path.clone());
        Ok(path)
    }

    /// Writes a file that only its owner can read. A reader sees all of it, or nothing.
    fn write_file(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let (path, new) = (self.path.join(name), self.path.join(format!("{name}.new")));
        write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| format!("cannot write `{}/{name}`: {error}", self.name))?;
        Ok(path)
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    // Of a run that was killed.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

impl Drop for Folder {
    fn drop(&mut self) {
        for path in self.written.iter().rev() {
            let _ = fs::remove_file(path);
        }
        // It stays if it holds anything else, such as kept data, which Git is to leave out.
        let ignore = self.path.join(IGNORE);
        let is_last = |entries: fs::ReadDir| {
            entries.flatten().map(|entry| entry.file_name()).eq([OsStr::new(IGNORE)])
        };
        if fs::read_dir(&self.path).is_ok_and(is_last)
            && fs::read_to_string(&ignore).is_ok_and(|text| text == IGNORE_ALL)
        {
            let _ = fs::remove_file(ignore);
        }
        let _ = fs::remove_dir(&self.path);
    }
}
