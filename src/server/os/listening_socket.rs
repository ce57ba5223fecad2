//! Listening sockets of endpoints. Binding one takes no address from another server, and only own
//! socket files are removed.

use std::fs;
use std::io;
use std::net::{self, IpAddr, SocketAddrV4, SocketAddrV6, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::socket::{
    AddressFamily, Backlog, SockType, SockaddrStorage, UnixAddr, bind, connect, getsockname,
    getsockopt, listen, setsockopt, sockopt,
};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, mode_t, umask};

use super::Socket;
use super::client_stream::ClientStream;
use crate::config::endpoint::{Address, Endpoint};
use crate::console::event::Role;
use crate::limits::{BACKLOG, RESERVED_FDS, RESERVED_FDS_MIN, SERVER_FDS, SOCKET_LOCK_WAIT};
use crate::sys;
use crate::sys::file::FileId;

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The socket of an endpoint. When it is dropped, its socket file is removed if it still belongs to
/// the socket.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    socket: Kind,
    /// The endpoint that the socket is bound to. Port 0 is replaced by the port that the system
    /// chose.
    pub(crate) endpoint: Endpoint,
    /// What its clients may do.
    pub(crate) role: Role,
    /// The socket file, if it is to be removed with the socket.
    file: Option<(PathBuf, FileId)>,
    /// True if the service manager passed the socket, and so keeps it anyway.
    pub(crate) passed: bool,
}

