//! The path to a file, from the root on. Every folder and every link is opened or read by itself,
//! and has to belong to us or to the administrator, and to be writable by no other user.
//!
//! Each step begins at the folder that the step before it opened. So the checked file is the opened
//! file, even if the path changes meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, readlinkat, statat};

use super::{Fault, group};
use crate::source::Notice;

/// The most links on one path: 40, which is Linux's own limit (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// The most steps of one path: more than a path of 4,096 bytes has, which is Linux's `PATH_MAX`.
const MOST_STEPS: usize = 4096;

/// A folder is opened to pass through, not to be read: search permission is enough.
#[cfg(target_os = "linux")]
const SEARCH: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const SEARCH: OFlags = OFlags::RDONLY;

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// A folder on the path.
struct Folder {
    opened: File,
    metadata: Metadata,
}

/// The part of a path that was followed.
pub struct Way {
    /// The user for whom the path is checked.
    user: u32,
    /// From the root to the folder that was reached.
    folders: Vec<Folder>,
    /// The real path of that folder, without links.
    real: PathBuf,
    links: usize,
    steps: usize,
    /// The first notice that another user controls where the path leads.
    doubt: Option<Notice>,
}

/// The end of a path.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "a path has no other end")]
pub enum End {
    /// A folder, which is now the last one of the way.
    Folder,
    /// An entry that is not a folder, by its name in the last folder of the way.
    Entry(OsString),
    /// A name that does not exist in the last folder of the way.
    Nothing(OsString),
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("real", &self.real()).finish_non_exhaustive()
    }
}

impl Way {
    /// Starts at the root, as the user that this process runs as.
    pub fn root() -> Result<Self, Fault> {
        Self::of_user(rustix::process::geteuid().as_raw())
    }

    pub(super) fn of_user(user: u32) -> Result<Self, Fault> {
        let mut way = Self {
            user,
            folders: Vec::new(),
            real: PathBuf::new(),
            links: 0,
            steps: 0,
            doubt: None,
        };
        way.begin()?;
        Ok(way)
    }

    /// The notice that another user controls where the way leads; `None` if no other user does.
    pub const fn doubt(&self) -> Option<Notice> {
        self.doubt
    }

    /// The real path of the last folder, without links.
    pub(crate) fn real(&self) -> &Path {
        &self.real
    }

    /// The device and the inode number of the last folder, which identify it.
    pub(crate) fn identity(&self) -> Option<(u64, u64)> {
        self.folders.last().map(Folder::identity)
    }

    /// Returns true if the last folder is that one, or is within it, at any depth.
    pub(crate) fn is_within(&self, identity: (u64, u64)) -> bool {
        self.folders.iter().any(|folder| folder.identity() == identity)
    }

    /// The number of links that were followed so far.
    pub const fn links(&self) -> usize {
        self.links
    }

    /// Returns true if others can add entries to the last folder, though they cannot replace ours.
    pub fn others_add(&self) -> bool {
        self.folders.last().is_none_or(|folder| {
            self.others_write(Access::of(&folder.metadata), || has_list(&folder.opened, None))
        })
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.folders.clear();
        self.real = PathBuf::from("/");
        let flags = SEARCH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.enter(openat(CWD, "/", flags, Mode::empty()))
    }

