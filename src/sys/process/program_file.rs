//! The file of a program that has a check run first and is executed later: both have to be the same
//! file. The process of the check run opens the file and sends the descriptor to its parent, with what
//! tells this version of the file from every other one.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::{io::IoSliceMut, mem, ptr};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::stat::stat;

use crate::sys::cerr;

/// Device, inode, size in bytes, and seconds and nanoseconds of mtime and ctime.
type Version = [u64; 7];

const VERSION_SIZE: usize = mem::size_of::<Version>();

#[cfg(any(target_os = "linux", target_os = "android"))]
const RECEIVE: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_CMSG_CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const RECEIVE: MsgFlags = MsgFlags::MSG_DONTWAIT;

/// The open file of a program, and its version when it was opened.
#[derive(Debug)]
pub(crate) struct ProgramFile {
    /// `None` where a descriptor cannot be executed.
    descriptor: Option<OwnedFd>,
    version: Version,
}

impl ProgramFile {
    /// Takes what [`open_and_send`] has sent. Never waits.
    ///
    /// # Errors
    /// Nothing was sent; this process has no descriptor left.
    pub(crate) fn receive(channel: &UnixDatagram) -> io::Result<ProgramFile> {
        let mut bytes = [0; VERSION_SIZE];
        let mut space = nix::cmsg_space!(RawFd);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(channel.as_raw_fd(), &mut slices, Some(&mut space), RECEIVE)?;
        let mut descriptor = None;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                // SAFETY: the kernel has just opened them for this call, and nobody else knows them.
                descriptor = fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).next();
            }
        }
        let mut version = [0; 7];
        for (word, bytes) in version.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        Ok(ProgramFile { descriptor, version })
    }

    /// The descriptor to execute, if the system can execute one.
    pub(crate) fn descriptor(&self) -> Option<&OwnedFd> {
        self.descriptor.as_ref()
    }

    /// Returns true if `path` leads to this file, and the file is as it was when it was opened. It
    /// takes as long as the file system does.
    ///
    /// # Errors
    /// Those of stat(2).
    pub(crate) fn is_current(&self, path: &Path) -> io::Result<bool> {
        Ok(version(&stat(path)?) == self.version)
    }
}

// The widths differ from system to system.
#[allow(clippy::unnecessary_cast)]
fn version(stat: &libc::stat) -> Version {
    [
        stat.st_dev as u64,
        stat.st_ino as u64,
        stat.st_size as u64,
        stat.st_mtime as u64,
        stat.st_mtime_nsec as u64,
        stat.st_ctime as u64,
        stat.st_ctime_nsec as u64,
    ]
}

/// Opens the program `path`, closed on exec, and sends it through `channel`. Returns the descriptor,
/// or `None` where a descriptor cannot be executed. Async-signal-safe.
pub(super) fn open_and_send(path: &CStr, channel: BorrowedFd<'_>) -> io::Result<Option<RawFd>> {
    // SAFETY: stat is plain data, all zero is a valid value of it.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    let file = open(path, &mut stat)?;
    send(&version(&stat), file, channel.as_raw_fd())?;
    Ok(file)
}

/// Opens `path` to be executed and nothing else, for which it need not be readable.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn open(path: &CStr, stat: &mut libc::stat) -> io::Result<Option<RawFd>> {
    // SAFETY: a NUL-terminated path, and `stat` is valid for writing.
    unsafe {
        let file = cerr(libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC))?;
        cerr(libc::fstat(file, stat))?;
        Ok(Some(file))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open(path: &CStr, stat: &mut libc::stat) -> io::Result<Option<RawFd>> {
    // SAFETY: a NUL-terminated path, and `stat` is valid for writing.
    cerr(unsafe { libc::stat(path.as_ptr(), stat) })?;
    Ok(None)
}

fn send(version: &Version, file: Option<RawFd>, channel: RawFd) -> io::Result<()> {
    const FD_SIZE: u32 = mem::size_of::<RawFd>() as u32;
    // More than the head and one descriptor need, and aligned for the head.
    let mut control = [0_u64; 8];
    let mut slice =
        libc::iovec { iov_base: version.as_ptr().cast_mut().cast(), iov_len: VERSION_SIZE };
    // SAFETY: msghdr is plain data, all zero is a valid value of it; `control` has room for the
    // head that CMSG_FIRSTHDR finds in it and for the descriptor behind that; the call only reads.
    let sent = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &mut slice;
        message.msg_iovlen = 1;
        if let Some(file) = file {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(FD_SIZE) as _;
            let head = libc::CMSG_FIRSTHDR(&message);
            (*head).cmsg_level = libc::SOL_SOCKET;
            (*head).cmsg_type = libc::SCM_RIGHTS;
            (*head).cmsg_len = libc::CMSG_LEN(FD_SIZE) as _;
            ptr::write_unaligned(libc::CMSG_DATA(head).cast::<RawFd>(), file);
        }
        libc::sendmsg(channel, &message, libc::MSG_DONTWAIT)
    };
    if sent == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
