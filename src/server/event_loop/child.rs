//! The child as the server holds it: a process, its terminal, and whether it has ended.

use std::io;

use mio::Token;

use super::poll_stream::PollStream;
use crate::console::event::ExitStatus;
use crate::handover::state::{ChildState, Descriptor};
use crate::limits::{NOTIFICATIONS_PER_TURN, POST_EXIT_OUTPUT_MAX, POST_EXIT_REFUSALS_MAX};
use crate::server::os::{Daemon, Process, Ready};
use crate::sys::process;

/// A child that was started and has not been buried.
#[derive(Debug)]
pub(crate) struct Child<P> {
    token: Token,
    /// Its PTY's master stays open until the end: closing it would hang up on the child.
    source: PollStream<P>,
    /// No process has the terminal open any more.
    pty_closed: bool,
    /// It has ended so. Its announcement waits for its last words.
    end: Option<process::ExitStatus>,
    /// What was read since it ended.
    read_since_end: usize,
    /// How many reads the system has refused since it ended.
    refused_since_end: u32,
    /// It has ended, and another process is to take its place.
    awaiting_daemon: bool,
    /// It may have told its service manager something.
    notification_pending: bool,
}

/// What reading the child's terminal gave.
pub(crate) enum ReadResult {
    /// That many bytes.
    Bytes(usize),
    /// Nothing at the moment.
    Nothing,
    /// No process has it open any more.
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

    /// The process.
    pub(crate) fn process(&self) -> &P {
        self.source.stream()
    }

    /// Its process and process group.
    pub(crate) fn pid(&self) -> i32 {
        self.source.stream().pid()
    }

    /// What a server after this one has to know of it.
    pub(crate) fn state(&self) -> io::Result<ChildState> {
        let process = self.source.stream();
        Ok(ChildState {
            pid: process.pid(),
            pty: process.descriptor()?,
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

    /// Hears what it told its service manager. Whether it said that it is ready.
    pub(crate) fn read_notification(&mut self) -> bool {
        let mut ready = false;
        for _ in 0..NOTIFICATIONS_PER_TURN {
            if !self.notification_pending {
                break;
            }
            let notice = self.source.stream().read_notification();
            self.notification_pending = notice.is_some();
            ready |= notice == Some(true);
        }
        ready
    }

    /// Whether it may have told something that was not heard.
    pub(crate) fn has_notifications(&self) -> bool {
        self.notification_pending
    }

    /// Looks whether it has ended.
    pub(crate) fn poll_exit(&mut self) {
        if self.end.is_none() && !self.awaiting_daemon {
            self.end = self.source.stream().poll_exit();
            // Its last words may have come without an event.
            self.source.set_ready(Ready { readable: self.end.is_some(), writable: false });
            self.notification_pending |= self.end.is_some();
        }
    }

    /// Whether reading its terminal may give something.
    pub(crate) fn is_readable(&self) -> bool {
        !self.pty_closed && self.source.is_readable()
    }

    /// Whether its terminal may take input.
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
            // Linux says EIO where others say end of file.
            Some(_) => {
                self.pty_closed = true;
                ReadResult::Closed
            }
        }
    }

    /// Writes input; how much of it can be forgotten. Input for a terminal that is gone is.
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

    /// How it ended, once all that it wrote has been read. What others go on writing to its
    /// terminal is waited for only so long, and so is memory to read with.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let refused =
            self.source.is_read_refused() && self.refused_since_end < POST_EXIT_REFUSALS_MAX;
        if refused || self.is_readable() && self.read_since_end < POST_EXIT_OUTPUT_MAX {
            return None;
        }
        self.end.map(|end| match end {
            // The kernel keeps eight bits of it.
            process::ExitStatus::Exited(code) => ExitStatus::Code(code as u8),
            process::ExitStatus::Killed(signal) => ExitStatus::Signal(signal),
            process::ExitStatus::Unknown => ExitStatus::Unknown,
        })
    }

    /// It has ended, but that is not yet the end: a daemon takes its place.
    pub(crate) fn await_daemon(&mut self) {
        (self.awaiting_daemon, self.end) = (true, None);
        (self.read_since_end, self.refused_since_end) = (0, 0);
    }

    /// This is the daemon.
    pub(crate) fn become_daemon(&mut self, daemon: Daemon) {
        self.awaiting_daemon = false;
        self.source.stream_mut().become_daemon(daemon);
        self.poll_exit();
    }

    /// Sends `signal` to its process group.
    pub(crate) fn signal(&self, signal: i32) {
        self.source.stream().signal(signal);
    }

    /// Kills what is left of its process group, closes its PTY, reaps it.
    pub(crate) fn reap(self) {
        self.signal(nix::libc::SIGKILL);
        self.source.into_stream().reap();
    }
}