    /// Follows an absolute path from the root, or a relative one from the folder that was reached.
    pub fn follow(&mut self, path: &Path) -> Result<End, Fault> {
        // The remaining steps, the next one last.
        let mut rest = steps(path);
        let mut end = End::Folder;
        while let Some(step) = rest.pop() {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Err(Fault::Broken);
            }
            match step {
                Step::Root => self.begin()?,
                Step::Up => self.leave(),
                Step::Name(name) => {
                    end = self.step(name, &mut rest)?;
                    match end {
                        End::Folder => {}
                        _ if rest.is_empty() => return Ok(end),
                        End::Entry(_) => return Err(Fault::Broken),
                        End::Nothing(_) => return Err(Fault::Absent),
                    }
                }
            }
        }
        Ok(end)
    }

    fn step(&mut self, name: OsString, rest: &mut Vec<Step>) -> Result<End, Fault> {
        let folder = &self.folders.last().ok_or(Fault::Broken)?.opened;
        let found = match statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(End::Nothing(name)),
            found => found?,
        };
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Symlink => {
                self.links += 1;
                if self.links > MOST_LINKS {
                    return Err(Fault::Broken);
                }
                let target = readlinkat(folder, &name, Vec::new())?;
                let is_foreign = self.is_foreign(found.st_uid);
                self.suspect(is_foreign.then_some(Notice::PathOtherOwner));
                rest.extend(steps(Path::new(&OsString::from_vec(target.into_bytes()))));
                Ok(End::Folder)
            }
            FileType::Directory => {
                let flags = SEARCH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = openat(folder, &name, flags, Mode::empty());
                self.enter(opened)?;
                self.real.push(name);
                Ok(End::Folder)
            }
            _ => Ok(End::Entry(name)),
        }
    }

    fn enter(&mut self, opened: rustix::io::Result<rustix::fd::OwnedFd>) -> Result<(), Fault> {
        let opened = File::from(opened?);
        let metadata = opened.metadata()?;
        if self.is_foreign(metadata.uid()) {
            self.suspect(Some(Notice::PathOtherOwner));
        } else if self.others_write(Access::of(&metadata), || has_list(&opened, None))
            && metadata.mode() & STICKY == 0
        {
            // In a sticky folder, only the owner of an entry or of the folder can remove or rename
            // the entry.
            self.suspect(Some(Notice::PathOthersWrite));
        }
        self.folders.push(Folder { opened, metadata });
        Ok(())
    }

    /// Goes up by one folder. The parent of the root is the root.
    fn leave(&mut self) {
        if self.folders.len() > 1 {
            self.folders.pop();
            self.real.pop();
        }
    }

    /// Opens an entry of the last folder for reading. Returns the file, its metadata, and the
    /// notice about other users' access. It never waits, whatever the entry is, and follows no
    /// link.
    pub(crate) fn open(&self, name: &OsStr) -> Result<(File, Metadata, Option<Notice>), Fault> {
        let folder = &self.folders.last().ok_or(Fault::Broken)?.opened;
        let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        // Also check before opening: opening a device may have side effects.
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(Fault::NotRegular);
        }
        is_of_the_kernel(folder)?;
        self.open_whatever_it_is(folder, name)
    }

    /// The entry may have been replaced since it was checked.
    fn open_whatever_it_is(
        &self,
        folder: &File,
        name: &OsStr,
    ) -> Result<(File, Metadata, Option<Notice>), Fault> {
        let flags =
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(folder, name, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Fault::NotRegular);
        }
        is_of_the_kernel(&file)?;
        let exposure = self.exposure(Access::of(&metadata), || has_list(folder, Some(name)));
        Ok((file, metadata, exposure))
    }

    /// Other users' access to an entry of the last folder, if a driver opens the path itself.
    ///
    /// It opens nothing. A process that closes a file loses every POSIX lock that it has on it
    /// (`fcntl_locking(2)`): an SQLite database that is in use would lose its own.
    pub fn exposure_of(&self, name: &OsStr) -> Result<Option<Notice>, Fault> {
        let folder = &self.folders.last().ok_or(Fault::Broken)?.opened;
        let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(Fault::NotRegular);
        }
        is_of_the_kernel(folder)?;
        #[allow(clippy::useless_conversion, reason = "a mode has 16 bits on some systems")]
        let mode = u32::from(found.st_mode);
        let access = Access { owner: found.st_uid, group: found.st_gid, mode };
        Ok(self.exposure(access, || has_list(folder, Some(name))))
    }

    /// Creates a file in the last folder that only its owner can read, unless it exists.
    pub fn create(&self, name: &OsStr) -> io::Result<()> {
        let folder = &self.folders.last().ok_or(io::ErrorKind::NotFound)?.opened;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(folder, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(_) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The worst notice about other users' access to a file at the end of the way.
    fn exposure(&self, access: Access, has_list: impl FnOnce() -> bool) -> Option<Notice> {
        if self.is_foreign(access.owner) {
            Some(Notice::OtherOwner)
        } else if self.others_write(access, has_list) {
            Some(Notice::OthersWrite)
        } else if self.doubt.is_some() {
            self.doubt
        } else {
            (access.mode & OTHERS_READ != 0).then_some(Notice::OthersRead)
        }
    }

    fn suspect(&mut self, doubt: Option<Notice>) {
        self.doubt = self.doubt.or(doubt);
    }

    /// Returns true if it belongs to another user, who is not the administrator.
    const fn is_foreign(&self, owner: u32) -> bool {
        owner != 0 && owner != self.user
    }

    /// With an access list (`acl(5)`), the bits of the group are the most that the list gives to
    /// anyone on it, and the group is not all of those.
    fn others_write(
        &self,
        Access { group, mode, .. }: Access,
        has_list: impl FnOnce() -> bool,
    ) -> bool {
        mode & OTHERS_WRITE != 0
            || (mode & GROUP_WRITE != 0 && (!group::is_only_ours(group, self.user) || has_list()))
    }
}

impl Folder {
    fn identity(&self) -> (u64, u64) {
        (self.metadata.dev(), self.metadata.ino())
    }
}

/// The owner, the group and the mode of a file or a folder.
#[derive(Clone, Copy)]
struct Access {
    owner: u32,
    group: u32,
    mode: u32,
}

impl Access {
    fn of(metadata: &Metadata) -> Self {
        Self { owner: metadata.uid(), group: metadata.gid(), mode: metadata.mode() }
    }
}

/// Whether a folder, or an entry of it, has a list of accesses beside its mode. If that cannot be
/// read, it has.
///
/// A folder that is only gone through has no descriptor that its attributes could be read by. Its
/// link in `/proc` leads to the same folder, whatever its path leads to now.
#[cfg(target_os = "linux")]
fn has_list(folder: &File, entry: Option<&OsStr>) -> bool {
    use std::os::fd::AsRawFd as _;
    let mut path = PathBuf::from("/proc/self/fd").join(folder.as_raw_fd().to_string());
    // A link has no list; and an entry that became one is not followed.
    let length = match entry {
        None => rustix::fs::getxattr_query(&path, ACCESS_LIST),
        Some(entry) => {
            path.push(entry);
            rustix::fs::lgetxattr_query(&path, ACCESS_LIST)
        }
    };
    !matches!(length, Ok(0) | Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP))
}

