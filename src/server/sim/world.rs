//! The simulated operating system: sockets with finite buffers, a scripted child, a log on a disk
//! that fills up. Readiness is told as an edge-triggered poll does, once at each change, so that a
//! server that forgets one waits for ever. Every call can be refused, cut short or interrupted.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use mio::Token;
use nix::libc;

use super::peer_end::PeerEnd;
use super::threads::{QueueHandle, WorkerQueue, log_handle};
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::ClientKind;
use crate::handover::format;
use crate::handover::state::{Descriptor, State};
use crate::server::os::child_socket::ChildSocket;
use crate::server::os::fdstore;
use crate::server::os::{
    Clock, Daemon, ExecFailure, Notify, PendingSignals, Poller, Processes, Ready, SignalSender,
    Socket, System, Upgrade,
};
use crate::server::records::{RecordsJob, RecordsReply};
use crate::server::writers::{LogJob, LogReply};
use crate::sys::fd;
use crate::sys::file::FileId;
use crate::sys::process::ExitStatus;

/// Two directions of bytes between the server and something else.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Stands for the descriptor of the server's end.
    pub(super) file: Rc<File>,
    pub(super) descriptor: Descriptor,
    pub(super) token: Option<Token>,
    /// On their way to the server.
    pub(super) inbound: VecDeque<u8>,
    /// The other side has ended: the server reads an end, or an error.
    pub(super) ended: bool,
    /// Writing fails.
    pub(super) broken: bool,
    /// Written by the server, not yet taken.
    pub(super) outbound: Vec<u8>,
    pub(super) room: usize,
    /// Taken by the other side, all of it.
    pub(super) received: Vec<u8>,
    /// The server has closed it.
    pub(super) closed: bool,
    /// A write found no room, so room is news.
    pub(super) starved: bool,
    /// What the process tells its service manager: whether it is ready.
    pub(super) notices: VecDeque<bool>,
}

pub(super) type Id = u64;

/// The child there is.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pipe: Id,
    pub(super) end: Option<ExitStatus>,
}

#[derive(Debug)]
pub(super) struct World {
    rng: fastrand::Rng,
    pub(super) now: u64,
    /// Once in so many calls, something is refused, short or late; 0 is never.
    pub(super) faults: u64,
    pub(super) pipes: BTreeMap<Id, Pipe>,
    /// Stands for the descriptor of the listening socket.
    listener: Rc<File>,
    /// Connections that wait to be accepted.
    pub(super) waiting: VecDeque<Id>,
    pub(super) news: Vec<(Token, Ready)>,
    pub(super) signals: PendingSignals,
    /// The oldest first: the last one is the child.
    pub(super) children: Vec<Child>,
    /// The program that is rehearsed, and the state it was given.
    pub(super) check_run: Option<(Child, Vec<u8>)>,
    /// The number of the program that is installed, and of the one that was rehearsed last.
    pub(super) installed: usize,
    checked: Option<usize>,
    /// The program passes its rehearsals, and can't be executed.
    pub(super) never_executes: bool,
    /// What the server became another program with.
    pub(super) executed: Option<Vec<u8>>,
    pub(super) next: Id,
    /// How often there were two children.
    pub(super) pairs: usize,
    pub(super) starts: Vec<u64>,
    /// The memory file of the server's store.
    pub(super) memory: Option<OwnedFd>,
    /// The descriptors that the service manager keeps, by name.
    pub(super) kept: BTreeMap<String, OwnedFd>,
    /// A child was started since it was last seen that all children are saved.
    unsaved: bool,
    pub(super) log_queue: WorkerQueue<LogJob, LogReply>,
    pub(super) records_queue: WorkerQueue<RecordsJob, RecordsReply>,
    pub(super) epoch: u64,
    pub(super) woken: bool,
    pub(super) disk: Vec<u8>,
    pub(super) disk_full: bool,
    /// The events file, and the status file.
    pub(super) events: Vec<u8>,
    pub(super) status: Option<Vec<u8>>,
    /// What the service manager was told.
    pub(super) told: Vec<String>,
    pub(super) trace: Vec<String>,
}

pub(super) type Shared = Rc<RefCell<World>>;

