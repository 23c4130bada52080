//! The endpoint that a driver connects to, and its first gate: the peer is this process.

use std::fmt;
use std::fs::File;
use std::io;
#[cfg(any(test, not(unix)))]
use std::net::Ipv4Addr;
use std::net::{Shutdown, SocketAddr};
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
#[cfg(any(test, not(unix)))]
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use crate::net::random_name::random_name;
use crate::report::finding::{Failure, FailureKind};
use crate::report::refusal::Refusal;

/// The address that a driver connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket. On Linux, a path that begins with a NUL is an abstract one.
    Unix {
        /// The folder of the socket, for a driver that adds the file's name itself.
        folder: PathBuf,
        /// The socket.
        file: PathBuf,
    },
    /// A port of the loopback interface, on a system without Unix sockets.
    Tcp(SocketAddr),
}

/// An endpoint that listens until it is dropped.
pub(super) struct Endpoint {
    listener: Listener,
    address: Address,
    /// Removed with the endpoint.
    _folder: Option<Folder>,
}

enum Listener {
    #[cfg(unix)]
    Unix(UnixListener),
    #[cfg(any(test, not(unix)))]
    Tcp(TcpListener),
}

/// The beginning of a folder's name.
#[cfg(unix)]
const PREFIX: &str = "bs-";

/// The longest path of a socket, in bytes: the shortest `sun_path` of a system that has Unix
/// sockets has 104, with a NUL (macOS).
#[cfg(unix)]
const LONGEST_PATH: usize = 103;

impl Endpoint {
    /// Listens in a new folder that only this user can open: in `XDG_RUNTIME_DIR`, else in the
    /// temporary folder. If neither can be used, Linux has abstract sockets. A folder in which
    /// another user could put an endpoint of its own in our place is not used.
    ///
    /// # Errors
    /// [`Refusal`], if none of them works.
    #[cfg(unix)]
    #[allow(clippy::disallowed_methods, reason = "it names a folder of the system, not a value")]
    pub(super) fn bind(file: &str) -> Result<Self, Refusal> {
        // A short one: macOS has temporary folders with long paths.
        let name = format!("{PREFIX}{}", &random_name()?[..16]);
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        for folder in runtime.into_iter().chain([std::env::temp_dir()]) {
            // macOS has a link to its temporary folder.
            let Some(folder) = folder.canonicalize().ok().filter(|real| is_ours_to_use(real))
            else {
                continue;
            };
            remove_orphans(&folder, file);
            if let Ok(endpoint) = Self::in_folder(&folder.join(&name), file) {
                return Ok(endpoint);
            }
        }
        Self::abstract_socket(&name, file).map_err(|_| {
            unavailable("set `XDG_RUNTIME_DIR` or `TMPDIR` to a folder that the process can write")
        })
    }

    /// Listens on a port of the loopback interface.
    ///
    /// # Errors
    /// [`Refusal`], if there is no port.
    #[cfg(not(unix))]
    pub(super) fn bind(_file: &str) -> Result<Self, Refusal> {
        Self::tcp().map_err(|_| unavailable("check the loopback interface"))
    }

