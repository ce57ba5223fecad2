//! Endpoints: bound so that nobody else's is taken, accepted from without ever running out of
//! descriptors, and removed if they are still ours.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};

use crate::core::clock::Moment;
use crate::core::event::Role;
use crate::endpoint::Endpoint;
use crate::limits::{ACCEPT_PAUSE, RESERVED_FDS};
use crate::sys;

/// The socket behind a listener.
#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

/// A bound endpoint. Dropped, its socket file goes too, if it is still this one.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    /// What it is bound to: a port asked for as 0 is the one got.
    endpoint: Endpoint,
    /// What its connections may do.
    role: Role,
    /// The socket file: device and inode tell whether it is still ours.
    file: Option<(PathBuf, u64, u64)>,
    /// Whether connections may be waiting.
    pub(super) ready: bool,
    /// After a failure: nothing is accepted before.
    pub(super) paused_until: Option<Moment>,
    /// Whether the failure has been told.
    told: bool,
}

/// What came of accepting.
pub(super) enum Accepted {
    /// A connection, non-blocking.
    Connection(OwnedFd),
    /// Nobody waits any more.
    Nobody,
    /// The system has no descriptor for it; the reason, the first time.
    Exhausted(Option<String>),
}

impl Listener {
    /// Binds `endpoint` and listens.
    pub(super) fn bind(endpoint: &Endpoint, role: Role) -> io::Result<Listener> {
        let mut file = None;
        let mut bound = endpoint.clone();
        let socket = match endpoint {
            Endpoint::Tcp(address) => {
                let socket = TcpListener::bind(address)?;
                bound = Endpoint::Tcp(socket.local_addr().unwrap_or(*address));
                Socket::Tcp(socket)
            }
            Endpoint::Unix { path, uid, gid, mode } => {
                let socket = bind_file(path)?;
                let metadata = fs::symlink_metadata(path)?;
                let guard = SocketFile(path);
                if uid.is_some() || gid.is_some() {
                    std::os::unix::fs::chown(path, *uid, *gid)?;
                }
                fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
                std::mem::forget(guard);
                file = Some((path.clone(), metadata.dev(), metadata.ino()));
                Socket::Unix(socket)
            }
            Endpoint::Abstract(name) => Socket::Unix(bind_abstract(name)?),
        };
        sys::fd::prepare(&socket)?;
        Ok(Listener {
            socket,
            endpoint: bound,
            role,
            file,
            ready: false,
            paused_until: None,
            told: false,
        })
    }

    /// What it is bound to.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What its connections may do.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// Whether a failure makes it wait.
    pub(super) fn is_paused(&self, now: Moment) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Accepts one connection, unless few descriptors are left.
    pub(super) fn accept(&mut self, now: Moment) -> Accepted {
        loop {
            if sys::fd::is_scarce(self.socket.as_fd(), RESERVED_FDS) {
                return self.pause(now, sys::strerror(nix::libc::EMFILE));
            }
            let result = match &self.socket {
                Socket::Tcp(socket) => socket.accept().map(|(stream, _)| OwnedFd::from(stream)),
                Socket::Unix(socket) => socket.accept().map(|(stream, _)| OwnedFd::from(stream)),
            };
            match result {
                Ok(stream) => {
                    self.told = false;
                    if matches!(self.socket, Socket::Tcp(_)) {
                        sys::fd::tune_tcp(&stream);
                    }
                    if sys::fd::prepare(&stream).is_ok() {
                        return Accepted::Connection(stream);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready = false;
                    return Accepted::Nobody;
                }
                Err(error) if is_exhaustion(&error) => {
                    return self.pause(now, sys::reason(&error));
                }
                // The connection was gone before it was accepted.
                Err(_) => {}
            }
        }
    }

    fn pause(&mut self, now: Moment, reason: String) -> Accepted {
        self.paused_until = Some(now + ACCEPT_PAUSE);
        let first = !std::mem::replace(&mut self.told, true);
        Accepted::Exhausted(first.then_some(reason))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((path, dev, ino)) = &self.file
            && let Ok(metadata) = fs::symlink_metadata(path)
            && (metadata.dev(), metadata.ino()) == (*dev, *ino)
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// A socket file that is removed if its binding does not get finished.
struct SocketFile<'a>(&'a Path);

impl Drop for SocketFile<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

/// Binds a socket file that nobody may use yet: there is no moment at which it has wider
/// permissions than asked for. One that a dead server left behind is replaced.
fn bind_file(path: &Path) -> io::Result<UnixListener> {
    make_way(path)?;
    let saved = umask(Mode::from_bits_truncate(0o777));
    let result = UnixListener::bind(path);
    umask(saved);
    result
}

/// Removes a socket that no server answers on. Anything else in the way is an error.
fn make_way(path: &Path) -> io::Result<()> {
    let in_use = || io::Error::from_raw_os_error(nix::libc::EADDRINUSE);
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        // Binding will say what is wrong, if anything is.
        Err(_) => return Ok(()),
    };
    if kind.is_dir() {
        return Err(io::Error::from_raw_os_error(nix::libc::EISDIR));
    }
    if !kind.is_socket() {
        return Err(in_use());
    }
    match connect_at_once(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Answered, or too busy to answer, or not ours to look at.
        _ => Err(in_use()),
    }
}

/// Connects without waiting for room in the backlog.
fn connect_at_once(path: &Path) -> io::Result<UnixStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(fd))
}

#[cfg(target_os = "linux")]
fn bind_abstract(name: &[u8]) -> io::Result<UnixListener> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    UnixListener::bind_addr(&address)
}

#[cfg(not(target_os = "linux"))]
fn bind_abstract(_name: &[u8]) -> io::Result<UnixListener> {
    Err(io::Error::from_raw_os_error(nix::libc::EAFNOSUPPORT))
}

fn is_exhaustion(error: &io::Error) -> bool {
    use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
}