impl World {
    pub(super) fn new(seed: u64) -> Shared {
        Rc::new(RefCell::new(World {
            rng: fastrand::Rng::with_seed(seed),
            now: 1_000_000_000,
            faults: 0,
            pipes: BTreeMap::new(),
            listener: Rc::new(fd::in_memory(&[]).unwrap()),
            waiting: VecDeque::new(),
            news: Vec::new(),
            signals: PendingSignals::default(),
            children: Vec::new(),
            check_run: None,
            installed: 0,
            checked: None,
            never_executes: false,
            executed: None,
            next: 1,
            pairs: 0,
            starts: Vec::new(),
            memory: None,
            kept: BTreeMap::new(),
            unsaved: false,
            log_queue: WorkerQueue::default(),
            records_queue: WorkerQueue::default(),
            epoch: 0,
            woken: false,
            events: Vec::new(),
            status: None,
            disk: Vec::new(),
            disk_full: false,
            told: Vec::new(),
            trace: Vec::new(),
        }))
    }

    pub(super) fn note(&mut self, text: String) {
        self.trace.push(text);
    }

    pub(super) fn pipe(&mut self, id: Id) -> &mut Pipe {
        self.pipes.get_mut(&id).unwrap()
    }

    pub(super) fn add(&mut self, room: usize) -> Id {
        let id = self.next;
        self.next += 1;
        let file = fd::in_memory(&[]).unwrap();
        let pipe = Pipe {
            descriptor: Descriptor::of(&file).unwrap(),
            file: Rc::new(file),
            token: None,
            inbound: VecDeque::new(),
            ended: false,
            broken: false,
            outbound: Vec::new(),
            room,
            received: Vec::new(),
            closed: false,
            starved: false,
            notices: VecDeque::new(),
        };
        self.pipes.insert(id, pipe);
        id
    }

    /// The pipe whose end the server has as this descriptor.
    pub(super) fn pipe_of(&self, descriptor: Descriptor) -> Id {
        let mut pipes = self.pipes.iter();
        *pipes.find(|(_, pipe)| pipe.descriptor == descriptor).expect("a pipe of the world").0
    }

    /// A number below `limit`.
    pub(super) fn roll(&mut self, limit: u64) -> u64 {
        self.rng.u64(..limit)
    }

    /// True once in `times`.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    /// The state that a server would find after a crash.
    pub(super) fn saved_state(&self) -> State {
        fdstore::saved_state(self.memory.as_ref().unwrap()).expect("a saved state")
    }

    /// A client is told something: a server after a crash knows of the children there are.
    pub(super) fn check_children_are_saved(&mut self) {
        if std::mem::take(&mut self.unsaved) {
            let state = self.saved_state();
            let saved: Vec<Id> = [state.child, state.old_child]
                .into_iter()
                .flatten()
                .map(|child| self.pipe_of(child.pty))
                .collect();
            for child in &self.children {
                assert!(saved.contains(&child.pipe), "told of a child that a crash would undo");
            }
        }
    }

    /// A process at the other end of a new pipe, which is told of under `token`.
    fn start(&mut self, token: Token) -> Child {
        let pipe = self.add(512);
        self.pipe(pipe).token = Some(token);
        self.tell(pipe, false, true);
        Child { pipe, end: None }
    }

    /// The other side of `id` sends bytes, or ends.
    pub(super) fn send(&mut self, id: Id, bytes: &[u8], end: bool) {
        let pipe = self.pipe(id);
        pipe.inbound.extend(bytes);
        pipe.ended |= end;
        self.tell(id, true, false);
    }

    /// The other side of `id` takes what was written.
    pub(super) fn take(&mut self, id: Id, most: usize) {
        let pipe = self.pipe(id);
        let count = most.min(pipe.outbound.len());
        let taken: Vec<u8> = pipe.outbound.drain(..count).collect();
        pipe.received.extend(taken);
        if count > 0 && std::mem::take(&mut pipe.starved) {
            self.tell(id, false, true);
        }
    }

    pub(super) fn tell(&mut self, id: Id, readable: bool, writable: bool) {
        if let Some(token) = self.pipe(id).token {
            self.news.push((token, Ready { readable, writable }));
        }
    }

    /// The child or the rehearsed program, by its end of a pipe.
    pub(super) fn process(&mut self, id: Id) -> Option<&mut Child> {
        let program = self.check_run.as_mut().map(|(program, _)| program);
        self.children.iter_mut().chain(program).find(|process| process.pipe == id)
    }

    /// A process ends, unless it has.
    pub(super) fn end(&mut self, id: Id, end: ExitStatus) {
        if let Some(process) = self.process(id)
            && process.end.is_none()
        {
            process.end = Some(end);
            self.signals.child = true;
            self.woken = true;
            self.send(id, b"", true);
        }
    }

    pub(super) fn refuses(&mut self, errno: i32) -> Option<io::Error> {
        let faults = self.faults;
        let fault = faults > 0 && self.once_in(faults);
        fault.then(|| io::Error::from_raw_os_error(errno))
    }
}

