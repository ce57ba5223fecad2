//! The world around the server: connections with finite buffers, a scripted child, a log on a disk
//! that becomes full. Readiness is reported once at each change, as by an edge-triggered poll, so
//! that a server that forgets it waits for ever.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use mio::Token;
use nix::errno::Errno;

use super::threads::{LogChange, WorkerQueue};
use crate::config::WindowSize;
use crate::console::event::Role;
use crate::console::stream::encode::FILLER;
use crate::handover::state::{Descriptor, State};
use crate::limits::PROVEN_READER_BYTES;
use crate::server::os::fdstore;
use crate::server::os::{PendingSignals, Ready};
use crate::server::records::{RecordsJob, RecordsReply};
use crate::server::writers::{LogJob, LogReply};
use crate::sim_support::Random;
use crate::sys::fd;
use crate::sys::process::ExitStatus;

/// Two directions of bytes between the server and a client or process.
#[derive(Debug)]
pub(super) struct Pipe {
    /// A file that stands for the descriptor of the server's end, until the server closes that.
    pub(super) file: Option<Rc<File>>,
    pub(super) descriptor: Descriptor,
    pub(super) token: Option<Token>,
    /// Bytes on their way to the server.
    pub(super) inbound: VecDeque<u8>,
    /// True if the other side has ended: the server reads an end, or an error.
    pub(super) ended: bool,
    /// True if the client is one without telnet.
    pub(super) raw: bool,
    /// True if the client may end its input and go on receiving.
    pub(super) half_closes: bool,
    /// True if the server's kernel knows that the other side receives nothing any more.
    pub(super) hung_up: bool,
    /// True if writing fails.
    pub(super) broken: bool,
    /// Bytes that the server wrote and the other side has not taken.
    pub(super) outbound: Vec<u8>,
    pub(super) room: usize,
    /// All bytes that the other side has taken.
    pub(super) received: Vec<u8>,
    /// True if the server has closed its end.
    pub(super) closed: bool,
    /// True if a write found no room, so that room is to be reported.
    pub(super) starved: bool,
    /// The messages of a child to its NOTIFY_SOCKET: true if one says that the child is ready.
    pub(super) messages: VecDeque<bool>,
    /// True if this is the terminal of a child.
    pub(super) is_child: bool,
    /// The size of the window of a child's terminal, or of the terminal that is a client.
    pub(super) window: Option<WindowSize>,
    /// When that of a child was changed.
    pub(super) window_changes: Vec<u64>,
}

pub(super) type Id = u64;

