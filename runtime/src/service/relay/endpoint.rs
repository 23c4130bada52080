//! The endpoint that a driver connects to, and its first gate: the peer is this process.

use std::fmt;
use std::io;
#[cfg(any(test, not(unix)))]
use std::net::Ipv4Addr;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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

/// The longest path of a socket, in bytes: the shortest `sun_path` of a system that has Unix
/// sockets has 104, with a NUL (macOS).
#[cfg(unix)]
const LONGEST_PATH: usize = 103;

impl Endpoint {
    /// Listens in a new folder that only this user can open: in `XDG_RUNTIME_DIR`, else in the
    /// temporary folder. If neither can be written to, Linux has abstract sockets.
    ///
    /// # Errors
    /// [`Refusal`], if none of them works.
    #[cfg(unix)]
    #[allow(clippy::disallowed_methods, reason = "a folder of the system is no value")]
    pub(super) fn bind(file: &str) -> Result<Self, Refusal> {
        let name = format!("backing-services-{}", random_name()?);
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let folders = runtime.into_iter().filter(|folder| folder.is_absolute());
        for folder in folders.chain([std::env::temp_dir()]) {
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
                        return Ok(DriverStream(Inner::Unix(stream)));
                    }
                    stranger();
                }
                #[cfg(any(test, not(unix)))]
                Listener::Tcp(listener) => {
                    let (stream, _) = listener.accept().await?;
                    let _ = stream.set_nodelay(true);
                    return Ok(DriverStream(Inner::Tcp(stream)));
                }
            }
        }
    }
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
struct Folder(PathBuf);

impl Folder {
    /// Fails if there is something of that name.
    #[cfg(unix)]
    fn create(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().mode(0o700).create(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // There is one file in it. If it is gone already, there is nothing to do.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A driver's connection to the endpoint.
pub struct DriverStream(Inner);

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
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().0 {
            #[cfg(unix)]
            Inner::Unix($stream) => $call,
            #[cfg(any(test, not(unix)))]
            Inner::Tcp($stream) => $call,
        }
    };
}

impl AsyncRead for DriverStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_stream!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for DriverStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        of_stream!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_stream!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_stream!(self, stream => Pin::new(stream).poll_shutdown(context))
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
        DriverStream(match address {
            #[cfg(unix)]
            Address::Unix { file, .. } => Inner::Unix(UnixStream::connect(file).await.unwrap()),
            #[cfg(not(unix))]
            Address::Unix { .. } => unreachable!("there are no Unix sockets"),
            Address::Tcp(address) => Inner::Tcp(TcpStream::connect(address).await.unwrap()),
        })
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
        // A path that exists is nobody's to take.
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
}
