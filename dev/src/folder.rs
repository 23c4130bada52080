//! Temporary folders that any server account can use, and that are removed however the process
//! ends.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::DevError;

/// A folder below the temporary folder of this process. It belongs to the server [`account`], or to
/// this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    is_a_servers: bool,
}

impl Folder {
    /// An empty folder for a server.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(name: &str) -> Result<Self, DevError> {
        Self::of(name, true)
    }

    /// An empty folder that belongs to this process, because values are read only from files of the
    /// own user.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn of_values(name: &str) -> Result<Self, DevError> {
        Self::of(name, false)
    }

    fn of(name: &str, is_a_servers: bool) -> Result<Self, DevError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let root = ROOT.as_ref().map_err(Clone::clone)?;
        let path = root.path.join(format!("{}-{name}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let folder = Self { path, is_a_servers };
        folder.make(&folder.path)?;
        Ok(folder)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder in it, for the same owner alone.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, DevError> {
        let path = self.path.join(name);
        self.make(&path)?;
        Ok(path)
    }

    fn make(&self, path: &Path) -> Result<(), DevError> {
        fs::create_dir(path)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
            .map_err(|error| DevError::path("cannot make", path, &error))?;
        self.own(path)
    }

    /// Writes a file that only the owner of the folder can read.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf, DevError> {
        let path = self.path.join(name);
        fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
            .map_err(|error| DevError::path("cannot write", &path, &error))?;
        self.own(&path)?;
        Ok(path)
    }

    /// Gives a file or a folder to the server account, if the folder belongs to it.
    ///
    /// # Errors
    /// If this process may not.
    pub fn own(&self, path: &Path) -> Result<(), DevError> {
        let Some((user, group)) = account().filter(|_| self.is_a_servers) else { return Ok(()) };
        chown(path, Some(user), Some(group)).map_err(|error| {
            DevError::path("cannot give to the account of the servers", path, &error)
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The user and the group of the servers: `nobody` if this process runs as root, as which
/// PostgreSQL does not run. Otherwise `None`, the account of this process.
#[must_use]
pub fn account() -> Option<(u32, u32)> {
    static ACCOUNT: LazyLock<Option<(u32, u32)>> = LazyLock::new(|| {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        // Debian's and Fedora's numbers, if the list cannot be read.
        Some(
            nobody(&fs::read_to_string("/etc/passwd").unwrap_or_default())
                .unwrap_or((65534, 65534)),
        )
    });
    *ACCOUNT
}

fn nobody(accounts: &str) -> Option<(u32, u32)> {
    let line = accounts.lines().find(|line| line.starts_with("nobody:"))?;
    let mut numbers = line.split(':').skip(2);
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}

/// The temporary folder of this process.
struct Root {
    path: PathBuf,
    _janitor: Child,
}

/// A `static` is never dropped. So a child process waits for the end of its input, which is the end
/// of this process, and removes the folder. It tries several times, because servers that are
/// stopping still write into it.
static ROOT: LazyLock<Result<Root, DevError>> = LazyLock::new(|| {
    const JANITOR: &str =
        "read -r _; for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- \"$1\" && exit; sleep 1; done";
    // A path of a socket may have about 100 bytes: `TMPDIR` of macOS leaves too few of them.
    let folder = tempfile::Builder::new()
        .prefix("backing-services-")
        .tempdir_in("/tmp")
        .map_err(|error| DevError::system("cannot make a temporary folder in /tmp", &error))?
        .keep();
    // Other users may pass through, and list nothing.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711))
        .map_err(|error| DevError::path("cannot change the mode of", &folder, &error))?;
    let janitor = Command::new("sh")
        .args(["-c", JANITOR, "sh"])
        .arg(&folder)
        // An interrupt from the terminal must not end it before this process.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| DevError::system("cannot start `sh`", &error))?;
    Ok(Root { path: folder, _janitor: janitor })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_numbers_are_read() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nnobody:x:99:98:nobody:/:/bin/false\n";
        assert_eq!(nobody(accounts), Some((99, 98)));
        assert_eq!(nobody("nobody:x:"), None);
        assert_eq!(nobody(""), None);
    }

    #[test]
    fn a_folder_is_its_owners_alone_and_goes_with_its_handle() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = Folder::new("test").unwrap();
        let path = folder.path().to_owned();
        let file = folder.write("secret", "x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
        if let Some((user, group)) = account() {
            let found = fs::metadata(&file).unwrap();
            assert_eq!((found.uid(), found.gid()), (user, group));
        }
        drop(folder);
        assert!(!path.exists());
    }
}
