//! Two children beside each other (`--overlap`): what the server does about the old one.

use super::Server;
use super::child::{Child, Output};
use super::system::System;
use crate::core::clock::{Moment, Now};
use crate::core::event::{Effect, Event};
use crate::core::weave::Who;
use crate::limits::PTY_BUDGET;
use crate::sys;

impl<S: System> Server<S> {
    /// SIGUSR2.
    pub(super) fn restart(&mut self, now: Now) {
        if !self.console.overlaps() {
            self.diagnose("SIGUSR2: ignored without --overlap");
            return;
        }
        self.diagnose("SIGUSR2: another child beside the one there is");
        self.say_reloading();
        self.console.handle(Event::Reload, now);
    }

    /// The service manager is told, unless it waits for a text of the child's.
    fn say_reloading(&mut self) {
        if let Some(manager) = &mut self.manager
            && self.console.tells_of_reload()
            && !manager.is_reloading()
        {
            manager.reload(self.system.now().mono);
        }
    }

    pub(super) fn spawn_beside(&mut self, now: Now) {
        // It may have been asked for on the console.
        self.say_reloading();
        let token = self.take_token();
        match self.system.spawn(token, true) {
            Ok(process) => {
                let child = Child::new(process, token);
                let pid = child.pid();
                self.old_child = self.child.replace(child);
                self.console.handle(Event::Spawned(pid), now);
                self.diagnose(&format!("child process {pid} started beside the old one"));
            }
            Err(error) => {
                self.console.handle(Event::SpawnFailed(&sys::reason(&error)), now);
            }
        }
    }

    /// Obeys what is about the old child; anything else is not for here.
    pub(super) fn obey_about_old(&mut self, effect: Effect) {
        match effect {
            Effect::SignalOld(signal) => {
                if let Some(child) = &self.old_child {
                    child.signal(signal);
                }
            }
            Effect::BuryOld => {
                let child = self.old_child.take();
                self.bury(child);
            }
            Effect::Reinstate => self.child = self.old_child.take(),
            _ => {}
        }
    }

    /// Whether this child's output may be read now.
    pub(super) fn may_read(&self, who: Who, now: Moment) -> bool {
        self.child_waits_until(now).is_none() && self.console.has_room_for(who)
    }

    pub(super) fn old_child_has_work(&self, now: Moment) -> bool {
        self.old_child.as_ref().is_some_and(|child| {
            (child.is_readable() && self.may_read(Who::Old, now))
                || child.is_to_be_heard()
                || child.ended().is_some()
        })
    }

    pub(super) fn read_old_child(&mut self, now: Now) {
        let allowed = self.child_waits_until(now.mono).is_none();
        let Some(child) = &mut self.old_child else {
            return;
        };
        // What it says there is of no more use, but must not fill its queue.
        child.hear();
        let mut read = 0;
        while allowed
            && read < PTY_BUDGET
            && child.is_readable()
            && self.console.has_room_for(Who::Old)
        {
            match child.read(&mut self.buffer) {
                Output::Bytes(count) => {
                    let bytes = self.buffer.get(..count).unwrap_or_default();
                    self.console.handle(Event::OldOutput(bytes), now);
                    read += count;
                }
                Output::Nothing => break,
                Output::Closed => {
                    child.look();
                    if child.ended().is_none() {
                        self.console.handle(Event::OldOutputClosed, now);
                    }
                }
            }
        }
        if let Some(status) = child.ended() {
            self.console.handle(Event::OldExited(status), now);
        }
    }
}
