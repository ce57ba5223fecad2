//! The oracle's part about the child: when it is started, what its end means, and SIGTERM.

use std::time::Duration;

use super::cleanup::After;
use crate::config::RestartMode::{self, Off, On, Oneshot};
use crate::config::{MessageStyle, RestartPolicy};
use crate::console::SIGKILL;
use crate::console::audit::AuditEvent;
use crate::console::clock::Timestamps;
use crate::console::event::{ChildSlot, ClientId, Effect, ExitStatus};
use crate::console::sim::messages::{RULE, exit_line, mode_name, text};
use crate::console::sim::oracle::Oracle;
use crate::console::sim::reached;

const SECOND: u64 = 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveChild {
    pub pid: i32,
    pub since: i64,
}

/// SIGTERM came, and the server exits after the child.
#[derive(Debug, Clone, Copy)]
pub struct Leaving {
    /// True if the child was typed the text of `--stop-input`, and has not been sent the kill signal.
    asked: bool,
    /// True if the child has been sent SIGKILL.
    killed: bool,
    /// When the kill signal or SIGKILL is due, or, after SIGKILL, the exit without the child.
    until: u64,
}

impl Oracle {
    pub fn output_closed(&mut self) {
        let asked = self.leaving.is_some_and(|leaving| leaving.asked);
        if asked {
            reached("a child closed its terminal after the stop input");
        }
        if !self.exiting && !self.settings.daemonizes() && !asked {
            self.cancel_replacement();
            let pid = self.child.map(|child| child.pid);
            self.audit_events.extend(pid.map(AuditEvent::TerminalClosed));
            self.effects.push_back(Effect::Signal(ChildSlot::Current, SIGKILL));
        }
    }

    pub fn started(&mut self, pid: i32, now: Timestamps) {
        let replaced = self.child.filter(|_| self.replacement_pending);
        assert!(replaced.is_some() || self.starting && self.child.is_none(), "a second child");
        self.starting = false;
        self.replacement_pending = false;
        if self.exiting {
            return;
        }
        self.start_failed = false;
        self.start_failing = None;
        if let Some(old) = replaced {
            self.last_start = Some(now.mono.0);
            self.oneshot_start_pending = false;
            self.begin_overlap(old, now);
        } else {
            self.reload_requested = false;
        }
        self.child = Some(LiveChild { pid, since: now.wall.seconds });
        self.audit_events.push_back(AuditEvent::Started(pid));
        let name = text(self.settings.name());
        let mut lines = format!("@@@ Restarting child \"{name}\"\r\n");
        if self.settings.name() != self.settings.executed() {
            lines += &format!("@@@    (as {})\r\n", text(self.settings.executed()));
        }
        lines += &format!("@@@ The PID of new child \"{name}\" is: {pid}\r\n{RULE}");
        if replaced.is_some() {
            self.say_line("", now);
        }
        self.say(&lines, now);
    }

    pub fn spawn_failed(&mut self, reason: &str, now: Timestamps) {
        self.starting = false;
        let replaces = std::mem::take(&mut self.replacement_pending);
        if self.exiting {
            return;
        }
        if !replaces {
            self.oneshot_start_pending = true;
            self.start_failed = true;
            self.start_failing.get_or_insert((now.wall.seconds, String::new())).1 =
                reason.to_owned();
        }
        self.audit_events.push_back(AuditEvent::SpawnFailed(reason.to_owned()));
        let name = text(self.settings.name());
        self.say_line(&format!("@@@ Child \"{name}\" could not be started: {reason}\r\n"), now);
        if replaces {
            self.old_child_stays(self.child.unwrap().pid, now);
        }
    }

    pub fn ended(&mut self, status: ExitStatus, now: Timestamps) {
        if self.exiting {
            return;
        }
        self.cancel_replacement();
        if self.child.is_none() {
            reached("a child ended that had been given up");
            self.effects.push_back(Effect::Reap(ChildSlot::Current));
        } else if !self.becomes_daemon(status, now) {
            self.child_gone(status, now);
        }
    }

    /// The child is gone, and no daemon takes its place.
    pub fn child_gone(&mut self, status: ExitStatus, now: Timestamps) {
        let child = self.child.take().unwrap();
        self.audit_events.push_back(AuditEvent::Ended(child.pid, status));
        self.daemon_search = None;
        if self.fall_back_to_old(child, status, now) {
            return;
        }
        self.count_exit(status, now);
        if self.leaving.is_some_and(|leaving| leaving.asked) {
            reached("a child ended after the stop input");
        }
        if self.leaving.is_none() {
            self.say(&format!("\r\n{RULE}{}", exit_line(child.pid, status)), now);
        }
        self.say_shutting_down(now);
        self.forget_input();
        self.effects.push_back(Effect::Reap(ChildSlot::Current));
        let exit = self.leaving.take().map(|_| 0);
        self.leave_behind(exit, now);
    }

    pub fn is_leaving(&self) -> bool {
        let then = self.cleanup.map(|cleanup| cleanup.then);
        matches!(then, Some(After::Exit(_))) || self.leaving.is_some()
    }

