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
    signals: Vec<ChangeListener>,
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

    /// A signal of the source, which it sends once it gives the new values.
    #[must_use]
    pub fn signalled(signal: &ChangeSignal) -> Self {
        let mut changes = Self::none();
        changes.signals.push(ChangeListener(signal.0.subscribe()));
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
    pub fn signals(&self) -> &[ChangeListener] {
        &self.signals
    }
}

/// The signal of a source that watches by itself. Clones send the same signal.
#[derive(Clone, Debug)]
pub struct ChangeSignal(watch::Sender<u64>);

impl ChangeSignal {
    /// A signal that was not sent yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Sends the signal. The source has to give the new values by now.
    pub fn send(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

impl Default for ChangeSignal {
    fn default() -> Self {
        Self::new()
    }
}

/// The receiving side of a [`ChangeSignal`].
#[derive(Clone, Debug)]
pub struct ChangeListener(watch::Receiver<u64>);

impl ChangeListener {
    /// Waits for the next signal. Returns false if the source is gone, and sends no more.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }

    /// Returns true if a signal was sent since the last call of [`changed`](Self::changed).
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }

    /// Forgets the signals that were sent.
    pub fn mark_unchanged(&mut self) {
        self.0.mark_unchanged();
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
            let signal = ChangeSignal::new();
            let signalled = Changes::signalled(&signal).and(both);
            assert!(!signalled.is_none());
            signal.send();
            assert!(signalled.signals()[0].has_changed());
        }
    }
}
