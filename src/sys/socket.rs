//! Sockets, as far as systems differ in them.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, socket};

/// As many connections may wait as the system allows. Some C libraries name an older limit.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub const MAX_BACKLOG: Backlog = Backlog::MAXALLOWABLE;
/// As many connections may wait as the system allows.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub const MAX_BACKLOG: Backlog = Backlog::MAXCONN;

/// A socket, closed on exec.
#[cfg(not(target_vendor = "apple"))]
pub fn open(family: AddressFamily, kind: SockType) -> io::Result<OwnedFd> {
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?)
}

/// A socket, closed on exec.
#[cfg(target_vendor = "apple")]
pub fn open(family: AddressFamily, kind: SockType) -> io::Result<OwnedFd> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let socket = socket(family, kind, SockFlag::empty(), None)?;
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(socket)
}

/// The address with this abstract name (unix(7)): Linux only.
#[cfg(target_os = "linux")]
pub fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

/// The address with this abstract name: there are none here.
#[cfg(not(target_os = "linux"))]
pub fn abstract_address(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}
