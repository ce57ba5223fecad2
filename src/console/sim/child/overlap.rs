//! Two children at the same time: what happens to the old one, and the oracle's part about it.

use std::time::Duration;

use super::cleanup::After;
use super::interleave::Interleaver;
use super::supervisor::LiveChild;
use crate::config::{OverlapOptions, RestartMode};
use crate::console::audit::AuditEvent;
use crate::console::clock::Timestamps;
use crate::console::event::{ChildSlot, Effect, Event, ExitStatus};
use crate::console::sim::messages::{exit_line, text};
use crate::console::sim::oracle::Oracle;
use crate::console::sim::reached;
use crate::console::sim::simulation::{Process, Simulation};
use crate::console::{SIGKILL, SIGTERM};
use crate::sim_support::Random;

/// The reload character.
pub const RELOAD: u8 = 0x0F;

/// `--overlap` of a simulation.
pub fn overlap(random: &mut Random) -> Option<OverlapOptions> {
    random.one_in(2).then(|| OverlapOptions {
        after: Duration::from_millis(random.pick(&[0, 100, 5_000])),
        grace: Duration::from_secs(random.pick(&[0, 2, 10])),
        command: random.pick(&[None, Some(RELOAD)]),
    })
}

impl Simulation {
    /// Something happens to the old child, if there is one.
    pub fn old_child_acts(&mut self) {
        // The server carries out all effects before it reads again.
        self.drain();
        let Process::Running { output_closed } = self.old_process else {
            return;
        };
        match self.random.below(8) {
            0 if !output_closed => {
                self.trace(|_| "the old child closes its terminal".to_owned());
                self.old_process = Process::Running { output_closed: true };
                self.handle(Event::OutputClosed(ChildSlot::Old));
                self.oracle.old_output_closed();
            }
            1 => {
                let code = ExitStatus::Code(self.random.pick(&[0, 1, 255]));
                self.old_child_ends(code);
            }
            _ if !output_closed => {
                let count = self.random.length(200);
                let from = self.random.below(self.pool.len() - count);
                let bytes = &self.pool[from..from + count];
                self.trace(|_| format!("{count} bytes of the old child"));
                self.handle(Event::Output(ChildSlot::Old, bytes));
                self.oracle.child_output(true, bytes, self.now());
            }
            _ => {}
        }
    }

    pub fn old_child_ends(&mut self, status: ExitStatus) {
        self.trace(|_| format!("the old child ends: {status:?}"));
        self.old_process = Process::Ended;
        self.handle(Event::Exited(ChildSlot::Old, status));
        self.oracle.old_ended(status, self.now());
    }

    pub fn requests_reload(&mut self) {
        let now = self.now();
        if self.random.one_in(4) {
            self.trace(|_| "the child is ready".to_owned());
            self.console.handle(Event::ChildReady, now);
            self.oracle.child_ready(now);
        } else {
            self.trace(|_| "SIGUSR2".to_owned());
            self.console.handle(Event::Reload, now);
            self.oracle.reload(now);
        }
    }

    /// Reports the end of a child that a signal has killed. Returns true if there was one.
    pub fn report_killed(&mut self) -> bool {
        match (self.process, self.old_process) {
            (Process::Killed(signal), _) => self.child_ends_with(ExitStatus::Signal(signal)),
            (_, Process::Killed(signal)) => self.old_child_ends(ExitStatus::Signal(signal)),
            _ => return false,
        }
        true
    }

