//! A file on its way from one descriptor table to another (SCM_RIGHTS of unix(7)).
//!
//! A file in a passage is in no table. What ends a process or a thread, what executes another program
//! and what closes the passage then does not close the file in the sense of close(2), which may wait
//! for a file system that hangs: NFS writes what it has cached, FUSE asks the file system (FLUSH).

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

use super::fd::DescriptorTable;

#[cfg(any(target_os = "linux", target_os = "android"))]
const RECEIVE: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_CMSG_CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const RECEIVE: MsgFlags = MsgFlags::MSG_DONTWAIT;

/// A way for files, one after the other. It keeps a file while any process has it open.
#[derive(Debug)]
pub(crate) struct Passage {
    entry: OwnedFd,
    exit: OwnedFd,
}

impl Passage {
    /// Opens a passage with nothing in it.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub(crate) fn open() -> io::Result<Passage> {
        let (entry, exit) = UnixDatagram::pair()?;
        Ok(Passage::adopt([entry.into(), exit.into()]))
    }

    /// The passage that has these two ends, in the order of [`ends`](Self::ends).
    pub(crate) fn adopt([entry, exit]: [OwnedFd; 2]) -> Passage {
        Passage { entry, exit }
    }

    /// Both ends: the entry, then the exit.
    pub(crate) fn ends(&self) -> [BorrowedFd<'_>; 2] {
        [self.entry.as_fd(), self.exit.as_fd()]
    }

    /// The same passage for a thread that has, or will have, another table.
    pub(crate) fn numbers(&self) -> [RawFd; 2] {
        self.ends().map(|end| end.as_raw_fd())
    }

    /// The passage whose ends have these numbers, in the table of the calling thread.
    ///
    /// # Errors
    /// Those of [`DescriptorTable::take`].
    pub(crate) fn in_table(table: &DescriptorTable, numbers: [RawFd; 2]) -> io::Result<Passage> {
        let [entry, exit] = numbers;
        Ok(Passage::adopt([table.take(entry)?, table.take(exit)?]))
    }

    /// Puts a file in, which stays open where it is. Never waits.
    ///
    /// # Errors
    /// Those of sendmsg(2).
    pub(crate) fn put(&self, file: &File) -> io::Result<()> {
        let files = [file.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&files)];
        let entry = self.entry.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmsg::<UnixAddr>(entry, &[IoSlice::new(b"f")], &control, flags, None)?;
        Ok(())
    }

    /// Takes the next file out. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; this table has no room for a descriptor.
    pub(crate) fn take(&self) -> io::Result<File> {
        let mut byte = [0];
        let mut space = nix::cmsg_space!(RawFd);
        let mut slices = [IoSliceMut::new(&mut byte)];
        let exit = self.exit.as_raw_fd();
        let message = recvmsg::<()>(exit, &mut slices, Some(&mut space), RECEIVE)?;
        let mut file = None;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                // SAFETY: the kernel has just opened them for this call, and nobody else knows them.
                file = fds.into_iter().map(|fd| unsafe { File::from_raw_fd(fd) }).next();
            }
        }
        file.ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn file_gets_through() {
        let passage = Passage::open().unwrap();
        assert_eq!(passage.take().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        passage.put(&file).unwrap();
        drop(file);
        let mut file = passage.take().unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert!(passage.take().is_err());
    }
}
