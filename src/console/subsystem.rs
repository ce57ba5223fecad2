//! What goes wrong beside the console: said to everybody once, until it works again.

use super::audit::AuditEvent;
use super::clock::Timestamps;
use super::event::Subsystem;
use super::stream::reader::StreamReader;
use super::{Console, messages};

impl Console {
    /// Told on standard error, and never on the console.
    pub(super) fn log_open_failed(&mut self, reason: &str) {
        let reason = format!("could not be opened: {reason}");
        self.audit_events.push_back(AuditEvent::Failed(Subsystem::Log, reason));
    }

    pub(super) fn subsystem_failed(&mut self, duty: Subsystem, reason: &str, now: Timestamps) {
        let text = match duty {
            Subsystem::Log => messages::log_failed(self.log_name(), reason),
            Subsystem::Rotation => messages::rotation_failed(self.log_name(), reason),
            Subsystem::Syslog => messages::syslog_failed(reason),
            Subsystem::Events => messages::events_failed(reason),
            Subsystem::Status => messages::status_failed(reason),
        };
        if self.failing & bit(duty) == 0 {
            self.failing |= bit(duty);
            self.audit_events.push_back(AuditEvent::Failed(duty, reason.to_owned()));
            self.say_line(&text, now);
        }
    }

    pub(super) fn subsystem_recovered(&mut self, duty: Subsystem) {
        if self.failing & bit(duty) != 0 {
            self.failing &= !bit(duty);
            self.audit_events.push_back(AuditEvent::Recovered(duty));
        }
    }

    /// The log was opened, or can be written again.
    pub(super) fn log_opened(&mut self) {
        if self.log.is_none() && !self.settings.log_opened && self.settings.log.target.is_some() {
            // Told on standard error at the start.
            self.failing |= bit(Subsystem::Log);
        }
        self.subsystem_recovered(Subsystem::Log);
        let (head, encoding) = (self.stream.head(), self.settings.log_encoding());
        self.log.get_or_insert_with(|| StreamReader::new(head, encoding));
    }

    fn log_name(&self) -> &[u8] {
        self.settings.log_name().unwrap_or_default()
    }
}

/// The numbers are part of the record.
fn bit(duty: Subsystem) -> u8 {
    match duty {
        Subsystem::Rotation => 1,
        Subsystem::Syslog => 2,
        Subsystem::Events => 4,
        Subsystem::Status => 8,
        Subsystem::Log => 16,
    }
}
