//! The server in the service manager's place: the NOTIFY_SOCKET of a child, where it says that it is
//! ready (sd_notify(3)).

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Where one child's messages come. Its name is abstract and the kernel's choice, so that nobody can
/// have taken it; as anybody can send to it, each message tells who did.
#[derive(Debug)]
pub(crate) struct NotifySocket(OwnedFd);

impl NotifySocket {
    /// One that another program in this process had, or a server that died.
    pub(crate) fn adopt(socket: OwnedFd) -> NotifySocket {
        NotifySocket(socket)
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use nix::sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
        UnixCredentials, bind, getsockname, recvmsg, setsockopt, socket, sockopt,
    };
    use std::io::IoSliceMut;
    use std::os::fd::{AsRawFd, RawFd};
    use std::os::unix::ffi::OsStringExt;

    /// No message has more descriptors (SCM_MAX_FD of the kernel).
    const MOST_FDS: usize = 253;

    impl NotifySocket {
        /// A new one, and its address for NOTIFY_SOCKET.
        ///
        /// # Errors
        /// The system has no socket to give.
        pub(crate) fn open() -> io::Result<(NotifySocket, OsString)> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let notify_socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
            setsockopt(&notify_socket, sockopt::PassCred, &true)?;
            bind(notify_socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
            let address: UnixAddr = getsockname(notify_socket.as_raw_fd())?;
            let name = address.as_abstract().ok_or(io::ErrorKind::AddrNotAvailable)?;
            let address = OsString::from_vec([b"@", name].concat());
            Ok((NotifySocket(notify_socket), address))
        }

        /// The next message: who sent it, and whether it has the line READY=1. Never waits.
        ///
        /// # Errors
        /// There is none.
        pub(crate) fn next(&self) -> io::Result<(i32, bool)> {
            let mut text = [0; 4096];
            let mut space = nix::cmsg_space!(UnixCredentials, [RawFd; MOST_FDS]);
            let mut slices = [IoSliceMut::new(&mut text)];
            let socket = self.0.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            let message = recvmsg::<()>(socket, &mut slices, Some(&mut space), flags)?;
            let mut sender = None;
            for control in message.cmsgs()? {
                match control {
                    ControlMessageOwned::ScmCredentials(credentials) => {
                        sender = Some(credentials.pid());
                    }
                    // There is no store to keep them in. Who waits for a barrier waits for this.
                    ControlMessageOwned::ScmRights(fds) => {
                        for fd in fds {
                            let _ = nix::unistd::close(fd);
                        }
                    }
                    _ => {}
                }
            }
            let count = message.bytes;
            let mut lines = text.get(..count).unwrap_or_default().split(|&byte| byte == b'\n');
            Ok((sender.unwrap_or(0), lines.any(|line| line == b"READY=1")))
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl NotifySocket {
    /// There are none.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn open() -> io::Result<(NotifySocket, OsString)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Nothing ever comes.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn next(&self) -> io::Result<(i32, bool)> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::systemd::notify::Notifier;
    use std::os::unix::net::UnixStream;

    #[test]
    fn readiness_is_a_line_of_its_own() {
        let (notify_socket, address) = NotifySocket::open().expect("a socket");
        let child = Notifier::new(&address).expect("its address");
        let (other, _) = UnixStream::pair().expect("a pair");
        let texts: [(&[u8], bool); 6] = [
            (b"READY=1", true),
            (b"STATUS=up\nREADY=1\n", true),
            (b"READY=10", false),
            (b"STATUS=READY=1", false),
            (b"", false),
            (&[b'x'; 10_000], false),
        ];
        for (text, ready) in texts {
            child.send(text, &[other.as_fd()]).expect("sent");
            let pid = i32::try_from(std::process::id()).expect("a PID");
            assert_eq!(notify_socket.next().expect("a message"), (pid, ready));
        }
        assert_eq!(notify_socket.next().expect_err("nothing").kind(), io::ErrorKind::WouldBlock);
    }
}
