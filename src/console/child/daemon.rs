//! A child that makes itself a daemon, and what children leave behind.

use super::orphan_cleanup::AfterCleanup;
use crate::console::audit::AuditEvent;
use crate::console::clock::Timestamps;
use crate::console::event::{ChildSlot, Effect, ExitStatus};
use crate::console::{Console, messages};

impl Console {
    /// The first process of a child that makes itself a daemon has ended: whether that is to be waited
    /// for. Nobody is told.
    pub(crate) fn becomes_daemon(&mut self, status: ExitStatus, now: Timestamps) -> bool {
        let ended_well = status == ExitStatus::Code(0) || self.supervisor.awaits_daemon();
        let waits =
            self.settings.daemonizes() && ended_well && self.supervisor.await_daemon(now.mono);
        if waits {
            self.effects.push_back(Effect::FindDaemon);
        }
        waits
    }

    /// Whether it is to be found out which process the child has become.
    pub fn awaits_daemon(&self) -> bool {
        self.supervisor.awaits_daemon()
    }

    pub(crate) fn daemonized(&mut self, pid: i32, now: Timestamps) {
        if self.supervisor.daemon_found(pid) {
            self.audit_events.push_back(AuditEvent::Started(pid));
            self.say_line(&messages::daemon_started(&self.settings, pid), now);
        }
    }

    pub(crate) fn daemon_not_found(&mut self, reason: &str, now: Timestamps) {
        if self.supervisor.is_overdue(now.mono) {
            self.say_line(&messages::daemon_not_found(&self.settings, reason), now);
            self.give_up_daemon(now);
        }
    }

    /// The first process is announced as what it is, the end of the child; the rest of it is killed.
    pub(crate) fn give_up_daemon(&mut self, now: Timestamps) {
        let Some(first) = self.supervisor.running() else {
            return;
        };
        let status = ExitStatus::Code(0);
        self.audit_events.push_back(AuditEvent::Ended(first.pid, status));
        self.supervisor.ended(status, now.mono);
        self.say(&messages::ended(first, status), now);
        self.say_shutting_down(now);
        self.input.clear();
        self.effects.push_back(Effect::Reap(ChildSlot::Current));
        self.leave_behind(None, now);
    }

    /// The child is gone, or given up: what it left behind may have to be killed. With a status the
    /// server exits then.
    pub(crate) fn leave_behind(&mut self, exit: Option<u8>, now: Timestamps) {
        let unfinished = self.settings.daemonizes() && !self.supervisor.is_daemon();
        if self.settings.restart.kill_orphans || unfinished {
            let then = exit.map_or(AfterCleanup::Wait, AfterCleanup::Exit);
            self.supervisor.begin_cleanup(self.settings.restart.grace, then, now.mono);
        } else if let Some(code) = exit {
            self.exit(code);
        }
    }

    /// So many processes are left of the child.
    pub(crate) fn orphans_signaled(&mut self, count: usize, now: Timestamps) {
        if let Some(action) = self.supervisor.cleanup_scanned(count, now.mono) {
            self.act(action, now);
        }
    }
}
