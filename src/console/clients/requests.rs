//! What programs ask for (`--api`). Unlike a command character, a request says what is to be the
//! case, and is answered.

use crate::config::RestartMode;
use crate::console::audit::{AuditEvent, Command};
use crate::console::child::status::ChildPhase;
use crate::console::clock::Timestamps;
use crate::console::event::ClientId;
use crate::console::{Console, messages};

/// A request that the console executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Send the kill signal to the child.
    Kill,
    /// Start a child now, as none runs.
    Start,
    /// Set the restart mode.
    SetMode(RestartMode),
    /// Replace the child by one that is started beside it.
    Reload,
    /// Type these bytes to the child.
    Input(&'a [u8]),
    /// End the server, and the child before it, as SIGTERM does.
    Quit,
}

/// The answer to a request that was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The kill signal was sent to this child.
    Killed(i32),
    /// A child is being started.
    Starting,
    /// The restart mode is this one.
    Mode(RestartMode),
    /// A child is being started beside this one, or will be after the present replacement.
    Reloading(i32),
    /// So many bytes were queued for the child.
    Queued(usize),
    /// The server ends.
    Quitting,
}

/// The reason for which a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No child runs.
    NoChild,
    /// A child runs already.
    ChildRuns,
    /// Mode ONESHOT starts no other child: the server is about to exit.
    Oneshot,
    /// The server was started without `--overlap`.
    NoOverlap,
    /// The server exits.
    Leaving,
}

impl Console {
    /// Executes a request of a client.
    ///
    /// # Errors
    ///
    /// If the request cannot be executed. Nothing was done then.
    pub fn request(
        &mut self,
        id: ClientId,
        request: Request<'_>,
        now: Timestamps,
    ) -> Result<Answer, Refusal> {
        if self.exiting || self.supervisor.is_leaving() {
            return Err(Refusal::Leaving);
        }
        self.revision += 1;
        let child = self.supervisor.running().map(|child| child.pid);
        match request {
            Request::Kill => {
                let child = child.ok_or(Refusal::NoChild)?;
                self.say(&messages::killed(&self.settings), now);
                self.record_command(id, Command::Kill, 1);
                self.kill_child(now);
                Ok(Answer::Killed(child))
            }
            Request::Start => self.start_on_request(id, now),
            Request::SetMode(mode) => {
                self.audit_events.push_back(AuditEvent::Command(id, Command::SetMode(mode), 1));
                if self.supervisor.mode() != mode {
                    self.supervisor.set_mode(mode);
                    self.say(&messages::toggled(&self.settings, mode), now);
                }
                Ok(Answer::Mode(mode))
            }
            Request::Reload => {
                let child = child.ok_or(Refusal::NoChild)?;
                if !self.has_overlap() {
                    return Err(Refusal::NoOverlap);
                }
                self.record_command(id, Command::Reload, 1);
                self.reload(now);
                Ok(Answer::Reloading(child))
            }
            Request::Input(bytes) => {
                child.ok_or(Refusal::NoChild)?;
                Ok(Answer::Queued(self.type_to_child(id, bytes)))
            }
            Request::Quit => {
                self.record_command(id, Command::Quit, 1);
                self.terminate(now);
                Ok(Answer::Quitting)
            }
        }
    }

    fn start_on_request(&mut self, id: ClientId, now: Timestamps) -> Result<Answer, Refusal> {
        if self.supervisor.running().is_some() {
            return Err(Refusal::ChildRuns);
        }
        if self.supervisor.phase() == ChildPhase::ExitPending {
            return Err(Refusal::Oneshot);
        }
        self.record_command(id, Command::Restart, 1);
        if let Some(action) = self.supervisor.start_by_hand(now.mono) {
            self.act(action, now);
        }
        Ok(Answer::Starting)
    }
}
