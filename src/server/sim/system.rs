//! The simulated operating system. Every call of the server can be refused, cut short or interrupted.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use mio::Token;
use nix::errno::Errno;

use super::peer_end::PeerEnd;
use super::threads::{QueueHandle, log_handle};
use super::world::Shared;
use crate::config::WindowSize;
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::{ClientKind, Role, Sink};
use crate::handover::format;
use crate::handover::state::Descriptor;
use crate::server::os::child_socket::ChildSocket;
use crate::server::os::{
    Clock, Daemon, ExecFailure, Notify, PendingSignals, Poller, Processes, Ready, SignalSender,
    Socket, System, Upgrade,
};
use crate::server::writers::sink::SinkWriter;
use crate::server::writers::{LogJob, LogReply};
use crate::sys::file::FileId;

/// The operating system, with every call that the server makes.
pub(super) struct SimulatedSystem(pub(super) Shared);

/// A listening socket.
pub(super) struct SimulatedSocket {
    world: Shared,
    file: Rc<File>,
    role: Role,
}

impl SimulatedSocket {
    pub(super) fn new(world: &Shared, role: Role) -> SimulatedSocket {
        let file = Rc::clone(&world.borrow().listeners[super::place_of(role)].0);
        SimulatedSocket { world: Rc::clone(world), file, role }
    }
}

impl SimulatedSocket {
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor::of(self).unwrap()
    }
}

impl AsFd for SimulatedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Socket for SimulatedSocket {
    type Connection = PeerEnd;

    fn is_near_fd_limit(&self) -> bool {
        let mut world = self.world.borrow_mut();
        world.connections() >= world.fd_limit || world.fails()
    }

    fn accept(&self) -> io::Result<(PeerEnd, Option<IpAddr>)> {
        let mut world = self.world.borrow_mut();
        if world.killed.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for errno in [Errno::EINTR, Errno::ECONNABORTED, Errno::EMFILE, Errno::ENOMEM] {
            if let Some(error) = world.refuses(errno) {
                return Err(error);
            }
        }
        let waiting = &mut world.listeners[super::place_of(self.role)].1;
        let id = waiting.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let kind = match (self.role == Role::Api, world.pipe(id).raw) {
            (true, _) => ClientKind::Api,
            (false, true) => ClientKind::Raw,
            (false, false) => ClientKind::Telnet,
        };
        drop(world);
        Ok((PeerEnd::new(&self.world, id, kind, 0), None))
    }

    fn file(&self) -> Option<FileId> {
        None
    }
}

/// The service manager: keeps the descriptors that it gets, and the other messages.
impl Notify for SimulatedSystem {
    fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        if world.killed.is_some() {
            return Ok(());
        }
        if let Some(error) = world.refuses(Errno::EAGAIN) {
            return Err(error);
        }
        let text = String::from_utf8(message.to_vec()).unwrap();
        let name = || {
            let line = text.lines().find_map(|line| line.strip_prefix("FDNAME=procserv."));
            line.expect("a name").to_owned()
        };
        if text.starts_with("FDSTORE=1\n") {
            let [fd] = fds else { panic!("{} descriptors with {text}", fds.len()) };
            let copy = fd.try_clone_to_owned().unwrap();
            assert!(world.kept.insert(name(), copy).is_none(), "{} is kept already", name());
        } else if text.starts_with("FDSTOREREMOVE=1\n") {
            world.kept.remove(&name());
        } else if let Some(error) = world.refuses(Errno::EINTR) {
            return Err(error);
        } else {
            world.notifications.push(text);
        }
        Ok(())
    }
}

impl Clock for SimulatedSystem {
    fn now(&self) -> Timestamps {
        let now = self.0.borrow().now;
        Timestamps { mono: Monotonic(now), wall: UnixTime::from_secs((now / 1_000_000_000) as i64) }
    }

    fn unix_millis(&self) -> i64 {
        (self.0.borrow().now / 1_000_000) as i64
    }
}

impl Poller for SimulatedSystem {
    type Connection = PeerEnd;
    type Socket = SimulatedSocket;

    fn wait(
        &mut self,
        limit: Option<Duration>,
        tell: &mut dyn FnMut(Token, Ready),
    ) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.persists = false;
        let events = std::mem::take(&mut world.ready_events);
        if let (true, false, Some(limit)) = (events.is_empty(), world.woken, limit) {
            world.now += limit.as_nanos() as u64;
        }
        world.woken = false;
        drop(world);
        for (token, ready) in events {
            tell(token, ready);
        }
        Ok(())
    }

    fn signal_sender(&self, _signal: i32) -> Option<SignalSender> {
        None
    }

    fn signals(&mut self) -> PendingSignals {
        std::mem::take(&mut self.0.borrow_mut().signals)
    }

    fn watch(&mut self, connection: &PeerEnd, token: Token) -> io::Result<bool> {
        let mut world = self.0.borrow_mut();
        if world.persists {
            world.register_at_last();
        } else if let Some(error) = world.refuses(Errno::ENOMEM) {
            return Err(error);
        }
        world.pipe(connection.id).token = Some(token);
        // A new registration reports what is ready.
        world.push_ready(connection.id, true, true);
        Ok(false)
    }
}