impl ListeningSocket {
    /// Binds `endpoint` and listens.
    ///
    /// # Errors
    /// The address is in use, or the system refuses it.
    pub(crate) fn bind(endpoint: &Endpoint, role: Role) -> io::Result<ListeningSocket> {
        let mut file = None;
        let mut bound = endpoint.clone();
        let socket = match &endpoint.address {
            Address::Tcp(address) => {
                let socket = listen_at(*address, true, Backlog::new(BACKLOG)?)?;
                let socket = TcpListener::from(socket);
                bound.address = Address::Tcp(socket.local_addr().unwrap_or(*address));
                Kind::Tcp(socket)
            }
            Address::Unix { path, uid, gid, mode } => {
                let (socket, id) = listen_file(path, *uid, *gid, *mode)?;
                file = Some((path.clone(), id));
                Kind::Unix(socket.into())
            }
            Address::Abstract(name) => {
                Kind::Unix(UnixListener::bind_addr(&sys::socket::abstract_address(name)?)?)
            }
            Address::Passed(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let bound = ListeningSocket { socket, endpoint: bound, role, file, passed: false };
        sys::fd::set_nonblocking_cloexec(&bound)?;
        Ok(bound)
    }

    /// Takes over a socket that the service manager made, and keeps.
    ///
    /// # Errors
    /// It is no listening stream socket.
    pub(crate) fn from_service_manager(
        fd: OwnedFd,
        role: Role,
        raw: bool,
    ) -> io::Result<ListeningSocket> {
        let mut bound = ListeningSocket::adopt(fd, role, raw, None)?;
        bound.passed = true;
        Ok(bound)
    }

    /// Takes over a socket that listens already. Its socket file is removed with it only if that is
    /// `file`.
    ///
    /// # Errors
    /// It is no listening stream socket.
    pub(crate) fn adopt(
        fd: OwnedFd,
        role: Role,
        raw: bool,
        file: Option<FileId>,
    ) -> io::Result<ListeningSocket> {
        sys::fd::set_nonblocking_cloexec(&fd)?;
        let endpoint =
            Endpoint { address: listening_address(fd.as_fd())?, raw, view: role == Role::Viewer };
        Ok(ListeningSocket::with_endpoint(fd, endpoint, role, file))
    }

    /// Takes over a socket that listens without blocking on `endpoint`. The rest is as with
    /// [`adopt`](Self::adopt).
    pub(crate) fn with_endpoint(
        fd: OwnedFd,
        endpoint: Endpoint,
        role: Role,
        file: Option<FileId>,
    ) -> ListeningSocket {
        let file = match (&endpoint.address, file) {
            (Address::Unix { path, .. }, Some(file)) => Some((path.clone(), file)),
            _ => None,
        };
        let socket = match endpoint.address {
            Address::Tcp(_) => Kind::Tcp(fd.into()),
            _ => Kind::Unix(fd.into()),
        };
        ListeningSocket { socket, endpoint, role, file, passed: false }
    }

    /// Applies owner and mode of `endpoint` to the socket file. Returns false if the file is gone
    /// or belongs to another socket.
    pub(crate) fn reapply_permissions(&self, endpoint: &Endpoint) -> bool {
        let Address::Unix { path, uid, gid, mode } = &endpoint.address else {
            return true;
        };
        self.file().is_some_and(|id| is_at(path, id))
            && set_permissions(path, *uid, *gid, *mode).is_ok()
    }

    /// Leaves the socket file when the socket is dropped.
    pub(crate) fn keep_file(&mut self) {
        self.file = None;
    }

    /// Returns true if binding `endpoint` would give this address.
    pub(crate) fn matches(&self, endpoint: &Endpoint) -> bool {
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

impl Socket for ListeningSocket {
    type Connection = ClientStream;

    fn file(&self) -> Option<FileId> {
        self.file.as_ref().map(|(_, id)| *id)
    }

    fn is_near_fd_limit(&self) -> bool {
        let reserve = |limit: u64| {
            (limit.saturating_sub(SERVER_FDS) / 2).clamp(RESERVED_FDS_MIN, RESERVED_FDS)
        };
        sys::fd::is_near_limit(self.as_fd(), reserve)
    }

    fn accept(&self) -> io::Result<(ClientStream, Option<IpAddr>)> {
        let (stream, from) = match &self.socket {
            Kind::Tcp(socket) => {
                let (stream, from) = socket.accept()?;
                sys::fd::tune_tcp(&stream);
                (OwnedFd::from(stream), Some(from.ip()))
            }
            Kind::Unix(socket) => (socket.accept()?.0.into(), None),
        };
        sys::fd::set_nonblocking_cloexec(&stream)?;
        Ok((ClientStream::socket(stream, self.role, self.endpoint.raw), from))
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Kind::Tcp(socket) => socket.as_fd(),
            Kind::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Drop for ListeningSocket {
    fn drop(&mut self) {
        if let Some((path, id)) = &self.file {
            remove_file(path, *id);
        }
    }
}

/// Removes a socket file, if it still is the file `id`.
pub(crate) fn remove_file(path: &Path, id: FileId) {
    if is_at(path, id) {
        let _ = fs::remove_file(path);
    }
}

/// Returns true if the file at `path` is the file `id`.
pub(crate) fn is_at(path: &Path, id: FileId) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| FileId::of(&found) == id)
}

/// Gives a socket file its owner and mode. A link of that name is not followed.
fn set_permissions(path: &Path, uid: Option<u32>, gid: Option<u32>, mode: u32) -> io::Result<()> {
    if uid.is_some() || gid.is_some() {
        // A process that may not change the owner keeps the file itself, as with procServ. That
        // lets in nobody who was not to be let in.
        let _ = lchown(path, uid, gid);
    }
    if fs::symlink_metadata(path)?.mode() & 0o7777 != mode & 0o7777 {
        let mode = Mode::from_bits_truncate(mode as mode_t);
        fchmodat(AT_FDCWD, path, mode, FchmodatFlags::NoFollowSymlink)?;
    }
    Ok(())
}

/// A blocking socket that listens on a TCP address; on an IPv6 address for IPv6 clients only if
/// `only_v6` is true, whatever the system's default is.
pub(crate) fn listen_at(
    address: net::SocketAddr,
    only_v6: bool,
    backlog: Backlog,
) -> io::Result<OwnedFd> {
    let kind = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let socket = sys::socket::open(kind, SockType::Stream)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &only_v6)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, backlog)?;
    Ok(socket)
}

/// A socket that listens on a socket file. At no time does the file have wider permissions than
/// asked for, and no client is accepted before the file has its owner. A file that a dead server
/// left behind is replaced, by one of several servers that start at the same time: looking at the
/// file, removing it, bind(2) and listen(2) are one step under the lock of the directory. (A socket
/// that is bound under another name and then renamed keeps that other name in getsockname(2) and
/// /proc/net/unix.)
pub(crate) fn listen_file(
    path: &Path,
    uid: Option<u32>,
    gid: Option<u32>,
    mode: u32,
) -> io::Result<(OwnedFd, FileId)> {
    let _lock = sys::file::lock_directory(path, SOCKET_LOCK_WAIT);
    remove_stale(path)?;
    let socket = sys::socket::open(AddressFamily::Unix, SockType::Stream)?;
    let address = UnixAddr::new(path)?;
    // If the directory has no default ACL, this is all that is needed.
    let saved = umask(Mode::from_bits_truncate(!mode as mode_t & 0o777));
    let bound = bind(socket.as_raw_fd(), &address);
    umask(saved);
    bound?;
    let id = FileId::of(&fs::symlink_metadata(path)?);
    let ready = set_permissions(path, uid, gid, mode)
        .and_then(|()| Ok(listen(&socket, sys::socket::MAX_BACKLOG)?));
    if ready.is_err() {
        remove_file(path, id);
    }
    ready.map(|()| (socket, id))
}

/// Removes a socket file on which no server answers. Anything else at `path` is an error.
fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = || io::Error::from(Errno::EADDRINUSE);
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        // bind(2) will say what is wrong, if anything is.
        Err(_) => return Ok(()),
    };
    if kind.is_dir() {
        return Err(Errno::EISDIR.into());
    }
    if !kind.is_socket() {
        return Err(in_use());
    }
    match connect_nonblocking(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A server answers, or is too busy to answer, or may not be asked.
        _ => Err(in_use()),
    }
}