    /// Carries out an effect that is about the old child.
    pub fn apply_effect_on_old(&mut self, effect: Effect) {
        match effect {
            Effect::SpawnReplacement => {
                assert!(
                    !matches!(self.process, Process::None | Process::Ended),
                    "no child to replace"
                );
                assert_eq!(self.old_process, Process::None, "three children");
                let now = self.now();
                if self.random.one_in(6) {
                    self.console.handle(Event::SpawnFailed("No more processes"), now);
                    self.oracle.spawn_failed("No more processes", now);
                } else {
                    self.old_process = self.process;
                    self.start(now);
                }
            }
            Effect::Signal(ChildSlot::Old, signal) => {
                let kills = signal == SIGKILL && !self.immortal || self.random.one_in(3);
                if matches!(self.old_process, Process::Running { .. }) && kills {
                    self.old_process = Process::Killed(signal);
                }
            }
            Effect::Reap(ChildSlot::Old) => {
                assert_eq!(self.old_process, Process::Ended);
                self.old_process = Process::None;
            }
            Effect::RestoreOld => {
                assert_eq!(self.process, Process::None, "two children");
                self.process = std::mem::replace(&mut self.old_process, Process::None);
            }
            other => panic!("{other:?} is about the child"),
        }
    }
}

/// The old child.
#[derive(Debug, Clone, Copy)]
pub struct OldChild {
    pub child: LiveChild,
    /// True if the old child has been sent SIGTERM.
    terminating: bool,
    /// When SIGTERM is due, or, after it, SIGKILL.
    until: Option<u64>,
}

impl Oracle {
    pub fn reload(&mut self, now: Timestamps) {
        if self.exiting || self.settings.restart.overlap.is_none() {
        } else if self.old.is_some() || self.replacement_pending {
            reached("another child was asked for twice");
            self.reload_requested = true;
        } else if self.child.is_some() {
            if self.leaving.is_none() {
                self.replacement_pending = true;
                self.effects.push_back(Effect::SpawnReplacement);
            }
        } else if self.mode != RestartMode::Oneshot || self.oneshot_start_pending {
            if let Some(cleanup) = &mut self.cleanup {
                if cleanup.then == After::Nothing {
                    cleanup.then = After::Start;
                }
            } else if !self.starting {
                self.waits_for_user = false;
                self.start(now.mono.0);
            }
        } else if self.waits_for_user || self.last_start.is_none() {
            unreachable!("a start is pending before the first");
        }
    }

    /// Cancels the start of a child beside the running one.
    pub fn cancel_replacement(&mut self) {
        if std::mem::take(&mut self.replacement_pending) {
            reached("another child was not started after all");
            self.effects.retain(|effect| *effect != Effect::SpawnReplacement);
        }
    }

    pub fn begin_overlap(&mut self, old: LiveChild, now: Timestamps) {
        reached("two children ran");
        let until = now.mono.0 + self.settings.restart.overlap.unwrap().after.as_nanos() as u64;
        self.old = Some(OldChild { child: old, terminating: false, until: Some(until) });
        self.interleaver = Interleaver { old_has_turn: true, ..Interleaver::default() };
    }

    pub fn old_child_stays(&mut self, pid: i32, now: Timestamps) {
        self.say_old_child_stays(pid, now);
        self.continue_reload(now);
    }

    fn say_old_child_stays(&mut self, pid: i32, now: Timestamps) {
        let name = text(self.settings.name());
        let line = format!("@@@ Child \"{name}\" is not replaced, process {pid} goes on\r\n");
        self.say(&line, now);
    }

    fn continue_reload(&mut self, now: Timestamps) {
        if std::mem::take(&mut self.reload_requested) {
            reached("another child after another");
            self.reload(now);
        }
    }

    fn is_on_trial(&self) -> bool {
        self.old.is_some_and(|old| !old.terminating)
    }

    fn begin_terminating(&mut self, now: Timestamps) {
        let grace = self.settings.restart.overlap.unwrap().grace;
        let old = self.old.as_mut().unwrap();
        old.terminating = true;
        old.until = None;
        if grace > Duration::ZERO {
            old.until = Some(now.mono.0 + grace.as_nanos() as u64);
        }
    }

    fn terminate_old(&mut self, now: Timestamps) {
        self.begin_terminating(now);
        self.effects.push_back(Effect::Signal(ChildSlot::Old, SIGTERM));
        if self.settings.restart.overlap.unwrap().grace.is_zero() {
            self.effects.push_back(Effect::Signal(ChildSlot::Old, SIGKILL));
        }
    }

