//! What the server holds of the simulated world: its ends of connections and of the child's terminal.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::libc;

use super::world::{Id, Shared};
use crate::console::event::ClientKind;
use crate::handover::state::{ConnectionKind, Descriptor, SavedTermios};
use crate::server::os::{Connection, Daemon, Inheritable, NonblockingIo, PeerIdentity, Process};
use crate::sys::process::ExitStatus;

/// The server's end of a pipe.
pub(super) struct Far {
    world: Shared,
    pub(super) id: Id,
    medium: ClientKind,
    pid: i32,
}

impl Far {
    pub(super) fn new(world: &Shared, id: Id, medium: ClientKind, pid: i32) -> Far {
        Far { world: Rc::clone(world), id, medium, pid }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        // An exec closes nothing that was to stay open.
        if world.executed.is_none() {
            world.pipe(self.id).closed = true;
        }
    }
}

impl Inheritable for Far {
    fn descriptor(&self) -> io::Result<Descriptor> {
        Ok(Descriptor { number: -(self.id as i32), kind: 0, device: 0, inode: 0 })
    }
}

impl NonblockingIo for Far {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        for errno in [libc::EINTR, libc::ENOMEM] {
            if let Some(error) = world.refuses(errno) {
                return Err(error);
            }
        }
        let short = world.refuses(0).is_some();
        let reset = world.pipe(self.id).broken && world.dice.once_in(2);
        let pipe = world.pipe(self.id);
        if pipe.inbound.is_empty() {
            return match pipe.ended {
                true if reset => Err(io::Error::from_raw_os_error(libc::ECONNRESET)),
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
        assert!(self.pid != 0 || !world.unsaved, "told of a child that a crash would undo");
        // The witness has everything at once.
        let witness = world.pipe(self.id).room == usize::MAX;
        let errnos: &[i32] = if witness { &[libc::EINTR] } else { &[libc::EINTR, libc::ENOMEM] };
        if let Some(error) = errnos.iter().find_map(|&errno| world.refuses(errno)) {
            return Err(error);
        }
        let short = world.refuses(0).is_some();
        let pipe = world.pipe(self.id);
        if pipe.broken {
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        }
        let room = pipe.room.saturating_sub(pipe.outbound.len());
        if room == 0 {
            pipe.starved = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let all = [slices.0, slices.1].concat();
        let count = all.len().min(room).min(if short { 1 } else { usize::MAX });
        pipe.outbound.extend_from_slice(&all[..count]);
        Ok(count)
    }
}

impl Connection for Far {
    fn client_kind(&self) -> ClientKind {
        self.medium
    }

    fn peer_identity(&self) -> PeerIdentity {
        PeerIdentity::Process { uid: 1, gid: 2, pid: self.id as i32 }
    }

    fn kind(&self) -> ConnectionKind {
        match self.medium {
            ClientKind::Telnet => ConnectionKind::Telnet,
            ClientKind::Raw => ConnectionKind::Raw,
            ClientKind::Pipe => ConnectionKind::Pipe,
            ClientKind::Terminal => ConnectionKind::Terminal(SavedTermios {
                input: 0,
                output: 0,
                control: 0,
                local: 0,
                characters: Vec::new(),
            }),
        }
    }
}

impl Process for Far {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn poll_exit(&self) -> Option<ExitStatus> {
        self.world.borrow_mut().process(self.id)?.end
    }

    fn signal(&self, signal: i32) {
        self.world.borrow_mut().end(self.id, ExitStatus::Killed(signal));
    }

    fn become_daemon(&mut self, daemon: Daemon) {
        self.pid = daemon.pid;
    }

    fn reap(self) {
        let mut world = self.world.borrow_mut();
        world.children.retain(|child| child.pipe != self.id);
        world.rehearsal.take_if(|(program, _)| program.pipe == self.id);
    }

    fn start_ticks(&self) -> Option<u64> {
        None
    }

    fn read_notification(&self) -> Option<bool> {
        self.world.borrow_mut().pipe(self.id).notices.pop_front()
    }

    fn notify_socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn pidfd(&self) -> Option<&OwnedFd> {
        None
    }
}
