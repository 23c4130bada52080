//! Data that stays when the servers end, and the folder of a server's data.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backing_services_runtime::posture::printable;
use rustix::fs::OFlags;

use crate::folder::{self, Folder};
use crate::process::{run, unprivileged};
use crate::{DevError, quoted};

/// The time that the servers of an earlier run may still need to stop: they are killed after ten
/// seconds.
const STOP: Duration = Duration::from_secs(20);

/// The folder with the data, in the folder of a server.
const DATA: &str = "data";

/// The beginning of the name of a file or folder that is not complete.
const NEW: &str = "new-";

/// A folder that keeps the data of servers, in a folder for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// As a user types it.
    name: String,
    path: PathBuf,
}

impl Kept {
    /// Makes the folder, or takes the one that is there if it has the data of the same struct.
    pub(crate) fn take(folder: &Path, owner: &str) -> Result<Self, DevError> {
        let name = printable(&folder.to_string_lossy());
        make(folder)?;
        let path = fs::canonicalize(folder)
            .map_err(|error| DevError::path("cannot read", folder, &error))?;
        let kept = Self { name, path };
        kept.check_owner(owner)?;
        kept.check_way()?;
        Ok(kept)
    }

    /// The data of another struct would be neither found nor safe from this one.
    fn check_owner(&self, owner: &str) -> Result<(), DevError> {
        match folder::read(&self.path.join("owner")) {
            Ok(text) if text.trim_end() == owner => Ok(()),
            Ok(text) => Err(DevError::new(format!(
                "`{}` has the data of `{}`, and this is `{}`: {}",
                self.name,
                printable(text.trim_end()),
                printable(owner),
                away(&self.name)
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_empty() => {
                write(&self.path.join("owner"), &format!("{owner}\n"))
            }
            Err(_) => Err(DevError::new(format!(
                "`{}` was not made by `dev`: {}",
                self.name,
                away(&self.name)
            ))),
        }
    }

    /// True if nothing is in it but a file that an earlier run did not complete.
    fn is_empty(&self) -> bool {
        let is_new = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(NEW);
        fs::read_dir(&self.path)
            .and_then(|entries| entries.collect::<io::Result<Vec<_>>>())
            .is_ok_and(|entries| entries.iter().all(|entry| is_new(&entry.file_name())))
    }

    /// The servers of root have another account, which passes through every folder on the way.
    fn check_way(&self) -> Result<(), DevError> {
        if folder::account().is_none() {
            return Ok(());
        }
        let mut enters = unprivileged("sh");
        run(enters.args(["-c", "cd \"$1\"", "sh"]).arg(&self.path).current_dir("/")).map_err(
            |_| {
                DevError::new(format!(
                    "as root, the servers run as the user `nobody`, who may not enter `{}`, where \
                 their data is kept: run this as another user than root, or in a folder that \
                 every user may enter",
                    printable(&self.path.to_string_lossy())
                ))
            },
        )?;
        Ok(())
    }

    /// A random text that is the same in every run.
    pub(crate) fn secret(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<String, DevError>,
    ) -> Result<String, DevError> {
        make_folder(&self.path.join("secrets"), 0o700)?;
        let path = self.path.join("secrets").join(name);
        match folder::read(&path) {
            Ok(secret) if !secret.is_empty() => Ok(secret),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DevError::path("cannot read", &path, &error))
            }
            _ => {
                let secret = make()?;
                write(&path, &secret)?;
                Ok(secret)
            }
        }
    }

    /// The folder of one server, for this process alone. `release` is the one of its program, if
    /// other releases cannot read the data.
    pub(crate) fn place(&self, server: &str, release: Option<String>) -> Result<Place, DevError> {
        let path = self.path.join(server);
        make(&path)?;
        let place = Place {
            name: format!("{}/{server}", self.name),
            lock: open_lock(&path.join("lock"))?,
            path,
            release,
        };
        place.wait()?;
        place.check_release()?;
        Ok(place)
    }
}

/// The folder of one server's data.
#[derive(Debug)]
pub(crate) struct Place {
    /// As a user types it.
    name: String,
    path: PathBuf,
    /// The lock is held by each process that has this file open: by the server too.
    lock: File,
    release: Option<String>,
}

impl Place {
    /// Waits for the lock. An earlier run that was killed leaves servers that are still stopping.
    fn wait(&self) -> Result<(), DevError> {
        let begin = Instant::now();
        loop {
            match self.lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if begin.elapsed() < STOP => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(DevError::new(format!(
                        "another server uses the data in `{}`: stop the `dev` that it belongs to",
                        self.name
                    )));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(DevError::path("cannot lock", &self.path, &error));
                }
            }
        }
    }

    fn check_release(&self) -> Result<(), DevError> {
        let (Some(own), true) = (&self.release, self.is_filled()) else { return Ok(()) };
        let found = folder::read(&self.path.join("release")).unwrap_or_default();
        if found.trim_end() == own {
            return Ok(());
        }
        let found = match found.trim_end() {
            "" => "an unknown release".to_owned(),
            found => printable(found),
        };
        Err(DevError::new(format!(
            "`{}` has the data of {found}, and the installed server is {own}, which cannot read \
             them: install that release again to copy them, or {}",
            self.name,
            away(&self.name)
        )))
    }

    fn is_filled(&self) -> bool {
        self.path.join(DATA).is_dir()
    }

    /// The folder of the data. If there is none yet, `fill` fills it. If that does not end well,
    /// there is none the next time.
    pub(crate) fn data(
        &self,
        is_a_servers: bool,
        fill: impl FnOnce(&Path) -> Result<(), DevError>,
    ) -> Result<PathBuf, DevError> {
        let data = self.path.join(DATA);
        if self.is_filled() {
            return Ok(data);
        }
        // Each run fills a folder of its own: the programs of one that was killed may go on.
        let failed = |error| DevError::path("cannot fill", &self.path, &error);
        let mut folder = tempfile::Builder::new();
        folder.prefix(NEW).permissions(Permissions::from_mode(0o700));
        let new = folder.tempdir_in(&self.path).map_err(failed)?;
        let new = new.keep();
        if let Some((user, group)) = folder::account().filter(|_| is_a_servers) {
            chown(&new, Some(user), Some(group))
                .map_err(|error| DevError::path("cannot change the owner of", &new, &error))?;
        }
        fill(&new)?;
        if let Some(release) = &self.release {
            write(&self.path.join("release"), &format!("{release}\n"))?;
        }
        fs::rename(&new, &data).map_err(|error| DevError::path("cannot rename", &new, &error))?;
        self.remove_incomplete();
        Ok(data)
    }

    /// Removes the folders that earlier runs did not complete.
    fn remove_incomplete(&self) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(NEW)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }

    /// Removes a file of an earlier run from the data.
    pub(crate) fn remove(&self, name: &str) -> Result<(), DevError> {
        let path = self.path.join(DATA).join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DevError::path("cannot remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// The file whose lock is held.
    pub(crate) const fn lock(&self) -> &File {
        &self.lock
    }

    /// The advice for an error of a server that does not start with these data.
    pub(crate) fn advice(&self) -> String {
        format!(
            "\nIts data are kept in `{}`. If another release wrote them, or if they are broken: {}",
            self.name,
            away(&self.name)
        )
    }
}

/// Makes the folder `data` in the folder of a server: a new one, or a link to the kept one. So the
/// path has no character that a configuration would have to quote.
pub(crate) fn data(
    folder: &Folder,
    place: Option<&Place>,
    fill: impl FnOnce(&Path) -> Result<(), DevError>,
) -> Result<PathBuf, DevError> {
    match place {
        None => {
            let data = folder.folder(DATA)?;
            fill(&data)?;
            Ok(data)
        }
        Some(place) => folder.link(DATA, &place.data(true, fill)?),
    }
}

/// Copies the data of a template, a folder with the folder `data`, into an empty folder.
pub(crate) fn copy(template: &Path, data: &Path) -> Result<(), DevError> {
    let all = template.join(DATA).join(".");
    run(unprivileged("cp").arg("-a").arg(all).arg(data).current_dir("/")).map(drop)
}

/// The release of a program, as the first `parts` numbers of the version that it prints.
pub(crate) fn release(server: &str, program: &Path, parts: usize) -> Result<String, DevError> {
    let said = run(unprivileged(program).arg("--version").current_dir("/"))?;
    let version = said
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or_default();
    let number = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    let numbers: Vec<_> = version.split('.').take(parts).map(number).collect();
    Ok(format!("{server} {}", numbers.join(".")))
}

/// The advice for a folder that cannot be used.
fn away(name: &str) -> String {
    format!("move the folder away, or remove it with all of its data: rm -r {}", word(name))
}

/// A word of a command line, in quotation marks if it needs them.
fn word(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.,/".contains(c);
    if name.chars().all(is_plain) { name.to_owned() } else { quoted::for_shell(name) }
}

/// Makes a folder of this user, or checks the one that is there. Other users list nothing in it.
/// The account of root's servers may pass through.
fn make(path: &Path) -> Result<(), DevError> {
    let mode = if folder::account().is_some() { 0o711 } else { 0o700 };
    make_folder(path, mode)?;
    let failed = |error| DevError::path("cannot read", path, &error);
    let found = fs::symlink_metadata(path).map_err(failed)?;
    let name = printable(&path.to_string_lossy());
    if !found.is_dir() {
        return Err(DevError::new(format!("`{name}` is not a folder: move it away")));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(DevError::new(format!("`{name}` belongs to another user: move it away")));
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
}

/// Makes a folder if nothing is there.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<(), DevError> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(DevError::path("cannot make", path, &error))
        }
        _ => Ok(()),
    }
}