/// The attribute that holds it.
#[cfg(target_os = "linux")]
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Elsewhere a group that can write is other users' already.
#[cfg(not(target_os = "linux"))]
fn has_list(_: &File, _: Option<&OsStr>) -> bool {
    true
}

/// One step of a path.
enum Step {
    Root,
    Up,
    Name(OsString),
}

/// The steps of a path, the first one last.
fn steps(path: &Path) -> Vec<Step> {
    let step = |component: Component<'_>| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Name(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(step).collect()
}

impl From<rustix::io::Errno> for Fault {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// The file systems whose files belong to the kernel, and are not real files (`linux/magic.h`).
/// Reading one may wait, or have side effects; and it holds this machine's state, and not a value.
#[cfg(target_os = "linux")]
const OF_THE_KERNEL: [u32; 23] = [
    0x0000_9fa0, // procfs
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x6367_7270, // cgroup2
    0x0027_e0eb, // cgroup
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x6265_6570, // configfs
    0xcafe_4a11, // bpf
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x0000_1cd1, // devpts
    0x1980_0202, // mqueue
    0x4249_4e4d, // binfmt_misc
    0x6e73_6673, // nsfs
    0x5049_5045, // pipefs
    0x534f_434b, // sockfs
    0x0904_1934, // anonymous inodes
    0x0765_5821, // resctrl
    0x6e66_7364, // nfsd
    0xabba_1974, // xenfs
];

#[cfg(target_os = "linux")]
fn is_of_the_kernel(opened: &File) -> Result<(), Fault> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the numbers have 32 bits"
    )]
    let kind = rustix::fs::fstatfs(opened)?.f_type as u32;
    if OF_THE_KERNEL.contains(&kind) { Err(Fault::OfTheKernel) } else { Ok(()) }
}

