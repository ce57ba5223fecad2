//! The end of the child, and the server's exit.

use super::supervisor::Action;
use crate::config::{RestartPolicy, StopInput};
use crate::console::audit::AuditEvent;
use crate::console::clock::Timestamps;
use crate::console::event::{ChildSlot, ClientId, Effect, ExitStatus};
use crate::console::{Console, SIGKILL, messages};

impl Console {
    /// Does what the supervisor decided.
    pub(crate) fn act(&mut self, action: Action, now: Timestamps) {
        match action {
            Action::Start => self.effects.push_back(Effect::Spawn),
            Action::EndStop => self.kill_and_exit(now),
            Action::Kill => self.signal(SIGKILL),
            Action::Exit(code) => {
                self.flush(now);
                self.exit(code);
            }
            Action::ExitWithoutChild => {
                self.flush(now);
                self.say_shutting_down(now);
                self.exit(0);
            }
            Action::FindDaemon => self.effects.push_back(Effect::FindDaemon),
            Action::SignalOrphans(signal) => self.effects.push_back(Effect::SignalOrphans(signal)),
        }
    }

    /// Exits, after the orphans have been killed if there are any.
    pub(crate) fn exit(&mut self, code: u8) {
        if !self.exiting && !self.supervisor.exit_after_cleanup(code) {
            self.exiting = true;
            self.effects.push_back(Effect::Exit(code));
        }
    }

    /// The current child ended.
    pub(crate) fn child_ended(&mut self, status: ExitStatus, now: Timestamps) {
        self.cancel_replacement();
        let Some(child) = self.supervisor.running() else {
            // The supervisor has already given this child up; its orphans are being killed.
            self.effects.push_back(Effect::Reap(ChildSlot::Current));
            return;
        };
        if self.becomes_daemon(status, now) {
            return;
        }
        self.audit_events.push_back(AuditEvent::Ended(child.pid, status));
        if self.fall_back_to_old(child, status, now) {
            return;
        }
        let leaving = self.supervisor.ended(status, now.mono);
        if !leaving {
            self.say(&messages::ended(child, status), now);
        }
        self.say_shutting_down(now);
        self.input.clear();
        self.effects.push_back(Effect::Reap(ChildSlot::Current));
        if leaving {
            self.exit(0);
        }
    }

    /// A child's terminal is not open in any process any more.
    pub(crate) fn child_output_closed(&mut self, slot: ChildSlot) {
        match slot {
            // A daemon closes its terminal.
            ChildSlot::Current if self.settings.daemonizes() => {}
            // A child that was asked to end has its time for what it does last.
            ChildSlot::Current if self.supervisor.is_stopping() => {}
            ChildSlot::Current => {
                self.cancel_replacement();
                let child = self.supervisor.running();
                self.audit_events.extend(child.map(|child| AuditEvent::TerminalClosed(child.pid)));
                self.effects.push_back(Effect::Signal(ChildSlot::Current, SIGKILL));
            }
            ChildSlot::Old => {
                let child = self.overlap.old();
                self.audit_events.extend(child.map(|child| AuditEvent::TerminalClosed(child.pid)));
                self.signal_old(SIGKILL);
            }
        }
    }

    pub(crate) fn orphans_signaled(&mut self, count: usize, now: Timestamps) {
        if let Some(action) = self.supervisor.cleanup_scanned(count, now.mono) {
            self.act(action, now);
        }
    }

    pub(crate) fn say_shutting_down(&mut self, now: Timestamps) {
        let time = self.time(now.wall);
        self.say(&messages::shutting_down(&self.settings, self.supervisor.mode(), &time), now);
    }

    /// SIGTERM came. A second one ends the wait for what `--stop-input` typed, or the grace period.
    pub(crate) fn terminate(&mut self, now: Timestamps) {
        self.cancel_replacement();
        if self.supervisor.awaits_daemon() {
            self.supervisor.ended(ExitStatus::Code(0), now.mono);
            self.say_shutting_down(now);
            self.input.clear();
            self.effects.push_back(Effect::Reap(ChildSlot::Current));
            self.exit(0);
        } else if self.supervisor.running().is_none()
            && !self.supervisor.is_leaving()
            && !self.old_is_last(now)
        {
            self.exit(0);
        } else if self.supervisor.in_grace() {
            self.supervisor.end_grace(now.mono);
        } else if !self.supervisor.is_leaving() {
            match self.settings.restart.stop_input.clone() {
                Some(stop) => self.type_stop_input(stop, now),
                None => self.kill_and_exit(now),
            }
        }
    }

    /// Asks the child to end by what is typed to it (`--stop-input`). The server exits after it.
    fn type_stop_input(&mut self, stop: StopInput, now: Timestamps) {
        // Only the current child is typed to.
        self.end_trial(now);
        self.input.clear();
        self.input.push(ClientId::SERVER, stop.text.into_iter());
        self.supervisor.begin_stop(now.mono + stop.wait);
    }

    /// Sends the kill signal. The server exits after the child.
    fn kill_and_exit(&mut self, now: Timestamps) {
        let RestartPolicy { kill_signal, grace, .. } = self.settings.restart;
        self.signal(kill_signal);
        let killed = kill_signal == SIGKILL || grace.is_zero();
        if killed && kill_signal != SIGKILL {
            self.signal(SIGKILL);
        }
        self.supervisor.begin_shutdown(killed, now.mono);
    }

    /// Sends a signal to the child, and to the old child if there is one; 0 sends nothing.
    pub(crate) fn signal(&mut self, signal: i32) {
        if signal != 0 {
            self.effects.push_back(Effect::Signal(ChildSlot::Current, signal));
            self.signal_old(signal);
        }
    }
}
