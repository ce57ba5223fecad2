//! What goes wrong beside the console: said to everybody once, until it works again.

use super::audit::Entry;
use super::clock::Now;
use super::event::Duty;
use super::stream::reader::Outbox;
use super::{Console, messages};

impl Console {
    /// Told on standard error, and never on the console.
    pub(super) fn log_not_opened(&mut self, reason: &str) {
        let reason = format!("could not be opened: {reason}");
        self.journal.push_back(Entry::Failed(Duty::Log, reason));
    }

    pub(super) fn failed(&mut self, duty: Duty, reason: &str, now: Now) {
        let text = match duty {
            Duty::Log => messages::log_failed(self.log_name(), reason),
            Duty::Rotation => messages::not_rotated(self.log_name(), reason),
            Duty::Syslog => messages::syslog_failed(reason),
            Duty::Events => messages::events_failed(reason),
            Duty::Status => messages::status_failed(reason),
        };
        if self.troubles & bit(duty) == 0 {
            self.troubles |= bit(duty);
            self.journal.push_back(Entry::Failed(duty, reason.to_owned()));
            self.say_line(&text, now);
        }
    }

    pub(super) fn works(&mut self, duty: Duty) {
        if self.troubles & bit(duty) != 0 {
            self.troubles &= !bit(duty);
            self.journal.push_back(Entry::Works(duty));
        }
    }

    /// The log was opened, or can be written again.
    pub(super) fn log_works(&mut self) {
        if self.log.is_none() && matches!(self.settings.log, Some((_, false))) {
            // Told on standard error at the start.
            self.troubles |= bit(Duty::Log);
        }
        self.works(Duty::Log);
        let (head, encoding) = (self.history.head(), self.settings.log_encoding());
        self.log.get_or_insert_with(|| Outbox::new(head, encoding));
    }

    fn log_name(&self) -> &[u8] {
        self.settings.log.as_ref().map_or(b"", |(name, _)| name)
    }
}

/// The numbers are part of the record.
fn bit(duty: Duty) -> u8 {
    match duty {
        Duty::Rotation => 1,
        Duty::Syslog => 2,
        Duty::Events => 4,
        Duty::Status => 8,
        Duty::Log => 16,
    }
}
