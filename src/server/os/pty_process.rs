//! A child as the kernel has it: a process, and the master of its PTY.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Daemon, NonblockingIo, Process};
use crate::config::WindowSize;
use crate::limits::REAP_WAIT;
use crate::sys::process::{self, ExitStatus};
use crate::sys::process::{pidfd, procfs};
use crate::sys::{fd, pty};
use crate::systemd::notify_socket::NotifySocket;

/// A child with the master of its PTY.
#[derive(Debug)]
pub(crate) struct PtyProcess {
    pub(crate) pid: i32,
    /// The start time, as [`Process::start_ticks`] tells it.
    pub(crate) start_ticks: Option<u64>,
    pub(crate) master: File,
    /// The socket behind its NOTIFY_SOCKET, under `--overlap`.
    pub(crate) notify_socket: Option<NotifySocket>,
    /// The process by descriptor, if it is no child of this process: because a server before this
    /// one was its parent, or because it is a daemon that has another parent.
    pub(crate) pidfd: Option<OwnedFd>,
}

impl AsFd for PtyProcess {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

impl NonblockingIo for PtyProcess {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.master).read(buffer)
    }

    fn write(&self, slices: (&[u8], &[u8])) -> io::Result<usize> {
        fd::write_two(&self.master, slices)
    }
}

impl Process for PtyProcess {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn poll_exit(&self) -> Option<ExitStatus> {
        match &self.pidfd {
            None => process::poll_exit(self.pid),
            // If its parent has ended, this process may be its parent now.
            Some(orphan) => {
                process::poll_exit(self.pid).or_else(|| pidfd::exit_status(orphan, REAP_WAIT))
            }
        }
    }

    fn signal(&self, signal: i32) {
        match &self.pidfd {
            None => process::signal_group(self.pid, signal),
            Some(orphan) => pidfd::signal_group(orphan, self.pid, signal),
        }
    }

    fn set_window(&self, size: WindowSize) {
        // The terminal of a child that is about to end may be gone.
        let _ = pty::set_window(&self.master, size.columns, size.rows);
    }

    fn become_daemon(&mut self, daemon: Daemon) {
        process::reap(self.pid);
        (self.pid, self.start_ticks) = (daemon.pid, daemon.start_ticks);
        self.pidfd = (!daemon.is_child).then_some(daemon.process);
    }

    fn hides_input(&self) -> bool {
        pty::hides_input(&self.master)
    }

    fn reap(self) {
        drop(self.master);
        process::reap(self.pid);
    }

    fn start_ticks(&self) -> Option<u64> {
        self.start_ticks
    }

    fn read_notification(&self) -> Option<bool> {
        // Messages of other processes are ignored.
        match self.notify_socket.as_ref()?.next() {
            Ok((sender, ready)) => Some(ready && procfs::is_descendant_or_self(sender, self.pid)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(false),
            Err(_) => None,
        }
    }

    fn notify_socket(&self) -> Option<BorrowedFd<'_>> {
        self.notify_socket.as_ref().map(AsFd::as_fd)
    }

    fn pidfd(&self) -> Option<&OwnedFd> {
        self.pidfd.as_ref()
    }

    fn open_pidfd(&self) -> io::Result<OwnedFd> {
        pidfd::open(self.pid)
    }
}
