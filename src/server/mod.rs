//! The server: owns every descriptor and does what the console decides. One thread, one poll.
//!
//! A turn takes what has come, in the order in which it matters (signals, timers, the child's
//! output, what clients typed, new connections), does what the console then wants done, and hands
//! the console stream to everybody who takes it. No step waits for anybody, and each has a budget,
//! so that a busy one cannot keep the others waiting.

mod child;
mod files;
mod listener;
mod logfile;
mod peer;
mod signals;
mod source;
pub mod startup;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use self::child::{Child, Output};
use self::files::OwnFile;
use self::listener::{Accepted, Listener};
use self::logfile::{News, Writer};
use self::peer::{Peer, Stream};
use self::signals::Signals;
use self::source::Source;
use crate::core::Console;
use crate::core::clock::{Moment, Now, UnixTime};
use crate::core::event::{ClientId, Effect, Event, Medium, Role, Sink};
use crate::limits::{
    ACCEPT_BUDGET, CLIENT_BUDGET, CLIENT_LINGER, LOG_LINGER, PTY_BUDGET, WRITES_PER_TURN,
};
use crate::sys;
use crate::sys::spawn::Program;

const SIGNALS: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_TOKEN: usize = 2;

/// Everything that runs.
struct Server {
    poll: Poll,
    waker: Arc<Waker>,
    console: Console,
    signals: Signals,
    child: Option<Child>,
    program: Program,
    listeners: Vec<(Token, Listener)>,
    peers: BTreeMap<ClientId, Peer>,
    log: Option<Writer>,
    /// The name to open the log by, if it is a file.
    log_path: Option<PathBuf>,
    /// Standard output under `-d`: diagnostics, and without `-f` the console.
    stdout: Option<Writer>,
    /// For the message of a log that can't be opened.
    argv0: Vec<u8>,
    next_token: usize,
    /// For whatever is read in this turn.
    buffer: Vec<u8>,
    exit: Option<u8>,
    /// The pid file and the info file.
    files: Vec<OwnFile>,
}

impl Server {
    /// Until the console says so.
    fn run(mut self) -> io::Result<u8> {
        let mut events = Events::with_capacity(64);
        loop {
            let timeout = self.timeout();
            if timeout != Some(Duration::ZERO) {
                self.console.rest();
                self.buffer = Vec::new();
            }
            self.wait(&mut events, timeout)?;
            self.turn();
            if let Some(code) = self.exit {
                self.finish(&mut events)?;
                return Ok(code);
            }
        }
    }

