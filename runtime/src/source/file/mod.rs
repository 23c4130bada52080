//! The one reader of files: checks a value in a file, the access of other users, and whether it is
//! ever updated.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

#[cfg(unix)]
pub use self::way::{End, Way};
use super::{MAX_VALUE, Notice};

#[cfg(unix)]
mod group;
#[cfg(unix)]
mod way;

/// The help for a file that others may change.
pub const OWN_IT: &str = "list who owns each part of the path, and who can write it: \
    `namei -l PATH`; each has to belong to root or to the user that this process runs as, \
    and must not be writable by other users: `chown`, `chmod go-w`";

/// A value from a file, and the notices about it.
pub(crate) struct FileValue {
    /// `None` if the file is empty: a credential that could not be fetched leaves such a file
    /// behind.
    pub(crate) text: Option<SecretString>,
    pub(crate) notices: Vec<Notice>,
}

/// The fault of a file. It follows the words "a file that", and contains nothing of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It does not exist.
    Absent,
    /// This process may not read it.
    Forbidden,
    /// It is a folder, a pipe, a socket or a device.
    NotRegular,
    /// It is one of `/proc` or `/sys`.
    OfTheKernel,
    /// It is longer than 1 MiB.
    TooLong,
    /// It is not UTF-8.
    NotText,
    /// It is a link that leads out of its folder.
    Outside,
    /// It cannot be read, for another reason.
    Broken,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "does not exist",
            Self::Forbidden => "this process may not read",
            Self::NotRegular => "is not a regular file",
            Self::OfTheKernel => "is the kernel's own, as those in `/proc` and `/sys` are",
            Self::TooLong => "is longer than 1 MiB",
            Self::NotText => "is not UTF-8",
            Self::Outside => "is a link that leads out of its folder",
            Self::Broken => "cannot be read",
        })
    }
}

/// In our own words, because only the kind of the error helps.
impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Absent,
            std::io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Broken,
        }
    }
}

/// An opened file, before it is read.
struct Opened {
    file: File,
    metadata: Metadata,
    /// The access of other users.
    exposure: Option<Notice>,
    /// Its real path, without links.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "only Linux checks the mounts")
    )]
    real: PathBuf,
}

/// Reads a value. One line end after it is removed; other blanks are kept.
///
/// It does not wait for the writer of a pipe, and reads no device and no file of the kernel's. A
/// file system on the network may block it.
pub(crate) fn read(path: &Path) -> Result<FileValue, Fault> {
    open(path)?.read()
}

/// Reads the file of this name in a folder; `None` if there is none. A link may lead to another
/// place in the folder, as Kubernetes' do, but not out of it.
pub(crate) fn read_in(folder: &Path, name: &str) -> Result<Option<FileValue>, Fault> {
    open_in(folder, Path::new(name))?.map(Opened::read).transpose()
}

#[cfg(unix)]
fn open(path: &Path) -> Result<Opened, Fault> {
    // A relative path begins in a folder whose own path is checked, too.
    let path = std::path::absolute(path)?;
    let mut way = Way::root()?;
    match way.follow(&path)? {
        End::Folder => Err(Fault::NotRegular),
        End::Nothing(_) => Err(Fault::Absent),
        End::Entry(name) => Opened::at(&way, &name),
    }
}

#[cfg(unix)]
fn open_in(folder: &Path, name: &Path) -> Result<Option<Opened>, Fault> {
    let mut way = Way::root()?;
    let (End::Folder, Some(folder)) = (way.follow(folder)?, way.identity()) else {
        return Ok(None);
    };
    let links = way.links();
    let end = match way.follow(name) {
        // The entry exists: a link that leads nowhere is broken, and not an absent value.
        Ok(End::Nothing(_)) if way.links() == links => return Ok(None),
        Ok(End::Nothing(_)) | Err(Fault::Absent) => return Err(Fault::Broken),
        end => end?,
    };
    if !way.is_within(folder) {
        return Err(Fault::Outside);
    }
    match end {
        End::Entry(name) => Opened::at(&way, &name).map(Some),
        _ => Err(Fault::NotRegular),
    }
}

/// Modes and owners are Unix's: other systems have nothing to check.
#[cfg(not(unix))]
fn open(path: &Path) -> Result<Opened, Fault> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(Fault::NotRegular);
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let real = path.canonicalize()?;
    Ok(Opened { file, metadata, exposure: None, real })
}

