//! A value in a file: `NAME_FILE` names it, as the entry points of container images do it.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::Path;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::{MAX_VALUE, Unreadable};

/// A value that was in a file, and who else can get at it.
pub(crate) struct FileValue {
    pub(crate) text: Option<SecretString>,
    pub(crate) exposure: Exposure,
}

/// Who else can get at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Its owner and its group.
    None,
    /// Every user of the machine can read it.
    Readable,
    /// Every user of the machine can write it, or put another in its place.
    Writable,
}

/// Reads a value. One line end behind it does not belong to it; other blanks do.
pub(crate) fn read(path: &str) -> Result<FileValue, Unreadable> {
    let path = Path::new(path);
    if !path.is_absolute() {
        return Err(Unreadable::new("is not an absolute path: what it names would depend on where the process was started"));
    }
    // Looked at before it is opened: opening a pipe waits for whoever writes to it.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Unreadable::new("does not name a regular file"));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(MAX_VALUE as u64) as usize + 1));
    file.take(MAX_VALUE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_VALUE {
        return Err(Unreadable::new("names a file that is longer than 1 MiB"));
    }
    let text = str::from_utf8(&bytes).map_err(|_| Unreadable::new("names a file that is not UTF-8"))?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    let text = (!text.is_empty()).then(|| SecretString::from(text));
    Ok(FileValue { text, exposure: exposure(path, &metadata) })
}

/// In our own words: which of these it was is all that helps, and the path is a value.
fn unreadable(error: std::io::Error) -> Unreadable {
    Unreadable::new(match error.kind() {
        std::io::ErrorKind::NotFound => "names a file that does not exist",
        std::io::ErrorKind::PermissionDenied => "names a file that this process may not read",
        _ => "names a file that cannot be read",
    })
}

/// Who else can get at the file: its own mode, and that of the folder that it really is in.
#[cfg(unix)]
pub(crate) fn exposure(path: &Path, metadata: &Metadata) -> Exposure {
    use std::os::unix::fs::MetadataExt as _;
    const OTHERS_READ: u32 = 0o004;
    const OTHERS_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    // The path as it was given may be a link: both folders matter, as either can be made to hold another file.
    let folders =
        [path.parent().map(Path::to_owned), path.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned))];
    let replaceable = folders.iter().flatten().any(|folder| {
        std::fs::metadata(folder).is_ok_and(|folder| folder.mode() & OTHERS_WRITE != 0 && folder.mode() & STICKY == 0)
    });
    if replaceable || metadata.mode() & OTHERS_WRITE != 0 {
        Exposure::Writable
    } else if metadata.mode() & OTHERS_READ != 0 {
        Exposure::Readable
    } else {
        Exposure::None
    }
}

/// Modes are Unix's; elsewhere there is nothing to look at.
#[cfg(not(unix))]
pub(crate) fn exposure(_: &Path, _: &Metadata) -> Exposure {
    Exposure::None
}