    #[cfg(unix)]
    fn in_folder(path: &Path, file: &str) -> io::Result<Self> {
        let socket = path.join(file);
        if socket.as_os_str().len() > LONGEST_PATH {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let folder = Folder::create(path)?;
        let listener = UnixListener::bind(&socket)?;
        Ok(Self {
            listener: Listener::Unix(listener),
            address: Address::Unix { folder: path.to_owned(), file: socket },
            _folder: Some(folder),
        })
    }

    #[cfg(target_os = "linux")]
    fn abstract_socket(name: &str, file: &str) -> io::Result<Self> {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixListener as Blocking};

        let path = format!("{name}/{file}");
        let listener = Blocking::bind_addr(&SocketAddr::from_abstract_name(&path)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: Listener::Unix(UnixListener::from_std(listener)?),
            address: Address::Unix {
                folder: format!("\0{name}").into(),
                file: format!("\0{path}").into(),
            },
            _folder: None,
        })
    }

    #[cfg(all(unix, not(target_os = "linux")))]
    fn abstract_socket(_: &str, _: &str) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(any(test, not(unix)))]
    fn tcp() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = Address::Tcp(listener.local_addr()?);
        let listener = Listener::Tcp(TcpListener::from_std(listener)?);
        Ok(Self { listener, address, _folder: None })
    }

    pub(super) const fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for the next connection of this process. A connection of another one is closed, and
    /// has got nothing; `stranger` is called for it.
    pub(super) async fn accept(&self, stranger: impl Fn()) -> io::Result<DriverStream> {
        loop {
            match &self.listener {
                #[cfg(unix)]
                Listener::Unix(listener) => {
                    let (stream, _) = listener.accept().await?;
                    if is_own(&stream) {
                        // An error is harmless: the buffer is then the system's own.
                        let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
                        return Ok(DriverStream(Arc::new(Inner::Unix(stream))));
                    }
                    stranger();
                }
                #[cfg(any(test, not(unix)))]
                Listener::Tcp(listener) => {
                    let (stream, _) = listener.accept().await?;
                    let _ = stream.set_nodelay(true);
                    return Ok(DriverStream(Arc::new(Inner::Tcp(stream))));
                }
            }
        }
    }
}

/// True if no other user but the administrator can rename or replace what this process makes in the
/// folder: each folder on its path is root's or this user's, and no other user can write it, unless
/// it is sticky. The path has no links. The drivers take it as text.
#[cfg(unix)]
fn is_ours_to_use(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    /// The owner of an entry alone can rename or remove it.
    const STICKY: u32 = 0o1000;
    /// The group, and all users. An access list of others shows in the group's bits.
    const OTHERS_WRITE: u32 = 0o022;

    let own = rustix::process::geteuid().as_raw();
    let is_safe = |folder: &Path| {
        folder.metadata().is_ok_and(|found| {
            [0, own].contains(&found.uid())
                && (found.mode() & OTHERS_WRITE == 0 || found.mode() & STICKY != 0)
        })
    };
    folder.to_str().is_some() && folder.ancestors().all(is_safe)
}

/// Removes the folders of this user's processes that ended without removing them: their sockets are
/// there, and their locks are free.
#[cfg(unix)]
fn remove_orphans(folder: &Path, file: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_like_ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.len() == PREFIX.len() + 16 && name.starts_with(PREFIX));
        if !is_like_ours || path.join(file).symlink_metadata().is_err() {
            continue;
        }
        let opened = open_folder(&path);
        if opened.is_ok_and(|opened| is_private(&opened) && opened.try_lock().is_ok()) {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// Opens a folder, and nothing else: a pipe in its place would block.
#[cfg(unix)]
fn open_folder(path: &Path) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};

    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?.into())
}

/// True if the folder is this user's, and no other user can open it.
#[cfg(unix)]
fn is_private(folder: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let own = rustix::process::geteuid().as_raw();
    folder.metadata().is_ok_and(|found| found.uid() == own && found.mode() & 0o077 == 0)
}

/// True if the peer is this process. A system that does not report a process reports the user.
#[cfg(unix)]
fn is_own(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else { return false };
    match peer.pid() {
        Some(pid) => u32::try_from(pid) == Ok(std::process::id()),
        None => peer.uid() == rustix::process::geteuid().as_raw(),
    }
}

fn unavailable(help: &'static str) -> Refusal {
    let message =
        "the endpoint inside of this process, which its driver connects to, cannot listen";
    Failure::new(FailureKind::Unavailable, message, help).into()
}

/// A folder that is removed when this is dropped.
struct Folder {
    path: PathBuf,
    /// Locked for as long as the process lives.
    locked: Option<File>,
}

