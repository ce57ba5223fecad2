//! Sockets, where systems differ.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;

use nix::libc;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, socket};

#[cfg(target_os = "linux")]
use super::cerr;

/// The largest backlog that the system allows (listen(2)). `SOMAXCONN` of some C libraries is an
/// older, smaller limit.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub(crate) const MAX_BACKLOG: Backlog = Backlog::MAXALLOWABLE;
/// The largest backlog that the system allows (listen(2)).
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub(crate) const MAX_BACKLOG: Backlog = Backlog::MAXCONN;

/// Opens a socket that closes on exec.
///
/// # Errors
/// Those of socket(2).
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn open(family: AddressFamily, kind: SockType) -> io::Result<OwnedFd> {
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?)
}

/// Opens a socket that closes on exec.
///
/// # Errors
/// Those of socket(2) and fcntl(2).
#[cfg(target_vendor = "apple")]
pub(crate) fn open(family: AddressFamily, kind: SockType) -> io::Result<OwnedFd> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let socket = socket(family, kind, SockFlag::empty(), None)?;
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(socket)
}

/// Returns how many bytes of a connection's output its peer has not read (SIOCOUTQ of unix(7)), or, of
/// a TCP connection, the peer's kernel has not acknowledged (tcp(7)). A Unix socket counts the
/// memory that the bytes take.
///
/// # Errors
/// Those of ioctl(2).
#[cfg(target_os = "linux")]
pub(crate) fn unread(connection: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which is the same number, writes an int.
    cerr(unsafe { libc::ioctl(connection.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// This system does not tell.
///
/// # Errors
/// Always `ENOTSUP`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unread(_connection: BorrowedFd<'_>) -> io::Result<usize> {
    Err(io::Error::from_raw_os_error(libc::ENOTSUP))
}

/// Returns true if the same message may go through a little later: its receiver has not taken the
/// messages before, or the descriptors with them (ETOOMANYREFS of unix(7)), or the kernel has no
/// memory now.
pub(crate) fn is_queue_full(error: &io::Error) -> bool {
    let passing = [libc::ENOBUFS, libc::ENOMEM, libc::ETOOMANYREFS];
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error().is_some_and(|errno| passing.contains(&errno))
}

/// Returns the address with this abstract name (unix(7)).
///
/// # Errors
/// `InvalidInput` if the name is too long.
#[cfg(target_os = "linux")]
pub(crate) fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

/// This system has no abstract names.
///
/// # Errors
/// Always `EAFNOSUPPORT`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn abstract_address(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}
