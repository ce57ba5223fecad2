//! The server: owns every descriptor and does what the console decides. One thread, one poll.
//!
//! A turn takes what has come, in the order in which it matters (signals, timers, the child's
//! output, what clients typed, new connections), does what the console then wants done, and hands
//! the console stream to everybody who takes it. Each step has a budget, so that a busy one cannot
//! keep the others waiting, and none waits for anybody, but for these, which are rare:
//!
//! - SIGHUP opens a log that could not be opened at the start, and with `--child-pidfile` each start
//!   removes the PID file and each daemon's is read: that takes as long as the file system does.
//! - The end of a child that a server before this one started is waited for up to [`REAP_WAIT`].
//!
//! [`REAP_WAIT`]: crate::limits::REAP_WAIT
//!
//! # When the system says no
//!
//! | call | failure | outcome |
//! |---|---|---|
//! | epoll_wait, kevent | interrupted | a turn like any other |
//! | | anything else | the one fatal failure: the server ends, says so, and exits with the errno |
//! | accept | interrupted, connection gone | the next one |
//! | | no descriptor, no memory, anything else; or fewer than 16 descriptors are left | that listener pauses for a second; told once, until nobody waits any more |
//! | registering a connection | anything | that connection is closed |
//! | reading from a client | interrupted, would block | again; later |
//! | | anything else | as an end of file: the client is gone |
//! | writing to a client | short, would block | the rest later |
//! | | nobody is there any more | what it sent before is still read, up to its end |
//! | | anything else | the client is gone |
//! | opening a PTY, fork | anything | `@@@ Child ... could not be started`, and again when the holdoff time is over, but not within a second |
//! | chdir, exec | anything | told on the child's terminal, exit status 255, then as after any end |
//! | setgroups, setgid, setuid (`--user`) | anything | as chdir |
//! | reading the child's PID file, /proc | anything | looked again for 10 s; then everybody is told, and what is there is killed |
//! | killing what the child left behind | not allowed | it is left alone |
//! | | it does not end | the same, 5 s after SIGKILL |
//! | reading from the PTY | EIO, end of file | the child has given up its terminal: its group is killed |
//! | writing to the PTY | short, would block | the rest stays queued |
//! | | anything else | the input is dropped: nobody can read it |
//! | kill, waitid | anything | it was gone already |
//! | writing the log | short | goes on with the rest |
//! | | no space, read-only, I/O error, ... | told once; tried again each second; the log says how many bytes are missing |
//! | | nobody reads the pipe any more | the same, but tried again only when there is something new |
//! | | hangs | the child waits while the log is a full mebibyte behind, until it has made no progress for 5 s; then the console goes on and the log says what is missing |
//! | syncing the log | anything | ignored, as the next write will tell |
//! | renaming the log, opening the next | anything | told once; the log goes on, and it is tried again, not within a second |
//! | writing events | anything | told once; they wait, bounded, and are tried again each second; what has no room is counted |
//! | replacing the status file | anything | told once; tried again each second |
//! | sending to syslog | no room | waited for up to a second, by nobody else |
//! | | anything | told once; lines are counted for a second, then it is tried again and told the number |
//! | opening the log anew | anything | told on stderr; the old file goes on |
//! | sending to the service manager | no room | that is tried again each second, newer news in place of older |
//! | | anything else | it is not told |
//! | keeping something in the manager's store | no room | kept in order, and tried again each 20 ms |
//! | | anything else | that would not outlive a crash |
//! | upgrade: memfd, fork, exec of the new program | anything | told in the log and on stderr; this server goes on |
//! | the new program's rehearsal | wrong or no answer, death, 5 s | the same; it is killed with its process group |
//! | waiting for the log, events and status, the manager's store before the exec | 5 s | the same, `log is hung`, `events are hung`, `service manager is hung` |
//! | the exec itself | a signal has come meanwhile | heard first, then again |
//! | | anything | as above |
//! | after the exec | the state or a descriptor in it is not what was handed over | fatal: told on stderr, exits with the errno |
//! | writing down what outlives a crash | anything | told once on stderr; tried again, not within a second |
//! | stderr | anything | ignored: there is nobody to tell |
//! | | no room | not waited for: it is not told there |

mod event_loop;
mod os;
mod records;
mod service_manager;
#[cfg(test)]
mod sim;
pub mod startup;
mod writers;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use mio::Token;

use self::event_loop::child::Child;
use self::event_loop::listener::Listener;
use self::event_loop::peer::Peer;
use self::event_loop::upgrade::{Handover, ServerIdentity};
use self::os::{Ready, System};
use self::records::Records;
use self::service_manager::ServiceReporter;
use self::writers::sink::SinkWriter;
use crate::config::network::AllowedNetworks;
use crate::console::Console;
use crate::console::clock::{Monotonic, Timestamps};
use crate::console::event::{ChildSlot, ClientId, DisconnectReason, Effect, Event, Sink};
use crate::limits::READ_SIZE;
use crate::sys;

