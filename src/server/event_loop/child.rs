//! The child as the server holds it: a process, its terminal, and how the process has ended.

use std::io;

use mio::Token;
use nix::sys::signal::Signal;

use super::poll_stream::PollStream;
use crate::console::event::ExitStatus;
use crate::handover::state::{ChildState, Descriptor};
use crate::limits::{NOTIFICATIONS_PER_TURN, POST_EXIT_OUTPUT_MAX, POST_EXIT_REFUSALS_MAX};
use crate::server::os::{Daemon, Process, Ready};

/// A child that was started and is not reaped yet.
#[derive(Debug)]
pub(crate) struct Child<P> {
    token: Token,
    /// The child, with the master of its PTY. The master stays open until the child is reaped:
    /// closing it would hang up on the child.
    source: PollStream<P>,
    /// True if no process has the terminal open any more.
    pty_closed: bool,
    /// How the child ended, if it has. The console is told of it only after the child's last
    /// output.
    end: Option<ExitStatus>,
    /// The number of bytes read since the child ended.
    read_since_end: usize,
    /// The number of reads that the system has refused since the child ended.
    refused_since_end: u32,
    /// True if the first process has ended and a daemon is to take its place.
    awaiting_daemon: bool,
    /// True if the child may have sent something to its NOTIFY_SOCKET.
    notification_pending: bool,
}

/// The result of reading the child's terminal.
pub(crate) enum ReadResult {
    /// That many bytes were read.
    Bytes(usize),
    /// The terminal has nothing to read at the moment.
    Nothing,
    /// No process has the terminal open any more.
    Closed,
}

impl<P: Process> Child<P> {
    /// A child that was just started.
    pub(crate) fn new(process: P, token: Token) -> Child<P> {
        let source = PollStream::new(process, false);
        Child {
            token,
            source,
            pty_closed: false,
            end: None,
            read_since_end: 0,
            refused_since_end: 0,
            awaiting_daemon: false,
            notification_pending: true,
        }
    }

    /// The child's process.
    pub(crate) fn process(&self) -> &P {
        self.source.stream()
    }

    /// The PID of the child, which is its process group too.
    pub(crate) fn pid(&self) -> i32 {
        self.source.stream().pid()
    }

    /// What the server's successor has to know of the child.
    ///
    /// # Errors
    /// fstat(2) fails.
    pub(crate) fn state(&self) -> io::Result<ChildState> {
        let process = self.source.stream();
        Ok(ChildState {
            pid: process.pid(),
            pty: Descriptor::of(process)?,
            pidfd: process.pidfd().map(Descriptor::of).transpose()?,
            start_ticks: process.start_ticks(),
            notify_socket: process.notify_socket().map(Descriptor::of).transpose()?,
        })
    }

    /// The token under which its terminal and its notify socket are registered.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Takes note of what the kernel says of its terminal or its notify socket.
    pub(crate) fn set_ready(&mut self, ready: Ready) {
        self.source.set_ready(ready);
        self.notification_pending |= ready.readable;
    }

    /// Reads what the child sent to its NOTIFY_SOCKET. Returns true if it is ready.
    pub(crate) fn read_notification(&mut self) -> bool {
        let mut ready = false;
        for _ in 0..NOTIFICATIONS_PER_TURN {
            if !self.notification_pending {
                break;
            }
            let message = self.source.stream().read_notification();
            self.notification_pending = message.is_some();
            ready |= message == Some(true);
        }
        ready
    }

    /// Returns true if the child may have sent something that was not read yet.
    pub(crate) fn has_notifications(&self) -> bool {
        self.notification_pending
    }

    /// Finds out whether the child has ended.
    pub(crate) fn poll_exit(&mut self) {
        if self.end.is_none() && !self.awaiting_daemon {
            self.end = self.source.stream().poll_exit();
            // The last output may have come without an event.
            self.source.set_ready(Ready { readable: self.end.is_some(), writable: false });
            self.notification_pending |= self.end.is_some();
        }
    }

    /// Returns true if reading the child's terminal may give something.
    pub(crate) fn is_readable(&self) -> bool {
        !self.pty_closed && self.source.is_readable()
    }

    /// Returns true if the child's terminal may take input.
    pub(crate) fn is_writable(&self) -> bool {
        self.pty_closed || self.source.is_writable()
    }

    /// Reads what the child wrote.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> ReadResult {
        match self.source.read(buffer) {
            None => {
                let refused = self.end.is_some() && self.source.is_read_refused();
                self.refused_since_end += u32::from(refused);
                ReadResult::Nothing
            }
            Some(Ok(count)) if count > 0 => {
                if self.end.is_some() {
                    self.read_since_end += count;
                }
                ReadResult::Bytes(count)
            }
            // At the end of file, Linux says EIO.
            Some(_) => {
                self.pty_closed = true;
                ReadResult::Closed
            }
        }
    }

    /// Writes input. Returns how many bytes of it are done with: all, if the terminal is gone.
    pub(crate) fn write(&mut self, slices: (&[u8], &[u8])) -> usize {
        let all = slices.0.len() + slices.1.len();
        if self.pty_closed {
            return all;
        }
        match self.source.write(slices) {
            None => 0,
            Some(result) => result.unwrap_or(all),
        }
    }

    /// Returns true if the system had no memory for a call on its terminal.
    pub(crate) fn is_refused(&self) -> bool {
        self.source.is_refused()
    }

    /// Has the calls made again for which the system had no memory.
    pub(crate) fn retry_refused(&mut self) {
        self.source.retry_refused();
    }

    /// How the child ended, once everything that it wrote has been read. If other processes go on
    /// writing to its terminal, [`POST_EXIT_OUTPUT_MAX`] bytes are read at most; memory to read with
    /// is waited for only so long.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let refused =
            self.source.is_read_refused() && self.refused_since_end < POST_EXIT_REFUSALS_MAX;
        if refused || self.is_readable() && self.read_since_end < POST_EXIT_OUTPUT_MAX {
            return None;
        }
        self.end
    }

    /// The first process has exited successfully; waits for the daemon that replaces it.
    pub(crate) fn await_daemon(&mut self) {
        (self.awaiting_daemon, self.end) = (true, None);
        (self.read_since_end, self.refused_since_end) = (0, 0);
    }

    /// The daemon takes the place of the first process, which is reaped.
    pub(crate) fn become_daemon(&mut self, daemon: Daemon) {
        self.awaiting_daemon = false;
        self.source.stream_mut().become_daemon(daemon);
        self.poll_exit();
    }

    /// Sends `signal` to the child's process group.
    pub(crate) fn signal(&self, signal: i32) {
        self.source.stream().signal(signal);
    }

    /// Kills what is left of the child's process group, closes its PTY and reaps the child.
    pub(crate) fn reap(self) {
        self.signal(Signal::SIGKILL as i32);
        self.source.into_stream().reap();
    }
}
