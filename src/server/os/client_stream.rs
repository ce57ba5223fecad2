//! A client's connection: a socket, the terminal of `-f`, or a pipe that only sends.

use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;
use nix::sys::socket::{Shutdown, SockaddrStorage, UnixAddr, getpeername, getsockname, shutdown};
use nix::sys::stat::{SFlag, fstat};

use super::{Connection, NonblockingIo, PeerIdentity};
use crate::config::WindowSize;
use crate::console::event::Role;
use crate::handover::state::ConnectionKind;
use crate::limits::{DRAIN_MAX, PROVEN_READER_BYTES};
use crate::sys::terminal::Terminal;
use crate::sys::{fd, pty, socket};

/// A client's connection.
#[derive(Debug)]
pub(crate) enum ClientStream {
    Telnet(File),
    /// A socket without telnet.
    Raw(File),
    Terminal(Terminal),
    Pipe(File),
    /// A Unix socket of `--api`.
    Api(File),
}

impl ClientStream {
    /// An accepted connection of a client with this role, `raw` if it is without telnet.
    pub(crate) fn socket(connection: OwnedFd, role: Role, raw: bool) -> ClientStream {
        let connection = File::from(connection);
        match role {
            Role::Api => ClientStream::Api(connection),
            _ if raw => ClientStream::Raw(connection),
            _ => ClientStream::Telnet(connection),
        }
    }

    /// Standard input under `-f`, if it can be a client: a terminal in the foreground, or a pipe.
    pub(crate) fn stdin() -> Option<ClientStream> {
        let stdin = io::stdin();
        if let Some(terminal) = Terminal::open(stdin.as_fd()) {
            return Some(ClientStream::Terminal(terminal));
        }
        let mode = SFlag::from_bits_truncate(fstat(stdin.as_fd()).ok()?.st_mode);
        let kind = mode & SFlag::S_IFMT;
        // Some programs, ssh's server among them, make a socket where others make a pipe.
        if kind != SFlag::S_IFIFO && kind != SFlag::S_IFSOCK {
            return None;
        }
        // The pipe is opened anew, so that O_NONBLOCK is not shared with whoever passed it. That is
        // not possible with a socket, nor with another user's pipe.
        let mut options = File::options();
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let pipe = options.open("/dev/fd/0").or_else(|_| {
            let copy = stdin.as_fd().try_clone_to_owned()?;
            fd::set_nonblocking_cloexec(&copy)?;
            Ok::<_, io::Error>(File::from(copy))
        });
        Some(ClientStream::Pipe(pipe.ok()?))
    }

    /// Takes over a connection that another program in this process had.
    ///
    /// # Errors
    /// The modes of the terminal cannot be set.
    pub(crate) fn adopt(connection: OwnedFd, kind: ConnectionKind) -> io::Result<ClientStream> {
        let file = File::from(connection);
        Ok(match kind {
            ConnectionKind::Telnet => ClientStream::Telnet(file),
            ConnectionKind::Raw => ClientStream::Raw(file),
            ConnectionKind::Terminal(modes) => {
                ClientStream::Terminal(Terminal::adopt(file, &modes)?)
            }
            ConnectionKind::Pipe => ClientStream::Pipe(file),
            ConnectionKind::Api => ClientStream::Api(file),
        })
    }

    fn file(&self) -> &File {
        match self {
            ClientStream::Telnet(file)
            | ClientStream::Raw(file)
            | ClientStream::Pipe(file)
            | ClientStream::Api(file) => file,
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
            ClientStream::Telnet(socket)
            | ClientStream::Raw(socket)
            | ClientStream::Api(socket) => peer(socket),
            ClientStream::Terminal(_) | ClientStream::Pipe(_) => PeerIdentity::Unknown,
        }
    }

    fn kind(&self) -> ConnectionKind {
        match self {
            ClientStream::Telnet(_) => ConnectionKind::Telnet,
            ClientStream::Raw(_) => ConnectionKind::Raw,
            ClientStream::Terminal(terminal) => ConnectionKind::Terminal(terminal.saved()),
            ClientStream::Pipe(_) => ConnectionKind::Pipe,
            ClientStream::Api(_) => ConnectionKind::Api,
        }
    }

    fn hang_up(&self) -> Option<io::Result<()>> {
        fd::hang_up(self.file())
    }

    fn expect_hang_up(&self) {
        fd::tune_half_closed_tcp(self.file());
    }

    fn window(&self) -> Option<WindowSize> {
        let ClientStream::Terminal(terminal) = self else { return None };
        let (columns, rows) = pty::window(terminal.file()).ok()?;
        Some(WindowSize { columns, rows })
    }

    fn unread(&self) -> usize {
        let held = socket::unread(self.as_fd()).ok();
        let is_unix = getsockname::<UnixAddr>(self.as_fd().as_raw_fd()).is_ok();
        // The kernel of a TCP client holds some more.
        let elsewhere = if is_unix && held.is_some() { 0 } else { PROVEN_READER_BYTES as usize };
        held.unwrap_or(0) + elsewhere
    }
}

/// The peer of a socket.
fn peer(socket: &File) -> PeerIdentity {
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
    /// Lets the other side read an orderly end of file. If input was left unread, closing the
    /// socket would reset the connection, and output on its way would be lost.
    fn drop(&mut self) {
        if let ClientStream::Telnet(file) | ClientStream::Raw(file) | ClientStream::Api(file) = self
        {
            let _ = shutdown(file.as_raw_fd(), Shutdown::Write);
            let mut buffer = [0; 4096];
            for _ in 0..(DRAIN_MAX / buffer.len()) {
                if !file.read(&mut buffer).is_ok_and(|count| count > 0) {
                    break;
                }
            }
            // A service manager may have a copy of the descriptor, which does not keep the
            // connection open.
            let _ = shutdown(file.as_raw_fd(), Shutdown::Read);
        }
    }
}
