//! Effects: what the console decided is done.

use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::console::clock::Timestamps;
use crate::console::event::{ChildSlot, DisconnectReason, Effect, Event};
use crate::server::Server;
use crate::server::event_loop::child::Child;
use crate::server::os::fdstore::FdStore;
use crate::server::os::{Process, System};
use crate::sys;

impl<S: System> Server<S> {
    /// Applies every effect that the console has queued.
    pub(super) fn apply_effects(&mut self, now: Timestamps) {
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
                Effect::SetWindow(size) => {
                    let children = [&self.child, &self.old_child].into_iter().flatten();
                    children.for_each(|child| child.process().set_window(size));
                }
                Effect::Exit(code) => self.exit = Some(code),
            }
        }
    }

    /// Starts a child: `beside` the present one, or in the place of one that has ended.
    fn spawn(&mut self, beside: bool, now: Timestamps) {
        let token = self.tokens.take();
        let window = self.console.child_window();
        let beside_another = beside || self.old_child.is_some();
        match self.system.spawn(token, beside_another, &self.child_sockets, window) {
            Ok(process) => {
                if let Some(store) = &mut self.store {
                    store.store_child(&process);
                    // If the server was killed before that, nobody would know of this child.
                    store.flush(now.mono);
                }
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

    pub(super) fn reap_child(&mut self, child: Option<Child<S::Process>>) {
        if let Some(child) = child {
            if let Some(store) = &mut self.store {
                store.remove_child(child.process());
            }
            child.reap();
        }
        // waitid(2) may have shown this zombie only, and no orphan behind it.
        self.reap_orphans();
    }

    fn reopen_log(&mut self, now: Timestamps) {
        if let Some(log) = &mut self.log {
            log.reopen();
        } else if self.console.has_log() {
            // The log could not be opened at the start.
            let started = match &self.log_path {
                Some(path) => self.system.start_log(path),
                None => Err(io::ErrorKind::NotFound.into()),
            };
            match started {
                Ok(mut log) => {
                    if self.store.as_ref().is_some_and(FdStore::has_stream) {
                        log = log.noting_places(None, None);
                    }
                    log.open();
                    self.log = Some(log);
                    self.console.begin_log();
                }
                Err(error) => {
                    let reason = sys::reason(&error);
                    self.console.handle(Event::LogOpenFailed(&reason), now);
                    self.report_log_failure();
                }
            }
        }
    }

    /// Says on stderr that the log could not be opened.
    pub(super) fn report_log_failure(&mut self) {
        if let Some(path) = &self.log_path {
            let path = path.as_os_str().as_bytes();
            self.system.log_stderr(&[b"unable to open log file ", path].concat());
        }
    }

    /// The PIDs of the children that are no orphans.
    fn own_pids(&mut self) -> [Option<i32>; 3] {
        let [child, old] = [&self.child, &self.old_child].map(|it| it.as_ref().map(Child::pid));
        [child, old, self.handover.program().map(|program| program.pid())]
    }

    pub(super) fn reap_orphans(&mut self) {
        let ours = self.own_pids();
        self.system.reap_orphans(ours);
    }

    /// SIGUSR2 asks for a new child beside the present one.
    pub(super) fn restart(&mut self, now: Timestamps) {
        if !self.console.has_overlap() {
            self.debug_line("SIGUSR2: ignored without --overlap");
            return;
        }
        self.debug_line("SIGUSR2: another child beside the one there is");
        self.report_reloading();
        self.console.handle(Event::Reload, now);
    }

    /// Tells the service manager that the server reloads, unless readiness is a text of the
    /// child's.
    fn report_reloading(&mut self) {
        if let Some(manager) = &mut self.service
            && self.console.reports_reload()
            && !manager.is_reloading()
        {
            manager.reload(self.system.now().mono);
        }
    }

    fn spawn_replacement(&mut self, now: Timestamps) {
        // The new child may have been asked for on the console.
        self.report_reloading();
        self.spawn(true, now);
    }

    /// The child's first process has ended: finds the daemon that it has become.
    fn find_daemon(&mut self, now: Timestamps) {
        if !self.console.awaits_daemon() {
            return;
        }
        let new_program = self.handover.program().map(|program| program.pid());
        let Some(child) = &mut self.child else {
            // The server before this one had the child, and crashed.
            return self.console.handle(Event::DaemonNotFound("it is not known"), now);
        };
        child.await_daemon();
        match self.system.find_daemon(new_program) {
            Ok(daemon) => {
                let pid = daemon.pid;
                // The service manager takes no descriptor twice: the old name goes first.
                if let Some(store) = &mut self.store {
                    store.remove_child(child.process());
                }
                child.become_daemon(daemon);
                if let Some(store) = &mut self.store {
                    store.store_child(child.process());
                    store.flush(now.mono);
                }
                // waitid(2) may have shown the first process only, and no orphan behind it.
                self.reap_orphans();
                self.console.handle(Event::Daemonized(pid), now);
                self.debug_line(&format!("child is daemon {pid}"));
            }
            Err(reason) => self.console.handle(Event::DaemonNotFound(&reason), now),
        }
    }

    /// Sends a signal to the processes that the child left behind, and tells the console how many
    /// there are.
    fn signal_orphans(&mut self, signal: i32, now: Timestamps) {
        let ours = self.own_pids();
        let count = self.system.signal_orphans(signal, ours);
        if count > 0 {
            self.debug_line(&format!("signal {signal} to {count} orphans"));
        }
        self.reap_orphans();
        self.console.handle(Event::OrphansSignaled(count), now);
    }
}
