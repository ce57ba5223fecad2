//! The server is killed, at any store into the memory that outlives it, which is also before and after
//! each of its system calls. The next server goes on from there: each client gets the whole stream, of
//! which at most the bytes of one write come twice; the log is exact; no input comes twice.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::unistd::{Whence, lseek};

use super::settings::settings_of;
use super::threads::log_handle;
use super::trace::{after_greeting, past, plain, trace_back, without_notes};
use super::world::{Id, Shared, World};
use super::{Run, servers};
use crate::console::event::{ClientId, Event, Sink};
use crate::console::stream::encode::FILLER;
use crate::handover::state::{ConnectionKind, State};
use crate::limits::LOG_JOBS;
use crate::server::memory::{self, at_each_step};
use crate::server::os::fdstore::{self, STATE};
use crate::server::startup::stream::continue_log;
use crate::server::writers::sink::SinkWriter;
use crate::sim_support;
use crate::sys::fd;

/// A copy of a file in memory that takes no more memory than the file.
fn copy(memory: &File, history: usize) -> File {
    let file = memory::create(history).unwrap();
    let mut at = 0;
    while let Ok(begin) = lseek(memory.as_fd(), at, Whence::SeekData) {
        let end = lseek(memory.as_fd(), begin, Whence::SeekHole).unwrap();
        let mut bytes = vec![0; (end - begin) as usize];
        memory.read_exact_at(&mut bytes, begin as u64).unwrap();
        file.write_all_at(&bytes, begin as u64).unwrap();
        at = end;
    }
    file
}

impl World {
    /// From now on nothing happens that the server does.
    fn kill(&mut self, history: usize) {
        self.print("the server is killed");
        let memory = File::from(self.memory.as_ref().unwrap().try_clone().unwrap());
        // The log's thread may have come further than the server knows, and die in a write.
        let written = self.random.below(LOG_JOBS + 1);
        (0..written).for_each(|_| self.write_log());
        self.kill_log_thread();
        // A record is two stores.
        let (last, stores) = std::mem::take(&mut self.last_write);
        if let Some((id, bytes)) = last.filter(|_| stores <= 2) {
            let repeated = self.repeated.entry(id).or_default();
            let later = std::mem::replace(repeated, bytes.into());
            repeated.extend(later);
        }
        self.killed = Some(copy(&memory, history));
    }
}

/// Has the server be killed at one of the next stores.
fn arm(world: &Shared, stores: usize, history: usize) {
    // Of writes before this the server has taken note.
    world.borrow_mut().last_write = (None, 0);
    let (world, mut left, mut fired) = (Rc::clone(world), stores, false);
    at_each_step(move || {
        let mut world = world.borrow_mut();
        if world.killed.is_some() {
            return;
        }
        world.last_write.1 += 1;
        if left > 0 {
            left -= 1;
        } else if !std::mem::replace(&mut fired, true) {
            world.kill(history);
        }
    });
}

impl World {
    /// Closes what the server had and the next one does not take over.
    fn close(&mut self, id: Id) {
        let pipe = self.pipe(id);
        (pipe.closed, pipe.file) = (true, None);
        self.children.retain(|child| child.pipe != id);
    }

    /// The service manager passes on what it keeps, and the next server takes what it finds in the
    /// state: the rest is closed.
    fn pass_on(&mut self, state: &mut State) {
        (self.check_run, self.checked, self.executed, self.unsaved) = (None, None, None, false);
        self.log_queue.jobs.clear();
        self.records_queue.jobs.clear();
        let is_kept = |world: &World, name: String| world.kept.contains_key(&name);
        // The old child is killed.
        state.old_child = None;
        state.child = state.child.filter(|child| {
            let id = self.pipe_of(child.pty);
            let names = [fdstore::pty(child.pid), fdstore::child(child.pid)];
            self.pipes[&id].file.is_some() && names.into_iter().all(|name| is_kept(self, name))
        });
        let child = state.child.map(|child| self.pipe_of(child.pty));
        let others: Vec<Id> = self.children.iter().map(|child| child.pipe).collect();
        others.into_iter().filter(|id| Some(*id) != child).for_each(|id| self.close(id));
        state.api.clear();
        state.connections.retain(|connection| {
            let id = self.pipe_of(connection.stream);
            connection.kind != ConnectionKind::Api
                && self.pipes[&id].file.is_some()
                && is_kept(self, fdstore::client(ClientId(connection.id)))
        });
        let clients: Vec<Id> = state.connections.iter().map(|it| self.pipe_of(it.stream)).collect();
        let open = self.pipes.iter().filter(|(_, pipe)| pipe.token.is_some() && !pipe.closed);
        let open: Vec<Id> = open.map(|(id, _)| *id).collect();
        let lost = open.into_iter().filter(|id| !clients.contains(id) && Some(*id) != child);
        lost.collect::<Vec<_>>().into_iter().for_each(|id| self.close(id));
        let mut names = BTreeSet::from([STATE.to_owned()]);
        names.extend(state.listeners.iter().map(|it| fdstore::listener(it.socket)));
        names.extend(state.connections.iter().map(|it| fdstore::client(ClientId(it.id))));
        if let Some(child) = state.child {
            names.extend([fdstore::pty(child.pid), fdstore::child(child.pid)]);
        }
        self.kept.retain(|name, _| names.contains(name));
    }
}