impl Processes for SimulatedSystem {
    type Process = PeerEnd;

    fn spawn(
        &mut self,
        token: Token,
        _beside: bool,
        _sockets: &[ChildSocket],
        window: Option<WindowSize>,
    ) -> io::Result<PeerEnd> {
        let mut world = self.0.borrow_mut();
        if world.killed.is_some() {
            return Err(Errno::EAGAIN.into());
        }
        let now = world.now;
        world.starts.push(now);
        assert!(world.children.len() < 2, "a third child");
        world.pairs += world.children.len();
        if let Some(error) = world.refuses(Errno::EAGAIN) {
            return Err(error);
        }
        let child = world.start(token);
        let (id, pid) = (child.pipe, 1000 + child.pipe as i32);
        (world.pipe(id).window, world.pipe(id).is_child) = (window, true);
        world.children.push(child);
        world.unsaved = true;
        drop(world);
        Ok(PeerEnd::new(&self.0, id, ClientKind::Telnet, pid))
    }

    fn find_daemon(
        &mut self,
        _excluded_ancestor: Option<i32>,
        _inherited_since: Option<u64>,
    ) -> Result<Daemon, String> {
        Err("there are none here".to_owned())
    }

    fn signal_orphans(&mut self, _signal: i32, _own: [Option<i32>; 3]) -> usize {
        0
    }

    fn descendants_since(&self) -> Option<u64> {
        None
    }

    fn reap_orphans(&mut self, _own: [Option<i32>; 3]) {}
}

impl Upgrade for SimulatedSystem {
    fn spawn_check(&mut self, state: &[u8], token: Token) -> io::Result<PeerEnd> {
        let mut world = self.0.borrow_mut();
        if world.killed.is_some() {
            return Err(Errno::EAGAIN.into());
        }
        assert!(world.check_run.is_none(), "a second check run");
        if let Some(error) = world.refuses(Errno::EAGAIN) {
            return Err(error);
        }
        let program = world.start(token);
        let id = program.pipe;
        world.check_run = Some((program, state.to_vec()));
        world.checked = Some(world.installed);
        drop(world);
        Ok(PeerEnd::new(&self.0, id, ClientKind::Telnet, 1000 + id as i32))
    }

    fn discard_check(&mut self) {
        if self.0.borrow().killed.is_some() {
            return;
        }
        self.0.borrow_mut().checked = None;
    }

    fn exec_successor(&mut self, state: &[u8], inherited_fds: &[i32], again: bool) -> ExecFailure {
        let descriptors = format::decode(state).unwrap();
        let descriptors = descriptors.descriptors().map(|descriptor| descriptor.number);
        assert_eq!(descriptors.collect::<Vec<_>>(), inherited_fds);
        let mut world = self.0.borrow_mut();
        if world.killed.is_some() {
            return ExecFailure::SignalsPending;
        }
        assert!(world.files_rest, "the PID files hang");
        if world.checked.expect("a program that had a check run") != world.installed {
            return ExecFailure::ProgramChanged;
        }
        // The successor looks at all windows.
        let window = world.signals.window;
        if world.signals != (PendingSignals { window, ..PendingSignals::default() }) {
            return ExecFailure::SignalsPending;
        }
        world.signals.upgrade |= again;
        if world.never_executes {
            return io::Error::from_raw_os_error(libc::E2BIG).into();
        }
        if let Some(error) = world.refuses(Errno::ENOEXEC) {
            return error.into();
        }
        world.executed = Some(state.to_vec());
        // A server that became another program must do nothing more.
        ExecFailure::SignalsPending
    }
}

impl System for SimulatedSystem {
    type Notifier = SimulatedSystem;
    type Handle<Job, Reply> = QueueHandle<Job, Reply>;

    fn start_log(&mut self, _path: &Path) -> io::Result<SinkWriter<QueueHandle<LogJob, LogReply>>> {
        Ok(SinkWriter::new(Sink::Log, log_handle(&self.0)))
    }

    fn files_rest(&mut self) -> bool {
        let mut world = self.0.borrow_mut();
        world.files_rest = !world.fails();
        world.files_rest
    }

    fn remove_files(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn log_stderr(&mut self, text: &[u8]) {
        if self.0.borrow().killed.is_some() {
            return;
        }
        self.0.borrow_mut().stderr.push(String::from_utf8_lossy(text).into_owned());
    }
}