#[cfg(not(unix))]
fn open_in(folder: &Path, name: &Path) -> Result<Option<Opened>, Fault> {
    let path = folder.join(name);
    match path.symlink_metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    if !path.canonicalize()?.starts_with(folder.canonicalize()?) {
        return Err(Fault::Outside);
    }
    open(&path).map(Some)
}

impl Opened {
    #[cfg(unix)]
    fn at(way: &Way, name: &std::ffi::OsStr) -> Result<Self, Fault> {
        let (file, metadata, exposure) = way.open(name)?;
        Ok(Self { file, metadata, exposure, real: way.real().join(name) })
    }

    fn read(self) -> Result<FileValue, Fault> {
        let most = MAX_VALUE as u64;
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(self.metadata.len().min(most) as usize + 1));
        self.file.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() > MAX_VALUE {
            return Err(Fault::TooLong);
        }
        let text = str::from_utf8(&bytes).map_err(|_| Fault::NotText)?;
        let text =
            text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        let text = (!text.is_empty()).then(|| SecretString::from(text));
        let is_mount = is_mount(&self.real).then_some(Notice::NeverUpdated);
        Ok(FileValue { text, notices: self.exposure.into_iter().chain(is_mount).collect() })
    }
}

/// Returns true if the file itself is a mount: Kubernetes' `subPath`, Docker's `--mount`. The
/// mounted file may be replaced, and the mount still shows the former one.
#[cfg(target_os = "linux")]
fn is_mount(real: &Path) -> bool {
    // 1 MiB holds some ten thousand mounts.
    const LONGEST: u64 = 1024 * 1024;
    let mut mounts = Vec::new();
    let read = File::open("/proc/self/mountinfo")
        .and_then(|file| file.take(LONGEST).read_to_end(&mut mounts));
    read.is_ok() && mount_points(&mounts).any(|point| point == real.as_os_str().as_encoded_bytes())
}

/// Other systems have no such list.
#[cfg(not(target_os = "linux"))]
fn is_mount(_: &Path) -> bool {
    false
}

/// The mount points: the fifth field of each line (`proc_pid_mountinfo(5)`), in which blanks and
/// backslashes are written in octal.
#[cfg(target_os = "linux")]
fn mount_points(mounts: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    mounts.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut field = line.split(|byte| *byte == b' ').nth(4)?;
        let mut point = Vec::with_capacity(field.len());
        while let [first, rest @ ..] = field {
            let digits = rest.get(..3).filter(|_| *first == b'\\');
            let octal =
                digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
            point.push(octal.unwrap_or(*first));
            field = if octal.is_some() { &rest[3..] } else { rest };
        }
        Some(point)
    })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        let mounts = b"36 35 98:0 / / rw - ext4 /dev/sda rw\n\
            37 36 98:0 /mnt1 /mnt/a\\040b\\134c rw master:1 - ext3 /dev/root rw\n\
            38 36 98:0 / /etc/shop/key rw - tmpfs tmpfs ro\nshort line\n\
            39 36 98:0 / /odd\\9\\04 rw - tmpfs tmpfs ro\n";
        let points: Vec<_> =
            mount_points(mounts).map(|point| String::from_utf8(point).unwrap()).collect();
        assert_eq!(points, ["/", "/mnt/a b\\c", "/etc/shop/key", "/odd\\9\\04"]);
        assert!(is_mount(Path::new("/proc")) && !is_mount(Path::new("/proc/self/mountinfo")));
    }

    #[test]
    fn a_link_does_not_lead_out_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir_all(inner.join("..2026")).unwrap();
        std::fs::write(folder.path().join("outside"), "x").unwrap();
        std::fs::write(inner.join("..2026/key"), "x").unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, inner.join(name)).unwrap();
        link("..2026", "..data");
        link("..data/key", "key");
        link("../outside", "out");
        link("nowhere", "dangling");
        link("loop", "loop");
        link("..2026", "folder");
        assert!(read_in(&inner, "key").ok().flatten().unwrap().text.is_some());
        assert!(read_in(&inner, "absent").ok().unwrap().is_none());
        for (name, fault) in [
            ("out", Fault::Outside),
            ("dangling", Fault::Broken),
            ("loop", Fault::Broken),
            ("folder", Fault::NotRegular),
            ("key/x", Fault::Broken),
        ] {
            assert_eq!(read_in(&inner, name).err(), Some(fault), "{name}");
        }
    }
}
