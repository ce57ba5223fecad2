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

use super::interleave::Weave;
use super::status::Stage;
use crate::console::audit::Entry;
use crate::console::clock::{Moment, Now};
use crate::console::event::{Effect, ExitStatus, Running, Which};
use crate::console::snapshot::Invalid;
use crate::console::{Console, SIGKILL, SIGTERM, messages};
use crate::limits::LINES_HELD_MAX;

/// The old one, if there is one. It is its own record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Overlap {
    #[n(0)]
    old: Option<Old>,
    /// One more is wanted after this one.
    #[cbor(n(1), default)]
    again: bool,
    /// The output of both.
    #[cbor(n(2), default)]
    weave: Weave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Old {
    #[n(0)]
    child: Running,
    /// It has been told to end; else the new one is on trial.
    #[cbor(n(1), default)]
    told: bool,
    /// When it is told, or gets SIGKILL. `None`: it has had it.
    #[n(2)]
    until: Option<Moment>,
}

impl Overlap {
    /// The old one, if there is one.
    pub fn old(&self) -> Option<Running> {
        self.old.map(|old| old.child)
    }

    /// Without what the children wrote.
    pub fn outline(&self) -> Overlap {
        Overlap { weave: self.weave.outline(), ..self.clone() }
    }

    /// Goes on from a record, beside this child.
    pub fn restore(record: Overlap, child: Option<Running>) -> Result<Overlap, Invalid> {
        match record.old() {
            None => Ok(Overlap { again: record.again, ..Overlap::default() }),
            // As with the child.
            Some(old) if old.pid <= 1 => Err(Invalid("the old child's PID can be no child's")),
            Some(old) if child.is_some_and(|child| child.pid == old.pid) => {
                Err(Invalid("one child is two"))
            }
            Some(_) => Ok(record),
        }
    }

    fn on_trial(&self) -> bool {
        self.old.is_some_and(|old| !old.told)
    }

    /// The old one is told to end.
    fn tell(&mut self, grace: Duration, now: Moment) {
        if let Some(old) = &mut self.old {
            old.told = true;
            old.until = (!grace.is_zero()).then(|| now + grace);
        }
    }
}

impl Console {
    /// A new child is wanted in the place of the one there is.
    pub(crate) fn reload(&mut self, now: Now) {
        if self.settings.overlap.is_none() {
            return;
        }
        if self.overlap.old.is_some() || self.supervisor.is_replacing() {
            self.overlap.again = true;
        } else if self.supervisor.begin_beside() {
            self.effects.push_back(Effect::SpawnBeside);
        } else if self.supervisor.stage() != Stage::Last
            && let Some(action) = self.supervisor.start_by_hand(now.mono)
        {
            self.act(action, now);
        }
    }

    /// Whether a new child may be started beside another.
    pub fn overlaps(&self) -> bool {
        self.settings.overlap.is_some()
    }

    /// Whether readiness of a new child is the server's, too.
    pub fn tells_of_reload(&self) -> bool {
        self.overlaps() && self.settings.ready.is_none()
    }

    /// Whether a new child was asked for of which it is not known yet whether it stays.
    pub fn is_reloading(&self) -> bool {
        let waits = self.overlap.on_trial() || self.overlap.again;
        !self.exiting && (waits || self.supervisor.is_replacing())
    }

    /// The child before the one there is, while it ends.
    pub fn old_child(&self) -> Option<Running> {
        self.overlap.old()
    }

    /// Whether this child's output may be read: it is held for the other's sake only up to a bound.
    pub fn has_room_for(&self, which: Which) -> bool {
        self.overlap.weave.held(which) < LINES_HELD_MAX
    }

    /// What comes next is for the child there is. If another was to be started beside it, it is not.
    pub(crate) fn cancel_beside(&mut self) {
        if self.supervisor.cancel_beside() {
            self.effects.retain(|effect| *effect != Effect::SpawnBeside);
        }
    }

    /// A child was started; `old` runs beside it. Or there was none.
    pub(crate) fn begun(&mut self, pid: i32, old: Option<Running>, now: Now) {
        let block = messages::started(&self.settings, pid);
        let Some((child, overlap)) = old.zip(self.settings.overlap) else {
            // Newer than any wish for a newer one.
            self.overlap.again = false;
            return self.say(&block, now);
        };
        let until = Some(now.mono + overlap.after);
        self.overlap.old = Some(Old { child, told: false, until });
        self.overlap.weave = Weave::new();
        self.say_line(&block, now);
    }

    /// The one that was to be started beside `old` could not be.
    pub(crate) fn not_begun(&mut self, old: Running, now: Now) {
        self.say(&messages::goes_on(&self.settings, old.pid), now);
        self.go_on_reloading(now);
    }