/// The server's handle on the world.
pub(super) struct SimulatedSystem(pub(super) Shared);

/// The listening socket.
pub(super) struct SimulatedSocket {
    world: Shared,
    file: Rc<File>,
}

impl SimulatedSocket {
    pub(super) fn new(world: &Shared) -> SimulatedSocket {
        SimulatedSocket { world: Rc::clone(world), file: Rc::clone(&world.borrow().listener) }
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
        self.world.borrow_mut().refuses(0).is_some()
    }

    fn accept(&self) -> io::Result<(PeerEnd, Option<IpAddr>)> {
        let mut world = self.world.borrow_mut();
        for errno in [libc::EINTR, libc::ECONNABORTED, libc::EMFILE, libc::ENOMEM] {
            if let Some(error) = world.refuses(errno) {
                return Err(error);
            }
        }
        let id = world.waiting.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        drop(world);
        Ok((PeerEnd::new(&self.world, id, ClientKind::Telnet, 0), None))
    }

    fn file(&self) -> Option<FileId> {
        None
    }
}

/// The service manager: keeps what it is told to, and notes the rest.
impl Notify for SimulatedSystem {
    fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        if let Some(error) = world.refuses(libc::EAGAIN) {
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
        } else if let Some(error) = world.refuses(libc::EINTR) {
            return Err(error);
        } else {
            world.told.push(text);
        }
        Ok(())
    }
}

impl Clock for SimulatedSystem {
    fn now(&self) -> Timestamps {
        let now = self.0.borrow().now;
        Timestamps { mono: Monotonic(now), wall: UnixTime((now / 1_000_000_000) as i64) }
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
        let news = std::mem::take(&mut world.news);
        if let (true, false, Some(limit)) = (news.is_empty(), world.woken, limit) {
            world.now += limit.as_nanos() as u64;
        }
        world.woken = false;
        drop(world);
        for (token, ready) in news {
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
        if let Some(error) = world.refuses(libc::ENOMEM) {
            return Err(error);
        }
        world.pipe(connection.id).token = Some(token);
        // A fresh registration reports what is ready.
        world.tell(connection.id, true, true);
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
    ) -> io::Result<PeerEnd> {
        let mut world = self.0.borrow_mut();
        let now = world.now;
        world.starts.push(now);
        assert!(world.children.len() < 2, "a third child");
        world.pairs += world.children.len();
        if let Some(error) = world.refuses(libc::EAGAIN) {
            return Err(error);
        }
        let child = world.start(token);
        let (id, pid) = (child.pipe, 1000 + child.pipe as i32);
        world.children.push(child);
        world.unsaved = true;
        drop(world);
        Ok(PeerEnd::new(&self.0, id, ClientKind::Telnet, pid))
    }

    fn find_daemon(&mut self, _excluded_ancestor: Option<i32>) -> Result<Daemon, String> {
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
        assert!(world.check_run.is_none(), "a second check run");
        if let Some(error) = world.refuses(libc::EAGAIN) {
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
        self.0.borrow_mut().checked = None;
    }

    fn exec_successor(&mut self, state: &[u8], inherited_fds: &[i32], again: bool) -> ExecFailure {
        let descriptors = format::decode(state).unwrap();
        let descriptors = descriptors.descriptors().map(|descriptor| descriptor.number);
        assert_eq!(descriptors.collect::<Vec<_>>(), inherited_fds);
        let mut world = self.0.borrow_mut();
        if world.checked.expect("a program that was rehearsed") != world.installed {
            return ExecFailure::ProgramChanged;
        }
        if world.signals != PendingSignals::default() {
            return ExecFailure::SignalsPending;
        }
        world.signals.upgrade |= again;
        if world.never_executes {
            return io::Error::from_raw_os_error(libc::E2BIG).into();
        }
        if let Some(error) = world.refuses(libc::ENOEXEC) {
            return error.into();
        }
        world.executed = Some(state.to_vec());
        // The server must do nothing more.
        ExecFailure::SignalsPending
    }
}

impl System for SimulatedSystem {
    type Notifier = SimulatedSystem;
    type Handle<Job, Reply> = QueueHandle<Job, Reply>;

    fn open_log(&mut self, _path: &Path) -> io::Result<QueueHandle<LogJob, LogReply>> {
        let refused = self.0.borrow_mut().refuses(libc::EACCES);
        refused.map_or(Ok(log_handle(&self.0)), Err)
    }

    fn log_stderr(&mut self, _text: &[u8]) {}
}
