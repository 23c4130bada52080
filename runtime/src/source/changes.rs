//! The means to detect that the values of a source have changed. A source only lists its files and
//! signals; `follow` watches them.

use std::fmt;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

/// The means to detect that the values of a source have changed: files and folders to watch, and
/// signals of a source that watches by itself.
///
/// ```
/// use backing_services::source::Changes;
///
/// let changes = Changes::none().and(Changes::of_files(["/run/secrets"]));
/// assert_eq!(changes.files().count(), 1);
/// ```
#[derive(Clone, Default)]
pub struct Changes {
    files: Vec<PathBuf>,
    signals: Vec<watch::Receiver<u64>>,
}

impl Changes {
    /// Nothing to watch: the environment of a process stays as it was at its start.
    #[must_use]
    pub const fn none() -> Self {
        Self { files: Vec::new(), signals: Vec::new() }
    }

    /// These files and folders, as absolute paths. A folder stands for its content, and for that of
    /// the folders in it. The target of a link may change, which is how Kubernetes swaps a whole
    /// volume.
    #[must_use]
    pub fn of_files(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let mut changes = Self::none();
        changes.files.extend(paths.into_iter().map(Into::into));
        changes
    }

    /// A number that grows with each change, once the source gives the new values.
    #[must_use]
    pub fn notified(signal: watch::Receiver<u64>) -> Self {
        let mut changes = Self::none();
        changes.signals.push(signal);
        changes
    }

    /// These changes, and those of another source.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.files.extend(other.files);
        self.signals.extend(other.signals);
        self
    }

    /// Returns true if there is nothing to watch or to wait for.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.signals.is_empty() && self.files.is_empty()
    }

    /// The files and folders to watch. They need not exist yet.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// The signals to wait for.
    #[must_use]
    pub fn signals(&self) -> &[watch::Receiver<u64>] {
        &self.signals
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_struct("Changes");
        list.field("files", &self.files);
        list.field("signals", &self.signals.len());
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_several_sources_are_combined() {
        assert!(Changes::none().and(Changes::none()).is_none());
        let both = Changes::of_files(["/a"]).and(Changes::of_files(["/b", "/c"]));
        assert_eq!(
            both.files().collect::<Vec<_>>(),
            [Path::new("/a"), Path::new("/b"), Path::new("/c")]
        );
        assert!(!both.is_none());
        {
            let (sender, receiver) = watch::channel(0);
            let signalled = Changes::notified(receiver).and(both);
            assert!(!signalled.is_none());
            sender.send(1).unwrap();
            assert!(signalled.signals()[0].has_changed().unwrap());
        }
    }
}
