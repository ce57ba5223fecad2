//! A child that is started beside the running one and replaces it (`--overlap`).
//!
//! - On trial: both run. The new one is the child, the other the *old child*. When the time is over,
//!   or the new child says that it is ready, the old child is terminated. If the new child ends
//!   first, the old one is the child again.
//! - Terminating: the old child has had SIGTERM, and gets SIGKILL when its grace period is over. The
//!   new child may end and be started again meanwhile.
//!
//! At most two children run. A reload that is requested meanwhile is done after the current one.

use std::time::Duration;

use minicbor::{Decode, Encode};

use super::interleave::LineInterleaver;
use super::status::ChildPhase;
use crate::console::audit::AuditEvent;
use crate::console::clock::{Monotonic, Timestamps};
use crate::console::error::InvalidSnapshot;
use crate::console::event::{ChildProcess, ChildSlot, Effect, ExitStatus, Subsystem};
use crate::console::{Console, SIGKILL, SIGTERM, messages};

/// The old child, if there is one. The type is also its own snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OverlapState {
    #[n(0)]
    old: Option<Old>,
    /// True if a reload was requested during the current one.
    #[cbor(n(1), default)]
    reload_requested: bool,
    #[cbor(n(2), default)]
    pub(super) interleaver: LineInterleaver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Old {
    #[n(0)]
    child: ChildProcess,
    /// True if the old child has been sent SIGTERM; else the new child is on trial.
    #[cbor(n(1), default)]
    terminating: bool,
    /// When SIGTERM is due, or, after it, SIGKILL. `None` if SIGKILL has been sent.
    #[n(2)]
    until: Option<Monotonic>,
}

impl OverlapState {
    /// The old child, if there is one.
    pub fn old(&self) -> Option<ChildProcess> {
        self.old.map(|old| old.child)
    }

    /// A copy without the children's output and without whose turn it is in the stream, as a crash
    /// ends that.
    pub fn crash_snapshot(&self) -> OverlapState {
        OverlapState { interleaver: LineInterleaver::default(), ..self.clone() }
    }

    /// Goes on from a snapshot, beside this child.
    ///
    /// # Errors
    ///
    /// If the old child is one that no console can have had.
    pub fn restore(
        snapshot: OverlapState,
        child: Option<ChildProcess>,
    ) -> Result<OverlapState, InvalidSnapshot> {
        match snapshot.old() {
            None => Ok(OverlapState {
                reload_requested: snapshot.reload_requested,
                ..OverlapState::default()
            }),
            // A signal to the process groups 0 and 1 is one to ourselves, or to everybody.
            Some(old) if old.pid <= 1 => {
                Err(InvalidSnapshot("the old child's PID can be no child's"))
            }
            Some(old) if child.is_some_and(|child| child.pid == old.pid) => {
                Err(InvalidSnapshot("one child is two"))
            }
            Some(_) => Ok(snapshot),
        }
    }

    fn is_on_trial(&self) -> bool {
        self.old.is_some_and(|old| !old.terminating)
    }

    fn begin_terminating(&mut self, grace: Duration, now: Monotonic) {
        if let Some(old) = &mut self.old {
            old.terminating = true;
            old.until = (!grace.is_zero()).then(|| now + grace);
        }
    }
}

impl Console {
    /// Replaces the child by one that is started beside it, or starts one if none runs.
    pub(crate) fn reload(&mut self, now: Timestamps) {
        if self.settings.restart.overlap.is_none() {
            return;
        }
        if self.overlap.old.is_some() || self.supervisor.is_replacing() {
            self.overlap.reload_requested = true;
        } else if self.supervisor.begin_replacement() {
            self.effects.push_back(Effect::SpawnReplacement);
        } else if self.supervisor.phase() != ChildPhase::ExitPending
            && let Some(action) = self.supervisor.start_by_hand(now.mono)
        {
            self.act(action, now);
        }
    }

    /// Returns true if a child may be started beside another.
    pub fn has_overlap(&self) -> bool {
        self.settings.restart.overlap.is_some()
    }

    /// Returns true if the readiness of a new child is also that of the server.
    pub fn reports_reload(&self) -> bool {
        self.has_overlap() && self.settings.restart.ready.is_none()
    }

    /// Returns true if a new child was asked for and may still be given up.
    pub fn is_reloading(&self) -> bool {
        let waits = self.overlap.is_on_trial() || self.overlap.reload_requested;
        !self.exiting && (waits || self.supervisor.is_replacing())
    }

    /// The old child, if there is one.
    pub fn old_child(&self) -> Option<ChildProcess> {
        self.overlap.old()
    }

    /// Cancels a child that is to be started beside the running one.
    pub(crate) fn cancel_replacement(&mut self) {
        if self.supervisor.cancel_replacement() {
            self.effects.retain(|effect| *effect != Effect::SpawnReplacement);
        }
    }

    /// A child was started, beside the running one if there is one.
    pub(crate) fn child_started(&mut self, pid: i32, now: Timestamps) {
        if self.supervisor.has_started() {
            self.recent_restarts.add(now.mono);
        }
        self.troubles.remove(&Subsystem::Start);
        let old = self.supervisor.started(pid, now);
        self.readiness.started();
        self.audit_events.push_back(AuditEvent::Started(pid));
        let message = messages::started(&self.settings, pid);
        let Some((child, overlap)) = old.zip(self.settings.restart.overlap) else {
            // This child was started after the pending reload request, so the request is fulfilled.
            self.overlap.reload_requested = false;
            return self.say(&message, now);
        };
        let until = Some(now.mono + overlap.after);
        self.overlap.old = Some(Old { child, terminating: false, until });
        self.overlap.interleaver = LineInterleaver::new();
        self.say_line(&message, now);
    }