    /// One of two wrote this.
    pub(crate) fn weave(&mut self, which: Which, bytes: &[u8], now: Now) {
        if self.overlap.old.is_none() {
            return self.append(bytes, now.wall);
        }
        let at_line_start = self.history.at_line_start();
        let out = self.overlap.weave.output(which, bytes, at_line_start, now.mono);
        self.append(&out, now.wall);
    }

    /// The output of both is theirs no more.
    pub(crate) fn flush(&mut self, now: Now) {
        let out = self.overlap.weave.flush(self.history.at_line_start());
        self.append(&out, now.wall);
    }

    /// The new child says that it is ready.
    pub(crate) fn child_says_ready(&mut self, now: Now) {
        if self.overlap.on_trial() && !self.supervisor.is_leaving() {
            self.retire(now);
        }
    }

    /// When [`overlap_due`](Self::overlap_due) has something to do.
    pub(crate) fn overlap_deadline(&self) -> Option<Moment> {
        let old = self.overlap.old.filter(|_| !self.supervisor.is_leaving());
        [old.and_then(|old| old.until), self.overlap.weave.deadline()].into_iter().flatten().min()
    }

    /// What time has made due.
    pub(crate) fn overlap_due(&mut self, now: Now) {
        let out = self.overlap.weave.due(self.history.at_line_start(), now.mono);
        self.append(&out, now.wall);
        let due = |old: &mut Old| old.until.is_some_and(|until| now.mono >= until);
        let Some(old) = self.overlap.old.as_mut().filter(|_| !self.supervisor.is_leaving()) else {
            return;
        };
        if due(old) && old.told {
            old.until = None;
            self.effects.push_back(Effect::Signal(Which::Old, SIGKILL));
        } else if due(old) {
            self.retire(now);
        }
    }

    fn retire(&mut self, now: Now) {
        let Some(overlap) = self.settings.overlap else {
            return;
        };
        self.overlap.tell(overlap.grace, now.mono);
        self.effects.push_back(Effect::Signal(Which::Old, SIGTERM));
        if overlap.grace.is_zero() {
            self.effects.push_back(Effect::Signal(Which::Old, SIGKILL));
        }
    }

    /// The old one gets what the new one gets.
    pub(crate) fn signal_old(&mut self, signal: i32) {
        if self.overlap.old.is_some() && signal != 0 {
            self.effects.push_back(Effect::Signal(Which::Old, signal));
        }
    }

    /// The old one was killed by hand.
    pub(crate) fn old_was_killed(&mut self, now: Now) {
        if let Some(overlap) = self.settings.overlap
            && self.overlap.on_trial()
        {
            self.overlap.tell(overlap.grace, now.mono);
        }
    }

    /// The old one ended.
    pub(crate) fn old_ended(&mut self, status: ExitStatus, now: Now) {
        let Some(old) = self.overlap.old() else {
            return;
        };
        self.flush(now);
        self.journal.push_back(Entry::Ended(old.pid, status));
        self.overlap.old = None;
        self.effects.push_back(Effect::Bury(Which::Old));
        if !self.supervisor.is_leaving() {
            self.say_line(&messages::old_ended(old, status), now);
            self.go_on_reloading(now);
        }
    }

    /// The new one ended. Whether the old one is in its place now.
    pub(crate) fn old_stands_in(&mut self, child: Running, status: ExitStatus, now: Now) -> bool {
        self.flush(now);
        let Some(old) = self.overlap.old() else {
            return false;
        };
        if self.supervisor.is_leaving() {
            self.supervisor.leave_with(old);
        } else if self.overlap.on_trial() {
            self.supervisor.ended(status, now.mono);
            self.supervisor.stand_in(old);
            self.say_line(&messages::old_ended(child, status), now);
            self.say(&messages::goes_on(&self.settings, old.pid), now);
        } else {
            return false;
        }
        self.overlap.old = None;
        self.input.clear();
        self.readiness.reinstated();
        self.effects.extend([Effect::Bury(Which::New), Effect::Reinstate]);
        if !self.supervisor.is_leaving() {
            self.go_on_reloading(now);
        }
        true
    }

    /// There is only an old one, and it is to be waited for as if it were the child. Whether there
    /// was one.
    pub(crate) fn old_is_last(&mut self, now: Now) -> bool {
        let Some(old) = self.overlap.old() else {
            return false;
        };
        self.flush(now);
        self.overlap.old = None;
        // One that is about to be started is not.
        self.effects.retain(|effect| *effect != Effect::Spawn);
        self.supervisor.stand_in(old);
        self.readiness.reinstated();
        self.effects.push_back(Effect::Reinstate);
        true
    }

    fn go_on_reloading(&mut self, now: Now) {
        if std::mem::take(&mut self.overlap.again) {
            self.reload(now);
        }
    }
}