/// A process that the server has started.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pipe: Id,
    pub(super) end: Option<ExitStatus>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) random: Random,
    pub(super) now: u64,
    /// One call in so many is refused, cut short or late; 0 is none.
    pub(super) faults: usize,
    /// With so many connections and terminals the server has hardly any descriptor left.
    pub(super) fd_limit: usize,
    pub(super) pipes: BTreeMap<Id, Pipe>,
    /// Files that stand for the descriptors of the listening sockets, and the connections that wait to
    /// be accepted there, in the order of [`LISTENERS`](super::LISTENERS).
    pub(super) listeners: [(Rc<File>, VecDeque<Id>); 3],
    pub(super) ready_events: Vec<(Token, Ready)>,
    pub(super) signals: PendingSignals,
    /// The last one is the present child.
    pub(super) children: Vec<Child>,
    /// The program of a check run, and the state that it was given.
    pub(super) check_run: Option<(Child, Vec<u8>)>,
    /// The number of the program that is installed, and of the one that had the last check run.
    pub(super) installed: usize,
    pub(super) checked: Option<usize>,
    /// True if no program can be executed, though all pass their check runs.
    pub(super) never_executes: bool,
    /// The state with which the server became another program.
    pub(super) executed: Option<Vec<u8>>,
    /// How many times the new program is still refused what it needs, before its first turn.
    pub(super) shortages: usize,
    /// True before the first turn of a new program.
    pub(super) persists: bool,
    /// The time before which the threads of a new program cannot be started.
    pub(super) threads_start: u64,
    /// How many times new programs were refused something.
    pub(super) refused: usize,
    pub(super) next: Id,
    /// How many times a child was started beside another one.
    pub(super) pairs: usize,
    pub(super) starts: Vec<u64>,
    /// The memory file of the server's store.
    pub(super) memory: Option<OwnedFd>,
    /// Once the server was killed: that file as it was then. Nothing that the server does after that
    /// happens.
    pub(super) killed: Option<File>,
    /// The last write to a client, and how many stores there were since.
    pub(super) last_write: (Option<(Id, Vec<u8>)>, usize),
    /// What the next server has to write once more to each client, as the last one could not take note
    /// of it.
    pub(super) repeated: BTreeMap<Id, VecDeque<u8>>,
    /// The descriptors that the service manager keeps, by name.
    pub(super) kept: BTreeMap<String, OwnedFd>,
    /// True if a child was started since the last check that all children are saved.
    pub(super) unsaved: bool,
    pub(super) log_queue: WorkerQueue<LogJob, LogReply>,
    pub(super) records_queue: WorkerQueue<RecordsJob, RecordsReply>,
    pub(super) epoch: u64,
    pub(super) woken: bool,
    /// All logs, one behind the other, and where each of them begins. Its number is its inode.
    pub(super) disk: Vec<u8>,
    pub(super) log_begins: Vec<usize>,
    pub(super) disk_full: bool,
    /// True if the log is rotated.
    pub(super) rotates: bool,
    /// A change of the log's file that the log's thread is at.
    pub(super) file_change: Option<LogChange>,
    /// How many bytes of the log no sync has covered, and the numbers that were reported.
    pub(super) unsynced: u64,
    pub(super) notes: Vec<u64>,
    /// What the system says of how much a client has not read, if it does not know.
    pub(super) most_unread: Option<usize>,
    /// The writers do not always finish in time, and have been told to give up.
    pub(super) late_at_end: bool,
    pub(super) abandoned: bool,
    /// What was written to stderr.
    pub(super) stderr: Vec<String>,
    /// The contents of the events file and of the status file.
    pub(super) events: Vec<u8>,
    /// True if the records' thread has the events file open.
    pub(super) events_open: bool,
    /// The last answer to whether the thread of the PID files has no job.
    pub(super) files_rest: bool,
    pub(super) status: Option<Vec<u8>>,
    /// The messages to the service manager.
    pub(super) notifications: Vec<String>,
    /// True if each step is printed.
    verbose: bool,
}

pub(super) type Shared = Rc<RefCell<World>>;

impl World {
    pub(super) fn new(seed: u64, verbose: bool) -> Shared {
        Rc::new(RefCell::new(World {
            random: Random::new(seed),
            verbose,
            now: 1_000_000_000,
            faults: 0,
            fd_limit: usize::MAX,
            pipes: BTreeMap::new(),
            listeners: [(); 3].map(|()| (Rc::new(fd::in_memory(&[]).unwrap()), VecDeque::new())),
            ready_events: Vec::new(),
            signals: PendingSignals::default(),
            children: Vec::new(),
            check_run: None,
            installed: 0,
            checked: None,
            never_executes: false,
            events_open: false,
            files_rest: false,
            executed: None,
            shortages: 0,
            persists: false,
            threads_start: 0,
            refused: 0,
            next: 1,
            pairs: 0,
            starts: Vec::new(),
            memory: None,
            killed: None,
            last_write: (None, 0),
            repeated: BTreeMap::new(),
            kept: BTreeMap::new(),
            unsaved: false,
            log_queue: WorkerQueue::default(),
            records_queue: WorkerQueue::default(),
            epoch: 0,
            woken: false,
            events: Vec::new(),
            status: None,
            disk: Vec::new(),
            log_begins: vec![0],
            rotates: seed % 16 == 5,
            file_change: None,
            disk_full: false,
            notifications: Vec::new(),
            unsynced: 0,
            notes: Vec::new(),
            late_at_end: seed % 8 == 3,
            most_unread: (seed % 4 == 2).then_some(PROVEN_READER_BYTES as usize),
            abandoned: false,
            stderr: Vec::new(),
        }))
    }