impl Run {
    /// If the server was killed, has the next one take its place.
    pub(super) fn revive(&mut self) {
        let Some(memory) = self.world.borrow_mut().killed.take() else {
            return;
        };
        let mut state = fdstore::saved_state(&memory.try_clone().unwrap().into()).expect("a state");
        let landed = state.console.landed().expect("a stream in memory");
        let last_read = memory::unaccounted(&memory, landed);
        let place = state.console.log_place().expect("a place in the log");
        {
            let mut world = self.world.borrow_mut();
            world.pass_on(&mut state);
            world.replace_server("killed");
            world.memory = Some(memory.try_clone().unwrap().into());
            world.kept.insert(STATE.to_owned(), memory.into());
            world.executed = Some(Vec::new());
        }
        let faults = std::mem::take(&mut self.world.borrow_mut().faults);
        self.server = servers::successor(&self.world, self.seed, state);
        self.world.borrow_mut().executed = None;
        let appended = match (place.rests, place.end) {
            (false, Some(end)) => self.world.borrow().log_behind(end),
            _ => Vec::new(),
        };
        let begun = continue_log(&mut self.server.console, place.begun, &appended);
        let begun = begun.expect("the log has what the stream has");
        {
            let mut world = self.world.borrow_mut();
            // --savelog
            if world.random.one_in(4) {
                let begin = world.disk.len();
                world.log_begins.push(begin);
            }
        }
        let end = self.world.borrow().log_end();
        let log = SinkWriter::new(Sink::Log, log_handle(&self.world));
        self.server.log = Some(log.noting_places(Some(end), begun));
        self.server.resume(Event::Restarted { complete: true }, last_read);
        self.world.borrow_mut().faults = faults;
        self.kills += 1;
    }

    /// Everybody has what they are owed, after any number of kills.
    fn check_after_kills(&mut self) {
        self.stream_len();
        let world = self.world.borrow();
        let stream = &world.pipes[&self.reference].received[self.greeting..];
        for (id, joined) in &self.clients {
            let pipe = &world.pipes[id];
            if pipe.token.is_none() || pipe.closed {
                continue;
            }
            let mut received = pipe.received.clone();
            received.retain(|&byte| byte != FILLER);
            let plain = plain(after_greeting(&received));
            let tail = b" bytes skipped: this connection reads too slowly\r\n";
            let from = trace_back(stream, &plain, tail);
            let from = from.unwrap_or_else(|error| panic!("client {id}: {error}"));
            let history = settings_of(self.seed).console.history;
            let begin = |joined: usize| past(&stream[..joined.min(stream.len())], history);
            assert!(
                (begin(joined.0)..=begin(joined.1)).contains(&from),
                "client {id} begins at {from}, joined in {joined:?}"
            );
        }
        let from = trace_back(stream, &without_notes(&world.disk), b" bytes are missing here\r\n");
        assert_eq!(from, Ok(0), "the log begins too late, or is not the stream");
        let mut typed = BTreeSet::new();
        for input in
            world.pipes.values().flat_map(|pipe| pipe.received.split(|&byte| byte == b'\r'))
        {
            if input.len() == TYPED_LEN && input.starts_with(b"typed ") {
                assert!(typed.insert(input), "twice: {:?}", input.escape_ascii().to_string());
            }
        }
    }
}

/// The length of a line that a client types.
const TYPED_LEN: usize = "typed 000000".len();

fn simulate(seed: u64, verbose: bool, kills: &AtomicUsize) {
    let mut run = Run::new(seed, verbose);
    {
        let mut world = run.world.borrow_mut();
        (world.late_at_end, world.rotates) = (false, seed % 5 < 2);
    }
    run.without_requests = true;
    let history = settings_of(seed).console.history;
    run.settle();
    run.world.borrow_mut().faults = [0, 20, 100][(seed % 3) as usize];
    for step in 0..120 {
        if run.server.exit.is_some() {
            break;
        }
        run.happen(step);
        let is_armed = run.world.borrow_mut().random.one_in(3);
        if is_armed {
            let most = [4, 30, 300][run.world.borrow_mut().random.below(3)];
            let stores = 1 + run.world.borrow_mut().random.below(most);
            arm(&run.world, stores, history);
        }
        if run.world.borrow_mut().random.one_in(2) {
            run.turn();
        } else {
            run.settle();
        }
        at_each_step(|| {});
    }
    run.end_faults();
    if run.server.exit.is_none() {
        run.check_after_kills();
    }
    kills.fetch_add(run.kills, Ordering::Relaxed);
}

#[test]
fn nothing_is_lost_by_kills() {
    let kills = AtomicUsize::new(0);
    fd::raise_limit();
    if sim_support::run_seeds(2_000, |seed, verbose| simulate(seed, verbose, &kills)) {
        assert!(kills.into_inner() > 1_000, "hardly any kills");
    }
}
