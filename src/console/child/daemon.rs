//! A child that makes itself a daemon (`--child-pidfile`): its first process ends well, and another
//! process goes on in its place. The server looks for that process until it has it, or until
//! [`DAEMON_WAIT`] is over; then the child counts as ended, and what is left of it is killed.

use super::lifecycle::{Child, Lifecycle};
use super::supervisor::Supervisor;
use crate::console::audit::AuditEvent;
use crate::console::clock::{Monotonic, Timestamps};
use crate::console::event::{ChildProcess, ChildSlot, Effect, ExitStatus};
use crate::console::{Console, messages};
use crate::limits::{DAEMON_SCAN_INTERVAL, DAEMON_WAIT};

impl Supervisor {
    /// Begins to wait for the daemon, as the child's first process has ended. Returns false if there
    /// is no daemon to wait for: the child is it already, or SIGTERM came.
    pub fn await_daemon(&mut self, now: Monotonic) -> bool {
        if let Lifecycle::Running(first @ Child { is_daemon: false, .. }) = self.state {
            let (until, next_scan) = (now + DAEMON_WAIT, now + DAEMON_SCAN_INTERVAL);
            self.state = Lifecycle::AwaitingDaemon { first, until, next_scan };
        }
        self.awaits_daemon()
    }

    /// Returns true if it is not known yet which process the child has become.
    pub fn awaits_daemon(&self) -> bool {
        matches!(self.state, Lifecycle::AwaitingDaemon { .. })
    }

    /// The process `pid` is the daemon. Returns false if none was waited for.
    pub fn daemon_found(&mut self, pid: i32) -> bool {
        let Lifecycle::AwaitingDaemon { first, .. } = self.state else {
            return false;
        };
        let process = ChildProcess { pid, ..first.process };
        self.state = Lifecycle::Running(Child { process, is_daemon: true });
        true
    }

    /// Returns true if the daemon should have been found by now.
    pub fn is_daemon_overdue(&self, now: Monotonic) -> bool {
        matches!(self.state, Lifecycle::AwaitingDaemon { until, .. } if now >= until)
    }
}

impl Console {
    /// The current child has ended. Returns true if that was only a daemon's first process, which is
    /// not announced.
    pub(crate) fn becomes_daemon(&mut self, status: ExitStatus, now: Timestamps) -> bool {
        let ended_well = status == ExitStatus::Code(0) || self.supervisor.awaits_daemon();
        let waits =
            self.settings.daemonizes() && ended_well && self.supervisor.await_daemon(now.mono);
        if waits {
            self.effects.push_back(Effect::FindDaemon);
        }
        waits
    }

    /// Returns true if it is not known yet which process the child has become.
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
        if self.supervisor.is_daemon_overdue(now.mono) {
            self.say_line(&messages::daemon_not_found(&self.settings, reason), now);
            self.give_up_daemon(now);
        }
    }

    /// Announces the end of the first process as that of the child. The rest of the child is killed.
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
    }
}