    /// A child could not be started.
    pub(crate) fn spawn_failed(&mut self, reason: &str, now: Timestamps) {
        let running = self.supervisor.running();
        if !self.supervisor.cancel_replacement() {
            self.supervisor.start_failed();
            self.add_trouble(Subsystem::Start, reason, now);
        }
        self.audit_events.push_back(AuditEvent::SpawnFailed(reason.to_owned()));
        self.say_line(&messages::start_failed(&self.settings, reason), now);
        if let Some(child) = running {
            self.say(&messages::old_child_stays(&self.settings, child.pid), now);
            self.continue_reload(now);
        }
    }

    /// The new child says that it is ready.
    pub(crate) fn child_ready(&mut self, now: Timestamps) {
        if !self.supervisor.is_leaving() {
            self.end_trial(now);
        }
    }

    /// When [`poll_overlap`](Self::poll_overlap) has something to do.
    pub(crate) fn overlap_deadline(&self) -> Option<Monotonic> {
        let old = self.overlap.old.filter(|_| !self.supervisor.is_leaving());
        [old.and_then(|old| old.until), self.overlap.interleaver.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due at the time `now`.
    pub(crate) fn poll_overlap(&mut self, now: Timestamps) {
        self.poll_interleaver(now);
        let Some(old) = self.overlap.old.as_mut().filter(|_| !self.supervisor.is_leaving()) else {
            return;
        };
        if old.until.is_none_or(|until| now.mono < until) {
            return;
        }
        self.revision += 1;
        if old.terminating {
            old.until = None;
            self.effects.push_back(Effect::Signal(ChildSlot::Old, SIGKILL));
        } else {
            self.terminate_old(now);
        }
    }

    /// Ends the trial of the new child, if it is on trial: the old child is told to end.
    pub(crate) fn end_trial(&mut self, now: Timestamps) {
        if self.overlap.is_on_trial() {
            self.terminate_old(now);
        }
    }

    fn terminate_old(&mut self, now: Timestamps) {
        let Some(overlap) = self.settings.restart.overlap else {
            return;
        };
        self.overlap.begin_terminating(overlap.grace, now.mono);
        self.effects.push_back(Effect::Signal(ChildSlot::Old, SIGTERM));
        if overlap.grace.is_zero() {
            self.effects.push_back(Effect::Signal(ChildSlot::Old, SIGKILL));
        }
    }

    /// Sends a signal to the old child, if there is one; 0 sends nothing.
    pub(crate) fn signal_old(&mut self, signal: i32) {
        if self.overlap.old.is_some() && signal != 0 {
            self.effects.push_back(Effect::Signal(ChildSlot::Old, signal));
        }
    }

    /// A user killed both children, so the old one has its grace period, too.
    pub(crate) fn old_was_killed(&mut self, now: Timestamps) {
        if let Some(overlap) = self.settings.restart.overlap
            && self.overlap.is_on_trial()
        {
            self.overlap.begin_terminating(overlap.grace, now.mono);
        }
    }

    /// The old child ended.
    pub(crate) fn old_ended(&mut self, status: ExitStatus, now: Timestamps) {
        let Some(old) = self.overlap.old() else {
            return;
        };
        self.flush(now);
        self.audit_events.push_back(AuditEvent::Ended(old.pid, status));
        self.overlap.old = None;
        self.effects.push_back(Effect::Reap(ChildSlot::Old));
        if !self.supervisor.is_leaving() {
            self.say_line(&messages::old_ended(old, status), now);
            self.continue_reload(now);
        }
    }

    /// The current child ended. Returns true if the old child has taken its place.
    pub(crate) fn fall_back_to_old(
        &mut self,
        child: ChildProcess,
        status: ExitStatus,
        now: Timestamps,
    ) -> bool {
        self.flush(now);
        let Some(old) = self.overlap.old() else {
            return false;
        };
        if self.supervisor.is_leaving() {
            self.supervisor.shut_down_with(old);
        } else if self.overlap.is_on_trial() {
            self.supervisor.ended(status, now.mono);
            self.supervisor.restore_old(old);
            self.say_line(&messages::old_ended(child, status), now);
            self.say(&messages::old_child_stays(&self.settings, old.pid), now);
        } else {
            return false;
        }
        self.overlap.old = None;
        self.input.clear();
        self.readiness.restore_old();
        self.effects.extend([Effect::Reap(ChildSlot::Current), Effect::RestoreOld]);
        if !self.supervisor.is_leaving() {
            self.continue_reload(now);
        }
        true
    }

    /// SIGTERM came and no current child runs: the old child, if there is one, takes its place, so
    /// that the server waits for it. Returns true if there was one.
    pub(crate) fn old_is_last(&mut self, now: Timestamps) -> bool {
        let Some(old) = self.overlap.old() else {
            return false;
        };
        self.flush(now);
        self.overlap.old = None;
        // A child that is about to be started no longer is.
        self.effects.retain(|effect| *effect != Effect::Spawn);
        self.supervisor.restore_old(old);
        self.readiness.restore_old();
        self.effects.push_back(Effect::RestoreOld);
        true
    }

    fn continue_reload(&mut self, now: Timestamps) {
        if std::mem::take(&mut self.overlap.reload_requested) {
            self.reload(now);
        }
    }
}
