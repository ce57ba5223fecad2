//! The requests of programs, and the oracle's part about them.

use crate::config::RestartMode::{Off, On, Oneshot};
use crate::console::audit::{AuditEvent, Command};
use crate::console::clients::requests::{Answer, Refusal, Request};
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, Event};
use crate::console::sim::child::cleanup::After;
use crate::console::sim::oracle::Oracle;
use crate::console::sim::reached;
use crate::console::sim::simulation::Simulation;

impl Simulation {
    pub fn client_requests(&mut self) {
        let Some(index) = self.any_client() else {
            return;
        };
        let client = &self.clients[index];
        let id = client.id;
        if client.leaving || !self.console.accepts_input(id) {
            return;
        }
        let request = match self.random.below(12) {
            0 | 1 => Request::Kill,
            2 | 3 => Request::Start,
            4 => Request::SetMode(On),
            5 => Request::SetMode(Off),
            6 => Request::SetMode(Oneshot),
            7 | 8 => Request::Reload,
            9 | 10 => Request::Input(b"dbl\r\x18\x14\x00"),
            _ if self.random.one_in(10) => Request::Quit,
            _ => return,
        };
        self.trace(|_| format!("{id:?} requests {request:?}"));
        let now = self.now();
        self.console.handle(Event::InputHidden(self.oracle.hides_input), now);
        let answer = self.console.request(id, request, now);
        assert_eq!(answer, self.oracle.request(id, request, now));
        reached(if answer.is_ok() { "a request was executed" } else { "a request was refused" });
        self.upgrade();
    }
}

impl Oracle {
    fn request(
        &mut self,
        id: ClientId,
        request: Request<'_>,
        now: Timestamps,
    ) -> Result<Answer, Refusal> {
        if self.exiting || self.is_leaving() {
            return Err(Refusal::Leaving);
        }
        let child = self.child.map(|child| child.pid).ok_or(Refusal::NoChild);
        let mut note = |command| self.audit_events.push_back(AuditEvent::Command(id, command, 1));
        match request {
            Request::Kill => {
                let child = child?;
                note(Command::Kill);
                if self.settings.console.style == crate::config::MessageStyle::Current {
                    self.say("\r\n@@@ Got a kill command\r\n", now);
                }
                self.kill(now);
                Ok(Answer::Killed(child))
            }
            Request::Start if child.is_ok() => Err(Refusal::ChildRuns),
            Request::Start => {
                let starts = self.starting
                    || self.cleanup.is_some_and(|cleanup| cleanup.then == After::Start);
                let is_over = self.mode == Oneshot && !self.oneshot_start_pending;
                if is_over && !starts && !self.waits_for_user && self.last_start.is_some() {
                    return Err(Refusal::Oneshot);
                }
                note(Command::Restart);
                self.start_by_hand(now);
                Ok(Answer::Starting)
            }
            Request::SetMode(mode) => {
                note(Command::SetMode(mode));
                if self.mode != mode {
                    self.set_mode(mode, now);
                }
                Ok(Answer::Mode(mode))
            }
            Request::Reload => {
                let child = child?;
                if self.settings.restart.overlap.is_none() {
                    return Err(Refusal::NoOverlap);
                }
                note(Command::Reload);
                self.reload(now);
                Ok(Answer::Reloading(child))
            }
            Request::Input(bytes) => child.map(|_| Answer::Queued(self.type_to_child(id, bytes))),
            Request::Quit => {
                note(Command::Quit);
                self.terminate(now);
                Ok(Answer::Quitting)
            }
        }
    }
}
