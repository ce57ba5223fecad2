//! What the console asks for is done, or fails.

use super::seen;
use super::world::{Kid, World};
use crate::console::clock::Timestamps;
use crate::console::event::{ChildSlot, Effect, Event, ExitStatus};

impl World {
    pub fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn => {
                assert_eq!(self.kid, Kid::None, "two children");
                let now = self.now();
                if self.random.one_in(6) {
                    self.console.handle(Event::SpawnFailed("No more processes"), now);
                    self.oracle.not_started("No more processes", now);
                } else {
                    self.start(now);
                }
            }
            Effect::SpawnReplacement
            | Effect::Signal(ChildSlot::Old, _)
            | Effect::Reap(ChildSlot::Old)
            | Effect::RestoreOld => {
                self.obey_about_old(effect);
            }
            Effect::Signal(ChildSlot::Current, signal) => {
                let kills = signal == 9 && !self.immortal || self.random.one_in(3);
                if matches!(self.kid, Kid::Runs { .. }) && kills && self.old_kid != Kid::None {
                    self.kid = Kid::Struck(signal);
                } else if matches!(self.kid, Kid::Runs { .. }) && kills {
                    self.child_ends_with(ExitStatus::Signal(signal));
                }
            }
            Effect::Reap(ChildSlot::Current) => {
                assert_eq!(self.kid, Kid::Ended);
                self.kid = Kid::None;
                self.orphans = self.random.below(3);
            }
            Effect::FindDaemon => self.look(),
            Effect::SignalOrphans(signal) => self.sweep(signal),
            Effect::Disconnect(id) => {
                for client in self.clients.iter_mut().filter(|client| client.id == id) {
                    client.leaving = true;
                }
            }
            Effect::ReopenLog => {
                if self.console.settings.log.target.is_some() && !self.random.one_in(3) {
                    self.log_opened();
                }
            }
            Effect::Exit(_) => self.left = true,
        }
    }

    pub fn start(&mut self, now: Timestamps) {
        let pid = self.next_pid;
        self.next_pid += 1;
        self.kid = Kid::Runs { terminal_closed: false };
        self.console.handle(Event::Spawned(pid), now);
        self.oracle.started(pid, now);
    }

    /// The process that the child became, if that can be told.
    fn look(&mut self) {
        assert_eq!(self.console.awaits_daemon(), self.oracle.wait.is_some());
        if !self.console.awaits_daemon() {
            seen("nobody waited for a daemon any more");
            return;
        }
        assert_eq!(self.kid, Kid::Ended);
        let now = self.now();
        if self.random.one_in(3) {
            let pid = self.next_pid;
            self.next_pid += 1;
            self.kid = Kid::Runs { terminal_closed: self.random.one_in(2) };
            self.console.handle(Event::Daemonized(pid), now);
            self.oracle.daemonized(pid, now);
        } else {
            self.console.handle(Event::DaemonNotFound("no PID file"), now);
            self.oracle.not_daemonized("no PID file", now);
        }
    }

    fn sweep(&mut self, signal: i32) {
        let (found, now) = (self.orphans, self.now());
        if signal == 9 && !self.immortal || self.random.one_in(3) {
            self.orphans = self.random.below(found + 1);
        }
        self.tell(|_| format!("{found} orphans"));
        self.console.handle(Event::OrphansSignaled(found), now);
        self.oracle.swept(found, now);
    }
}