/// Everything that runs.
struct Server<S: System> {
    system: S,
    console: Console,
    child: Option<Child<S::Process>>,
    /// The one before it, under `--overlap`, until it has ended.
    old_child: Option<Child<S::Process>>,
    listeners: Vec<Listener<S::Socket>>,
    peers: BTreeMap<ClientId, Peer<S::Connection>>,
    log: Option<SinkWriter<S::Link>>,
    /// With `--events` or `--status-file`.
    records: Option<Records<S::Link>>,
    /// Standard output under `-d`: diagnostics, and without `-f` the console.
    stdout: Option<SinkWriter<S::Link>>,
    /// With `--syslog`.
    syslog: Option<SinkWriter<S::Link>>,
    /// With `--notify`.
    service: Option<ServiceReporter>,
    next_token: usize,
    /// For whatever is read.
    buffer: Box<[u8]>,
    exit: Option<u8>,
    identity: ServerIdentity,
    handover: Handover<S::Process>,
    /// The console's revision that is written down for after a crash.
    saved_revision: Option<u64>,
    /// After a failure: when that is tried again.
    save_retry: Option<Monotonic>,
    /// `--allow-from`.
    allowed_networks: Option<AllowedNetworks>,
}

impl<S: System> Server<S> {
    /// On `system`, whose own tokens end before `first_token`; without endpoints so far.
    fn new(system: S, console: Console, first_token: usize, identity: ServerIdentity) -> Server<S> {
        Server {
            system,
            console,
            child: None,
            old_child: None,
            listeners: Vec::new(),
            peers: BTreeMap::new(),
            log: None,
            records: None,
            stdout: None,
            syslog: None,
            service: None,
            next_token: first_token,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            exit: None,
            identity,
            handover: Handover::new(),
            saved_revision: None,
            save_retry: None,
            allowed_networks: None,
        }
    }

    /// Until the console says so; the exit status.
    fn run(&mut self) -> io::Result<u8> {
        loop {
            let timeout = self.timeout();
            if timeout != Some(Duration::ZERO) {
                self.console.release_idle_memory();
            }
            self.wait(timeout)?;
            self.turn();
            if let Some(code) = self.exit {
                return Ok(code);
            }
        }
    }