impl Folder {
    /// Fails if there is something of that name. The lock comes before the socket.
    #[cfg(unix)]
    fn create(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().mode(0o700).create(path)?;
        let locked = open_folder(path);
        let folder = Self { path: path.to_owned(), locked: locked.ok() };
        // A file system without locks keeps a folder that its process did not remove.
        let _ = folder.locked.as_ref().map(File::try_lock);
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // There is one file in it. If it is gone already, there is nothing to do.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// The send buffer of the driver's side, in bytes. The relay pauses now and then so that a driver
/// finds nothing to read and yields: it has to read less than this meanwhile.
#[cfg(unix)]
const SEND_BUFFER: usize = 64 * 1024;

/// A driver's connection to the endpoint.
pub struct DriverStream(Arc<Inner>);

enum Inner {
    #[cfg(unix)]
    Unix(UnixStream),
    #[cfg(any(test, not(unix)))]
    Tcp(TcpStream),
}

impl fmt::Debug for DriverStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DriverStream")
    }
}

/// Calls a method of the stream, whichever it is.
macro_rules! of_stream {
    ($inner:expr, $stream:ident => $call:expr) => {
        match $inner {
            #[cfg(unix)]
            Inner::Unix($stream) => $call,
            #[cfg(any(test, not(unix)))]
            Inner::Tcp($stream) => $call,
        }
    };
}

impl DriverStream {
    /// Waits until the driver has hung up, whatever it has sent before. It does not borrow the
    /// stream.
    pub(super) fn hang_up(&self) -> impl Future<Output = ()> + Send + 'static {
        let inner = Arc::clone(&self.0);
        async move {
            loop {
                let ready = of_stream!(&*inner, stream => stream.ready(Interest::READABLE).await);
                if ready.map_or(true, |ready| ready.is_read_closed()) {
                    return;
                }
                // It has sent bytes that have not been read yet.
                tokio::time::sleep(LOOKING_AGAIN).await;
            }
        }
    }
}

/// The pause between two looks at a driver that sends.
const LOOKING_AGAIN: Duration = Duration::from_millis(250);

impl AsyncRead for DriverStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_stream!(&*self.0, stream => loop {
            ready!(stream.poll_read_ready(context))?;
            match stream.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // The readiness was an old one, and is taken back.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        })
    }
}

impl AsyncWrite for DriverStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        of_stream!(&*self.0, stream => loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(of_stream!(&*self.0, stream => shut_down(SockRef::from(stream))))
    }
}

