//! A client of a server: a socket, and what is expected on it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::Result;

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Endpoint {
    Unix(PathBuf),
    Tcp(u16),
}

/// A connection, blocking.
pub struct Client {
    pub file: File,
}

impl Client {
    /// Connects, retrying until `deadline` while nobody listens.
    pub fn connect(endpoint: &Endpoint, deadline: Instant) -> Result<Client> {
        loop {
            match Client::try_connect(endpoint, deadline) {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() >= deadline => {
                    return Err(format!("no connection: {error}").into());
                }
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    fn try_connect(endpoint: &Endpoint, deadline: Instant) -> nix::Result<Client> {
        let family = match endpoint {
            Endpoint::Unix(_) => AddressFamily::Unix,
            Endpoint::Tcp(_) => AddressFamily::Inet,
        };
        let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        // It bounds a connect that waits for a place in the queue.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let timeout = TimeVal::new(left.as_secs() as i64, i64::from(left.subsec_micros()));
        setsockopt(&fd, sockopt::SendTimeout, &timeout)?;
        match endpoint {
            Endpoint::Unix(path) => connect(fd.as_raw_fd(), &unix_address(path)?)?,
            Endpoint::Tcp(port) => {
                setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
                connect(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, *port))?;
            }
        }
        setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(0, 0))?;
        Ok(Client { file: File::from(fd) })
    }

    /// From now on reads and writes don't wait.
    pub fn set_nonblocking(&self) -> Result<()> {
        let flags = OFlag::from_bits_retain(fcntl(&self.file, FcntlArg::F_GETFL)?);
        fcntl(&self.file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(())
    }

    /// Sends all of it, which is little. A server that takes not even that has stopped.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        Ok((&self.file).write_all(bytes).map_err(|error| format!("hung; sending: {error}"))?)
    }

    /// Reads once; `None` if nothing came until `deadline`.
    pub fn read(&self, buffer: &mut [u8], deadline: Instant) -> Result<Option<usize>> {
        if !wait_readable(self.file.as_fd(), deadline)? {
            return Ok(None);
        }
        match (&self.file).read(buffer)? {
            0 => Err("connection closed".into()),
            count => Ok(Some(count)),
        }
    }

    /// Reads whatever comes until nothing has come for so long.
    pub fn discard(&self, quiet: Duration) -> Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while self.read(&mut buffer, Instant::now() + quiet)?.is_some() {}
        Ok(())
    }

    /// Reads until `wanted` has come, in one piece or several; what came with it.
    pub fn expect(&self, wanted: &[u8], deadline: Instant) -> Result<Vec<u8>> {
        let mut seen = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let Some(count) = self.read(&mut buffer, deadline)? else {
                let wanted = wanted.escape_ascii();
                return Err(format!("hung; no {wanted} in time").into());
            };
            // Only the new part can hold the end of it.
            let from = seen.len().saturating_sub(wanted.len());
            seen.extend_from_slice(&buffer[..count]);
            if seen[from..].windows(wanted.len()).any(|window| window == wanted) {
                return Ok(seen);
            }
        }
    }
}

fn unix_address(path: &Path) -> nix::Result<UnixAddr> {
    UnixAddr::new(path)
}

/// Waits until there is something to read; false: not until `deadline`.
pub fn wait_readable(fd: BorrowedFd<'_>, deadline: Instant) -> Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        match poll(&mut fds, timeout(left)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// For poll(2): rounded up, so that it does not spin at the end.
pub fn timeout(left: Duration) -> PollTimeout {
    PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
}

/// A TCP port that nobody uses at the moment.
pub fn free_port() -> io::Result<u16> {
    let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(listener.local_addr()?.port())
}