    /// Waits for events and notes them.
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &*events {
            self.note(event);
        }
        Ok(())
    }

    fn note(&mut self, event: &mio::event::Event) {
        let token = event.token();
        if token == SIGNALS {
            self.signals.drain();
        } else if token == WAKER {
            // The writers are looked at in every turn.
        } else if let Some(peer) = self.peers.get_mut(&client_id(token)) {
            peer.source.note(event);
        } else if self.child.as_mut().is_some_and(|child| child.note(token, event)) {
        } else if let Some((_, listener)) = self.listeners.iter_mut().find(|(t, _)| *t == token) {
            listener.ready = true;
        }
    }

    fn turn(&mut self) {
        let now = now();
        if self.buffer.is_empty() {
            self.buffer = vec![0; CLIENT_BUDGET];
        }
        self.take_signals(now);
        self.console.handle_timeout(now);
        self.read_child(now);
        self.read_clients(now);
        self.accept(now);
        self.obey(now);
        self.write_child();
        self.write_sinks(now);
        self.write_clients();
        self.drop_departed(now);
    }

    /// How long there is nothing to do; zero if something was left undone.
    fn timeout(&self) -> Option<Duration> {
        let now = now().mono;
        if self.has_work(now) {
            return Some(Duration::ZERO);
        }
        let pauses = self.listeners.iter().filter_map(|(_, listener)| listener.paused_until);
        let sinks = [&self.log, &self.stdout].into_iter().flatten();
        let retries = sinks.filter_map(|writer| writer.deadline(&self.console));
        let next =
            pauses.chain(retries).chain(self.console.deadline()).chain(self.patience()).min()?;
        Some(next.since(now))
    }

    fn has_work(&self, now: Moment) -> bool {
        let input_waits = !self.console.child_input().0.is_empty();
        let child = self.child.as_ref().is_some_and(|child| {
            (child.is_readable() && self.may_read_child(now))
                || (input_waits && child.is_writable())
                || child.ended().is_some()
        });
        let listeners = || {
            self.listeners.iter().any(|(_, listener)| listener.ready && !listener.is_paused(now))
        };
        let peers = || {
            self.peers.iter().any(|(&id, peer)| {
                (peer.source.readable && self.console.accepts_input(id))
                    || (peer.source.writable && peer.reads() && !self.console.is_served(id))
            })
        };
        child || listeners() || peers()
    }

    fn take_signals(&mut self, now: Now) {
        if self.signals.take_child() {
            let ours = self.child.as_ref().map(Child::pid);
            if let Some(child) = &mut self.child {
                child.look();
            }
            sys::process::reap_others(ours);
        }
        if self.signals.take_reopen() {
            self.diagnose("SIGHUP: log file to be opened anew");
            self.console.handle(Event::ReopenLog, now);
        }
        if self.signals.take_terminate() {
            self.diagnose("SIGTERM: shutting down");
            self.console.handle(Event::Terminate, now);
        }
    }

    /// A log that can't keep up pauses the child, as long as it makes progress.
    fn may_read_child(&self, now: Moment) -> bool {
        self.console.log_has_room() || self.patience().is_none_or(|until| now >= until)
    }

    /// Until when a log that has no room pauses the child.
    fn patience(&self) -> Option<Moment> {
        let log = self.log.as_ref()?;
        (!self.console.log_has_room() && !log.has_failed()).then(|| log.patience())
    }

    fn read_child(&mut self, now: Now) {
        let allowed = self.may_read_child(now.mono);
        let Some(child) = &mut self.child else {
            return;
        };
        let mut read = 0;
        while allowed && read < PTY_BUDGET && child.is_readable() {
            match child.read(&mut self.buffer) {
                Output::Bytes(count) => {
                    let bytes = self.buffer.get(..count).unwrap_or_default();
                    self.console.handle(Event::Output(bytes), now);
                    read += count;
                }
                Output::Nothing => break,
                Output::Closed => {
                    child.look();
                    if child.ended().is_none() {
                        self.console.handle(Event::OutputClosed, now);
                    }
                }
            }
        }
        if let Some(status) = child.ended() {
            self.console.handle(Event::Exited(status), now);
        }
    }

    fn read_clients(&mut self, now: Now) {
        for (&id, peer) in &mut self.peers {
            if !peer.source.readable || peer.leaving || !self.console.accepts_input(id) {
                continue;
            }
            match peer.read(&mut self.buffer) {
                Some(0) => peer.leaving = true,
                Some(count) => {
                    let bytes = self.buffer.get(..count).unwrap_or_default();
                    self.console.handle(Event::Input { id, bytes }, now);
                }
                None => {}
            }
        }
    }

    fn accept(&mut self, now: Now) {
        let mut accepted = Vec::new();
        for (_, listener) in &mut self.listeners {
            for _ in 0..ACCEPT_BUDGET {
                if !listener.ready || listener.is_paused(now.mono) {
                    break;
                }
                listener.paused_until = None;
                match listener.accept(now.mono) {
                    Accepted::Connection(fd) => accepted.push((fd, listener.role())),
                    Accepted::Nobody => break,
                    Accepted::Exhausted(None) => break,
                    Accepted::Exhausted(Some(reason)) => {
                        let endpoint = listener.endpoint().to_string();
                        let (endpoint, reason) = (endpoint.as_str(), reason.as_str());
                        self.console.handle(Event::AcceptFailed { endpoint, reason }, now);
                        break;
                    }
                }
            }
        }
        for (fd, role) in accepted {
            self.join(Stream::socket(fd), role, now);
        }
    }

    /// A connection becomes a client.
    fn join(&mut self, stream: Stream, role: Role, now: Now) {
        let token = self.take_token();
        let medium = stream.medium();
        match Source::new(stream, token, self.poll.registry()) {
            Ok(source) => {
                let id = client_id(token);
                self.peers.insert(id, Peer { source, leaving: false });
                self.console.handle(Event::Joined { id, role, medium }, now);
                self.diagnose(&format!("client {} connected", token.0));
            }
            Err(error) => self.diagnose(&format!("connection refused: {error}")),
        }
    }

    /// Does what the console decided.
    fn obey(&mut self, now: Now) {
        while let Some(effect) = self.console.poll_effect() {
            match effect {
                Effect::Spawn => self.spawn(now),
                Effect::SignalGroup(signal) => {
                    if let Some(child) = &self.child {
                        child.signal(signal);
                    }
                }
                Effect::Bury => {
                    if let Some(child) = self.child.take() {
                        child.bury();
                    }
                    // Its zombie may have hidden others.
                    sys::process::reap_others(None);
                }
                Effect::Disconnect(id) => {
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.leaving = true;
                    }
                }
                Effect::ReopenLog => self.reopen_log(now),
                Effect::Exit(code) => self.exit = Some(code),
            }
        }
    }

    fn spawn(&mut self, now: Now) {
        let token = self.take_token();
        match Child::start(&self.program, token, self.poll.registry()) {
            Ok(child) => {
                let pid = child.pid();
                self.child = Some(child);
                self.console.handle(Event::Spawned(pid), now);
                self.diagnose(&format!("child process {pid} started"));
            }
            Err(error) => {
                self.console.handle(Event::SpawnFailed(&sys::reason(&error)), now);
            }
        }
    }

    fn reopen_log(&mut self, now: Now) {
        let Some(path) = &self.log_path else {
            return;
        };
        if let Some(log) = &mut self.log {
            log.reopen(path);
            return;
        }
        // It could not be opened at the start.
        let writer = logfile::open(path)
            .and_then(|file| Writer::start(Sink::Log, file, Arc::clone(&self.waker)));
        match writer {
            Ok(writer) => {
                self.log = Some(writer);
                self.console.handle(Event::LogWorks, now);
            }
            Err(_) => self.complain_of_log(),
        }
    }

    fn complain_of_log(&self) {
        if let Some(path) = &self.log_path {
            startup::complain(&self.argv0, b"unable to open log file", path);
        }
    }

    fn write_child(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        for _ in 0..WRITES_PER_TURN {
            let input = self.console.child_input();
            if input.0.is_empty() || !child.is_writable() {
                return;
            }
            let count = child.write(input);
            self.console.child_input_written(count);
        }
    }

    fn write_sinks(&mut self, now: Now) {
        if let Some(stdout) = &mut self.stdout {
            stdout.turn(&mut self.console, now.mono);
        }
        let Some(log) = &mut self.log else {
            return;
        };
        let mut told = false;
        for news in log.turn(&mut self.console, now.mono) {
            match news {
                News::Failed(reason) => {
                    self.console.handle(Event::LogFailed(&reason), now);
                }
                News::Works => self.console.handle(Event::LogWorks, now),
                News::NotReopened => told = true,
            }
        }
        if told {
            self.complain_of_log();
        }
    }

    fn write_clients(&mut self) {
        for (&id, peer) in &mut self.peers {
            if !peer.reads() {
                continue;
            }
            for _ in 0..WRITES_PER_TURN {
                if !peer.source.writable {
                    break;
                }
                let slices = self.console.output(id);
                if slices.0.is_empty() {
                    break;
                }
                match peer.write(slices) {
                    Some(count) => self.console.written(id, count),
                    None => break,
                }
            }
        }
    }

    /// Sources end here and nowhere else.
    fn drop_departed(&mut self, now: Now) {
        let Server { peers, console, .. } = self;
        peers.retain(|&id, peer| {
            if peer.leaving {
                console.handle(Event::Left { id }, now);
            }
            !peer.leaving
        });
    }

    /// The end: everybody gets what is pending, everything that is ours goes, and last the log
    /// gets its time.
    fn finish(mut self, events: &mut Events) -> io::Result<()> {
        if let Some(child) = self.child.take() {
            child.bury();
        }
        let start = Instant::now();
        loop {
            self.write_clients();
            self.peers.retain(|&id, peer| !peer.leaving && !self.console.is_served(id));
            let left = CLIENT_LINGER.saturating_sub(start.elapsed());
            if self.peers.is_empty() || left.is_zero() {
                break;
            }
            self.wait(events, Some(left))?;
        }
        self.peers.clear();
        self.listeners.clear();
        self.files.clear();
        let deadline = Instant::now() + LOG_LINGER;
        for writer in [self.log.take(), self.stdout.take()].into_iter().flatten() {
            writer.finish(&mut self.console, deadline);
        }
        Ok(())
    }

    fn take_token(&mut self) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        token
    }

    fn diagnose(&mut self, line: &str) {
        if let Some(stdout) = &mut self.stdout {
            stdout.say(line);
        }
    }
}

impl Peer {
    /// Whether it is to be sent anything: a pipe is not.
    fn reads(&self) -> bool {
        self.source.fd().medium() != Medium::Pipe
    }
}

fn client_id(token: Token) -> ClientId {
    ClientId(token.0 as u64)
}

fn now() -> Now {
    Now { mono: Moment(sys::time::monotonic()), wall: UnixTime(sys::time::wall()) }
}