/// No more is sent. A peer that is gone already needs no end.
fn shut_down(stream: SockRef<'_>) -> io::Result<()> {
    match stream.shutdown(Shutdown::Write) {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Fails the test if a connection is neither accepted nor closed.
    const SOON: Duration = Duration::from_secs(10);

    async fn connect(address: &Address) -> DriverStream {
        DriverStream(Arc::new(match address {
            #[cfg(unix)]
            Address::Unix { file, .. } => Inner::Unix(UnixStream::connect(file).await.unwrap()),
            #[cfg(not(unix))]
            Address::Unix { .. } => unreachable!("there are no Unix sockets"),
            Address::Tcp(address) => Inner::Tcp(TcpStream::connect(address).await.unwrap()),
        }))
    }

    async fn speak(endpoint: Endpoint) {
        let mut driver = connect(endpoint.address()).await;
        let mut accepted = endpoint.accept(|| panic!("it is this process")).await.unwrap();
        driver.write_all(b"hello").await.unwrap();
        driver.shutdown().await.unwrap();
        let mut read = Vec::new();
        tokio::time::timeout(SOON, accepted.read_to_end(&mut read)).await.unwrap().unwrap();
        assert_eq!(read, b"hello");
    }

    #[tokio::test]
    async fn each_kind_of_endpoint_accepts_this_process() {
        speak(Endpoint::tcp().unwrap()).await;
        #[cfg(unix)]
        speak(Endpoint::bind("socket").unwrap()).await;
        #[cfg(target_os = "linux")]
        speak(Endpoint::abstract_socket(&random_name().unwrap(), "socket").unwrap()).await;
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_folder_is_for_this_user_alone_and_is_removed() {
        use std::os::unix::fs::PermissionsExt as _;

        let endpoint = Endpoint::bind("socket").unwrap();
        let Address::Unix { folder, file } = endpoint.address().clone() else { panic!() };
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(file, folder.join("socket"));
        // A path that exists is not taken.
        assert!(Endpoint::in_folder(&folder, "socket").is_err());
        drop(endpoint);
        assert!(!folder.exists());
        let long = std::env::temp_dir().join("a".repeat(100));
        assert!(Endpoint::in_folder(&long, "socket").is_err());
        assert!(!long.exists());
    }

    /// The other process is one of the same user.
    #[cfg(unix)]
    #[tokio::test]
    async fn another_process_gets_nothing_and_is_reported() {
        let endpoint = Endpoint::bind("socket").unwrap();
        let Address::Unix { file, .. } = endpoint.address().clone() else { panic!() };
        let program = "import socket, sys\n\
            s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])\n\
            sys.exit(len(s.recv(1)))";
        let other = tokio::task::spawn_blocking(move || {
            std::process::Command::new("python3").args(["-c", program]).arg(file).status().unwrap()
        });
        let strangers = AtomicUsize::new(0);
        let accepting = endpoint.accept(|| {
            strangers.fetch_add(1, Ordering::Relaxed);
        });
        let ended = async { other.await.unwrap() };
        tokio::select! {
            _ = accepting => panic!("another process was accepted"),
            status = ended => assert!(status.success(), "it got something"),
        }
        assert_eq!(strangers.load(Ordering::Relaxed), 1);
    }

    /// A folder that another user can write, or that another user owns, is not used.
    #[cfg(unix)]
    #[test]
    fn an_endpoint_is_where_no_other_user_can_take_its_place() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let base = tempfile::tempdir().unwrap();
        let real = base.path().canonicalize().unwrap();
        let (open, sticky) = (real.join("open"), real.join("sticky"));
        for (folder, mode) in [(&open, 0o777), (&sticky, 0o1777)] {
            std::fs::create_dir(folder).unwrap();
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let (beneath, link) = (open.join("beneath"), real.join("link"));
        std::fs::create_dir(&beneath).unwrap();
        symlink(&sticky, &link).unwrap();
        assert!(is_ours_to_use(&real) && is_ours_to_use(&link.canonicalize().unwrap()));
        for folder in [&open, &beneath, &real.join("missing")] {
            assert!(!is_ours_to_use(folder), "{}", folder.display());
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_folders_of_dead_processes_are_removed() {
        let base = tempfile::tempdir().unwrap();
        let folder = |name: &str| base.path().join(format!("{PREFIX}{name}"));
        let (dead, alive) = (folder("0123456789abcdef"), folder("fedcba9876543210"));
        let listening = Endpoint::in_folder(&alive, "socket").unwrap();
        std::fs::create_dir(&dead).unwrap();
        std::fs::set_permissions(&dead, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .unwrap();
        drop(std::os::unix::net::UnixListener::bind(dead.join("socket")).unwrap());
        let (begun, other) = (folder("00000000000000ff"), base.path().join("bs-notes"));
        std::fs::create_dir(&begun).unwrap();
        std::fs::create_dir(&other).unwrap();
        remove_orphans(base.path(), "socket");
        assert!(!dead.exists());
        assert!(alive.exists() && begun.exists() && other.exists());
        drop(listening);
    }

    #[tokio::test]
    async fn a_hang_up_is_seen_behind_unread_bytes() {
        for endpoint in [Endpoint::tcp().unwrap(), Endpoint::bind("socket").unwrap()] {
            let mut driver = connect(endpoint.address()).await;
            let accepted = endpoint.accept(|| panic!("it is this process")).await.unwrap();
            let gone = accepted.hang_up();
            driver.write_all(b"hello").await.unwrap();
            let mut gone = std::pin::pin!(gone);
            let early = tokio::time::timeout(Duration::from_millis(600), gone.as_mut()).await;
            assert!(early.is_err());
            drop(driver);
            tokio::time::timeout(SOON, gone).await.unwrap();
        }
    }
}