    pub fn terminate(&mut self, now: Timestamps) {
        if self.exiting {
            return;
        }
        self.cancel_replacement();
        if !self.is_leaving() {
            self.old_is_last(now);
        }
        if self.terminate_cleanup(now) {
            return;
        }
        match (&mut self.leaving, self.settings.restart.stop_input.clone()) {
            _ if self.child.is_none() => self.exit(0),
            (None, None) => self.send_kill_signal(now),
            (None, Some(stop)) => {
                if !self.input.is_empty() {
                    reached("the stop input took the place of other input");
                }
                self.end_trial(now);
                self.forget_input();
                self.input_owners.push_back((ClientId::SERVER, stop.text.len()));
                self.input.extend(stop.text);
                self.mode = Off;
                let until = now.mono.0 + stop.wait.as_nanos() as u64;
                self.leaving = Some(Leaving { asked: true, killed: false, until });
            }
            (Some(leaving), _) if !leaving.killed => {
                reached(if leaving.asked {
                    "a second SIGTERM after the stop input"
                } else {
                    "a second SIGTERM"
                });
                leaving.until = now.mono.0;
            }
            (Some(_), _) => {}
        }
    }

    fn send_kill_signal(&mut self, now: Timestamps) {
        let RestartPolicy { kill_signal, grace, .. } = self.settings.restart;
        self.signal(kill_signal);
        let killed = kill_signal == SIGKILL || grace == Duration::ZERO;
        if killed && kill_signal != SIGKILL {
            self.signal(SIGKILL);
        }
        let wait = if killed { SECOND } else { grace.as_nanos() as u64 };
        self.leaving = Some(Leaving { asked: false, killed, until: now.mono.0 + wait });
    }

    pub fn child_deadline(&self) -> Option<u64> {
        match (self.child, self.leaving) {
            _ if self.exiting || self.starting => None,
            _ if self.daemon_search.is_some() => self.daemon_search.map(|search| search.next_scan),
            _ if self.cleanup.is_some() => self.cleanup.map(|cleanup| cleanup.next_scan),
            (Some(_), None) => None,
            (Some(_), Some(leaving)) => Some(leaving.until),
            (None, _) => match (self.last_start, self.mode) {
                (None, _) if self.waits_for_user => None,
                (None, _) => Some(0),
                (Some(_), Off) => None,
                (Some(last), Oneshot) if !self.oneshot_start_pending => {
                    Some(last + self.doubled_holdoff().as_nanos() as u64)
                }
                (Some(last), On | Oneshot) => Some(last + self.restart_delay()),
            },
        }
    }

    pub fn child_time_passed(&mut self, now: Timestamps) {
        if self.cleanup_time_passed(now.mono.0) {
            return;
        }
        match &mut self.leaving {
            Some(leaving) if leaving.killed => {
                reached("the server left without its child");
                self.flush(now);
                self.say_shutting_down(now);
                self.child = None;
                self.leaving = None;
                self.leave_behind(Some(0), now);
            }
            Some(leaving) if leaving.asked => {
                reached("the stop input ended no child");
                self.send_kill_signal(now);
            }
            Some(leaving) => {
                reached("the grace period was over");
                *leaving = Leaving { asked: false, killed: true, until: now.mono.0 + SECOND };
                self.signal(SIGKILL);
            }
            None if self.mode == Oneshot && !self.oneshot_start_pending => {
                reached("ONESHOT ended the server");
                self.flush(now);
                self.exit(self.last_code);
            }
            None => self.start(now.mono.0),
        }
    }

    pub fn toggle(&mut self, times: u64, now: Timestamps) {
        let old = self.settings.console.style == MessageStyle::V2_7;
        for _ in 0..times {
            self.mode = match self.mode {
                On => Off,
                Off if !old => Oneshot,
                Off | Oneshot => On,
            };
            self.oneshot_start_pending |= self.mode == Oneshot;
        }
        self.set_mode(self.mode, now);
    }

    pub fn set_mode(&mut self, mode: RestartMode, now: Timestamps) {
        let old = self.settings.console.style == MessageStyle::V2_7;
        self.mode = mode;
        self.oneshot_start_pending |= self.mode == Oneshot;
        let mode = mode_name(self.mode);
        let word = if old { "" } else { " mode" };
        self.say(&format!("\r\n@@@ Toggled auto restart{word} to {mode}\r\n"), now);
    }

    pub fn start(&mut self, now: u64) {
        assert!(!self.starting && self.child.is_none());
        self.starting = true;
        self.last_start = Some(now);
        self.is_daemon = false;
        self.oneshot_start_pending = false;
        self.effects.push_back(Effect::Spawn);
    }

    pub fn signal(&mut self, signal: i32) {
        if signal != 0 {
            self.effects.push_back(Effect::Signal(ChildSlot::Current, signal));
            if self.old.is_some() {
                self.effects.push_back(Effect::Signal(ChildSlot::Old, signal));
            }
        }
    }

    /// Returns true if the delay since the last start is not over.
    pub fn is_too_early(&self, last_start: u64, now: Timestamps) -> bool {
        now.mono.0 < last_start + self.restart_delay()
    }

    /// The time from one start to the next, in nanoseconds. It is at least half a second, and after a
    /// start that failed at least a second.
    fn restart_delay(&self) -> u64 {
        let holdoff = self.doubled_holdoff().as_nanos() as u64;
        holdoff.max(if self.start_failed { SECOND } else { SECOND / 2 })
    }

    pub fn exit(&mut self, code: u8) {
        if let Some(cleanup) = &mut self.cleanup {
            cleanup.then = After::Exit(code);
        } else if !std::mem::replace(&mut self.exiting, true) {
            self.effects.push_back(Effect::Exit(code));
        }
    }
}