    pub fn child_ready(&mut self, now: Timestamps) {
        if !self.exiting && !self.is_leaving() && self.is_on_trial() {
            reached("a child was ready before its time");
            self.terminate_old(now);
        }
    }

    /// SIGTERM came, and only the new child is typed to.
    pub fn end_trial(&mut self, now: Timestamps) {
        if self.is_on_trial() {
            reached("the stop input ended a trial");
            self.terminate_old(now);
        }
    }

    /// A user gave the kill command.
    pub fn old_killed(&mut self, now: Timestamps) {
        if self.settings.restart.kill_signal != 0 && self.is_on_trial() {
            self.begin_terminating(now);
        }
    }

    pub fn old_output_closed(&mut self) {
        if !self.exiting
            && let Some(old) = &self.old
        {
            self.audit_events.push_back(AuditEvent::TerminalClosed(old.child.pid));
            self.effects.push_back(Effect::Signal(ChildSlot::Old, SIGKILL));
        }
    }

    pub fn old_ended(&mut self, status: ExitStatus, now: Timestamps) {
        if self.exiting {
            return;
        }
        self.flush(now);
        let old = self.old.take().unwrap();
        self.audit_events.push_back(AuditEvent::Ended(old.child.pid, status));
        self.effects.push_back(Effect::Reap(ChildSlot::Old));
        if !self.is_leaving() {
            self.say_line(&exit_line(old.child.pid, status), now);
            self.continue_reload(now);
        }
    }

    /// The current child has ended. Returns true if the old child takes its place.
    pub fn fall_back_to_old(
        &mut self,
        ended: LiveChild,
        status: ExitStatus,
        now: Timestamps,
    ) -> bool {
        self.flush(now);
        let Some(old) = self.old.filter(|old| !old.terminating || self.leaving.is_some()) else {
            return false;
        };
        self.old = None;
        self.child = Some(old.child);
        if self.leaving.is_none() {
            self.count_exit(status, now);
            reached("the new child ended first");
            self.say_line(&exit_line(ended.pid, status), now);
            self.say_old_child_stays(old.child.pid, now);
        } else {
            reached("both children were told to end");
        }
        self.forget_input();
        self.effects.extend([Effect::Reap(ChildSlot::Current), Effect::RestoreOld]);
        if self.leaving.is_none() {
            self.continue_reload(now);
        }
        true
    }

    /// SIGTERM came; an old child without a current one takes its place.
    pub fn old_is_last(&mut self, now: Timestamps) {
        if let Some(old) = self.old.filter(|_| self.child.is_none()) {
            reached("only an old child was told to end");
            self.flush(now);
            self.old = None;
            self.child = Some(old.child);
            self.cleanup = None;
            self.starting = false;
            self.effects.retain(|effect| *effect != Effect::Spawn);
            self.effects.push_back(Effect::RestoreOld);
        }
    }

    /// When something is due for the old child, or for output that is held.
    pub fn overlap_deadline(&self) -> Option<u64> {
        let old = self.old.filter(|_| !self.is_leaving()).and_then(|old| old.until);
        [old, self.interleaver.until].into_iter().flatten().min()
    }

    pub fn overlap_time_passed(&mut self, now: Timestamps) {
        if self.exiting {
            return;
        }
        if self.interleaver.until.is_some_and(|until| until <= now.mono.0) {
            reached("half a line was not waited for");
            self.flush(now);
        }
        if self.is_leaving() {
            return;
        }
        match &mut self.old {
            Some(OldChild { until, terminating, .. })
                if until.is_some_and(|at| at <= now.mono.0) =>
            {
                if *terminating {
                    *until = None;
                    reached("the old child was killed");
                    self.effects.push_back(Effect::Signal(ChildSlot::Old, SIGKILL));
                } else {
                    self.terminate_old(now);
                }
            }
            _ => {}
        }
    }
}
