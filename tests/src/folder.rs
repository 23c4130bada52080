//! Temporary folders that any server account can use, and that are removed however the test ends.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder below the temporary folder of this process. It belongs to the server [`account`], or to
/// this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    is_a_servers: bool,
}

impl Folder {
    /// An empty folder for a server.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::of(name, true)
    }

    /// An empty folder that belongs to this process, because values are read only from files of the
    /// own user.
    #[must_use]
    pub fn of_values(name: &str) -> Self {
        Self::of(name, false)
    }

    fn of(name: &str, is_a_servers: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = ROOT.path.join(format!("{}-{name}", COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&path).expect("a folder for a test");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("the folder's mode");
        let folder = Self { path, is_a_servers };
        folder.own(folder.path());
        folder
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only the owner of the folder can read.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, content).expect("a file for a server");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file's mode");
        self.own(&path);
        path
    }

    /// Gives a file or a folder to the server account, if the folder belongs to it.
    pub fn own(&self, path: &Path) {
        if let Some((user, group)) = account().filter(|_| self.is_a_servers) {
            chown(path, Some(user), Some(group))
                .expect("to give a file to the account of the server");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The user and the group of the servers: `nobody` if the tests run as root, as which PostgreSQL
/// does not run. Otherwise `None`, the account of the tests.
#[must_use]
pub fn account() -> Option<(u32, u32)> {
    static ACCOUNT: LazyLock<Option<(u32, u32)>> = LazyLock::new(|| {
        use std::os::unix::fs::MetadataExt as _;
        let own = fs::metadata("/proc/self").map_or(u32::MAX, |process| process.uid());
        if own != 0 {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").expect("the list of accounts");
        let mut line = accounts
            .lines()
            .find(|line| line.starts_with("nobody:"))
            .expect("an account `nobody`")
            .split(':')
            .skip(2);
        let mut number = || line.next()?.parse().ok();
        Some((number().expect("a user"), number().expect("a group")))
    });
    *ACCOUNT
}

/// The temporary folder of this process.
struct Root {
    path: PathBuf,
    _janitor: Child,
}

/// A `static` is never dropped. So a child process waits for the end of its input, which is the end
/// of this process, and removes the folder. It tries several times, because servers that are
/// stopping still write into it.
static ROOT: LazyLock<Root> = LazyLock::new(|| {
    const JANITOR: &str =
        "read -r _; for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- \"$1\" && exit; sleep 1; done";
    let folder = tempfile::Builder::new()
        .prefix("backing-services-")
        .tempdir_in("/tmp")
        .expect("a temporary folder")
        .keep();
    // Other users may pass through, and list nothing.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).expect("the folder's mode");
    let janitor = Command::new("sh")
        .args(["-c", JANITOR, "sh"])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh");
    Root { path: folder, _janitor: janitor }
});
