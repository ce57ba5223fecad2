//! A child that is started beside the one before it, which ends when the new one is there
//! (`--overlap`).
//!
//! - On trial: both run. The new one is the child, the other the *old one*. When the time is over,
//!   or the new one says that it is ready, the old one is told to end. Should the new one end first,
//!   the old one is the child again.
//! - Told to end: the old one has had SIGTERM, and after its grace gets SIGKILL. What becomes of the
//!   new one meanwhile is as ever.
//!
//! There are never three: whoever asks in the middle of it gets one more after it.

use std::time::Duration;

use minicbor::{Decode, Encode};

use super::interleave::LineInterleaver;
use super::status::ChildPhase;
use crate::console::audit::AuditEvent;
use crate::console::clock::{Monotonic, Timestamps};
use crate::console::error::InvalidSnapshot;
use crate::console::event::{ChildProcess, ChildSlot, Effect, ExitStatus};
use crate::console::{Console, SIGKILL, SIGTERM, messages};
use crate::limits::LINES_HELD_MAX;

/// The old one, if there is one. It is its own record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OverlapState {
    #[n(0)]
    old: Option<Old>,
    /// One more is wanted after this one.
    #[cbor(n(1), default)]
    reload_requested: bool,
    /// The output of both.
    #[cbor(n(2), default)]
    interleaver: LineInterleaver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Old {
    #[n(0)]
    child: ChildProcess,
    /// It has been told to end; else the new one is on trial.
    #[cbor(n(1), default)]
    terminating: bool,
    /// When it is told, or gets SIGKILL. `None`: it has had it.
    #[n(2)]
    until: Option<Monotonic>,
}

impl OverlapState {
    /// The old one, if there is one.
    pub fn old(&self) -> Option<ChildProcess> {
        self.old.map(|old| old.child)
    }

    /// Without what the children wrote, and whose turn it is in a stream that is no more.
    pub fn crash_snapshot(&self) -> OverlapState {
        OverlapState { interleaver: LineInterleaver::default(), ..self.clone() }
    }

    /// Goes on from a record, beside this child.
    pub fn restore(
        record: OverlapState,
        child: Option<ChildProcess>,
    ) -> Result<OverlapState, InvalidSnapshot> {
        match record.old() {
            None => Ok(OverlapState {
                reload_requested: record.reload_requested,
                ..OverlapState::default()
            }),
            // As with the child.
            Some(old) if old.pid <= 1 => {
                Err(InvalidSnapshot("the old child's PID can be no child's"))
            }
            Some(old) if child.is_some_and(|child| child.pid == old.pid) => {
                Err(InvalidSnapshot("one child is two"))
            }
            Some(_) => Ok(record),
        }
    }

    fn on_trial(&self) -> bool {
        self.old.is_some_and(|old| !old.terminating)
    }

    /// The old one is told to end.
    fn begin_terminating(&mut self, grace: Duration, now: Monotonic) {
        if let Some(old) = &mut self.old {
            old.terminating = true;
            old.until = (!grace.is_zero()).then(|| now + grace);
        }
    }
}

