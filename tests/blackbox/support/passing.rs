//! Descriptors that one process passes to another over a Unix socket.

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use procserv_ng::sys::fd;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Receives one message with at most one descriptor. An empty one is the end.
pub fn receive(socket: &impl AsRawFd) -> nix::Result<(String, Option<OwnedFd>)> {
    let mut buffer = [0; 5000];
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let mut space = nix::cmsg_space!(i32);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let mut received = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            received = numbers.first().map(|number| fd::adopt(*number).expect("a descriptor"));
        }
    }
    let count = message.bytes;
    Ok((String::from_utf8(buffer[..count].to_vec()).expect("UTF-8"), received))
}

/// Lets a stand-in `fetch` these.
pub fn serve<'a>(socket: &UnixStream, all: impl Iterator<Item = (&'a str, &'a OwnedFd)>) {
    for (name, descriptor) in all {
        let numbers = [descriptor.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&numbers)];
        let text = [IoSlice::new(name.as_bytes())];
        sendmsg::<()>(socket.as_raw_fd(), &text, &rights, MsgFlags::empty(), None).expect("sent");
    }
}
