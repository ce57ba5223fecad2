//! What the server holds of the world: its ends of connections and of the child's terminal.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;

use super::world::{Id, Shared};
use crate::config::WindowSize;
use crate::console::event::ClientKind;
use crate::handover::state::ConnectionKind;
use crate::server::os::{Connection, Daemon, NonblockingIo, PeerIdentity, Process};
use crate::sys::process::ExitStatus;
use crate::sys::terminal::TermiosFlags;

/// The server's end of a pipe.
pub(super) struct PeerEnd {
    world: Shared,
    pub(super) id: Id,
    kind: ClientKind,
    pid: i32,
    file: Rc<File>,
}

impl PeerEnd {
    pub(super) fn new(world: &Shared, id: Id, kind: ClientKind, pid: i32) -> PeerEnd {
        let file = world.borrow_mut().pipe(id).file.clone().expect("an open end");
        PeerEnd { world: Rc::clone(world), id, kind, pid, file }
    }
}

impl Drop for PeerEnd {
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        // exec(2) closes nothing that the successor inherits.
        if world.executed.is_none() && world.killed.is_none() {
            let pipe = world.pipe(self.id);
            (pipe.closed, pipe.file) = (true, None);
        }
    }
}

impl AsFd for PeerEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl NonblockingIo for PeerEnd {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        if world.killed.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for errno in [Errno::EINTR, Errno::ENOMEM] {
            if let Some(error) = world.refuses(errno) {
                return Err(error);
            }
        }
        let short = world.fails();
        let reset = world.pipe(self.id).broken && world.random.one_in(2);
        // A connection that the other side has half-closed still gives its end of file.
        let reset = reset && (!world.pipe(self.id).half_closes || world.pipe(self.id).hung_up);
        let pipe = world.pipe(self.id);
        if pipe.inbound.is_empty() {
            return match pipe.ended {
                true if reset => Err(Errno::ECONNRESET.into()),
                true => Ok(0),
                false => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let most = if short { 1 } else { buffer.len() };
        let count = most.min(pipe.inbound.len());
        for (place, byte) in buffer.iter_mut().zip(pipe.inbound.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    fn write(&self, slices: (&[u8], &[u8])) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        if world.killed.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.pid == 0 {
            world.check_children_are_saved();
        }
        // The reference reader has everything at once.
        let reference = world.pipe(self.id).room == usize::MAX;
        let errnos: &[Errno] =
            if reference { &[Errno::EINTR] } else { &[Errno::EINTR, Errno::ENOMEM] };
        if let Some(error) = errnos.iter().find_map(|&errno| world.refuses(errno)) {
            return Err(error);
        }
        let short = world.fails();
        let pipe = world.pipe(self.id);
        if pipe.broken {
            // The answer to what was written tells that nobody is there.
            pipe.hung_up = true;
            return Err(Errno::EPIPE.into());
        }
        let room = pipe.room.saturating_sub(pipe.outbound.len());
        if room == 0 {
            pipe.starved = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let all = [slices.0, slices.1].concat();
        let count = all.len().min(room).min(if short { 1 } else { usize::MAX });
        let repeated = world.take_repeated(self.id, &all[..count]);
        world.pipe(self.id).outbound.extend_from_slice(&all[repeated..count]);
        if self.pid == 0 {
            world.last_write = (Some((self.id, all[..count].to_vec())), 0);
        }
        Ok(count)
    }
}

impl Connection for PeerEnd {
    fn peer_identity(&self) -> PeerIdentity {
        PeerIdentity::Process { uid: 1, gid: 2, pid: self.id as i32 }
    }

    fn unread(&self) -> usize {
        let mut world = self.world.borrow_mut();
        world.most_unread.unwrap_or_else(|| world.pipe(self.id).outbound.len())
    }

    fn kind(&self) -> ConnectionKind {
        match self.kind {
            ClientKind::Telnet => ConnectionKind::Telnet,
            ClientKind::Raw => ConnectionKind::Raw,
            ClientKind::Pipe => ConnectionKind::Pipe,
            ClientKind::Api => ConnectionKind::Api,
            ClientKind::Terminal => ConnectionKind::Terminal(TermiosFlags {
                input: 0,
                output: 0,
                control: 0,
                local: 0,
                characters: Vec::new(),
            }),
        }
    }

    fn hang_up(&self) -> Option<io::Result<()>> {
        self.world.borrow_mut().pipe(self.id).hung_up.then_some(Ok(()))
    }

    fn expect_hang_up(&self) {}

    fn window(&self) -> Option<WindowSize> {
        (self.kind == ClientKind::Terminal).then(|| self.world.borrow_mut().pipe(self.id).window)?
    }
}

impl Process for PeerEnd {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn poll_exit(&self) -> Option<ExitStatus> {
        let mut world = self.world.borrow_mut();
        if world.killed.is_some() { None } else { world.process(self.id)?.end }
    }

    fn signal(&self, signal: i32) {
        let mut world = self.world.borrow_mut();
        if world.killed.is_none() {
            world.end(self.id, ExitStatus::Signal(signal));
        }
    }

    fn set_window(&self, size: WindowSize) {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let pipe = world.pipe(self.id);
        pipe.window = Some(size);
        pipe.window_changes.push(now);
    }

    fn become_daemon(&mut self, daemon: Daemon) {
        self.pid = daemon.pid;
    }

    fn reap(self) {
        let mut world = self.world.borrow_mut();
        if world.killed.is_some() {
            return;
        }
        world.children.retain(|child| child.pipe != self.id);
        world.check_run.take_if(|(program, _)| program.pipe == self.id);
    }

    fn start_ticks(&self) -> Option<u64> {
        None
    }

    fn hides_input(&self) -> bool {
        false
    }

    fn read_notification(&self) -> Option<bool> {
        let mut world = self.world.borrow_mut();
        let killed = world.killed.is_some();
        if killed { None } else { world.pipe(self.id).messages.pop_front() }
    }

    fn notify_socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn pidfd(&self) -> Option<&OwnedFd> {
        None
    }

    fn open_pidfd(&self) -> io::Result<OwnedFd> {
        self.file.try_clone().map(OwnedFd::from)
    }
}
