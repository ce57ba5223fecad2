//! What the server does because the console decided it.

use crate::console::clock::Timestamps;
use crate::console::event::Event;
use crate::server::Server;
use crate::server::os::System;

impl<S: System> Server<S> {
    /// The child's first process has ended: who is the child now?
    pub(crate) fn find_daemon(&mut self, now: Timestamps) {
        if !self.console.awaits_daemon() {
            return;
        }
        let rehearsed = self.handover.program().map(|program| program.pid());
        let Some(child) = &mut self.child else {
            // A server before this one had it, and died.
            return self.console.handle(Event::DaemonNotFound("it is not known"), now);
        };
        child.await_daemon();
        match self.system.find_daemon(rehearsed) {
            Ok(daemon) => {
                let (before, pid) = (child.pid(), daemon.pid);
                child.become_daemon(daemon);
                // By the new name after the old one: the manager takes no descriptor twice.
                self.system.forget_child(before);
                self.system.keep_child(child.process());
                // The first process may have hidden others.
                self.reap_orphans();
                self.console.handle(Event::Daemonized(pid), now);
                self.debug_line(&format!("child is daemon {pid}"));
            }
            Err(reason) => self.console.handle(Event::DaemonNotFound(&reason), now),
        }
    }

    /// What the child left behind gets a signal.
    pub(crate) fn signal_orphans(&mut self, signal: i32, now: Timestamps) {
        let ours = self.own_pids();
        let count = self.system.signal_orphans(signal, ours);
        if count > 0 {
            self.debug_line(&format!("signal {signal} to {count} orphans"));
        }
        self.reap_orphans();
        self.console.handle(Event::OrphansSignaled(count), now);
    }
}
