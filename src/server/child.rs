//! The child as the server holds it: the master of its PTY and its unreaped PID.

use std::fs::File;
use std::io::{self, Read};

use mio::{Registry, Token};

use super::source::Source;
use crate::core::event::ExitStatus;
use crate::limits::LAST_WORDS_MAX;
use crate::sys::process::{self, End};
use crate::sys::{fd, pty, spawn};

/// A child that was started and has not been reaped.
#[derive(Debug)]
pub(super) struct Child {
    pid: i32,
    token: Token,
    /// The PTY's master. It stays open until the end: closing it would hang up on the child.
    master: Source<File>,
    /// No process has the slave open any more.
    closed: bool,
    /// It has ended so. Its announcement waits for its last words.
    end: Option<End>,
    /// What was read since it ended.
    read_since_end: usize,
}

/// What reading the child's terminal gave.
pub(super) enum Output {
    /// That many bytes.
    Bytes(usize),
    /// Nothing at the moment.
    Nothing,
    /// No process has it open any more.
    Closed,
}

impl Child {
    /// Starts `program` on a new PTY.
    pub(super) fn start(
        program: &spawn::Program,
        token: Token,
        registry: &Registry,
    ) -> io::Result<Child> {
        let (master, slave) = pty::open()?;
        let master = Source::new(File::from(master), token, registry)?;
        let pid = program.spawn(&slave)?;
        Ok(Child { pid, token, master, closed: false, end: None, read_since_end: 0 })
    }

    /// Its process and process group.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Notes an event, if it is this PTY's.
    pub(super) fn note(&mut self, token: Token, event: &mio::event::Event) -> bool {
        if token == self.token {
            self.master.note(event);
        }
        token == self.token
    }

    /// Looks whether it has ended.
    pub(super) fn look(&mut self) {
        if self.end.is_none() {
            self.end = process::peek(self.pid);
            // Its last words may have come without an event.
            self.master.readable |= self.end.is_some();
        }
    }

    /// Whether reading its terminal may give something.
    pub(super) fn is_readable(&self) -> bool {
        !self.closed && self.master.readable
    }

    /// Whether its terminal may take input.
    pub(super) fn is_writable(&self) -> bool {
        self.closed || self.master.writable
    }

    /// Reads what the child wrote.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Output {
        match self.master.read(|mut file| file.read(buffer)) {
            None => Output::Nothing,
            Some(Ok(count)) if count > 0 => {
                if self.end.is_some() {
                    self.read_since_end += count;
                }
                Output::Bytes(count)
            }
            // Linux says EIO where others say end of file.
            Some(_) => {
                self.closed = true;
                Output::Closed
            }
        }
    }

    /// Writes input; how much of it can be forgotten. Input for a terminal that is gone is.
    pub(super) fn write(&mut self, slices: (&[u8], &[u8])) -> usize {
        let all = slices.0.len() + slices.1.len();
        if self.closed {
            return all;
        }
        match self.master.write(|file| fd::write_two(file, slices)) {
            None => 0,
            Some(result) => result.unwrap_or(all),
        }
    }

    /// How it ended, once all that it wrote has been read. What others go on writing to its
    /// terminal is waited for only so long.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        if self.is_readable() && self.read_since_end < LAST_WORDS_MAX {
            return None;
        }
        self.end.map(|end| match end {
            // The kernel keeps eight bits of it.
            End::Exited(code) => ExitStatus::Code(code as u8),
            End::Killed(signal) => ExitStatus::Signal(signal),
        })
    }

    /// Sends `signal` to its process group, which can't be anybody else's: it is not reaped.
    pub(super) fn signal(&self, signal: i32) {
        process::signal_group(self.pid, signal);
    }

    /// It has ended: kills what is left of its process group, closes its PTY, reaps it.
    pub(super) fn bury(self) {
        self.signal(nix::libc::SIGKILL);
        drop(self.master);
        process::reap(self.pid);
    }
}
