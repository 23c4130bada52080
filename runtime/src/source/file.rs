//! The one reader of files: what a value in a file must be, and who else can get at it.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::Path;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::{MAX_VALUE, Notice};

/// A value that was in a file, and who else can get at it.
pub(crate) struct FileValue {
    /// `None` where the file is empty: what a credential that could not be fetched leaves behind.
    pub(crate) text: Option<SecretString>,
    pub(crate) exposure: Option<Notice>,
}

/// What is wrong with a file. It follows the words "a file that", and holds nothing of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Absent,
    Forbidden,
    NotRegular,
    TooLong,
    NotText,
    Broken,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "does not exist",
            Self::Forbidden => "this process may not read",
            Self::NotRegular => "is not a regular file",
            Self::TooLong => "is longer than 1 MiB",
            Self::NotText => "is not UTF-8",
            Self::Broken => "cannot be read",
        })
    }
}

/// In our own words: which of these it was is all that helps.
impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Absent,
            std::io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Broken,
        }
    }
}

/// Reads a value. One line end behind it does not belong to it; other blanks do.
pub(crate) fn read(path: &Path) -> Result<FileValue, Fault> {
    // Looked at before it is opened: opening a pipe waits for whoever writes to it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Fault::NotRegular);
    }
    let file = File::open(path)?;
    // And after: what was opened is what is read.
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Fault::NotRegular);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(MAX_VALUE as u64) as usize + 1));
    file.take(MAX_VALUE as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_VALUE {
        return Err(Fault::TooLong);
    }
    let text = str::from_utf8(&bytes).map_err(|_| Fault::NotText)?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    let text = (!text.is_empty()).then(|| SecretString::from(text));
    Ok(FileValue { text, exposure: exposure(path, &metadata) })
}

/// Who else can get at the file: its own mode, and that of the folder that it really is in.
#[cfg(unix)]
pub(crate) fn exposure(path: &Path, metadata: &Metadata) -> Option<Notice> {
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
        Some(Notice::OthersWrite)
    } else if metadata.mode() & OTHERS_READ != 0 {
        Some(Notice::OthersRead)
    } else {
        None
    }
}

/// Modes are Unix's; elsewhere there is nothing to look at.
#[cfg(not(unix))]
pub(crate) fn exposure(_: &Path, _: &Metadata) -> Option<Notice> {
    None
}