/// Connects without waiting for room in the backlog.
fn connect_nonblocking(path: &Path) -> io::Result<UnixStream> {
    let fd = sys::socket::open(AddressFamily::Unix, SockType::Stream)?;
    sys::fd::set_nonblocking_cloexec(&fd)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(fd))
}

/// Returns the address that `fd` listens on.
///
/// # Errors
/// It is no listening stream socket; those of getsockopt(2) and getsockname(2).
pub(crate) fn listening_address(fd: BorrowedFd<'_>) -> io::Result<Address> {
    let unfit = || io::Error::other("the socket passed is no listening TCP or Unix stream socket");
    let is_stream = getsockopt(&fd, sockopt::SockType).map(|kind| kind == SockType::Stream);
    let listens = getsockopt(&fd, sockopt::AcceptConn);
    for answer in [is_stream, listens] {
        match answer {
            Ok(true) => {}
            Err(error) if error != Errno::ENOTSOCK => return Err(error.into()),
            _ => return Err(unfit()),
        }
    }
    let address = getsockname::<SockaddrStorage>(fd.as_raw_fd())?;
    if let Some(&address) = address.as_sockaddr_in() {
        Ok(Address::Tcp(SocketAddrV4::from(address).into()))
    } else if let Some(&address) = address.as_sockaddr_in6() {
        Ok(Address::Tcp(SocketAddrV6::from(address).into()))
    } else if let Some(address) = address.as_unix_addr() {
        Ok(unix_address(address))
    } else {
        Err(unfit())
    }
}

/// The address of a socket that another process has bound. Its permissions are not looked at.
fn unix_address(address: &UnixAddr) -> Address {
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_abstract() {
        return Address::Abstract(name.to_vec());
    }
    let path = address.path().unwrap_or(Path::new("")).to_owned();
    Address::Unix { path, uid: None, gid: None, mode: 0 }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn planted_link_changes_nobodys_rights() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| dir.path().join(name));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&file, &link).unwrap();
        let before = fs::metadata(&file).unwrap();
        // root could give the file away.
        let _ = set_permissions(&link, Some(65534), Some(65534), 0o666);
        let after = fs::metadata(&file).unwrap();
        let rights = |of: &fs::Metadata| (of.uid(), of.gid(), of.mode());
        assert_eq!(rights(&after), rights(&before));
    }
}
