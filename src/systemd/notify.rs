//! Notifications to the service manager, on the datagram socket NOTIFY_SOCKET (sd_notify(3)).
//!
//! The crates sd-notify (0.5) and libsystemd (0.7) block while the queue of the service manager is
//! full, which the event loop must not. Here a full queue is an error, and the caller tries again
//! later.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

/// A socket for messages to the service manager.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: UnixDatagram,
    manager: UnixAddr,
}

impl Notifier {
    /// Opens a socket for messages to `address`, the value of NOTIFY_SOCKET: a path, or `@` and an
    /// abstract name.
    ///
    /// # Errors
    /// `Unsupported` if the address is of another kind, such as vsock; those of socket(2).
    pub(crate) fn new(address: &OsStr) -> io::Result<Notifier> {
        let manager = match address.as_bytes() {
            [b'/', ..] => UnixAddr::new(address)?,
            [b'@', name @ ..] => abstract_address(name)?,
            _ => {
                let text = format!("{} is no Unix socket", address.to_string_lossy());
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
        };
        Ok(Notifier { socket: UnixDatagram::unbound()?, manager })
    }

    /// Sends a message, lines `NAME=VALUE`, with descriptors for the service manager to keep. Never
    /// waits.
    ///
    /// # Errors
    /// `WouldBlock` if the service manager has no room for the message now; those of sendmsg(2).
    pub(crate) fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        // An empty list of descriptors is not the same as no list.
        let control = if raw.is_empty() { &[] } else { rights.as_slice() };
        let (socket, text) = (self.socket.as_raw_fd(), [IoSlice::new(message)]);
        sendmsg(socket, &text, control, MsgFlags::MSG_DONTWAIT, Some(&self.manager))?;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> nix::Result<UnixAddr> {
    UnixAddr::new_abstract(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_name: &[u8]) -> nix::Result<UnixAddr> {
    Err(nix::errno::Errno::EAFNOSUPPORT)
}

/// Returns true if the same message may go through a little later: the service manager has not taken
/// the messages before, or the descriptors with them (ETOOMANYREFS of unix(7)), or the kernel has no
/// memory now.
pub(crate) fn is_queue_full(error: &io::Error) -> bool {
    let passing = [libc::ENOBUFS, libc::ENOMEM, libc::ETOOMANYREFS];
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error().is_some_and(|errno| passing.contains(&errno))
}

/// Returns the time without a WATCHDOG=1 after which the service manager takes the process `pid`
/// for hung, if it watches the process; `usec` and `watched` are WATCHDOG_USEC and WATCHDOG_PID
/// (sd_watchdog_enabled(3)).
pub(crate) fn watchdog(
    usec: Option<&OsStr>,
    watched: Option<&OsStr>,
    pid: u32,
) -> Option<Duration> {
    let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
    let usec = number(usec?).filter(|&usec| usec > 0)?;
    let ours = watched.is_none_or(|watched| number(watched) == Some(pid.into()));
    ours.then(|| Duration::from_micros(usec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    fn refused(address: &str) -> String {
        Notifier::new(address.as_ref()).expect_err("no address").to_string()
    }

    #[test]
    fn only_unix_sockets_are_addresses() {
        assert_eq!(refused("vsock:2:1234"), "vsock:2:1234 is no Unix socket");
        assert_eq!(refused("run/notify"), "run/notify is no Unix socket");
        assert!(Notifier::new("@name".as_ref()).is_ok());
    }

    #[test]
    fn full_queue_is_an_error_and_no_wait() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let notifier = Notifier::new(path.as_os_str()).expect("a socket");
        assert_eq!(notifier.send(b"x", &[]).expect_err("nobody").kind(), io::ErrorKind::NotFound);
        let manager = UnixDatagram::bind(&path).expect("a manager");
        let full = loop {
            if let Err(error) = notifier.send(b"x", &[]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        manager.recv(&mut [0; 10]).expect("a message");
        notifier.send(b"x", &[]).expect("room");
    }

    #[test]
    fn descriptors_go_along() {
        let name = format!("@procserv-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name[1..]).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("a socket");
        let notifier = Notifier::new(name.as_ref()).expect("a socket");
        let (sent, _) = UnixDatagram::pair().expect("a pair");
        notifier.send(b"FDSTORE=1", &[sent.as_fd()]).expect("sent");
        let mut space = nix::cmsg_space!(RawFd);
        let mut buffer = [0; 100];
        let mut slices = [io::IoSliceMut::new(&mut buffer)];
        let got = nix::sys::socket::recvmsg::<()>(
            manager.as_raw_fd(),
            &mut slices,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        );
        assert_eq!(got.expect("a message").cmsgs().expect("room").count(), 1);
    }

    #[test]
    fn watchdog_is_that_of_this_process() {
        let watchdog = |usec: Option<&str>, pid: Option<&str>| {
            super::watchdog(usec.map(OsStr::new), pid.map(OsStr::new), 77)
        };
        assert_eq!(watchdog(Some("3000000"), None), Some(Duration::from_secs(3)));
        assert_eq!(watchdog(Some("3000000"), Some("77")), Some(Duration::from_secs(3)));
        assert_eq!(watchdog(Some("3000000"), Some("78")), None);
        assert_eq!(watchdog(Some("3000000"), Some("")), None);
        assert_eq!(watchdog(Some("0"), None), None);
        assert_eq!(watchdog(Some("3s"), None), None);
        assert_eq!(watchdog(None, Some("77")), None);
    }
}
