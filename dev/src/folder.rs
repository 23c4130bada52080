//! Temporary folders that any server account can use, and that are removed however the process
//! ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};

use crate::DevError;

/// A folder that is opened, and not a link to one.
const FOLDER: OFlags =
    OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A folder below the temporary folder of this process. It belongs to the server [`account`], or to
/// this process.
///
/// If this process runs as root, other processes of the server account can put links into the
/// folder. So nothing here follows a link: each folder on the way is opened in turn, and each file
/// is a new one.
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

    /// An empty folder for a server, in memory. `None` if this machine has no such place, or too
    /// little room in it.
    pub(crate) fn in_memory(name: &str) -> Option<Self> {
        Self::below(MEMORY.as_ref()?, name, true).ok()
    }

    fn of(name: &str, is_a_servers: bool) -> Result<Self, DevError> {
        Self::below(ROOT.as_ref().map_err(Clone::clone)?, name, is_a_servers)
    }

    fn below(root: &Root, name: &str, is_a_servers: bool) -> Result<Self, DevError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
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

    /// Makes a link in it.
    pub(crate) fn link(&self, name: &str, target: &Path) -> Result<PathBuf, DevError> {
        let path = self.path.join(name);
        let link = || {
            let (parent, name) = self.parent_of(&path)?;
            Ok(rustix::fs::symlinkat(target, &parent, name)?)
        };
        link().map_err(|error| DevError::path("cannot make", &path, &error))?;
        Ok(path)
    }

    fn make(&self, path: &Path) -> Result<(), DevError> {
        let make = || {
            let (parent, name) = self.parent_of(path)?;
            rustix::fs::mkdirat(&parent, name, Mode::RWXU)?;
            self.give(&rustix::fs::openat(&parent, name, FOLDER, Mode::empty())?)
        };
        make().map_err(|error| DevError::path("cannot make", path, &error))
    }

    /// The folder that a path of this folder is in, and its name there.
    fn parent_of<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let not_here = || io::Error::new(io::ErrorKind::InvalidInput, "it is not in this folder");
        let root = self.path.parent().ok_or_else(not_here)?;
        let inside = Some(path).filter(|path| path.starts_with(&self.path));
        let below = inside.and_then(|path| path.strip_prefix(root).ok()).ok_or_else(not_here)?;
        let (parent, name) = below.parent().zip(below.file_name()).ok_or_else(not_here)?;
        let mut folder = rustix::fs::openat(CWD, root, FOLDER, Mode::empty())?;
        for part in parent.components() {
            let Component::Normal(part) = part else { return Err(not_here()) };
            folder = rustix::fs::openat(&folder, part, FOLDER, Mode::empty())?;
        }
        Ok((folder, name))
    }

    /// Gives an open file or folder to the server account, if the folder belongs to it.
    fn give(&self, file: &OwnedFd) -> io::Result<()> {
        let Some((user, group)) = self.owner() else { return Ok(()) };
        Ok(rustix::fs::fchown(file, Some(user), Some(group))?)
    }

    fn owner(&self) -> Option<(Uid, Gid)> {
        let (user, group) = account().filter(|_| self.is_a_servers)?;
        Some((Uid::from_raw(user), Gid::from_raw(group)))
    }

    /// Writes a file that only the owner of the folder can read. It replaces an earlier file, or a
    /// link.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf, DevError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = self.path.join(name);
        let write = || {
            let (parent, name) = self.parent_of(&path)?;
            let new = format!(".new-{}", COUNT.fetch_add(1, Ordering::Relaxed));
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&parent, &new, flags, Mode::RUSR | Mode::WUSR)?;
            // Before the name leads to it: a server that reads the file may read it at once.
            self.give(&file)?;
            File::from(file).write_all(content.as_bytes())?;
            Ok(rustix::fs::renameat(&parent, &new, &parent, name)?)
        };
        write().map_err(|error| DevError::path("cannot write", &path, &error))?;
        Ok(path)
    }

    /// Gives a file or a folder in it to the server account, if the folder belongs to that account.
    /// Of a link, it gives the link.
    ///
    /// # Errors
    /// If this process may not, or if the path is not in this folder.
    pub fn own(&self, path: &Path) -> Result<(), DevError> {
        let Some((user, group)) = self.owner() else { return Ok(()) };
        let own = || {
            let (parent, name) = self.parent_of(path)?;
            let (user, group) = (Some(user), Some(group));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            Ok(rustix::fs::chownat(parent.as_fd(), name, user, group, flags)?)
        };
        own().map_err(|error| {
            DevError::path("cannot give to the account of the servers", path, &error)
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Reads a file that a server writes. It follows no link, and waits for no pipe.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut content = Vec::new();
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?
        .read_to_end(&mut content)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
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
/// of this process, and removes the folder. First it waits until the servers have stopped, which
/// write into it, and find kept data by a link in it. It tries several times. Ctrl-C in a terminal
/// signals the whole process group, so the child has a group of its own.
///
/// A path of a socket may have about 100 bytes: `TMPDIR` of macOS leaves too few of them.
static ROOT: LazyLock<Result<Root, DevError>> = LazyLock::new(|| root("/tmp"));

/// The same in memory.
static MEMORY: LazyLock<Option<Root>> = LazyLock::new(|| {
    // The place of shared memory, on Linux. In a container it often has 64 MiB.
    const PLACE: &str = "/dev/shm";
    const ENOUGH: u64 = 1 << 30;
    let place = rustix::fs::statvfs(PLACE).ok()?;
    let has_room = place.f_bavail.saturating_mul(place.f_frsize) >= ENOUGH;
    if has_room { root(PLACE).ok() } else { None }
});

fn root(place: &str) -> Result<Root, DevError> {
    const JANITOR: &str = r#"
read -r _
stopping() {
    for pid in "$1"/*/server.pid; do
        [ ! -e "$pid" ] || [ -e "${pid%.pid}.ended" ] || return 0
    done
    return 1
}
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do stopping "$1" || break; sleep 1; done
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" && exit; sleep 1; done
"#;
    let folder = tempfile::Builder::new()
        .prefix("backing-services-")
        .tempdir_in(place)
        .map_err(|error| {
            DevError::path("cannot make a temporary folder in", place.as_ref(), &error)
        })?
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
}

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

    #[test]
    fn no_link_in_a_folder_is_followed() {
        use std::os::unix::fs::{MetadataExt as _, symlink};
        let (folder, other) = (Folder::new("links").unwrap(), tempfile::tempdir().unwrap());
        let file = other.path().join("file");
        fs::write(&file, "another's").unwrap();
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        let before = (owner(&file), owner(other.path()));

        // The last part of a path.
        let link = folder.path().join("link");
        symlink(&file, &link).unwrap();
        assert!(read(&link).is_err());
        folder.own(&link).unwrap();
        assert_eq!(folder.write("link", "mine").unwrap(), link);
        assert_eq!(read(&link).unwrap(), "mine");
        assert_eq!(read(&file).unwrap(), "another's");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());

        // A folder on the way, and a folder that is there already.
        symlink(other.path(), folder.path().join("data")).unwrap();
        folder.write("data/file", "mine").unwrap_err();
        folder.folder("data/more").unwrap_err();
        folder.folder("data").unwrap_err();
        if account().is_some() {
            folder.own(&folder.path().join("data/file")).unwrap_err();
        }
        assert_eq!(read(&file).unwrap(), "another's");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
        assert_eq!((owner(&file), owner(other.path())), before);
    }

    #[test]
    fn a_file_that_is_not_in_the_folder_is_not_written() {
        let folder = Folder::new("inside").unwrap();
        for name in ["../outside", "a/../../outside", "/tmp/outside", ""] {
            folder.write(name, "x").unwrap_err();
        }
    }
}
