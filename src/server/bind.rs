//! Endpoints: bound so that nobody else's is taken, and removed if they are still ours.

use std::fs;
use std::io;
use std::net::{self, IpAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, Backlog, SockType, SockaddrIn6, SockaddrLike, SockaddrStorage, UnixAddr, bind,
    connect, getsockname, getsockopt, listen, setsockopt, sockopt,
};
use nix::sys::stat::{Mode, umask};

use super::handover::describe;
use super::stream::Terminus;
use super::system::{Lasting, Socket};
use crate::core::event::Role;
use crate::endpoint::{Address, Endpoint};
use crate::handover::state::{Descriptor, FileId};
use crate::limits::{BACKLOG, RESERVED_FDS};
use crate::sys;

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A bound endpoint. Dropped, its socket file goes too, if it is still this one.
#[derive(Debug)]
pub(super) struct Bound {
    socket: Kind,
    /// What it is bound to: a port asked for as 0 is the one got.
    pub(super) endpoint: Endpoint,
    /// What its connections may do.
    pub(super) role: Role,
    /// The socket file: device and inode tell whether it is still ours.
    file: Option<(PathBuf, u64, u64)>,
    /// The service manager has it anyway.
    pub(super) passed: bool,
}

impl Bound {
    /// Binds `endpoint` and listens.
    pub(super) fn bind(endpoint: &Endpoint, role: Role) -> io::Result<Bound> {
        let mut file = None;
        let mut bound = endpoint.clone();
        let socket = match &endpoint.address {
            Address::Tcp(address) => {
                let socket = match address {
                    net::SocketAddr::V4(_) => TcpListener::bind(address)?,
                    net::SocketAddr::V6(address) => bind_ipv6(*address)?,
                };
                bound.address = Address::Tcp(socket.local_addr().unwrap_or(*address));
                Kind::Tcp(socket)
            }
            Address::Unix { path, uid, gid, mode } => {
                let socket = bind_file(path)?;
                let metadata = fs::symlink_metadata(path)?;
                let guard = SocketFile(path);
                protect(path, *uid, *gid, *mode)?;
                std::mem::forget(guard);
                file = Some((path.clone(), metadata.dev(), metadata.ino()));
                Kind::Unix(socket)
            }
            Address::Abstract(name) => {
                Kind::Unix(UnixListener::bind_addr(&sys::socket::abstract_address(name)?)?)
            }
            Address::Passed(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let bound = Bound { socket, endpoint: bound, role, file, passed: false };
        sys::fd::prepare(&bound)?;
        Ok(bound)
    }

    /// Takes over one that the service manager made, and keeps.
    pub(super) fn of_manager(fd: OwnedFd, role: Role, raw: bool) -> io::Result<Bound> {
        let mut bound = Bound::adopt(fd, role, raw, None)?;
        bound.passed = true;
        Ok(bound)
    }

    /// Takes over a socket that listens already. Its file is removed with it if it is `file`; else it
    /// stays its maker's.
    pub(super) fn adopt(
        fd: OwnedFd,
        role: Role,
        raw: bool,
        file: Option<FileId>,
    ) -> io::Result<Bound> {
        let unfit =
            || io::Error::other("the socket passed is no listening TCP or Unix stream socket");
        let listens = getsockopt(&fd, sockopt::SockType) == Ok(SockType::Stream)
            && getsockopt(&fd, sockopt::AcceptConn) == Ok(true);
        if !listens {
            return Err(unfit());
        }
        let family = getsockname::<SockaddrStorage>(fd.as_raw_fd())?.family();
        let (socket, address) = match family {
            Some(AddressFamily::Inet | AddressFamily::Inet6) => {
                let socket = TcpListener::from(fd);
                let address = socket.local_addr()?;
                (Kind::Tcp(socket), Address::Tcp(address))
            }
            Some(AddressFamily::Unix) => {
                let socket = UnixListener::from(fd);
                let address = socket.local_addr()?;
                (Kind::Unix(socket), unix_address(&address))
            }
            _ => return Err(unfit()),
        };
        let file = match (&address, file) {
            (Address::Unix { path, .. }, Some(file)) => {
                Some((path.clone(), file.device, file.inode))
            }
            _ => None,
        };
        let endpoint = Endpoint { address, raw };
        let bound = Bound { socket, endpoint, role, file, passed: false };
        sys::fd::prepare(&bound)?;
        Ok(bound)
    }
}

impl Bound {
    /// Lets those in whom `endpoint` means.
    pub(super) fn protect(&self, endpoint: &Endpoint) -> io::Result<()> {
        match &endpoint.address {
            Address::Unix { path, uid, gid, mode } => protect(path, *uid, *gid, *mode),
            Address::Tcp(_) | Address::Abstract(_) | Address::Passed(_) => Ok(()),
        }
    }

    /// Its socket file stays.
    pub(super) fn keep_file(&mut self) {
        self.file = None;
    }

    /// Whether it is what binding `endpoint` would give.
    pub(super) fn is(&self, endpoint: &Endpoint) -> bool {
        match (&self.endpoint.address, &endpoint.address) {
            (Address::Tcp(bound), Address::Tcp(wanted)) => {
                bound.ip() == wanted.ip() && [0, bound.port()].contains(&wanted.port())
            }
            (Address::Unix { path: bound, .. }, Address::Unix { path: wanted, .. }) => {
                bound == wanted
            }
            (Address::Abstract(bound), Address::Abstract(wanted)) => bound == wanted,
            _ => false,
        }
    }
}

impl Lasting for Bound {
    fn descriptor(&self) -> io::Result<Descriptor> {
        describe(self)
    }
}

impl Socket for Bound {
    type Connection = Terminus;

    fn file(&self) -> Option<FileId> {
        let (_, device, inode) = self.file.as_ref()?;
        Some(FileId { device: *device, inode: *inode })
    }

    fn is_scarce(&self) -> bool {
        sys::fd::is_scarce(self.as_fd(), RESERVED_FDS)
    }

    fn accept(&self) -> io::Result<(Terminus, Option<IpAddr>)> {
        let (stream, from) = match &self.socket {
            Kind::Tcp(socket) => {
                let (stream, from) = socket.accept()?;
                sys::fd::tune_tcp(&stream);
                (OwnedFd::from(stream), Some(from.ip()))
            }
            Kind::Unix(socket) => (socket.accept()?.0.into(), None),
        };
        sys::fd::prepare(&stream)?;
        Ok((Terminus::socket(stream, self.endpoint.raw), from))
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Kind::Tcp(socket) => socket.as_fd(),
            Kind::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some((path, device, inode)) = &self.file {
            remove_file(path, FileId { device: *device, inode: *inode });
        }
    }
}

/// Removes a socket file if it is still this one.
pub(super) fn remove_file(path: &Path, id: FileId) {
    if is_at(path, id) {
        let _ = fs::remove_file(path);
    }
}

/// Whether the file at `path` is this one.
pub(super) fn is_at(path: &Path, id: FileId) -> bool {
    let metadata = fs::symlink_metadata(path);
    metadata.is_ok_and(|found| (found.dev(), found.ino()) == (id.device, id.inode))
}

/// Gives a socket file its owner and permissions.
fn protect(path: &Path, uid: Option<u32>, gid: Option<u32>, mode: u32) -> io::Result<()> {
    if uid.is_some() || gid.is_some() {
        // Without the right to, it stays the process's own, as with procServ: that lets in nobody
        // who was not to be let in.
        let _ = std::os::unix::fs::chown(path, uid, gid);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Binds an IPv6 address for IPv6 clients only, whatever the system's default is.
fn bind_ipv6(address: net::SocketAddrV6) -> io::Result<TcpListener> {
    let socket = sys::socket::open(AddressFamily::Inet6, SockType::Stream)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    bind(socket.as_raw_fd(), &SockaddrIn6::from(address))?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(TcpListener::from(socket))
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
pub(super) fn bind_file(path: &Path) -> io::Result<UnixListener> {
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
    let fd = sys::socket::open(AddressFamily::Unix, SockType::Stream)?;
    sys::fd::prepare(&fd)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(fd))
}

/// What a socket is bound to that somebody else made. Its permissions are not looked at.
fn unix_address(address: &SocketAddr) -> Address {
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
        return Address::Abstract(name.to_vec());
    }
    let path = address.as_pathname().unwrap_or(Path::new("")).to_owned();
    Address::Unix { path, uid: None, gid: None, mode: 0 }
}
