//! Watches files and folders through their parent folders: a replaced file is a new file, and so is
//! the folder behind Kubernetes' `..data`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

/// The most folders that are watched. A change in any other folder is found by the periodic reload.
const MOST: usize = 1024;

/// Calls `ring` if one of the files or folders may have changed.
pub(super) struct Watcher {
    /// `None` if the system offers no way to watch files.
    watcher: Option<RecommendedWatcher>,
    /// The followed paths, and the paths that links resolve to.
    followed: Arc<Mutex<Vec<PathBuf>>>,
    /// The folders that are watched for them.
    watched: BTreeSet<PathBuf>,
}

impl Watcher {
    pub(super) fn new(ring: impl Fn() + Send + 'static) -> Self {
        let followed = Arc::new(Mutex::new(Vec::<PathBuf>::new()));
        let known = Arc::clone(&followed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| {
                !is_about(&event, &known.lock().unwrap_or_else(PoisonError::into_inner))
            }) {
                return;
            }
            ring();
        });
        if watcher.is_err() {
            tracing::warn!("files cannot be watched: the source is checked every minute");
        }
        Self { watcher: watcher.ok(), followed, watched: BTreeSet::new() }
    }

    /// Watches these files, and nothing else. Returns true if a folder was not watched before:
    /// something in it may have changed already.
    pub(super) fn watch(&mut self, files: &[PathBuf]) -> bool {
        let (followed, folders) = look_at(files);
        *self.followed.lock().unwrap_or_else(PoisonError::into_inner) = followed;
        let Some(watcher) = &mut self.watcher else { return false };
        for gone in self.watched.difference(&folders) {
            // The folder itself may be gone.
            drop(watcher.unwatch(gone));
        }
        let mut refused = 0;
        for folder in &folders {
            // Watch it again even if it is watched already: another folder of the same name may
            // have replaced it.
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive)
                && !matches!(error.kind, notify::ErrorKind::PathNotFound)
                && !self.watched.contains(folder)
            {
                refused += 1;
            }
        }
        if refused > 0 {
            tracing::warn!(
                folders = refused,
                "folders cannot be watched: what is in them is checked every minute"
            );
        }
        let is_new = folders.difference(&self.watched).next().is_some();
        self.watched = folders;
        is_new
    }
}

/// The paths that an event may have, and the folders that report them.
fn look_at(files: &[PathBuf]) -> (Vec<PathBuf>, BTreeSet<PathBuf>) {
    let mut followed = Vec::new();
    let mut folders = BTreeSet::new();
    for file in files {
        let real = file.canonicalize().ok().filter(|real| real != file);
        for path in [Some(file.clone()), real].into_iter().flatten() {
            // The file's folder; if that does not exist yet, the closest existing folder above it.
            folders.extend(
                path.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_owned),
            );
            if path.is_dir() {
                folders.insert(path.clone());
                let entries = std::fs::read_dir(&path).into_iter().flatten().flatten().take(MOST);
                folders.extend(entries.map(|entry| entry.path()).filter(|entry| entry.is_dir()));
            }
            followed.push(path);
        }
    }
    (followed, folders.into_iter().take(MOST).collect())
}

/// Returns true if an event may concern a followed path. A read access does not: this process reads
/// the files itself.
fn is_about(event: &Event, followed: &[PathBuf]) -> bool {
    if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
    {
        return false;
    }
    let is_about = |path: &Path| {
        // Kubernetes swaps a whole volume by renaming this link. The files themselves are links
        // through it, and stay.
        path.file_name().is_some_and(|name| name == "..data")
            || followed
                .iter()
                .any(|followed| followed.starts_with(path) || path.starts_with(followed))
    };
    // An event without a path: events were lost.
    event.paths.is_empty() || event.need_rescan() || event.paths.iter().any(|path| is_about(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_neighbouring_files_are_ignored() {
        let followed = [PathBuf::from("/run/secrets/url"), PathBuf::from("/bindings")];
        let is_about =
            |kind, path: &str| is_about(&Event::new(kind).add_path(path.into()), &followed);
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        for path in [
            "/run/secrets/url", "/run/secrets", "/run", "/run/secrets/..data",
            "/bindings/orders/uri", "/bindings/orders",
        ] {
            assert!(is_about(EventKind::Any, path) && is_about(written, path), "{path}");
            assert!(!is_about(EventKind::Access(AccessKind::Read), path), "{path}");
        }
        for path in ["/run/secrets/url.swp", "/run/secrets/other", "/run/other"] {
            assert!(!is_about(EventKind::Any, path), "{path}");
        }
        assert!(
            super::is_about(&Event::new(EventKind::Any), &followed),
            "lost events may have been about anything"
        );
    }

    #[test]
    fn the_closest_existing_folder_of_a_missing_file_is_watched() {
        let root = std::env::temp_dir().canonicalize().unwrap();
        let (followed, folders) = look_at(&[root.join("backing-services-none/deep/url")]);
        assert_eq!(followed, [root.join("backing-services-none/deep/url")]);
        assert_eq!(folders, BTreeSet::from([root]));
    }
}