impl Console {
    /// A new child is wanted in the place of the one there is.
    pub(crate) fn reload(&mut self, now: Timestamps) {
        if self.settings.overlap.is_none() {
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

    /// Whether a new child may be started beside another.
    pub fn has_overlap(&self) -> bool {
        self.settings.overlap.is_some()
    }

    /// Whether readiness of a new child is the server's, too.
    pub fn reports_reload(&self) -> bool {
        self.has_overlap() && self.settings.ready.is_none()
    }

    /// Whether a new child was asked for of which it is not known yet whether it stays.
    pub fn is_reloading(&self) -> bool {
        let waits = self.overlap.on_trial() || self.overlap.reload_requested;
        !self.exiting && (waits || self.supervisor.is_replacing())
    }

    /// The child before the one there is, while it ends.
    pub fn old_child(&self) -> Option<ChildProcess> {
        self.overlap.old()
    }

    /// Whether this child's output may be read: it is held for the other's sake only up to a bound.
    pub fn has_room_for(&self, which: ChildSlot) -> bool {
        self.overlap.interleaver.held_bytes(which) < LINES_HELD_MAX
    }

    /// What comes next is for the child there is. If another was to be started beside it, it is not.
    pub(crate) fn cancel_replacement(&mut self) {
        if self.supervisor.cancel_replacement() {
            self.effects.retain(|effect| *effect != Effect::SpawnReplacement);
        }
    }

    /// A child was started; `old` runs beside it. Or there was none.
    pub(crate) fn child_started(&mut self, pid: i32, old: Option<ChildProcess>, now: Timestamps) {
        let block = messages::started(&self.settings, pid);
        let Some((child, overlap)) = old.zip(self.settings.overlap) else {
            // Newer than any wish for a newer one.
            self.overlap.reload_requested = false;
            return self.say(&block, now);
        };
        let until = Some(now.mono + overlap.after);
        self.overlap.old = Some(Old { child, terminating: false, until });
        self.overlap.interleaver = LineInterleaver::new();
        self.say_line(&block, now);
    }

    /// The one that was to be started beside `old` could not be.
    pub(crate) fn replacement_failed(&mut self, old: ChildProcess, now: Timestamps) {
        self.say(&messages::old_child_stays(&self.settings, old.pid), now);
        self.continue_reload(now);
    }

    /// One of two wrote this.
    pub(crate) fn interleave(&mut self, which: ChildSlot, bytes: &[u8], now: Timestamps) {
        if self.overlap.old.is_none() {
            return self.append(bytes, now.wall);
        }
        let at_line_start = self.stream.at_line_start();
        let out = self.overlap.interleaver.push(which, bytes, at_line_start, now.mono);
        self.append(&out, now.wall);
    }

    /// The output of both is theirs no more.
    pub(crate) fn flush(&mut self, now: Timestamps) {
        let out = self.overlap.interleaver.flush(self.stream.at_line_start());
        self.append(&out, now.wall);
    }

    /// The new child says that it is ready.
    pub(crate) fn child_ready(&mut self, now: Timestamps) {
        if self.overlap.on_trial() && !self.supervisor.is_leaving() {
            self.terminate_old(now);
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

    /// What time has made due.
    pub(crate) fn poll_overlap(&mut self, now: Timestamps) {
        let out = self.overlap.interleaver.poll(self.stream.at_line_start(), now.mono);
        self.append(&out, now.wall);
        let due = |old: &mut Old| old.until.is_some_and(|until| now.mono >= until);
        let Some(old) = self.overlap.old.as_mut().filter(|_| !self.supervisor.is_leaving()) else {
            return;
        };
        self.revision += u64::from(due(old));
        if due(old) && old.terminating {
            old.until = None;
            self.effects.push_back(Effect::Signal(ChildSlot::Old, SIGKILL));
        } else if due(old) {
            self.terminate_old(now);
        }
    }

    fn terminate_old(&mut self, now: Timestamps) {
        let Some(overlap) = self.settings.overlap else {
            return;
        };
        self.overlap.begin_terminating(overlap.grace, now.mono);
        self.effects.push_back(Effect::Signal(ChildSlot::Old, SIGTERM));
        if overlap.grace.is_zero() {
            self.effects.push_back(Effect::Signal(ChildSlot::Old, SIGKILL));
        }
    }

    /// The old one gets what the new one gets.
    pub(crate) fn signal_old(&mut self, signal: i32) {
        if self.overlap.old.is_some() && signal != 0 {
            self.effects.push_back(Effect::Signal(ChildSlot::Old, signal));
        }
    }

    /// The old one was killed by hand.
    pub(crate) fn old_was_killed(&mut self, now: Timestamps) {
        if let Some(overlap) = self.settings.overlap
            && self.overlap.on_trial()
        {
            self.overlap.begin_terminating(overlap.grace, now.mono);
        }
    }

    /// The old one ended.
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

    /// The new one ended. Whether the old one is in its place now.
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
        } else if self.overlap.on_trial() {
            self.supervisor.ended(status, now.mono);
            self.supervisor.restore_old(old);
            self.say_line(&messages::old_ended(child, status), now);
            self.say(&messages::old_child_stays(&self.settings, old.pid), now);
        } else {
            return false;
        }
        self.overlap.old = None;
        self.input.clear();
        self.readiness.restored_old();
        self.effects.extend([Effect::Reap(ChildSlot::Current), Effect::RestoreOld]);
        if !self.supervisor.is_leaving() {
            self.continue_reload(now);
        }
        true
    }

    /// There is only an old one, and it is to be waited for as if it were the child. Whether there
    /// was one.
    pub(crate) fn old_is_last(&mut self, now: Timestamps) -> bool {
        let Some(old) = self.overlap.old() else {
            return false;
        };
        self.flush(now);
        self.overlap.old = None;
        // One that is about to be started is not.
        self.effects.retain(|effect| *effect != Effect::Spawn);
        self.supervisor.restore_old(old);
        self.readiness.restored_old();
        self.effects.push_back(Effect::RestoreOld);
        true
    }

    fn continue_reload(&mut self, now: Timestamps) {
        if std::mem::take(&mut self.overlap.reload_requested) {
            self.reload(now);
        }
    }
}
