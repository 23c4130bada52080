//! Temporary folders that any server account can use, and that are removed however the test ends.

use std::path::{Path, PathBuf};

use backing_services_dev::folder;
pub use backing_services_dev::folder::account;

/// A folder of a server, or of the test.
#[derive(Debug)]
pub struct Folder(folder::Folder);

impl Folder {
    /// An empty folder for a server.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(folder::Folder::new(name).unwrap())
    }

    /// An empty folder that belongs to this process, because values are read only from files of the
    /// own user.
    #[must_use]
    pub fn of_values(name: &str) -> Self {
        Self(folder::Folder::of_values(name).unwrap())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file that only the owner of the folder can read.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        self.0.write(name, content).unwrap()
    }

    /// Gives a file or a folder to the server account, if the folder belongs to it.
    pub fn own(&self, path: &Path) {
        self.0.own(path).unwrap();
    }
}
