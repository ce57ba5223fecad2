//! The simulated operating system: sockets with finite buffers, a scripted child, a log on a disk
//! that fills up. Readiness is told as an edge-triggered poll does, once at each change, so that a
//! server that forgets one waits for ever. Every call can be refused, cut short or interrupted.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use mio::Token;
use nix::libc;

use super::far::Far;
use super::threads::{QueueHandle, WorkerQueue, log_handle};
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::{ClientId, ClientKind};
use crate::handover::state::{ChildSocketState, Descriptor, State};
use crate::server::os::{Daemon, Inheritable, PendingSignals, Ready, SignalSender, Socket, System};
use crate::server::records::{RecordsJob, RecordsReply};
use crate::server::writers::{LogJob, LogReply};
use crate::sys::file::FileId;
use crate::sys::process::ExitStatus;

/// A sequence of numbers that a seed decides.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    pub(super) fn roll(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    /// True once in `times`.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }
}

/// Two directions of bytes between the server and something else.
#[derive(Debug, Default)]
pub(super) struct Pipe {
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
    pub(super) dice: Dice,
    pub(super) now: u64,
    /// Once in so many calls, something is refused, short or late; 0 is never.
    pub(super) faults: u64,
    pub(super) pipes: BTreeMap<Id, Pipe>,
    /// Connections that wait to be accepted.
    pub(super) waiting: VecDeque<Id>,
    pub(super) news: Vec<(Token, Ready)>,
    pub(super) signals: PendingSignals,
    /// The oldest first: the last one is the child.
    pub(super) children: Vec<Child>,
    /// The program that is rehearsed, and the state it was given.
    pub(super) rehearsal: Option<(Child, Vec<u8>)>,
    /// The program passes its rehearsals, and can't be executed.
    pub(super) never_executes: bool,
    /// What the server became another program with.
    pub(super) executed: Option<Vec<u8>>,
    pub(super) next: Id,
    /// How often there were two children.
    pub(super) pairs: usize,
    pub(super) starts: Vec<u64>,
    /// A child runs that a server after a crash would know nothing of.
    pub(super) unsaved: bool,
    pub(super) log_queue: WorkerQueue<LogJob, LogReply>,
    pub(super) records_queue: WorkerQueue<RecordsJob, RecordsReply>,
    pub(super) epoch: u64,
    pub(super) woken: bool,
    pub(super) disk: Vec<u8>,
    pub(super) disk_full: bool,
    /// How many bytes of the log no sync has covered, and the numbers that were reported.
    pub(super) unsynced: u64,
    pub(super) notes: Vec<u64>,
    /// The writers do not always finish in time, and have been told to give up.
    pub(super) late_at_end: bool,
    pub(super) abandoned: bool,
    /// What was written to stderr.
    pub(super) stderr: Vec<String>,
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
            dice: Dice::new(seed),
            now: 1_000_000_000,
            faults: 0,
            pipes: BTreeMap::new(),
            waiting: VecDeque::new(),
            news: Vec::new(),
            signals: PendingSignals::default(),
            children: Vec::new(),
            rehearsal: None,
            never_executes: false,
            executed: None,
            next: 1,
            pairs: 0,
            starts: Vec::new(),
            unsaved: false,
            log_queue: WorkerQueue::default(),
            records_queue: WorkerQueue::default(),
            epoch: 0,
            woken: false,
            events: Vec::new(),
            status: None,
            disk: Vec::new(),
            disk_full: false,
            unsynced: 0,
            notes: Vec::new(),
            late_at_end: seed % 8 == 3,
            abandoned: false,
            stderr: Vec::new(),
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
        self.pipes.insert(id, Pipe { room, ..Pipe::default() });
        id
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
        let program = self.rehearsal.as_mut().map(|(program, _)| program);
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
        let fault = self.faults > 0 && self.dice.once_in(self.faults);
        fault.then(|| io::Error::from_raw_os_error(errno))
    }
}

/// The server's handle on the world.
pub(super) struct Simulated(pub(super) Shared);

impl Inheritable for Simulated {
    fn descriptor(&self) -> io::Result<Descriptor> {
        Ok(Descriptor { number: 0, kind: 0, device: 0, inode: 0 })
    }
}

impl Socket for Simulated {
    type Connection = Far;

    fn is_near_fd_limit(&self) -> bool {
        self.0.borrow_mut().refuses(0).is_some()
    }

    fn accept(&self) -> io::Result<(Far, Option<IpAddr>)> {
        let mut world = self.0.borrow_mut();
        for errno in [libc::EINTR, libc::ECONNABORTED, libc::EMFILE, libc::ENOMEM] {
            if let Some(error) = world.refuses(errno) {
                return Err(error);
            }
        }
        let id = world.waiting.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        Ok((Far::new(&self.0, id, ClientKind::Telnet, 0), None))
    }