/// Writes a file that only its owner can read. It is there with all of its text, or not at all.
fn write(path: &Path, text: &str) -> Result<(), DevError> {
    let failed = |error| DevError::path("cannot write", path, &error);
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

fn open_lock(path: &Path) -> Result<File, DevError> {
    let no_link = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link);
    options.open(path).map_err(|error| DevError::path("cannot open", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;

    fn outside() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        folder
    }

    fn kept(folder: &tempfile::TempDir) -> Kept {
        Kept::take(&folder.path().join("data"), "Shop").unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_folder_is_of_one_struct_alone() {
        let outside = outside();
        let kept = kept(&outside);
        assert_eq!(Kept::take(&kept.path, "Shop").unwrap().path, kept.path);
        let error = Kept::take(&kept.path, "Till").unwrap_err().to_string();
        let name = kept.path.display();
        assert_eq!(
            error,
            format!(
                "`{name}` has the data of `Shop`, and this is `Till`: move the folder away, or \
                 remove it with all of its data: rm -r {name}"
            )
        );
        let other = outside.path().join("other one");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("file"), "").unwrap();
        let error = Kept::take(&other, "Shop").unwrap_err().to_string();
        assert!(error.contains(" was not made by `dev`: "), "{error}");
        assert!(error.ends_with(&format!("rm -r '{}'", other.display())), "{error}");
    }

    #[test]
    fn root_s_servers_have_to_pass_and_other_users_see_nothing() {
        let outside = outside();
        let place = kept(&outside).place("gopher", None).unwrap();
        let data = place.data(true, |_| Ok(())).unwrap();
        assert_eq!((mode(&data), mode(&place.path.join("lock"))), (0o700, 0o600));
        let way = if folder::account().is_some() { 0o711 } else { 0o700 };
        assert_eq!((mode(&outside.path().join("data")), mode(&place.path)), (way, way));
        if folder::account().is_some() {
            fs::set_permissions(outside.path(), Permissions::from_mode(0o700)).unwrap();
            let error = Kept::take(&outside.path().join("data"), "Shop").unwrap_err().to_string();
            assert!(
                error.starts_with("as root, the servers run as the user `nobody`, "),
                "{error}"
            );
        }
    }

    #[test]
    fn data_are_filled_once_and_wholly() {
        let outside = outside();
        let place = kept(&outside).place("gopher", Some("Gopher 3".to_owned())).unwrap();
        let fails = |new: &Path| {
            fs::write(new.join("half"), "").unwrap();
            Err(DevError::new("no"))
        };
        place.data(false, fails).unwrap_err();
        let data = place.data(false, |new| write(&new.join("all"), "x")).unwrap();
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
        place.data(false, |_| panic!("it is filled")).unwrap();
        drop(place);

        kept(&outside).place("gopher", Some("Gopher 3".to_owned())).unwrap();
        let error = kept(&outside).place("gopher", Some("Gopher 4".to_owned())).unwrap_err();
        let name = outside.path().join("data/gopher").display().to_string();
        let begin = format!(
            "`{name}` has the data of Gopher 3, and the installed server is Gopher 4, which \
             cannot read them: "
        );
        assert!(error.to_string().starts_with(&begin), "{error}");
        assert!(error.to_string().ends_with(&format!("rm -r {name}")), "{error}");
    }

    #[test]
    fn the_lock_is_held_until_the_server_has_ended() {
        let outside = outside();
        let place = kept(&outside).place("gopher", None).unwrap();
        let folder = Folder::new("gopher").unwrap();
        // It needs two seconds to stop.
        let command =
            ["sh", "-c", "trap 'sleep 2; exit' TERM; echo up; while :; do sleep 0.1; done"];
        let process =
            Process::locked("sh", "TERM", folder.path(), &[], command, Some(place.lock())).unwrap();
        process.wait_until(|| process.log().contains("up")).unwrap();
        drop(place);
        let stop = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            drop(process);
        });
        let begin = Instant::now();
        kept(&outside).place("gopher", None).unwrap();
        assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
        stop.join().unwrap();
    }

    #[test]
    fn a_secret_stays_the_same() {
        let outside = outside();
        let kept = kept(&outside);
        let secret = kept.secret("SHOP_KEY", || Ok("hX2".to_owned())).unwrap();
        assert_eq!(kept.secret("SHOP_KEY", || panic!("it is there")).unwrap(), secret);
        let file = kept.path.join("secrets/SHOP_KEY");
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn a_release_is_read_from_what_a_program_prints() {
        let folder = outside();
        for (version, parts, expected) in [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", 1, "X 15"),
            ("postgres (PostgreSQL) 19beta1", 1, "X 19"),
            ("mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu", 2, "X 10.11"),
        ] {
            let program = folder.path().join(format!("program-{parts}-{}", expected.len()));
            fs::write(&program, format!("#!/bin/sh\necho '{version}'\n")).unwrap();
            fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
            assert_eq!(release("X", &program, parts).unwrap(), expected);
        }
    }
}
