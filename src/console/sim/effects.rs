//! The effects that the console asks for are carried out, or fail.

use super::reached;
use super::simulation::{Process, Simulation};
use crate::console::SIGKILL;
use crate::console::clock::Timestamps;
use crate::console::event::{ChildSlot, Effect, Event, ExitStatus};

impl Simulation {
    pub fn apply_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn => {
                assert_eq!(self.process, Process::None, "two children");
                let now = self.now();
                if self.random.one_in(6) {
                    self.console.handle(Event::SpawnFailed("No more processes"), now);
                    self.oracle.spawn_failed("No more processes", now);
                } else {
                    self.start(now);
                }
            }
            Effect::SpawnReplacement
            | Effect::Signal(ChildSlot::Old, _)
            | Effect::Reap(ChildSlot::Old)
            | Effect::RestoreOld => {
                self.apply_effect_on_old(effect);
            }
            Effect::Signal(ChildSlot::Current, signal) => {
                let kills = signal == SIGKILL && !self.immortal || self.random.one_in(3);
                if matches!(self.process, Process::Running { .. }) && kills {
                    if self.old_process == Process::None {
                        self.child_ends_with(ExitStatus::Signal(signal));
                    } else {
                        self.process = Process::Killed(signal);
                    }
                }
            }
            Effect::Reap(ChildSlot::Current) => {
                assert_eq!(self.process, Process::Ended);
                self.process = Process::None;
                self.orphans = self.random.below(3);
            }
            Effect::FindDaemon => self.find_daemon(),
            Effect::SignalOrphans(signal) => self.signal_orphans(signal),
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
            // Whether it is due is the oracle's business.
            Effect::SetWindow(_) => {}
            Effect::Exit(_) => self.exited = true,
        }
    }

    pub fn start(&mut self, now: Timestamps) {
        let pid = self.next_pid;
        self.next_pid += 1;
        self.process = Process::Running { output_closed: false };
        self.console.handle(Event::Spawned(pid), now);
        self.oracle.started(pid, now);
    }

    /// Finds the process that the child became, or does not.
    fn find_daemon(&mut self) {
        assert_eq!(self.console.awaits_daemon(), self.oracle.daemon_search.is_some());
        if !self.console.awaits_daemon() {
            reached("nobody waited for a daemon any more");
            return;
        }
        assert_eq!(self.process, Process::Ended);
        let now = self.now();
        if self.random.one_in(3) {
            let pid = self.next_pid;
            self.next_pid += 1;
            self.process = Process::Running { output_closed: self.random.one_in(2) };
            self.console.handle(Event::Daemonized(pid), now);
            self.oracle.daemonized(pid, now);
        } else {
            self.console.handle(Event::DaemonNotFound("no PID file"), now);
            self.oracle.daemon_not_found("no PID file", now);
        }
    }

    fn signal_orphans(&mut self, signal: i32) {
        let (found, now) = (self.orphans, self.now());
        if signal == SIGKILL && !self.immortal || self.random.one_in(3) {
            self.orphans = self.random.below(found + 1);
        }
        self.trace(|_| format!("{found} orphans"));
        self.console.handle(Event::OrphansSignaled(found), now);
        self.oracle.orphans_signaled(found, now);
    }
}
