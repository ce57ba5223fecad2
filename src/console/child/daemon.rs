//! A child that makes itself a daemon, and what children leave behind.

use super::orphan_cleanup::Then;
use crate::console::audit::Entry;
use crate::console::clock::Now;
use crate::console::event::{Effect, ExitStatus, Which};
use crate::console::{Console, messages};

impl Console {
    /// The first process of a child that makes itself a daemon has ended: whether that is to be waited
    /// for. Nobody is told.
    pub(crate) fn becomes_daemon(&mut self, status: ExitStatus, now: Now) -> bool {
        let ended_well = status == ExitStatus::Code(0) || self.supervisor.is_forked();
        let waits = self.settings.daemonizes && ended_well && self.supervisor.forked(now.mono);
        if waits {
            self.effects.push_back(Effect::Look);
        }
        waits
    }

    /// Whether it is to be found out which process the child has become.
    pub fn awaits_daemon(&self) -> bool {
        self.supervisor.is_forked()
    }

    pub(crate) fn daemonized(&mut self, pid: i32, now: Now) {
        if self.supervisor.daemon(pid) {
            self.journal.push_back(Entry::Started(pid));
            self.say_line(&messages::daemon_started(&self.settings, pid), now);
        }
    }

    pub(crate) fn not_daemonized(&mut self, reason: &str, now: Now) {
        if self.supervisor.is_overdue(now.mono) {
            self.say_line(&messages::no_daemon(&self.settings, reason), now);
            self.give_daemon_up(now);
        }
    }

    /// The first process is announced as what it is, the end of the child; the rest of it is killed.
    pub(crate) fn give_daemon_up(&mut self, now: Now) {
        let Some(first) = self.supervisor.running() else {
            return;
        };
        let status = ExitStatus::Code(0);
        self.journal.push_back(Entry::Ended(first.pid, status));
        self.supervisor.ended(status, now.mono);
        self.say(&messages::ended(first, status), now);
        self.say_shutting_down(now);
        self.input.clear();
        self.effects.push_back(Effect::Bury(Which::New));
        self.leave_behind(None, now);
    }

    /// The child is gone, or given up: what it left behind may have to be killed. With a status the
    /// server exits then.
    pub(crate) fn leave_behind(&mut self, exit: Option<u8>, now: Now) {
        let unfinished = self.settings.daemonizes && !self.supervisor.is_daemon();
        if self.settings.kill_orphans || unfinished {
            let then = exit.map_or(Then::Wait, Then::Exit);
            self.supervisor.clear(self.settings.grace, then, now.mono);
        } else if let Some(code) = exit {
            self.exit(code);
        }
    }

    /// So many processes are left of the child.
    pub(crate) fn swept(&mut self, count: usize, now: Now) {
        if let Some(action) = self.supervisor.swept(count, now.mono) {
            self.act(action, now);
        }
    }
}
