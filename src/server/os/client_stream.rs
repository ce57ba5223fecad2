//! What is behind a connection: a socket, the terminal of `-f`, or a pipe that only sends.

use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, shutdown};

use super::{Connection, NonblockingIo, PeerIdentity};
use crate::handover::state::ConnectionKind;
use crate::limits::DRAIN_MAX;
use crate::sys::fd;
use crate::sys::terminal::Terminal;

/// The far end of a connection.
#[derive(Debug)]
pub(crate) enum ClientStream {
    Telnet(File),
    /// A socket without telnet.
    Raw(File),
    Terminal(Terminal),
    Pipe(File),
}

impl ClientStream {
    /// A connection that was accepted.
    pub(crate) fn socket(connection: OwnedFd, raw: bool) -> ClientStream {
        let connection = File::from(connection);
        if raw { ClientStream::Raw(connection) } else { ClientStream::Telnet(connection) }
    }

    /// What `-f` finds as standard input, if it can be a client: a terminal in the foreground,
    /// or a pipe.
    pub(crate) fn stdin() -> Option<ClientStream> {
        let stdin = io::stdin();
        if let Some(terminal) = Terminal::open(stdin.as_fd()) {
            return Some(ClientStream::Terminal(terminal));
        }
        let kind = nix::sys::stat::fstat(stdin.as_fd()).ok()?.st_mode & nix::libc::S_IFMT;
        // A socket is what some programs, ssh's server among them, make for a pipe.
        if kind != nix::libc::S_IFIFO && kind != nix::libc::S_IFSOCK {
            return None;
        }
        // Opened anew, so that O_NONBLOCK is not shared with whoever gave it to us. That is not
        // possible with a socket, nor with another user's pipe.
        let mut options = File::options();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        let pipe = options.open("/dev/fd/0").or_else(|_| {
            let copy = stdin.as_fd().try_clone_to_owned()?;
            fd::set_nonblocking_cloexec(&copy)?;
            Ok::<_, io::Error>(File::from(copy))
        });
        Some(ClientStream::Pipe(pipe.ok()?))
    }

    /// A connection that another program in this process had.
    pub(crate) fn adopt(connection: OwnedFd, kind: ConnectionKind) -> io::Result<ClientStream> {
        let file = File::from(connection);
        Ok(match kind {
            ConnectionKind::Telnet => ClientStream::Telnet(file),
            ConnectionKind::Raw => ClientStream::Raw(file),
            ConnectionKind::Terminal(modes) => {
                ClientStream::Terminal(Terminal::adopt(file, &modes)?)
            }
            ConnectionKind::Pipe => ClientStream::Pipe(file),
        })
    }

    fn file(&self) -> &File {
        match self {
            ClientStream::Telnet(file) | ClientStream::Raw(file) | ClientStream::Pipe(file) => file,
            ClientStream::Terminal(terminal) => terminal.file(),
        }
    }
}

impl NonblockingIo for ClientStream {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file().read(buffer)
    }

    fn write(&self, slices: (&[u8], &[u8])) -> io::Result<usize> {
        fd::write_two(self.file(), slices)
    }
}

impl Connection for ClientStream {
    fn peer_identity(&self) -> PeerIdentity {
        match self {
            ClientStream::Telnet(socket) | ClientStream::Raw(socket) => caller(socket),
            ClientStream::Terminal(_) | ClientStream::Pipe(_) => PeerIdentity::Unknown,
        }
    }

    fn kind(&self) -> ConnectionKind {
        match self {
            ClientStream::Telnet(_) => ConnectionKind::Telnet,
            ClientStream::Raw(_) => ConnectionKind::Raw,
            ClientStream::Terminal(terminal) => ConnectionKind::Terminal(terminal.saved()),
            ClientStream::Pipe(_) => ConnectionKind::Pipe,
        }
    }
}

/// Who is at the other end of a socket.
fn caller(socket: &File) -> PeerIdentity {
    let Ok(address) = getpeername::<SockaddrStorage>(socket.as_raw_fd()) else {
        return PeerIdentity::Unknown;
    };
    if let Some(&address) = address.as_sockaddr_in() {
        PeerIdentity::Address { address: SocketAddrV4::from(address).into() }
    } else if let Some(&address) = address.as_sockaddr_in6() {
        PeerIdentity::Address { address: SocketAddrV6::from(address).into() }
    } else {
        process(socket).unwrap_or(PeerIdentity::Unknown)
    }
}

/// The process that connected a Unix socket.
#[cfg(target_os = "linux")]
fn process(socket: &File) -> Option<PeerIdentity> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    let peer = getsockopt(socket, PeerCredentials).ok()?;
    Some(PeerIdentity::Process { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() })
}

#[cfg(not(target_os = "linux"))]
fn process(_socket: &File) -> Option<PeerIdentity> {
    None
}

impl AsFd for ClientStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }
}

impl Drop for ClientStream {
    /// An orderly end of file for the other side: input that nobody read would turn it into a
    /// reset, which takes output on its way along.
    fn drop(&mut self) {
        if let ClientStream::Telnet(file) | ClientStream::Raw(file) = self {
            let _ = shutdown(file.as_raw_fd(), Shutdown::Write);
            let mut buffer = [0; 4096];
            for _ in 0..(DRAIN_MAX / buffer.len()) {
                if !file.read(&mut buffer).is_ok_and(|count| count > 0) {
                    break;
                }
            }
            // Should a service manager have a copy, it is over none the less.
            let _ = shutdown(file.as_raw_fd(), Shutdown::Read);
        }
    }
}