    pub(super) fn print(&self, text: &str) {
        if self.verbose {
            eprintln!("{text}");
        }
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
            file: Some(Rc::new(file)),
            token: None,
            inbound: VecDeque::new(),
            ended: false,
            raw: false,
            half_closes: false,
            hung_up: false,
            broken: false,
            outbound: Vec::new(),
            room,
            received: Vec::new(),
            closed: false,
            starved: false,
            messages: VecDeque::new(),
            is_child: false,
            window: None,
            window_changes: Vec::new(),
        };
        self.pipes.insert(id, pipe);
        id
    }

    /// The connection `id` waits to be accepted at the listener of this role.
    pub(super) fn connect(&mut self, id: Id, role: Role) {
        let place = super::place_of(role);
        self.listeners[place].1.push_back(id);
        let ready = Ready { readable: true, writable: false };
        self.ready_events.push((super::LISTENERS[place].0, ready));
    }

    /// The pipe of which the server's end is this descriptor.
    pub(super) fn pipe_of(&self, descriptor: Descriptor) -> Id {
        let mut pipes = self.pipes.iter();
        *pipes.find(|(_, pipe)| pipe.descriptor == descriptor).expect("a pipe of the world").0
    }

    /// The state that a server would find after a crash.
    pub(super) fn saved_state(&self) -> State {
        fdstore::saved_state(self.memory.as_ref().unwrap()).expect("a saved state")
    }

    /// Checks, before a client is told something, that a server would know of all children after a
    /// crash.
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

    /// Starts a process at the other end of a new pipe, which is registered under `token`.
    pub(super) fn start(&mut self, token: Token) -> Child {
        let pipe = self.add(512);
        self.pipe(pipe).token = Some(token);
        self.push_ready(pipe, false, true);
        Child { pipe, end: None }
    }

    /// The other side of the pipe `id` sends bytes, or ends.
    pub(super) fn send(&mut self, id: Id, bytes: &[u8], end: bool) {
        let pipe = self.pipe(id);
        pipe.inbound.extend(bytes);
        pipe.ended |= end;
        self.push_ready(id, true, false);
    }

    /// The other side of the pipe `id` takes what the server wrote.
    pub(super) fn take(&mut self, id: Id, most: usize) {
        let pipe = self.pipe(id);
        let count = most.min(pipe.outbound.len());
        let taken: Vec<u8> = pipe.outbound.drain(..count).collect();
        pipe.received.extend(taken);
        if count > 0 && std::mem::take(&mut pipe.starved) {
            self.push_ready(id, false, true);
        }
    }

    pub(super) fn push_ready(&mut self, id: Id, readable: bool, writable: bool) {
        if let Some(token) = self.pipe(id).token {
            self.ready_events.push((token, Ready { readable, writable }));
        }
    }

    /// The process at the other end of the pipe `id`.
    pub(super) fn process(&mut self, id: Id) -> Option<&mut Child> {
        let program = self.check_run.as_mut().map(|(program, _)| program);
        self.children.iter_mut().chain(program).find(|process| process.pipe == id)
    }

    /// Ends a process, unless it has ended.
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

    /// Returns true if a call is to do less than it could.
    pub(super) fn fails(&mut self) -> bool {
        let faults = self.faults;
        faults > 0 && self.random.one_in(faults)
    }

    /// How many connections and terminals the server has open.
    pub(super) fn connections(&self) -> usize {
        self.pipes.values().filter(|pipe| pipe.token.is_some() && !pipe.closed).count()
    }

    /// The error of a call that is to be refused.
    pub(super) fn refuses(&mut self, errno: Errno) -> Option<io::Error> {
        self.fails().then(|| errno.into())
    }
}

impl World {
    /// How many of these bytes, which the server writes to a client, are those that the last server wrote
    /// and could not take note of.
    pub(super) fn take_repeated(&mut self, id: Id, bytes: &[u8]) -> usize {
        let Some(expected) = self.repeated.get_mut(&id) else {
            return 0;
        };
        // What ends a command that may have been cut short.
        let is_new = expected.front().is_some_and(|byte| *byte != FILLER);
        let filler = usize::from(is_new && bytes.first() == Some(&FILLER));
        let bytes = &bytes[filler..];
        let count = bytes.len().min(expected.len());
        let again: Vec<u8> = expected.drain(..count).collect();
        assert_eq!(
            bytes[..count].escape_ascii().to_string(),
            again.escape_ascii().to_string(),
            "what was written last to client {id} does not come again"
        );
        filler + count
    }
}