    fn file(&self) -> Option<FileId> {
        None
    }
}

impl System for Simulated {
    type Connection = Far;
    type Socket = Simulated;
    type Process = Far;
    type Handle<Job, Reply> = QueueHandle<Job, Reply>;

    fn now(&self) -> Timestamps {
        let now = self.0.borrow().now;
        Timestamps { mono: Monotonic(now), wall: UnixTime((now / 1_000_000_000) as i64) }
    }

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

    fn millis(&self) -> i64 {
        (self.0.borrow().now / 1_000_000) as i64
    }

    fn signal_sender(&self, _signal: i32) -> Option<SignalSender> {
        None
    }

    fn signals(&mut self) -> PendingSignals {
        std::mem::take(&mut self.0.borrow_mut().signals)
    }

    fn watch(&mut self, connection: &Far, token: Token) -> io::Result<bool> {
        let mut world = self.0.borrow_mut();
        if let Some(error) = world.refuses(libc::ENOMEM) {
            return Err(error);
        }
        world.pipe(connection.id).token = Some(token);
        // A fresh registration reports what is ready.
        world.tell(connection.id, true, true);
        Ok(false)
    }

    fn spawn(&mut self, token: Token, _beside: bool) -> io::Result<Far> {
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
        Ok(Far::new(&self.0, id, ClientKind::Telnet, pid))
    }

    fn find_daemon(&mut self, _stranger: Option<i32>) -> Result<Daemon, String> {
        Err("there are none here".to_owned())
    }

    fn signal_orphans(&mut self, _signal: i32, _ours: [Option<i32>; 3]) -> usize {
        0
    }

    fn descendants_since(&self) -> Option<u64> {
        None
    }

    fn reap_orphans(&mut self, _ours: [Option<i32>; 3]) {}

    fn open_log(&mut self) -> io::Result<QueueHandle<LogJob, LogReply>> {
        let refused = self.0.borrow_mut().refuses(libc::EACCES);
        refused.map_or(Ok(log_handle(&self.0)), Err)
    }

    fn notify(&mut self, message: &[u8]) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        for errno in [libc::EAGAIN, libc::EINTR] {
            if let Some(error) = world.refuses(errno) {
                return Err(error);
            }
        }
        world.told.push(String::from_utf8_lossy(message).into_owned());
        Ok(())
    }

    fn log_open_failed(&mut self) {}

    fn spawn_check(&mut self, state: &[u8], token: Token) -> io::Result<Far> {
        let mut world = self.0.borrow_mut();
        assert!(world.rehearsal.is_none(), "a second rehearsal");
        if let Some(error) = world.refuses(libc::EAGAIN) {
            return Err(error);
        }
        let program = world.start(token);
        let id = program.pipe;
        world.rehearsal = Some((program, state.to_vec()));
        Ok(Far::new(&self.0, id, ClientKind::Telnet, 1000 + id as i32))
    }

    fn exec_successor(&mut self, state: &[u8], _lasting: &[i32], again: bool) -> io::Error {
        let mut world = self.0.borrow_mut();
        if world.signals != PendingSignals::default() {
            return io::ErrorKind::Interrupted.into();
        }
        world.signals.upgrade |= again;
        if world.never_executes {
            return io::Error::from_raw_os_error(libc::E2BIG);
        }
        if let Some(error) = world.refuses(libc::ENOEXEC) {
            return error;
        }
        world.executed = Some(state.to_vec());
        // The server must do nothing more.
        io::ErrorKind::Interrupted.into()
    }

    fn child_sockets(&self) -> io::Result<Vec<ChildSocketState>> {
        Ok(Vec::new())
    }

    fn store(&self) -> Option<&File> {
        // Only that there is one counts.
        static STORE: OnceLock<File> = OnceLock::new();
        Some(STORE.get_or_init(|| tempfile::tempfile().unwrap()))
    }

    fn save(&mut self, _state: &State) -> io::Result<()> {
        self.0.borrow_mut().unsaved = false;
        Ok(())
    }

    fn keep(&mut self, _id: ClientId, _connection: &Far) {}
    fn forget(&mut self, _id: ClientId) {}
    fn forget_child(&mut self, _pid: i32) {}
    fn keep_child(&mut self, _child: &Far) {}
    fn empty_store(&mut self, _: &[ClientId], _: &[Descriptor], _: &[i32]) {}
    fn log_stderr(&mut self, text: &str) {
        self.0.borrow_mut().stderr.push(text.to_owned());
    }
}