/// Other systems have no such table. Anything but a regular file is refused there, too.
#[cfg(not(target_os = "linux"))]
fn is_of_the_kernel(_: &File) -> Result<(), Fault> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;
    use crate::source::file::read;

    /// An unused user number in most systems.
    const STRANGER: u32 = 54_321;

    /// The user who owns the test's files.
    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn folder(path: PathBuf) -> PathBuf {
        fs::create_dir(&path).unwrap();
        set(&path, 0o755);
        path
    }

    fn file(path: PathBuf) -> PathBuf {
        fs::write(&path, "kanarie-7f3a").unwrap();
        set(&path, 0o600);
        path
    }

    /// The notice about a file, for a user.
    fn seen_by(user: u32, path: &Path) -> Result<Option<Notice>, Fault> {
        let mut way = Way::of_user(user)?;
        match way.follow(path)? {
            End::Entry(name) => Ok(way.open(&name)?.2),
            End::Folder => Err(Fault::NotRegular),
            End::Nothing(_) => Err(Fault::Absent),
        }
    }

    fn seen(path: &Path) -> Option<Notice> {
        seen_by(own(), path).unwrap()
    }

    #[test]
    fn a_file_that_others_can_write_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let key = file(root.path().join("key"));
        for (mode, notice) in [
            (0o600, None),
            (0o640, None),
            (0o644, Some(Notice::OthersRead)),
            (0o602, Some(Notice::OthersWrite)),
            (0o666, Some(Notice::OthersWrite)),
        ] {
            set(&key, mode);
            assert_eq!(seen(&key), notice, "{mode:o}");
        }
    }

    /// The mode of such a file is the one that many systems give to a user's new files: 0660, and
    /// the group is the user's own.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_list_that_lets_another_user_write_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let inner = folder(root.path().join("inner"));
        let key = file(inner.join("key"));
        set(&key, 0o660);
        assert_eq!(seen(&key), None, "the group is the user's own");
        // acl(5), as the kernel keeps it: the version, then tag, permissions and number of each.
        let entries = [
            (1, 7, u32::MAX),
            (2, 7, STRANGER),
            (4, 0, u32::MAX),
            (0x10, 7, u32::MAX),
            (0x20, 0, u32::MAX),
        ];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, number) in entries {
            list.extend(u16::to_le_bytes(tag));
            list.extend(u16::to_le_bytes(permissions));
            list.extend(u32::to_le_bytes(number));
        }
        let give = |path: &Path| {
            rustix::fs::setxattr(path, ACCESS_LIST, &list, rustix::fs::XattrFlags::empty())
        };
        match give(&key) {
            // The file system of temporary files has no such lists.
            Err(rustix::io::Errno::OPNOTSUPP) => return,
            given => given.unwrap(),
        }
        assert_eq!(seen(&key), Some(Notice::OthersWrite));
        rustix::fs::removexattr(&key, ACCESS_LIST).unwrap();
        set(&key, 0o660);
        assert_eq!(seen(&key), None);
        give(&inner).unwrap();
        assert_eq!(seen(&key), Some(Notice::PathOthersWrite));
    }

    /// However far above the file it is, and wherever a link leads from.
    #[test]
    fn every_folder_up_to_the_root_counts() {
        let root = tempfile::tempdir().unwrap();
        let top = folder(root.path().join("top"));
        let deep = folder(folder(folder(top.join("a")).join("b")).join("c"));
        let key = file(deep.join("key"));
        let away = folder(root.path().join("away"));
        symlink(&key, away.join("link")).unwrap();
        symlink("../top", away.join("up")).unwrap();
        let ways = [
            key.clone(),
            away.join("link"),
            away.join("up/a/b/c/key"),
            away.join("../top/a/../a/b/c/key"),
        ];
        for way in &ways {
            assert_eq!(seen(way), None, "{}", way.display());
        }
        for above in [&top, &deep, &top.join("a")] {
            set(above, 0o777);
            for way in &ways {
                assert_eq!(
                    seen(way),
                    Some(Notice::PathOthersWrite),
                    "{} {}",
                    above.display(),
                    way.display()
                );
            }
            // In a sticky folder, our entries cannot be replaced.
            set(above, 0o1777);
            for way in &ways {
                assert_eq!(seen(way), None, "{} {}", above.display(), way.display());
            }
            set(above, 0o755);
        }
        // The folder that contains a link counts, and not only the one that it leads to.
        set(&away, 0o777);
        assert_eq!(seen(&key), None);
        for way in &ways[1..] {
            assert_eq!(seen(way), Some(Notice::PathOthersWrite), "{}", way.display());
        }
    }

    /// The administrator's files are accepted for each user; otherwise only the user's own.
    #[test]
    fn files_of_another_user_are_noticed() {
        let root = tempfile::tempdir().unwrap();
        set(root.path(), 0o755);
        let top = folder(root.path().join("top"));
        let key = file(top.join("key"));
        symlink("key", top.join("link")).unwrap();
        assert_eq!((seen(&key), seen(&top.join("link"))), (None, None));
        if own() != 0 {
            // Only the administrator can give files away, so this checks the file as another user.
            assert_eq!(seen_by(STRANGER, &key).unwrap(), Some(Notice::OtherOwner));
            return;
        }
        assert_eq!(
            seen_by(STRANGER, &key).unwrap(),
            None,
            "the administrator's is as good as one's own"
        );
        let give = |path: &Path| chown(path, Some(STRANGER), None).unwrap();
        give(&key);
        assert_eq!(seen(&key), Some(Notice::OtherOwner));
        assert_eq!(seen_by(STRANGER, &key).unwrap(), None);
        chown(&key, Some(0), None).unwrap();
        std::os::unix::fs::lchown(top.join("link"), Some(STRANGER), None).unwrap();
        assert_eq!((seen(&key), seen(&top.join("link"))), (None, Some(Notice::PathOtherOwner)));
        give(&top);
        assert_eq!(seen(&key), Some(Notice::PathOtherOwner));
        // The owner of a sticky folder may remove other users' entries.
        set(&top, 0o1777);
        assert_eq!(seen(&key), Some(Notice::PathOtherOwner));
        chown(&top, Some(0), None).unwrap();
        give(root.path());
        assert_eq!(seen(&key), Some(Notice::PathOtherOwner));
        assert_eq!(seen_by(STRANGER, &key).unwrap(), None);
    }

    /// A group that has a user's name and no other member is the user's own.
    #[test]
    fn a_group_that_can_write_is_others_unless_it_is_only_ours() {
        if own() != 0 {
            return assert!(!group::is_only_ours(STRANGER, own()));
        }
        let root = tempfile::tempdir().unwrap();
        let top = folder(root.path().join("top"));
        let key = file(top.join("key"));
        set(&key, 0o660);
        assert_eq!(seen(&key), None, "the administrator's own");
        chown(&key, None, Some(STRANGER)).unwrap();
        assert_eq!(seen(&key), Some(Notice::OthersWrite));
        set(&key, 0o640);
        assert_eq!(seen(&key), None, "a group may read");
        chown(&top, None, Some(STRANGER)).unwrap();
        set(&top, 0o775);
        assert_eq!(seen(&key), Some(Notice::PathOthersWrite));
    }

    #[test]
    fn anything_but_a_regular_file_is_refused_at_once() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let socket = root.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&pipe, &socket, Path::new("/dev/zero"), Path::new("/dev/tty"), root.path()] {
            assert_eq!(read(path).err(), Some(Fault::NotRegular), "{}", path.display());
        }
        // As if the entry had just been replaced: opening it does not wait, and follows no link.
        symlink("/etc/passwd", root.path().join("link")).unwrap();
        let mut way = Way::root().unwrap();
        assert!(matches!(way.follow(root.path()), Ok(End::Folder)));
        let folder = &way.folders.last().unwrap().opened;
        let swapped = |name: &str| way.open_whatever_it_is(folder, name.as_ref()).err();
        assert_eq!(
            (swapped("pipe"), swapped("link")),
            (Some(Fault::NotRegular), Some(Fault::Broken))
        );
        let mut way = Way::root().unwrap();
        assert!(matches!(way.follow(Path::new("/proc/self")), Ok(End::Folder)));
        let folder = &way.folders.last().unwrap().opened;
        let swapped = way.open_whatever_it_is(folder, "environ".as_ref()).err();
        assert!(!cfg!(target_os = "linux") || swapped == Some(Fault::OfTheKernel), "{swapped:?}");
    }

    #[test]
    fn links_do_not_lead_in_circles() {
        let root = tempfile::tempdir().unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        symlink("two/x", root.path().join("one")).unwrap();
        symlink("one/x", root.path().join("two")).unwrap();
        for name in ["loop", "one", "two", "one/y"] {
            assert_eq!(read(&root.path().join(name)).err(), Some(Fault::Broken), "{name}");
        }
        let key = file(root.path().join("0"));
        for i in 1..=MOST_LINKS {
            symlink((i - 1).to_string(), root.path().join(i.to_string())).unwrap();
        }
        symlink(MOST_LINKS.to_string(), root.path().join("more")).unwrap();
        assert!(read(&root.path().join(MOST_LINKS.to_string())).is_ok() && read(&key).is_ok());
        assert_eq!(read(&root.path().join("more")).err(), Some(Fault::Broken));
        assert_eq!(read(&key.join("x")).err(), Some(Fault::Broken));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernels_files_are_refused() {
        for path in [
            "/proc/self/environ", "/proc/kmsg", "/proc/self/mem", "/proc/1/environ",
            "/sys/kernel/uevent_seqnum",
        ] {
            if Path::new(path).exists() {
                assert!(
                    matches!(
                        read(Path::new(path)).err(),
                        Some(Fault::OfTheKernel | Fault::Forbidden)
                    ),
                    "{path}"
                );
            }
        }
        let root = tempfile::tempdir().unwrap();
        symlink("/proc/self/environ", root.path().join("link")).unwrap();
        assert_eq!(
            read(&root.path().join("link")).err(),
            Some(Fault::OfTheKernel),
            "through a link"
        );
        // A kernel link is followed by its text, so it never leads to an object without a name.
        assert!(read(Path::new("/proc/self/fd/0")).is_err());
    }
}
