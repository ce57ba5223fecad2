//! The subsystems that may fail while the console goes on. A failure is said once on the console,
//! and not again before the subsystem has recovered.

use minicbor::{Decode, Encode};

use super::audit::AuditEvent;
use super::clock::Timestamps;
use super::event::{Sink, Subsystem};
use super::{Console, messages};

/// A set of subsystems.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct SubsystemSet(#[n(0)] u8);

impl SubsystemSet {
    /// Adds a subsystem. Returns true if it was not in the set.
    fn insert(&mut self, subsystem: Subsystem) -> bool {
        let before = self.0;
        self.0 |= bit(subsystem);
        self.0 != before
    }

    /// Removes a subsystem. Returns true if it was in the set.
    fn remove(&mut self, subsystem: Subsystem) -> bool {
        let before = self.0;
        self.0 &= !bit(subsystem);
        self.0 != before
    }
}

/// The bit of a subsystem in the set. The bits are part of the snapshot.
fn bit(subsystem: Subsystem) -> u8 {
    match subsystem {
        Subsystem::Rotation => 1,
        Subsystem::Syslog => 2,
        Subsystem::Events => 4,
        Subsystem::Status => 8,
        Subsystem::Log => 16,
        Subsystem::History => 32,
    }
}

impl Console {
    /// The server has already written this failure to standard error, so it is only recorded.
    pub(super) fn log_open_failed(&mut self, reason: &str) {
        let reason = format!("could not be opened: {reason}");
        self.audit_events.push_back(AuditEvent::Failed(Subsystem::Log, reason));
    }

    pub(super) fn subsystem_failed(&mut self, subsystem: Subsystem, reason: &str, now: Timestamps) {
        if self.failing.insert(subsystem) {
            self.audit_events.push_back(AuditEvent::Failed(subsystem, reason.to_owned()));
            self.say_line(&messages::subsystem_failed(&self.settings, subsystem, reason), now);
        }
    }

    pub(super) fn subsystem_recovered(&mut self, subsystem: Subsystem) {
        if self.failing.remove(subsystem) {
            self.audit_events.push_back(AuditEvent::Recovered(subsystem));
        }
    }

    /// Reports whether there is memory for the last bytes of the stream.
    pub(super) fn report_memory(&mut self, now: Timestamps) {
        if self.stream.is_short_of_memory() {
            // What strerror(3) says of ENOMEM.
            self.subsystem_failed(Subsystem::History, "Cannot allocate memory", now);
        } else {
            self.subsystem_recovered(Subsystem::History);
        }
    }

    /// The log was opened, or can be written again.
    pub(super) fn log_opened(&mut self) {
        if !self.sinks.contains_key(&Sink::Log)
            && !self.settings.log_opened
            && self.settings.log.target.is_some()
        {
            // The server has reported this failure at its start.
            self.failing.insert(Subsystem::Log);
        }
        self.subsystem_recovered(Subsystem::Log);
        self.open_log();
    }

    pub(super) fn accept_failed(&mut self, endpoint: &str, reason: &str, now: Timestamps) {
        let event = AuditEvent::AcceptFailed(endpoint.to_owned(), reason.to_owned());
        self.audit_events.push_back(event);
        self.say_line(&messages::accept_failed(endpoint, reason), now);
    }
}
