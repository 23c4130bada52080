//! Servers that all [`Dev`](super::Dev)s of the process share while one of them is left.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use crate::DevError;
use crate::authority::{Authority, Leaf};
use crate::folder::Folder;
use crate::kept::Kept;
use crate::program::Programs;
use crate::server::Account;

/// The place that the programs come from, and the one of the data if they are kept.
pub(super) type Origin = (Programs, Option<Kept>);

/// A value for each origin. It is gone once nothing holds it.
pub(super) struct Shared<T>(Mutex<Vec<(Origin, Weak<T>)>>);

impl<T> Shared<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The value that is there, or else a new one. Others wait while one is made.
    pub(super) fn get(
        &self,
        origin: Origin,
        make: impl FnOnce() -> Result<T, DevError>,
    ) -> Result<Arc<T>, DevError> {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        there.retain(|(_, value)| value.strong_count() > 0);
        let mut of_origin = there.iter().filter(|(other, _)| *other == origin);
        if let Some(value) = of_origin.find_map(|(_, value)| value.upgrade()) {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        there.push((origin, Arc::downgrade(&value)));
        Ok(value)
    }
}

/// The authority of all servers of the process.
static AUTHORITY: LazyLock<Result<Authority, DevError>> =
    LazyLock::new(|| Authority::new("a developer's private authority"));

/// The certificate of the authority, in PEM.
pub(super) fn authority() -> Result<String, DevError> {
    AUTHORITY.as_ref().map(Authority::pem).map_err(Clone::clone)
}

/// The same in a file, for tools that read it from there. Only this process can write it.
pub(super) fn authority_file() -> Result<PathBuf, DevError> {
    static FILE: LazyLock<Result<(Folder, PathBuf), DevError>> = LazyLock::new(|| {
        let folder = Folder::of_values("authority")?;
        let file = folder.write("authority.pem", &authority()?)?;
        Ok((folder, file))
    });
    FILE.as_ref().map(|(_, file)| file.clone()).map_err(Clone::clone)
}

/// A certificate for a server.
pub(super) fn certificate() -> Result<Leaf, DevError> {
    AUTHORITY.as_ref().map_err(Clone::clone)?.server()
}

/// An administrator with a random password.
pub(super) fn administrator() -> Result<Account, DevError> {
    Ok(Account::new("administrator", super::random()?))
}