    /// Waits for events and notes them.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Server { system, peers, child, old_child, listeners, handover, .. } = self;
        system.wait(timeout, &mut |token, ready| {
            let mut others = [old_child.as_mut(), handover.program()].into_iter().flatten();
            if !others.any(|process| process.set_ready(token, ready)) {
                set_ready::<S>(peers, child, listeners, token, ready);
            }
        })
    }

    fn turn(&mut self) {
        let now = self.system.now();
        self.take_signals(now);
        self.console.handle_timeout(now);
        // A child that is due is there before anybody is heard: what waits in a pipe is for it.
        self.apply_effects(now);
        self.console.update_backpressure(now.mono);
        self.read_child(ChildSlot::Current, now);
        // It may be that the old one is the child again.
        self.apply_effects(now);
        self.read_child(ChildSlot::Old, now);
        self.read_clients(now);
        self.accept(now);
        self.apply_effects(now);
        // What anybody is told of, a crash does not undo.
        self.save(now);
        self.write_child();
        // Whoever types sees the echo before the log's thread is woken for it.
        self.write_clients();
        self.write_sinks(now);
        self.drop_departed(now);
        self.notify_service_manager(now);
        self.write_records(now);
        self.save(now);
        // Who leaves hands nothing over: that it leaves is no part of the state.
        if self.exit.is_none() {
            self.continue_upgrade(now);
        }
    }

    /// How long there is nothing to do; zero if something was left undone.
    fn timeout(&self) -> Option<Duration> {
        let now = self.system.now().mono;
        if self.has_work(now) {
            return Some(Duration::ZERO);
        }
        let pauses = self.listeners.iter().filter_map(Listener::deadline);
        let sinks = [&self.log, &self.stdout].into_iter().flatten();
        let retries = sinks.filter_map(|writer| writer.deadline(&self.console));
        let next = pauses
            .chain(retries)
            .chain(self.console.deadline())
            .chain(self.service.as_ref().and_then(ServiceReporter::deadline))
            .chain(self.records.as_ref().and_then(Records::deadline))
            .chain(self.child_waits_until(now))
            .chain(self.handover.deadline())
            .chain(self.save_retry)
            .min()?;
        Some(next.saturating_duration_since(now))
    }

    fn has_work(&self, now: Monotonic) -> bool {
        let input_waits = !self.console.child_input().0.is_empty();
        let reading = |child: &Option<Child<_>>, which| {
            child.as_ref().is_some_and(|child| {
                (child.is_readable() && self.may_read(which, now))
                    || child.has_notifications()
                    || child.ended().is_some()
            })
        };
        let children = || {
            reading(&self.child, ChildSlot::Current)
                || reading(&self.old_child, ChildSlot::Old)
                || (input_waits && self.child.as_ref().is_some_and(Child::is_writable))
        };
        let listeners = || self.listeners.iter().any(|listener| listener.has_work(now));
        let peers = || {
            self.peers.iter().any(|(&id, peer)| {
                (peer.source.is_readable() && self.console.accepts_input(id))
                    || (peer.source.is_writable() && peer.listens() && !self.console.is_drained(id))
            })
        };
        children() || listeners() || peers()
    }

    /// Does what the console decided.
    fn apply_effects(&mut self, now: Timestamps) {
        while let Some(effect) = self.console.poll_effect() {
            match effect {
                Effect::Spawn => self.spawn(false, now),
                Effect::SpawnReplacement => self.spawn_replacement(now),
                Effect::Signal(which, signal) => {
                    if let Some(child) = self.child_slot(which) {
                        child.signal(signal);
                    }
                }
                Effect::Reap(which) => {
                    let child = self.child_slot(which).take();
                    self.reap_child(child);
                }
                Effect::RestoreOld => self.child = self.old_child.take(),
                Effect::FindDaemon => self.find_daemon(now),
                Effect::SignalOrphans(signal) => self.signal_orphans(signal, now),
                Effect::Disconnect(id) => {
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.leaving = Some(DisconnectReason::Logout);
                    }
                }
                Effect::ReopenLog => self.reopen_log(now),
                Effect::Exit(code) => self.exit = Some(code),
            }
        }
    }

    /// Starts a child, `beside` the one there is or in the place of one that has ended.
    fn spawn(&mut self, beside: bool, now: Timestamps) {
        let token = self.take_token();
        match self.system.spawn(token, beside || self.old_child.is_some()) {
            Ok(process) => {
                let child = Child::new(process, token);
                let pid = child.pid();
                let other = self.child.replace(child);
                if beside {
                    self.old_child = other;
                }
                self.console.handle(Event::Spawned(pid), now);
                let place = if beside { " beside the old one" } else { "" };
                self.debug_line(&format!("child process {pid} started{place}"));
            }
            Err(error) => {
                self.console.handle(Event::SpawnFailed(&sys::reason(&error)), now);
            }
        }
    }

    fn child_slot(&mut self, which: ChildSlot) -> &mut Option<Child<S::Process>> {
        match which {
            ChildSlot::Current => &mut self.child,
            ChildSlot::Old => &mut self.old_child,
        }
    }

    fn reap_child(&mut self, child: Option<Child<S::Process>>) {
        if let Some(child) = child {
            let pid = child.pid();
            child.reap();
            self.system.forget_child(pid);
        }
        // Its zombie may have hidden others.
        self.reap_orphans();
    }

    fn reopen_log(&mut self, now: Timestamps) {
        if let Some(log) = &mut self.log {
            log.reopen();
        } else if self.console.has_log() {
            // It could not be opened at the start.
            match self.system.open_log() {
                Ok(link) => {
                    self.log = Some(SinkWriter::new(Sink::Log, link));
                    self.console.handle(Event::LogOpened, now);
                }
                Err(error) => {
                    let reason = sys::reason(&error);
                    self.console.handle(Event::LogOpenFailed(&reason), now);
                    self.system.log_open_failed();
                }
            }
        }
    }

    /// Processes that are no orphans.
    fn own_pids(&mut self) -> [Option<i32>; 3] {
        let [child, old] = [&self.child, &self.old_child].map(|it| it.as_ref().map(Child::pid));
        [child, old, self.handover.program().map(|program| program.pid())]
    }

    fn reap_orphans(&mut self) {
        let ours = self.own_pids();
        self.system.reap_orphans(ours);
    }

    fn take_token(&mut self) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        token
    }

    fn debug_line(&mut self, line: &str) {
        if let Some(stdout) = &mut self.stdout {
            stdout.write_line(line);
        }
    }
}

/// Notes what was told under `token`. One that is nobody's any more is nothing.
fn set_ready<S: System>(
    peers: &mut BTreeMap<ClientId, Peer<S::Connection>>,
    child: &mut Option<Child<S::Process>>,
    listeners: &mut [Listener<S::Socket>],
    token: Token,
    ready: Ready,
) {
    if let Some(peer) = peers.get_mut(&client_id(token)) {
        peer.source.set_ready(ready);
    } else if child.as_mut().is_some_and(|child| child.set_ready(token, ready)) {
    } else if let Some(listener) = listeners.iter_mut().find(|l| l.token == token) {
        listener.ready = true;
    }
}

fn client_id(token: Token) -> ClientId {
    ClientId(token.0 as u64)
}
